// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which tickets a policy stands by: the others are revoked when it takes effect.
//!
//! Owns the comparison of a ticket with a policy that need not be the one that issued it.

use super::compile::{Reach, Standing, Unmatched};
use super::{Action, Freshness, Identity, Policy};
use crate::types::{KeptTicket, ProgramOwner, Subject, TicketOwner, Verdict};

/// Under which names a file can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Names {
    /// Only under those that the policy knows for it.
    Known,
    /// Also under others, by which no rule for a program finds it.
    Any,
}

impl Policy {
    /// Would this policy decide every call of the ticket as the ticket does, by the ticket's
    /// own rule or by one asked before it? `subject` is the one that the ticket was issued
    /// to. `false` when unsure, and when the rule is gone, disabled, about another subject,
    /// narrower than the ticket or of the other verdict. A ticket without a rule is a person's
    /// answer: it stands where the person would be asked.
    pub fn still_issues(&self, subject: &Subject, kept: &KeptTicket, freshness: Freshness) -> bool {
        let ticket = &kept.ticket;
        let denies_what = |action| {
            let mut rules = self.with_action(action, subject, freshness);
            ticket.verdict == Verdict::Deny && rules.any(|rule| self.overlaps(rule, &ticket.scope))
        };
        if !issued_to(kept, subject) || denies_what(Action::Observe) {
            return false;
        }
        let asked = self.asked(subject, freshness);
        for (rule, standing) in asked.filter(|(rule, _)| rule.spec.action.decides()) {
            let contrary = rule.spec.action != ticket.verdict.into();
            if Some(rule.id) == ticket.rule {
                let same = !contrary && standing == Standing::Matches;
                return same && self.contains(rule, &ticket.scope);
            }
            let asks = rule.spec.action == Action::Ask && standing == Standing::Matches;
            if ticket.rule.is_none() && asks && self.contains(rule, &ticket.scope) {
                return true;
            }
            if contrary && self.overlaps(rule, &ticket.scope) {
                return false;
            }
        }
        ticket.rule.is_none() && self.unmatched() == Unmatched::Ask && !denies_what(Action::Learn)
    }

    /// The same of a program ticket: would this policy, whose programs were just looked at,
    /// decide so for every process of the host that runs the file, under each of its names
    /// and for each user that the ticket is for? `false` for tickets of processes.
    pub fn still_issues_to_program(&self, kept: &KeptTicket, names: Names) -> bool {
        let TicketOwner::Program(program) = kept.owner else {
            return false;
        };
        let ticket = &kept.ticket;
        let about = || self.about_file(Identity::from(&program), names);
        let observed = about().any(|(rule, _)| {
            rule.spec.action == Action::Observe && self.overlaps(rule, &ticket.scope)
        });
        if observed && ticket.verdict == Verdict::Deny {
            return false;
        }
        for (rule, reach) in about().filter(|(rule, _)| rule.spec.action.decides()) {
            let contrary = rule.spec.action != ticket.verdict.into();
            if Some(rule.id) == ticket.rule {
                let always = reach == Reach::Always && covers_users(rule.spec.uid, &program);
                return always && !contrary && self.contains(rule, &ticket.scope);
            }
            let uid = (rule.spec.uid, program.uid);
            let possible = !matches!(uid, (Some(rules), Some(tickets)) if rules != tickets);
            if contrary && possible && self.overlaps(rule, &ticket.scope) {
                return false;
            }
        }
        false
    }
}

fn issued_to(kept: &KeptTicket, subject: &Subject) -> bool {
    matches!(kept.owner, TicketOwner::Process(owner)
        if owner.process == subject.process
            && owner.uid == subject.uid
            && owner.net_ns == subject.net_ns
            && owner.cgroup_id == subject.cgroup_id)
}

/// Is a rule for this user about each one that the ticket is for?
fn covers_users(rule: Option<u32>, program: &ProgramOwner) -> bool {
    rule.is_none() || rule == program.uid
}
