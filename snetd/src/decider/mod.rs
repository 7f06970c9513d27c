// SPDX-License-Identifier: MIT OR Apache-2.0
//! The decision path: a thread of its own that answers the kernel's events.
//!
//! Owns the registration with the kernel module and the policy in force. Nothing here logs,
//! opens files, takes locks or waits for anything but the kernel: a call is held meanwhile,
//! and what is waited for might be waiting for that call. What happened is told through
//! bounded queues that drop when they are full.
//!
//! `engine` decides from what `memory` holds, `duty` answers events and takes orders. What a
//! person has to decide waits in `questions`, which `asking` puts and answers. Events come
//! from two sources (`source`): `link` connects to the module, `supervised` to supervisors.
//! `reports` is what the rest of the daemon learns.

mod asking;
mod duty;
mod engine;
mod link;
mod memory;
mod questions;
mod reports;
mod source;
mod supervised;

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use libsnet::control::{Answer, QuestionId, QuestionRecord, SupervisedStatus};
use libsnet::policy::Policy;
use libsnet::types::{Event, KeptTicket, RuleId, Settings, Subject, TicketId, Verdict, WatchSet};
use tokio::sync::{mpsc, oneshot, watch};

use crate::supervisors::Supervisors;

pub(crate) use asking::Answered;
pub(crate) use reports::{Counters, LinkState, Report};

/// What the kernel is to be told, and what goes with it.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Deadlines, fallbacks, bounds.
    pub(crate) settings: Settings,
    /// What is mediated.
    pub(crate) watch: WatchSet,
    /// How long tickets count; `None` until their process exits.
    pub(crate) lifetime: Option<Duration>,
    /// How long a person may take to answer.
    pub(crate) ask_for: Duration,
}

impl Plan {
    /// The answer to a call that can't be understood: the stricter of the fallbacks, since
    /// it isn't known whose turn it is.
    fn blind(&self) -> Verdict {
        let denies = self.settings.fallbacks.values().any(|verdict| *verdict == Verdict::Deny);
        if denies { Verdict::Deny } else { Verdict::Allow }
    }
}

/// What the decider is told by the rest of the daemon.
#[derive(Debug)]
enum Order {
    /// Decide by this policy from now on. The old one comes back to be freed.
    Adopt { policy: Arc<Policy>, generation: u64, old: oneshot::Sender<Arc<Policy>> },
    /// To whom were these tickets issued?
    Subjects { tickets: Vec<TicketId>, reply: oneshot::Sender<Vec<Option<Arc<Subject>>>> },
    /// The program of this event was looked at for the policy of this generation.
    DecideAgain { event: Box<Event>, generation: u64 },
    /// Calls that are held, as the kernel lists them.
    Held { events: Vec<Event> },
    /// The configuration changed.
    Follow { plan: Arc<Plan>, done: oneshot::Sender<Result<()>> },
    /// Whoever is behind this connection supervises programs from now on.
    Supervise { stream: UnixStream },
    /// The tickets of supervised programs.
    SupervisedTickets { reply: oneshot::Sender<Vec<KeptTicket>> },
    /// Take these of them back, and say how many there were.
    RevokeSupervised { tickets: Vec<TicketId>, reply: oneshot::Sender<u64> },
    /// What goes on under supervisors.
    SupervisedStatus { reply: oneshot::Sender<SupervisedStatus> },
    /// What is asked now.
    Questions { reply: oneshot::Sender<Vec<QuestionRecord>> },
    /// What is a question about, and which rule asks?
    Matter { id: QuestionId, reply: oneshot::Sender<Option<(Event, Option<RuleId>)>> },
    /// Somebody answered.
    Answer { answer: Answer, reply: oneshot::Sender<Option<Answered>> },
    /// The registration with this number is over.
    Lost { epoch: u64, why: String },
    /// Unregister and end.
    Stop { done: oneshot::Sender<()> },
}

/// What the decider needs to begin.
pub(crate) struct Start {
    /// Decides until another policy is adopted.
    pub(crate) policy: Arc<Policy>,
    /// Its generation.
    pub(crate) generation: u64,
    /// What the kernel is to be told.
    pub(crate) plan: Arc<Plan>,
    /// Never talk to the kernel.
    pub(crate) off: bool,
    /// Decisions, for the journal. Never waited for.
    pub(crate) reports: mpsc::Sender<Report>,
    /// Events whose program must be looked at. Never waited for.
    pub(crate) stale: mpsc::Sender<Box<Event>>,
    /// Counted as it happens.
    pub(crate) counters: Arc<Counters>,
    /// Who supervises, for those who must know.
    pub(crate) supervisors: Supervisors,
}

