// SPDX-License-Identifier: MIT OR Apache-2.0
//! The decider's loop: events get verdicts, orders are followed, and a registration that is
//! lost is made again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use libsnet::client::Error;
use libsnet::control::Decision;
use libsnet::types::{Event, Object, RequestId, Subject, Ticket, Verdict};
use tokio::sync::{mpsc, oneshot, watch};

use crate::journal::now;

use super::engine::{Engine, Step};
use super::link::{Link, Orders};
use super::questions::Questions;
use super::source::{Sent, Source, is_supervised};
use super::supervised::{Asks, Heard, Supervised};
use super::{Counters, LinkState, Order, Plan, Report, Start};

/// Before the first and before every later attempt to register.
const SOON: Duration = Duration::from_millis(250);
const LATER: Duration = Duration::from_secs(4);

/// The decider's thread.
pub(super) struct Duty {
    pub(super) engine: Engine,
    pub(super) plan: Arc<Plan>,
    off: bool,
    pub(super) link: Option<Link>,
    pub(super) supervised: Supervised,
    pub(super) questions: Questions,
    /// What supervisors say.
    hears: mpsc::Receiver<Heard>,
    epoch: u64,
    patience: Duration,
    /// When to try to register again; orders that come meanwhile don't put it off.
    retry_at: Instant,
    inbox: mpsc::Receiver<Order>,
    orders: Orders,
    state: watch::Sender<LinkState>,
    pub(super) reports: mpsc::Sender<Report>,
    stale: mpsc::Sender<Box<Event>>,
    counters: Arc<Counters>,
}

/// Does the loop go on?
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

impl Duty {
    pub(super) fn new(
        start: Start,
        inbox: mpsc::Receiver<Order>,
        orders: Orders,
        state: watch::Sender<LinkState>,
    ) -> Self {
        // The kernel keeps so many tickets; remembering more subjects would serve nothing.
        let (supervised, hears) = Supervised::new(start.supervisors);
        let tickets = start.plan.settings.limits.tickets.map_or(0, |tickets| tickets as usize);
        Self {
            engine: Engine::new(start.policy, start.generation, start.plan.lifetime, tickets),
            plan: start.plan,
            off: start.off,
            link: None,
            supervised,
            questions: Questions::default(),
            hears,
            epoch: 0,
            patience: SOON,
            retry_at: Instant::now(),
            inbox,
            orders,
            state,
            reports: start.reports,
            stale: start.stale,
            counters: start.counters,
        }
    }

