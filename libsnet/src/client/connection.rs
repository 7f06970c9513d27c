// SPDX-License-Identifier: MIT OR Apache-2.0
//! One request after another, each to its end.
//!
//! Owns the request socket. A future that is dropped before its answer is there takes the
//! socket with it, so that no half-read answer is ever taken for another one's; the next
//! request opens a new socket.

use super::Error;
use super::channel::Channel;
use super::exchange::{Completeness, Exchange, Reply};
use crate::uapi::FAMILY_NAME;
use crate::wire::family::{self, CONTROLLER_NAME, Family, NOTIFY_GROUP};
use crate::wire::{DecodeError, Envelope, Genl, Messages, Request};

/// Looks a generic netlink family up, in this process's network namespace.
///
/// # Errors
/// [`Error::NotLoaded`] when there is none with this name.
pub async fn resolve(name: &str) -> Result<Family, Error> {
    Connection::default().resolve(name).await
}

/// Looks the module's family up for a socket that is told when the family goes.
pub(super) async fn follow_family(channel: &Channel) -> Result<Family, Error> {
    let mut lookup = Connection::default();
    // Joined before the family is looked up, so that its end can't fall between.
    let controller = lookup.resolve(CONTROLLER_NAME).await?;
    for (_, group) in controller.groups.iter().filter(|(name, _)| name == NOTIFY_GROUP) {
        channel.join(*group)?;
    }
    lookup.resolve(FAMILY_NAME).await
}

/// From the attributes of a message to what it says.
pub(super) type Decode<T> = fn(&[u8]) -> Result<T, DecodeError>;

/// The request socket and what goes with it.
#[derive(Default)]
pub(super) struct Connection {
    /// Taken while a request is under way; absent when one didn't come to its end.
    idle: Option<Channel>,
    family: u16,
    sequence: u32,
    message: Vec<u8>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("family", &self.family).finish_non_exhaustive()
    }
}

impl Connection {
    /// Runs a request to its end. "Not found" may also mean that the module was reloaded,
    /// which gives the family another number.
    pub(super) async fn run<T: Send>(
        &mut self,
        request: Request<'_>,
        decode: Decode<T>,
        parts: &mut Vec<T>,
    ) -> Result<Completeness, Error> {
        match self.run_once(request, decode, parts).await {
            Err(Error::NotFound(ack)) => {
                let before = self.family;
                self.find_family().await?;
                if self.family == before {
                    return Err(Error::NotFound(ack));
                }
                parts.clear();
                self.run_once(request, decode, parts).await
            }
            other => other,
        }
    }

    async fn run_once<T: Send>(
        &mut self,
        request: Request<'_>,
        decode: Decode<T>,
        parts: &mut Vec<T>,
    ) -> Result<Completeness, Error> {
        let (family, sequence) = (self.family, self.next_sequence());
        let envelope = Envelope { family, flags: request.flags(), sequence };
        request.encode(envelope, &mut self.message)?;
        self.finish(Exchange::new(family, sequence), |genl| {
            parts.push(decode(genl.attributes)?);
            Ok(())
        })
        .await
    }

    pub(super) async fn find_family(&mut self) -> Result<(), Error> {
        self.family = self.resolve(FAMILY_NAME).await?.id;
        Ok(())
    }

    pub(super) async fn resolve(&mut self, name: &str) -> Result<Family, Error> {
        let sequence = self.next_sequence();
        family::encode_get(name, sequence, &mut self.message)?;
        let mut found = None;
        let exchange = Exchange::new(family::CONTROLLER, sequence);
        let ended = self.finish(exchange, |genl| {
            found = Some(family::decode(genl.attributes)?);
            Ok(())
        });
        match ended.await {
            Err(Error::NotFound(_)) => Err(Error::NotLoaded { family: name.to_owned() }),
            Err(error) => Err(error),
            Ok(_) => found.ok_or(Error::NoAnswer),
        }
    }

    /// Sends `self.message` and reads until its exchange ends. The socket comes back only
    /// from an end that leaves nothing to be read on it.
    async fn finish(
        &mut self,
        mut exchange: Exchange,
        mut part: impl FnMut(Genl<'_>) -> Result<(), DecodeError> + Send,
    ) -> Result<Completeness, Error> {
        let mut channel = self.idle.take().map_or_else(Channel::open, Ok)?;
        channel.send(&self.message)?;
        let ended = converse(&mut channel, &mut exchange, &mut part).await;
        if matches!(
            ended,
            Ok(_)
                | Err(Error::NotFound(_)
                    | Error::NotPermitted(_)
                    | Error::ProcessGone(_)
                    | Error::Refused(_))
        ) {
            self.idle = Some(channel);
        }
        ended
    }

    fn next_sequence(&mut self) -> u32 {
        // 0 is what events carry.
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        self.sequence
    }
}

async fn converse(
    channel: &mut Channel,
    exchange: &mut Exchange,
    part: &mut (impl FnMut(Genl<'_>) -> Result<(), DecodeError> + Send),
) -> Result<Completeness, Error> {
    loop {
        channel.receive_answer().await.map_err(Error::into_no_answer)?;
        for message in Messages::new(channel.datagram()) {
            match exchange.read(&message?)? {
                Reply::Part(genl) => part(genl)?,
                Reply::End(completeness) => return Ok(completeness),
                Reply::Foreign => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use crate::wire::family::CONTROLLER;

    /// Lists all families: a dump in several parts, from the kernel that runs the test.
    async fn families(connection: &mut Connection) -> Result<Vec<Family>, Error> {
        let sequence = connection.next_sequence();
        family::encode_list(sequence, &mut connection.message)?;
        let mut found = Vec::new();
        let exchange = Exchange::new(CONTROLLER, sequence);
        let ended = connection.finish(exchange, |genl| {
            found.push(family::decode(genl.attributes)?);
            Ok(())
        });
        ended.await.map(|_| found)
    }

    #[tokio::test]
    async fn a_list_of_the_running_kernel_is_read_to_its_end() {
        let mut connection = Connection::default();
        let found = families(&mut connection).await.unwrap();
        let controller = found.iter().find(|family| family.name == CONTROLLER_NAME).unwrap();
        assert_eq!(controller.id, CONTROLLER);
        assert!(controller.groups.iter().any(|(name, _)| name == NOTIFY_GROUP));
        assert!(connection.idle.is_some());
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_leaves_nothing_for_the_next_one() {
        let mut connection = Connection::default();
        {
            let mut listing = std::pin::pin!(families(&mut connection));
            let mut once = Context::from_waker(Waker::noop());
            // A socket that was just opened isn't known to be readable yet.
            assert!(listing.as_mut().poll(&mut once).is_pending());
        }
        assert!(connection.idle.is_none());
        assert_eq!(connection.resolve(CONTROLLER_NAME).await.unwrap().id, CONTROLLER);
    }

    #[tokio::test]
    async fn a_refusal_leaves_the_socket_in_use() {
        let mut connection = Connection::default();
        let error = connection.resolve("snet-no-such").await.unwrap_err();
        assert!(matches!(error, Error::NotLoaded { family } if family == "snet-no-such"));
        assert!(connection.idle.is_some());
        assert_eq!(connection.resolve(CONTROLLER_NAME).await.unwrap().id, CONTROLLER);
    }
}
