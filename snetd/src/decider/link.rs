// SPDX-License-Identifier: MIT OR Apache-2.0
//! The connection to the kernel module while this daemon is its decider.
//!
//! Owns the order in which it is made, and the tasks that go with it: the heartbeat, and
//! the listing of held calls. They run beside the events on the same thread.

use std::sync::Arc;
use std::time::Duration;

use libsnet::client::{Client, Decider, Error, Verdicts};
use libsnet::types::{Event, TicketId, Verdict};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Order, Plan, Report};

/// A registration. Over when it is dropped.
pub(super) struct Link {
    pub(super) events: Decider,
    pub(super) verdicts: Verdicts,
    pub(super) client: Arc<Client>,
    /// Tells registrations apart.
    pub(super) epoch: u64,
    _heartbeat: Heartbeat,
}

/// The task that beats for a registration, as long as that lasts.
struct Heartbeat(JoinHandle<()>);

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// For telling the decider's loop, from tasks that must not keep it alive.
pub(super) type Orders = mpsc::WeakSender<Order>;

/// Time between two signs of life: several fit into the shortest useful deadline, so that a
/// daemon that was stopped and goes on is noticed before the next call would need it.
const BEAT: Duration = Duration::from_secs(1);

impl Link {
    /// Registers and tells the kernel the plan, and gives the numbers of the tickets that
    /// live from before. The watch set comes last: nothing is held before all the rest is
    /// in place.
    pub(super) async fn connect(
        plan: &Plan,
        epoch: u64,
        orders: &Orders,
    ) -> Result<(Self, Vec<TicketId>), Error> {
        let (events, _) = Decider::register().await?;
        let verdicts = events.verdicts()?;
        let client = Arc::new(Client::connect().await?);
        client.set_settings(&plan.settings).await?;
        let tickets = match client.tickets().await {
            Ok(kept) => kept.iter().map(|kept| kept.ticket.id).collect(),
            // They come and go too fast: numbers that begin with the time of day do as well.
            Err(Error::Interrupted { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        client.set_watch(&plan.watch).await?;
        let heartbeat = tokio::spawn(beat(Arc::clone(&client), epoch, orders.clone()));
        let link = Self { events, verdicts, client, epoch, _heartbeat: Heartbeat(heartbeat) };
        Ok((link, tickets))
    }

    /// Lists the held calls for the decider's loop. `blind` is the answer to those that
    /// can't be understood.
    pub(super) fn list_held(&self, blind: Verdict, orders: Orders, reports: mpsc::Sender<Report>) {
        let client = Arc::clone(&self.client);
        tokio::spawn(async move {
            match held(&client, blind).await {
                Ok(events) => {
                    if let Some(orders) = orders.upgrade() {
                        let _ = orders.send(Order::Held { events }).await;
                    }
                }
                Err(error) => {
                    let trouble = format!("listing the held calls failed: {error}");
                    let _ = reports.try_send(Report::Trouble(trouble));
                }
            }
        });
    }
}

async fn held(client: &Client, blind: Verdict) -> Result<Vec<Event>, Error> {
    // Each turn answers a call that stands in the way; there can't be more than are held.
    const TURNS: u32 = 65536;
    for _ in 0..TURNS {
        match client.requests().await {
            Err(Error::Undecodable { request: Some(request), .. }) => {
                // Whatever becomes of it, it stands in the way no longer.
                let _ = client.verdict(request, blind, &[]).await?;
            }
            Err(Error::Interrupted { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => return other,
        }
    }
    Err(Error::Interrupted { tries: TURNS })
}

/// Asks for the counters now and then. Any question counts as a sign of life; this one also
/// tells whether the module still takes this process for its decider.
async fn beat(client: Arc<Client>, epoch: u64, orders: Orders) {
    let mut own = None;
    let why = loop {
        tokio::time::sleep(BEAT).await;
        match client.stats().await {
            Ok(stats) => match (own, stats.decider) {
                (_, None) => break "the kernel module has no decider any more".to_owned(),
                (None, now) => own = now,
                (own, now) if own != now => {
                    break "another process became the decider".to_owned();
                }
                _ => {}
            },
            Err(error @ Error::NotLoaded { .. }) => break error.to_string(),
            // An answer that was lost says nothing about the registration.
            Err(_) => {}
        }
    };
    if let Some(orders) = orders.upgrade() {
        let _ = orders.send(Order::Lost { epoch, why }).await;
    }
}