    /// Runs until it is told to stop, or until nobody is left to tell it.
    pub(super) async fn run(mut self, beat: watch::Sender<Instant>) {
        let beating = tokio::spawn(async move {
            // Ends with the daemon's interest in it.
            while beat.send(Instant::now()).is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        if self.off {
            self.state.send_replace(LinkState::Off);
        } else {
            self.connect().await;
        }
        while self.step().await == Next::GoOn {}
        beating.abort();
    }

    async fn step(&mut self) -> Next {
        let questions = self.questions.next_end();
        let question_ends = questions.unwrap_or_else(Instant::now);
        if let Some(link) = &mut self.link {
            tokio::select! {
                event = link.events.next_event() => {
                    self.take_event(event);
                    Next::GoOn
                }
                heard = self.hears.recv() => self.hear(heard),
                order = self.inbox.recv() => self.obey(order).await,
                () = tokio::time::sleep_until(question_ends.into()), if questions.is_some() => {
                    self.close_expired();
                    Next::GoOn
                }
            }
        } else {
            tokio::select! {
                () = tokio::time::sleep_until(self.retry_at.into()), if !self.off => {
                    self.connect().await;
                    Next::GoOn
                }
                heard = self.hears.recv() => self.hear(heard),
                order = self.inbox.recv() => self.obey(order).await,
                () = tokio::time::sleep_until(question_ends.into()), if questions.is_some() => {
                    self.close_expired();
                    Next::GoOn
                }
            }
        }
    }

    async fn connect(&mut self) {
        self.epoch += 1;
        match Link::connect(&self.plan, self.epoch, &self.orders).await {
            Ok((link, tickets)) => {
                self.engine.meet_kernel(tickets.into_iter());
                link.list_held(self.plan.blind(), self.orders.clone(), self.reports.clone());
                self.link = Some(link);
                self.patience = SOON;
                self.state.send_replace(LinkState::Registered(self.epoch));
            }
            Err(error) => {
                self.patience = (self.patience * 2).min(LATER);
                self.retry_at = Instant::now() + self.patience;
                let absent = matches!(error, Error::NotLoaded { .. });
                self.state.send_replace(LinkState::Lost { absent, why: error.to_string() });
            }
        }
    }

    /// Gives the registration up; it is made again soon.
    fn lose(&mut self, why: String, absent: bool) {
        self.link = None;
        self.questions.kernel_is_gone(Instant::now());
        self.patience = SOON;
        self.retry_at = Instant::now() + SOON;
        self.state.send_replace(LinkState::Lost { absent, why });
    }

    fn take_event(&mut self, event: Result<Event, Error>) {
        match event {
            Ok(event) => self.take(event),
            Err(Error::Overrun) => {
                self.trouble("events were lost: the held calls are listed instead".to_owned());
                if let Some(link) = &self.link {
                    link.list_held(self.plan.blind(), self.orders.clone(), self.reports.clone());
                }
            }
            Err(Error::Undecodable { request, source }) => self.take_undecodable(request, &source),
            Err(Error::Decode(error)) => self.trouble(format!("a message was dropped: {error}")),
            Err(error) => self.lose(error.to_string(), matches!(error, Error::NotLoaded { .. })),
        }
    }

    fn take_undecodable(&mut self, request: Option<RequestId>, why: &dyn std::error::Error) {
        self.trouble(format!("an event can't be understood: {why}"));
        let blind = self.plan.blind();
        if let Some(request) = request
            && let Err(error) = self.send(request, blind, None)
        {
            self.refused(&error);
        }
    }

    fn hear(&mut self, heard: Option<Heard>) -> Next {
        // There is always somebody who may say something: this very value.
        if let Some(heard) = heard
            && let Asks::Event(event) = self.supervised.hear(heard)
        {
            self.decide(event, None);
        }
        Next::GoOn
    }

    /// Takes an event of the kernel once, however often it comes.
    fn take(&mut self, event: Event) {
        if self.engine.first_sight(event.request) {
            self.decide(Box::new(event), None);
        }
    }

    pub(super) fn decide(&mut self, event: Box<Event>, looked_at: Option<u64>) {
        match self.engine.decide(&event, looked_at, Instant::now()) {
            Step::Answer(decision, ticket) => {
                self.answer(*event, decision, ticket);
            }
            Step::Ask(rule) => self.ask(event, rule),
            Step::LookAgain => {
                let request = event.request;
                if self.stale.try_send(event).is_err() {
                    // Too many wait already: this one gets the fallback at its deadline.
                    self.supervised.give_up(request);
                    self.trouble("too many programs were replaced at once".to_owned());
                }
            }
        }
    }

    /// Lets a call go. Was it held still?
    pub(super) fn answer(
        &mut self,
        event: Event,
        decision: Decision,
        ticket: Option<Ticket>,
    ) -> bool {
        let kept = match self.send(event.request, decision.verdict, ticket) {
            Ok(Sent::Decided { kept, trouble }) => {
                trouble.into_iter().for_each(|trouble| self.trouble(trouble));
                kept
            }
            Ok(Sent::TooLate) => return false,
            Err(error) => {
                self.refused(&error);
                return false;
            }
        };
        let subject = Arc::new(event.subject);
        if let Some(ticket) = kept {
            self.engine.remember(&ticket, &subject, Instant::now());
        }
        self.counters.count_decided();
        self.report(decision, subject, event.object);
        true
    }

    pub(super) fn report(&self, decision: Decision, subject: Arc<Subject>, object: Object) {
        let report = Report::Decided { time: now(), decision, subject, object };
        if self.reports.try_send(report).is_err() {
            self.counters.count_dropped(1);
        }
    }

    fn send(
        &mut self,
        request: RequestId,
        verdict: Verdict,
        ticket: Option<Ticket>,
    ) -> Result<Sent, Error> {
        if is_supervised(request) {
            return self.supervised.answer(request, verdict, ticket);
        }
        match &mut self.link {
            Some(link) => link.answer(request, verdict, ticket),
            // Without a registration the fallback applied already.
            None => Ok(Sent::TooLate),
        }
    }

    pub(super) fn refused(&mut self, error: &Error) {
        match error {
            Error::NotPermitted(_) => self.lose(error.to_string(), false),
            _ => self.trouble(format!("a verdict was refused: {error}")),
        }
    }

    async fn obey(&mut self, order: Option<Order>) -> Next {
        match order {
            Some(Order::Adopt { policy, generation, old }) => {
                let before = self.engine.adopt(policy, generation);
                self.sort_questions();
                let _ = old.send(before);
            }
            Some(Order::Subjects { tickets, reply }) => {
                let subjects = tickets.into_iter().map(|id| self.engine.subject_of(id)).collect();
                let _ = reply.send(subjects);
            }
            Some(Order::DecideAgain { event, generation }) => self.decide(event, Some(generation)),
            Some(Order::Held { events }) => events.into_iter().for_each(|event| self.take(event)),
            Some(Order::Follow { plan, done }) => self.follow(plan, done),
            Some(Order::Supervise { stream }) => {
                let kernel = self.link.is_some();
                if let Err(error) = self.supervised.connect(stream, &self.plan, kernel) {
                    self.trouble(format!("a supervisor can't be connected: {error}"));
                }
            }
            Some(Order::SupervisedTickets { reply }) => {
                let _ = reply.send(self.supervised.tickets());
            }
            Some(Order::RevokeSupervised { tickets, reply }) => {
                let _ = reply.send(self.supervised.revoke(&tickets));
            }
            Some(Order::SupervisedStatus { reply }) => {
                let _ = reply.send(self.supervised.status());
            }
            Some(Order::Questions { reply }) => {
                let _ = reply.send(self.questions.list(Instant::now()));
            }
            Some(Order::Matter { id, reply }) => {
                let _ = reply.send(self.questions.matter(id));
            }
            Some(Order::Answer { answer, reply }) => {
                let _ = reply.send(self.answer_question(&answer));
            }
            Some(Order::Lost { epoch, why }) => {
                if self.link.as_ref().is_some_and(|link| link.epoch == epoch) {
                    self.lose(why, false);
                }
            }
            Some(Order::Stop { done }) => {
                self.unregister().await;
                let _ = done.send(());
                return Next::Stop;
            }
            None => {
                self.unregister().await;
                return Next::Stop;
            }
        }
        Next::GoOn
    }

    fn follow(&mut self, plan: Arc<Plan>, done: oneshot::Sender<Result<()>>) {
        self.engine.set_lifetime(plan.lifetime);
        self.plan = Arc::clone(&plan);
        self.supervised.follow(&plan, self.link.is_some());
        let client = self.link.as_ref().map(|link| Arc::clone(&link.client));
        // Beside the events: the kernel's answer may take a moment.
        tokio::spawn(async move {
            let told = match client {
                Some(client) => match client.set_settings(&plan.settings).await {
                    Ok(()) => client.set_watch(&plan.watch).await,
                    refused => refused,
                },
                // It is told when it is there.
                None => Ok(()),
            };
            let _ = done.send(told.map_err(anyhow::Error::from));
        });
    }

    async fn unregister(&mut self) {
        let Some(Link { events, .. }) = self.link.take() else {
            return;
        };
        if let Err(error) = events.unregister().await {
            self.trouble(format!("unregistering was not confirmed: {error}"));
        }
    }

    pub(super) fn trouble(&self, text: String) {
        let _ = self.reports.try_send(Report::Trouble(text));
    }
}
