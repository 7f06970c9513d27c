// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the policy says of a call: the first rule asked that covers it decides.
//!
//! Owns the decision and its explanation. The ticket that goes with it comes from `issue`.

use serde::{Deserialize, Serialize};

use super::compile::{Standing, Unmatched};
use super::issue::narrow;
use super::{Action, Policy, Rule};
use crate::types::{Object, RuleId, Scope, Subject, Verdict};

/// What made a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A rule matched.
    Rule,
    /// No rule matched, so the fallback of the operation applied.
    NoRule,
    /// A person answered.
    Answer,
    /// A person was asked and didn't answer in time, so the fallback of the operation applied.
    NoAnswer,
    /// The kernel decided without asking. Never what a policy says.
    Kernel,
}

/// A decision as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What happened to the call.
    pub verdict: Verdict,
    /// Why.
    pub source: Source,
    /// The rule, when it was one.
    pub rule: Option<RuleId>,
}

/// What the policy says of a call, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The decision; where a person is asked, what applies when nobody answers.
    pub decision: Decision,
    /// Is a person asked?
    #[serde(default)]
    pub asks: bool,
    /// The calls that the ticket issued with it would cover.
    pub ticket: Option<Scope>,
    /// The rules that match the subject, in the order in which they are asked, up to the
    /// one that decides.
    pub considered: Vec<RuleId>,
}

/// How far the [`super::ProgramTable`] behind the policy is to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// It may be older than the files: an executable that a rule knows at its path, but as
    /// another file, may be the program.
    Unsure,
    /// The programs at the subject's path were resolved after it made the call: such an
    /// executable is another program, in a chroot for example.
    Fresh,
}

/// What came of asking the policy.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The policy has decided.
    Decided {
        /// The decision.
        decision: Decision,
        /// The calls of this subject that a ticket with this decision may cover; `None`
        /// when no rule decided or no set of calls around this one would be sound.
        ticket: Option<Scope>,
    },
    /// A person is to be asked, by this rule or since there is none.
    Ask {
        /// The rule, when it is one.
        rule: Option<RuleId>,
    },
    /// A rule that would decide knows the subject's executable at its path, but as another
    /// file. Resolve the programs at that path again ([`super::ProgramTable::at`]), compile
    /// if any has changed, and decide again as [`Freshness::Fresh`], which is never stale.
    Stale,
}

impl Policy {
    /// Decides a call. Never [`Outcome::Stale`] when `freshness` is [`Freshness::Fresh`].
    pub fn decide(&self, subject: &Subject, object: &Object, freshness: Freshness) -> Outcome {
        let mut asked = self.asked(subject, freshness);
        match asked.find(|(rule, _)| rule.spec.scope.covers(object)) {
            Some((_, Standing::Stale)) => Outcome::Stale,
            Some((rule, Standing::Matches)) => match rule.spec.action.verdict() {
                Some(verdict) => Outcome::Decided {
                    decision: by_rule(rule, verdict),
                    ticket: self.ticket(rule, subject, object, freshness),
                },
                None => Outcome::Ask { rule: Some(rule.id) },
            },
            None if self.unmatched() == Unmatched::Ask => Outcome::Ask { rule: None },
            None => Outcome::Decided { decision: self.by_fallback(object), ticket: None },
        }
    }

    /// Decides a call as [`Freshness::Fresh`], and says why so.
    pub fn explain(&self, subject: &Subject, object: &Object) -> Explanation {
        let mut considered = Vec::new();
        for (rule, _) in self.asked(subject, Freshness::Fresh) {
            considered.push(rule.id);
            if rule.spec.scope.covers(object) {
                let ticket = self.ticket(rule, subject, object, Freshness::Fresh);
                let verdict = rule.spec.action.verdict();
                let fallback = self.fallback(object.operation);
                let decision = by_rule(rule, verdict.unwrap_or(fallback));
                return Explanation { decision, asks: verdict.is_none(), ticket, considered };
            }
        }
        let asks = self.unmatched() == Unmatched::Ask;
        Explanation { decision: self.by_fallback(object), asks, ticket: None, considered }
    }

    /// What the deciding rule covers, without what the rules asked before it, or possibly
    /// asked before it, would decide otherwise. Nothing for a rule that asks.
    fn ticket(
        &self,
        deciding: &Rule,
        subject: &Subject,
        object: &Object,
        freshness: Freshness,
    ) -> Option<Scope> {
        if deciding.spec.action == Action::Ask {
            return None;
        }
        let contrary = self
            .asked(subject, freshness)
            .map(|(rule, _)| rule)
            .take_while(|rule| !std::ptr::eq(*rule, deciding))
            .filter(|rule| rule.spec.action != deciding.spec.action)
            .map(|rule| &rule.spec.scope);
        narrow(&deciding.spec.scope, object, contrary)
    }

    fn by_fallback(&self, object: &Object) -> Decision {
        Decision { verdict: self.fallback(object.operation), source: Source::NoRule, rule: None }
    }
}

fn by_rule(rule: &Rule, verdict: Verdict) -> Decision {
    Decision { verdict, source: Source::Rule, rule: Some(rule.id) }
}
