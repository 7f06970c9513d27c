// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which tickets a policy stands by: the others are revoked when it takes effect.
//!
//! Owns the comparison of a ticket with a policy that need not be the one that issued it.

use super::compile::Standing;
use super::{Freshness, Policy};
use crate::types::{KeptTicket, Subject};

impl Policy {
    /// Would this policy decide every call of the ticket as the ticket does, by the ticket's
    /// own rule or by one asked before it? `subject` is the one that the ticket was issued
    /// to. `false` when unsure, and when the rule is gone, disabled, about another subject,
    /// narrower than the ticket or of the other verdict.
    pub fn still_issues(&self, subject: &Subject, kept: &KeptTicket, freshness: Freshness) -> bool {
        let ticket = &kept.ticket;
        if !issued_to(kept, subject) {
            return false;
        }
        for (rule, standing) in self.asked(subject, freshness) {
            let contrary = rule.spec.action != ticket.verdict;
            if Some(rule.id) == ticket.rule {
                let same = !contrary && standing == Standing::Matches;
                return same && rule.spec.scope.contains(&ticket.scope);
            }
            if contrary && rule.spec.scope.overlaps(&ticket.scope) {
                return false;
            }
        }
        false
    }
}

fn issued_to(kept: &KeptTicket, subject: &Subject) -> bool {
    kept.process == subject.process
        && kept.uid == subject.uid
        && kept.net_ns == subject.net_ns
        && kept.cgroup_id == subject.cgroup_id
}
