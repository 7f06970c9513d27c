// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's choice among the tickets of a process, as a function.
//!
//! Owns which ticket decides a call. Which tickets count at all (same process, execution,
//! user, network namespace and cgroup, not expired) is up to whoever keeps them.

use std::cmp::Ordering;

use crate::types::{Object, Ticket, Verdict};

/// The ticket that decides the call: of those that cover it the most specific one
/// ([`crate::types::Scope::specificity`]), on a tie one that denies, then the one given first.
pub fn winner<'t>(
    tickets: impl IntoIterator<Item = &'t Ticket>,
    object: &Object,
) -> Option<&'t Ticket> {
    let covering = tickets.into_iter().filter(|ticket| ticket.scope.covers(object));
    covering.min_by(|left, right| rank(left, right))
}

/// `Less` for the ticket that wins.
fn rank(left: &Ticket, right: &Ticket) -> Ordering {
    let wider = right.scope.specificity().cmp(&left.scope.specificity());
    wider.then_with(|| (left.verdict == Verdict::Allow).cmp(&(right.verdict == Verdict::Allow)))
}
