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
    /// No rule matched, and the call is one that rules are to be made of.
    Learned,
    /// It is only observed: it would have been denied, by the rule or, without one, the fallback.
    WouldDeny,
    /// It is only observed: a person would have been asked, by the rule or since there is none.
    WouldAsk,
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

/// What applies to a call beside the rules that decide.
#[derive(Debug, Clone, Copy, Default)]
struct Modes {
    learn: bool,
    observe: bool,
    /// Whether one applies depends on a file that has to be looked at.
    unsure: bool,
}

impl Policy {
    /// Decides a call. Never [`Outcome::Stale`] when `freshness` is [`Freshness::Fresh`].
    pub fn decide(&self, subject: &Subject, object: &Object, freshness: Freshness) -> Outcome {
        let modes = self.modes(subject, object, freshness);
        if modes.unsure {
            return Outcome::Stale;
        }
        match self.deciding(subject, object, freshness) {
            Some((_, Standing::Stale)) => Outcome::Stale,
            Some((rule, Standing::Matches)) => match rule.spec.action.verdict() {
                Some(Verdict::Deny) if modes.observe => {
                    Outcome::goes_on(Source::WouldDeny, Some(rule.id))
                }
                None if modes.observe => Outcome::goes_on(Source::WouldAsk, Some(rule.id)),
                Some(verdict) => Outcome::Decided {
                    decision: by_rule(rule, verdict),
                    ticket: self.ticket(rule, subject, object, freshness),
                },
                None => Outcome::Ask { rule: Some(rule.id) },
            },
            None => self.unmatched_call(object, modes),
        }
    }

    fn unmatched_call(&self, object: &Object, modes: Modes) -> Outcome {
        let fallback = self.fallback(object.operation);
        match (self.unmatched(), fallback) {
            _ if modes.learn => Outcome::goes_on(Source::Learned, None),
            (Unmatched::Ask, _) if modes.observe => Outcome::goes_on(Source::WouldAsk, None),
            (Unmatched::Ask, _) => Outcome::Ask { rule: None },
            (Unmatched::Fallback, Verdict::Deny) if modes.observe => {
                Outcome::goes_on(Source::WouldDeny, None)
            }
            (Unmatched::Fallback, verdict) => {
                let decision = Decision { verdict, source: Source::NoRule, rule: None };
                Outcome::Decided { decision, ticket: None }
            }
        }
    }

    /// The first rule that covers the call, of those that decide.
    fn deciding(
        &self,
        subject: &Subject,
        object: &Object,
        freshness: Freshness,
    ) -> Option<(&Rule, Standing)> {
        let asked = self.asked(subject, freshness);
        let mut deciding = asked.filter(|(rule, _)| rule.spec.action.decides());
        deciding.find_map(|(rule, standing)| {
            let reaches = self.reaches(rule, object, freshness)?;
            Some((rule, if reaches == Standing::Stale { reaches } else { standing }))
        })
    }

    fn modes(&self, subject: &Subject, object: &Object, freshness: Freshness) -> Modes {
        let mut modes = Modes::default();
        if !self.has_modes() {
            return modes;
        }
        for (rule, standing) in self.asked(subject, freshness) {
            let reaches = self.reaches(rule, object, freshness);
            if let Some(reaches) = reaches.filter(|_| !rule.spec.action.decides()) {
                modes.unsure |= [standing, reaches].contains(&Standing::Stale);
                modes.learn |= rule.spec.action == Action::Learn;
                modes.observe |= rule.spec.action == Action::Observe;
            }
        }
        modes
    }

    /// Decides a call as [`Freshness::Fresh`], and says why so.
    pub fn explain(&self, subject: &Subject, object: &Object) -> Explanation {
        let mut considered = Vec::new();
        for (rule, _) in self.asked(subject, Freshness::Fresh) {
            if rule.spec.action.decides() {
                considered.push(rule.id);
                if self.reaches(rule, object, Freshness::Fresh).is_some() {
                    break;
                }
            }
        }
        let fallback = self.fallback(object.operation);
        let (decision, asks, ticket) = match self.decide(subject, object, Freshness::Fresh) {
            Outcome::Decided { decision, ticket } => (decision, false, ticket),
            Outcome::Ask { rule } => {
                let source = if rule.is_some() { Source::Rule } else { Source::NoRule };
                (Decision { verdict: fallback, source, rule }, true, None)
            }
            // Not with a fresh table.
            Outcome::Stale => {
                let source = Source::NoRule;
                (Decision { verdict: fallback, source, rule: None }, false, None)
            }
        };
        Explanation { decision, asks, ticket, considered }
    }

    /// What the deciding rule covers, without what the rules asked before it, or possibly
    /// asked before it, would decide otherwise.
    fn ticket(
        &self,
        deciding: &Rule,
        subject: &Subject,
        object: &Object,
        freshness: Freshness,
    ) -> Option<Scope> {
        let contrary = self
            .asked(subject, freshness)
            .map(|(rule, _)| rule)
            .filter(|rule| rule.spec.action.decides())
            .take_while(|rule| !std::ptr::eq(*rule, deciding))
            .filter(|rule| rule.spec.action != deciding.spec.action);
        let observed = self.with_action(Action::Observe, subject, freshness);
        let observed = observed.filter(|_| deciding.spec.action == Action::Deny);
        let whole = deciding.spec.scope_around(object);
        narrow(whole, object, contrary.chain(observed), &self.hosts)
    }

    /// The rules with this action, which is none that decides. No ticket may deny what is
    /// observed.
    pub(super) fn with_action(
        &self,
        action: Action,
        subject: &Subject,
        freshness: Freshness,
    ) -> impl Iterator<Item = &Rule> {
        let asked = self.has_modes().then(|| self.asked(subject, freshness));
        let rules = asked.into_iter().flatten().map(|(rule, _)| rule);
        rules.filter(move |rule| rule.spec.action == action)
    }
}

impl Outcome {
    /// The call goes on, and the next such call is seen again.
    fn goes_on(source: Source, rule: Option<RuleId>) -> Self {
        let decision = Decision { verdict: Verdict::Allow, source, rule };
        Self::Decided { decision, ticket: None }
    }
}

fn by_rule(rule: &Rule, verdict: Verdict) -> Decision {
    Decision { verdict, source: Source::Rule, rule: Some(rule.id) }
}
