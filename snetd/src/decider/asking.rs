// SPDX-License-Identifier: MIT OR Apache-2.0
//! The decider's part in asking a person: calls wait as `questions`, answers let them go.
//!
//! A call of a non-blocking socket can't be held until somebody has read the question: it gets
//! the fallback in time, and an answer that comes later is for its next attempt.

use std::time::Instant;

use libsnet::control::{Answer, Decision, Keep, Source as DecidedBy};
use libsnet::types::{Event, RuleId, Scope, Ticket, TicketTarget};

use crate::journal::now;

use super::Report;
use super::duty::Duty;
use super::engine::Step;
use super::questions::{Held, Question, Terms, Waiting};
use super::source::{Sent, Source, is_supervised};

/// What became of an answer.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// Calls that waited and got the verdict.
    pub(crate) released: u64,
    /// What the tickets cover.
    pub(crate) ticket: Option<Scope>,
}

impl Duty {
    /// Holds a call until somebody has answered.
    pub(super) fn ask(&mut self, event: Box<Event>, rule: Option<RuleId>) {
        let nonblock = self.plan.settings.nonblock_deadline;
        let terms = Terms {
            now: Instant::now(),
            time: now(),
            open_for: self.plan.ask_for,
            nonblock: nonblock.unwrap_or_default(),
        };
        let request = event.request;
        let Some(held) = self.questions.ask(event, rule, terms) else {
            self.supervised.give_up(request);
            return self.trouble("too many questions are open: a call is not asked about".into());
        };
        let deferred = match (held, &mut self.link) {
            (Held::Briefly, _) => Ok(()),
            (Held::For(time), _) if is_supervised(request) => self.supervised.defer(request, time),
            (Held::For(time), Some(link)) => link.defer(request, time),
            (Held::For(_), None) => Ok(()),
        };
        if let Err(error) = deferred {
            self.refused(&error);
        }
    }

    /// Lets the calls of a question go; nothing when it isn't open.
    pub(super) fn answer_question(&mut self, answer: &Answer) -> Option<Answered> {
        let Question { calls, .. } = self.questions.take(answer.id)?;
        let (mut answered, at) = (Answered::default(), Instant::now());
        for call in calls {
            let (decision, ticket) = self.engine.answer(
                &call.event,
                answer.verdict,
                answer.reach,
                answer.keep == Keep::UntilExit,
                at,
            );
            if let Some(ticket) = &ticket {
                answered.ticket.get_or_insert_with(|| ticket.scope.clone());
            }
            answered.released += u64::from(self.let_go(call, decision, ticket, at));
        }
        Some(answered)
    }

    /// Answers a call, or gives its process the ticket when it is over. Was it held still?
    fn let_go(
        &mut self,
        call: Waiting,
        decision: Decision,
        ticket: Option<Ticket>,
        at: Instant,
    ) -> bool {
        let held = call.is_held(at);
        let event = call.event;
        let process = event.subject.process;
        if held && self.answer((*event).clone(), decision.clone(), ticket.clone()) {
            return true;
        }
        if is_supervised(event.request) {
            // Keeps the ticket; the verdict comes too late for the call.
            if let Ok(Sent::Decided { kept: Some(ticket), .. }) =
                self.supervised.answer(event.request, decision.verdict, ticket)
            {
                self.engine.remember(&ticket, &event.subject.into(), at);
            }
        } else if let (Some(link), Some(ticket)) = (&self.link, ticket) {
            self.engine.remember(&ticket, &event.subject.into(), at);
            let (client, reports) = (link.client.clone(), self.reports.clone());
            tokio::spawn(async move {
                let tickets = [(TicketTarget::Process(process), ticket)];
                if let Err(error) = client.add_tickets(&tickets).await {
                    let text = format!("the answer came too late for a ticket: {error}");
                    let _ = reports.try_send(Report::Trouble(text));
                }
            });
        }
        false
    }

    /// Questions that nobody answered in time: the fallback applies, which the sources of the
    /// calls see to.
    pub(super) fn close_expired(&mut self) {
        for question in self.questions.expired(Instant::now()) {
            for Waiting { event, .. } in question.calls {
                // The kernel tells by itself of what it decided alone.
                if !is_supervised(event.request) {
                    continue;
                }
                self.supervised.give_up(event.request);
                let decision = Decision {
                    verdict: self.engine.fallback(event.object.operation),
                    source: DecidedBy::NoAnswer,
                    rule: question.rule,
                };
                self.report(decision, event.subject.into(), event.object);
            }
        }
    }

    /// Under another policy: what it decides is decided.
    pub(super) fn sort_questions(&mut self) {
        let (engine, at) = (&mut self.engine, Instant::now());
        let decided = self.questions.sort_out(|event| match engine.decide(event, None, at) {
            Step::Ask(rule) => Some(rule),
            Step::Answer(..) | Step::LookAgain => None,
        });
        for call in decided {
            if call.is_held(at) {
                self.decide(call.event, None);
            } else {
                self.supervised.give_up(call.event.request);
            }
        }
    }
}
