// SPDX-License-Identifier: MIT OR Apache-2.0
//! Questions and orders to the kernel module.
//!
//! Owns what can be asked, as methods. How an answer is found is [`super::connection`]'s.

use std::time::Duration;

use tokio::sync::Mutex;

use super::connection::{Connection, Decode};
use super::exchange::Completeness;
use super::{Delivery, Error};
use crate::types::{
    Event, KeptTicket, RequestId, RuleId, Settings, Stats, Ticket, TicketId, TicketTarget, Verdict,
    WatchSet,
};
use crate::uapi::MAX_TICKETS_PER_MESSAGE;
use crate::wire::{Request, TicketSelector, event, settings, ticket};

/// How often a list that changes is read before that is an error.
const LIST_TRIES: u32 = 8;

/// A connection to the kernel module for everything but events. Its methods may be called
/// from several tasks; they are served one after another.
///
/// Each method fails with [`Error::NotLoaded`] when the module is gone, with
/// [`Error::NotPermitted`] for want of privilege, with [`Error::NoAnswer`] after 5 s, and
/// with [`Error::Refused`] when the module doesn't take a value; others are named.
#[derive(Debug)]
pub struct Client(Mutex<Connection>);

impl Client {
    /// Connects to the module.
    ///
    /// # Errors
    /// [`Error::NotLoaded`] without the module.
    pub async fn connect() -> Result<Self, Error> {
        let mut connection = Connection::default();
        connection.find_family().await?;
        Ok(Self(Mutex::new(connection)))
    }

    /// Deadlines, fallbacks and bounds as they are.
    ///
    /// # Errors
    /// As told at [`Client`].
    pub async fn settings(&self) -> Result<Settings, Error> {
        self.ask(Request::PolicyGet, settings::decode).await
    }

    /// Sets what is given and leaves the rest. Durations are rounded up to milliseconds.
    ///
    /// # Errors
    /// [`Error::Refused`] for a value out of bounds.
    pub async fn set_settings(&self, settings: &Settings) -> Result<(), Error> {
        self.tell(Request::PolicySet(settings)).await
    }

    /// What is watched; operations that nothing watches are left out.
    ///
    /// # Errors
    /// As told at [`Client`].
    pub async fn watch(&self) -> Result<WatchSet, Error> {
        let parts = self.list(Request::WatchGet, settings::decode_watch).await?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// Watches exactly this: operations that aren't in `watch` are watched no longer.
    ///
    /// # Errors
    /// As told at [`Client`].
    pub async fn set_watch(&self, watch: &WatchSet) -> Result<(), Error> {
        self.tell(Request::WatchSet(watch)).await
    }

    /// Watches nothing.
    ///
    /// # Errors
    /// As told at [`Client`].
    pub async fn clear_watch(&self) -> Result<(), Error> {
        self.tell(Request::WatchFlush).await
    }

    /// Decides a held call. For the hot path there is [`super::Verdicts`].
    ///
    /// # Errors
    /// [`Error::NotPermitted`] when another process is the decider, [`Error::Encode`] for too
    /// many tickets.
    pub async fn verdict(
        &self,
        request: RequestId,
        verdict: Verdict,
        tickets: &[Ticket],
    ) -> Result<Delivery, Error> {
        let outcome = self.tell(Request::Verdict { request, verdict, tickets }).await;
        Delivery::from_outcome(outcome)
    }

    /// Gives a held call this time from now on, 1 ms to 10 min.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] when another process is the decider.
    pub async fn defer(&self, request: RequestId, deadline: Duration) -> Result<Delivery, Error> {
        Delivery::from_outcome(self.tell(Request::Defer { request, deadline }).await)
    }

    /// Gives tickets to running processes and to programs, in messages of as many as the
    /// module takes.
    ///
    /// # Errors
    /// [`Error::ProcessGone`] when a process has ended or executes another program, and
    /// [`Error::Refused`] for an id that is in use or too many tickets. The tickets before
    /// the one at fault are kept.
    pub async fn add_tickets(&self, tickets: &[(TicketTarget, Ticket)]) -> Result<(), Error> {
        for chunk in tickets.chunks(MAX_TICKETS_PER_MESSAGE as usize) {
            self.tell(Request::TicketAdd(chunk)).await?;
        }
        Ok(())
    }

    /// Removes one ticket, and the copies of it that children inherited.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none with this number.
    pub async fn delete_ticket(&self, id: TicketId) -> Result<(), Error> {
        self.tell(Request::TicketDelete(TicketSelector::Id(id))).await
    }

    /// Removes the tickets that a rule made.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn delete_tickets_of_rule(&self, rule: RuleId) -> Result<(), Error> {
        self.tell(Request::TicketDelete(TicketSelector::Rule(rule))).await
    }

    /// Removes the tickets of the process with this id in the initial pid namespace.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn delete_tickets_of_process(&self, tgid: u32) -> Result<(), Error> {
        self.tell(Request::TicketDelete(TicketSelector::Process(tgid))).await
    }

    /// All tickets that the module keeps.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when they keep changing.
    pub async fn tickets(&self) -> Result<Vec<KeptTicket>, Error> {
        self.list(Request::TicketGet, ticket::decode).await
    }

    /// Removes all tickets.
    ///
    /// # Errors
    /// As told at [`Client`].
    pub async fn flush_tickets(&self) -> Result<(), Error> {
        self.tell(Request::TicketFlush).await
    }

    /// All calls that are held now.
    ///
    /// # Errors
    /// [`Error::Undecodable`] for the first that can't be understood: answer that one by its
    /// number and ask again. [`Error::Interrupted`] when they keep changing.
    pub async fn requests(&self) -> Result<Vec<Event>, Error> {
        // Each event is decoded or not by itself, so that the one at fault can be named.
        let held = self.list(Request::RequestGet, |attributes| {
            Ok(event::decode(attributes).map_err(|source| Error::Undecodable {
                request: event::request_id(attributes),
                source,
            }))
        });
        held.await?.into_iter().collect()
    }

    /// The module's counters.
    ///
    /// # Errors
    /// As told at [`Client`].
    pub async fn stats(&self) -> Result<Stats, Error> {
        self.ask(Request::StatsGet, settings::decode_stats).await
    }

    /// A request whose answer is one message.
    async fn ask<T: Send>(&self, request: Request<'_>, decode: Decode<T>) -> Result<T, Error> {
        let mut parts = Vec::new();
        self.0.lock().await.run(request, decode, &mut parts).await?;
        parts.pop().ok_or(Error::NoAnswer)
    }

    /// A request whose answer is yes or no.
    async fn tell(&self, request: Request<'_>) -> Result<(), Error> {
        self.0.lock().await.run(request, |_| Ok(()), &mut Vec::new()).await.map(drop)
    }

    /// A request whose answer is a list.
    async fn list<T: Send>(
        &self,
        request: Request<'_>,
        decode: Decode<T>,
    ) -> Result<Vec<T>, Error> {
        let mut connection = self.0.lock().await;
        for _ in 0..LIST_TRIES {
            let mut parts = Vec::new();
            match connection.run(request, decode, &mut parts).await? {
                Completeness::Whole => return Ok(parts),
                Completeness::Interrupted => {}
            }
        }
        Err(Error::Interrupted { tries: LIST_TRIES })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_can_be_shared_between_tasks() {
        fn shared<T: Send + Sync>() {}
        fn sent<T: Send>(_: T) {}
        shared::<Client>();
        sent(Client::connect());
        let client = Client(Mutex::default());
        sent(client.tickets());
        sent(client.add_tickets(&[]));
    }
}