/// The rest of the daemon's hold on the decider.
#[derive(Debug, Clone)]
pub(crate) struct Decider {
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<LinkState>,
    beat: watch::Receiver<Instant>,
}

/// Orders that may wait.
const ORDERS: usize = 256;
/// Tickets looked up at a time, so that events get their turn in between.
const LOOKED_UP: usize = 256;

impl Decider {
    /// Starts the thread.
    pub(crate) fn start(start: Start) -> Result<(Self, JoinHandle<()>)> {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (state, state_seen) = watch::channel(LinkState::Connecting);
        let (beat, beat_seen) = watch::channel(Instant::now());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .context("can't make the decider's event loop")?;
        let own = orders.downgrade();
        let thread = std::thread::Builder::new()
            .name("decider".to_owned())
            .spawn(move || {
                runtime.block_on(duty::Duty::new(start, inbox, own, state).run(beat));
            })
            .context("can't start the decider's thread")?;
        Ok((Self { orders, state: state_seen, beat: beat_seen }, thread))
    }

    /// How it stands with the kernel module; changes are seen by waiting for them.
    pub(crate) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// When the decider's loop was last seen alive.
    pub(crate) fn last_beat(&self) -> Instant {
        *self.beat.borrow()
    }

    /// Replaces the policy. When this returns, every later event is decided by the new one,
    /// and the kernel has seen every ticket of the old one.
    pub(crate) async fn adopt(&self, policy: Arc<Policy>, generation: u64) -> Result<()> {
        let (old, returned) = oneshot::channel();
        self.order(Order::Adopt { policy, generation, old }).await?;
        returned.await.map(drop).map_err(|_| ended())
    }

    /// To whom tickets were issued, as far as that is remembered.
    pub(crate) async fn subjects(&self, tickets: &[TicketId]) -> Result<Vec<Option<Arc<Subject>>>> {
        let mut subjects = Vec::with_capacity(tickets.len());
        for part in tickets.chunks(LOOKED_UP) {
            let (reply, answer) = oneshot::channel();
            self.order(Order::Subjects { tickets: part.to_vec(), reply }).await?;
            subjects.extend(answer.await.map_err(|_| ended())?);
        }
        Ok(subjects)
    }

    /// Answers who asked, on this connection, to supervise programs.
    pub(crate) async fn supervise(&self, stream: UnixStream) -> Result<()> {
        self.order(Order::Supervise { stream }).await
    }

    /// The tickets of supervised programs.
    pub(crate) async fn supervised_tickets(&self) -> Result<Vec<KeptTicket>> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::SupervisedTickets { reply }).await?;
        answer.await.map_err(|_| ended())
    }

    /// Takes tickets of supervised programs back; gives how many there were.
    pub(crate) async fn revoke_supervised(&self, tickets: Vec<TicketId>) -> Result<u64> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::RevokeSupervised { tickets, reply }).await?;
        answer.await.map_err(|_| ended())
    }

    /// What goes on under supervisors.
    pub(crate) async fn supervised_status(&self) -> Result<SupervisedStatus> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::SupervisedStatus { reply }).await?;
        answer.await.map_err(|_| ended())
    }

    /// What people are asked now.
    pub(crate) async fn questions(&self) -> Result<Vec<QuestionRecord>> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Questions { reply }).await?;
        answer.await.map_err(|_| ended())
    }

    /// The first call of a question, and the rule that asks; nothing when it isn't open.
    pub(crate) async fn matter(&self, id: QuestionId) -> Result<Option<(Event, Option<RuleId>)>> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Matter { id, reply }).await?;
        answer.await.map_err(|_| ended())
    }

    /// Answers a question; nothing when it isn't open. Makes no rule.
    pub(crate) async fn answer(&self, given: Answer) -> Result<Option<Answered>> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Answer { answer: given, reply }).await?;
        answer.await.map_err(|_| ended())
    }

    /// Decides an event whose program was looked at for the policy of this generation.
    pub(crate) async fn decide_again(&self, event: Box<Event>, generation: u64) -> Result<()> {
        self.order(Order::DecideAgain { event, generation }).await
    }

    /// Follows another configuration, and says whether the kernel took it.
    pub(crate) async fn follow(&self, plan: Arc<Plan>) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.order(Order::Follow { plan, done }).await?;
        answer.await.map_err(|_| ended())?
    }

    /// Unregisters, so that calls that are held get the fallback at once, and ends.
    pub(crate) async fn stop(&self) {
        let (done, answer) = oneshot::channel();
        if self.order(Order::Stop { done }).await.is_ok() {
            let _ = answer.await;
        }
    }

    async fn order(&self, order: Order) -> Result<()> {
        self.orders.send(order).await.map_err(|_| ended())
    }
}

fn ended() -> anyhow::Error {
    anyhow!("the decider's thread has ended: restart snetd")
}
