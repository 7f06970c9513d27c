// SPDX-License-Identifier: MIT OR Apache-2.0
//! What holds for every policy and every sequence of calls.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::reference::{Says, World};
use super::universe::{calls, cgroups, fallbacks, hosts, names, rules, subjects, tables};
use super::*;
use crate::policy::winner;
use crate::types::Operations;

pub(super) fn worlds() -> impl Strategy<Value = World> {
    let unmatched = prop_oneof![3 => Just(Unmatched::Fallback), 1 => Just(Unmatched::Ask)];
    (rules(), tables(), hosts(), fallbacks(), unmatched, cgroups(), names()).prop_map(
        |(rules, table, host, fallbacks, unmatched, cgroups, names)| World {
            rules,
            table,
            host,
            fallbacks,
            unmatched,
            cgroups,
            names,
        },
    )
}

/// What the policy says once its programs are resolved afresh, and the ticket's scope.
fn said(policy: &Policy, subject: &Subject, object: &Object) -> (Says, Option<Scope>) {
    match policy.decide(subject, object, Freshness::Fresh) {
        Outcome::Decided { decision, ticket } => (Says::Decides(decision), ticket),
        Outcome::Ask { rule } => (Says::Asks(rule), None),
        Outcome::Stale => panic!("stale with a fresh table"),
    }
}

/// The ticket that comes with the answer to each call, where one does, in order.
pub(super) fn issued(policy: &Policy, subject: &Subject, calls: &[Object]) -> Vec<KeptTicket> {
    let answers = calls.iter().map(|object| said(policy, subject, object));
    let tickets = (1..).zip(answers).filter_map(|(id, answer)| match answer {
        (Says::Decides(decision), Some(scope)) => Some(kept(id, subject, &decision, scope)),
        _ => None,
    });
    tickets.collect()
}

/// The kernel and the daemon: calls are decided by the tickets kept so far, and by the
/// policy when none covers them. `newest_first` and `tickets_kept` are what the kernel may
/// do in the worst case: look at them in any order, and forget some.
struct Model<'p> {
    policy: &'p Policy,
    subject: &'p Subject,
    tickets: Vec<Ticket>,
    hits: usize,
}

impl Model<'_> {
    /// The verdict, or nothing when a person is asked.
    fn call(
        &mut self,
        object: &Object,
        newest_first: bool,
        tickets_kept: usize,
    ) -> Option<Verdict> {
        self.tickets.truncate(tickets_kept);
        if let Some(ticket) = winner(&self.tickets, object) {
            self.hits += 1;
            return Some(ticket.verdict);
        }
        let (Says::Decides(decision), scope) = said(self.policy, self.subject, object) else {
            return None;
        };
        if let Some(scope) = scope {
            let ticket = kept(1, self.subject, &decision, scope).ticket;
            let place = if newest_first { 0 } else { self.tickets.len() };
            self.tickets.insert(place, ticket);
        }
        Some(decision.verdict)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_policy_decides_as_the_reference_does(
        world in worlds(), subject in subjects(), calls in calls(),
    ) {
        let policy = world.compile();
        for object in &calls {
            for freshness in [Freshness::Unsure, Freshness::Fresh] {
                let decided = match policy.decide(&subject, object, freshness) {
                    Outcome::Decided { decision, .. } => Some(Says::Decides(decision)),
                    Outcome::Ask { rule } => Some(Says::Asks(rule)),
                    Outcome::Stale => None,
                };
                let expected = world.decide(&subject, object, freshness);
                prop_assert_eq!(decided, expected, "{:?} {:?}", object, freshness);
            }
        }
    }

    #[test]
    fn a_process_with_tickets_is_treated_as_one_without(
        world in worlds(), subject in subjects(), calls in calls(),
        newest_first: bool, tickets_kept in 1..40_usize,
    ) {
        let policy = world.compile();
        let mut model = Model { policy: &policy, subject: &subject, tickets: Vec::new(), hits: 0 };
        for object in &calls {
            let expected = world.decide(&subject, object, Freshness::Fresh).unwrap();
            let verdict = model.call(object, newest_first, tickets_kept);
            prop_assert_eq!(verdict, expected.verdict(), "{:?} {:?}", object, &model.tickets);
        }
    }

    #[test]
    fn every_ticket_alone_agrees_with_the_policy_on_every_call(
        world in worlds(), subject in subjects(), calls in calls(),
    ) {
        let policy = world.compile();
        for kept in issued(&policy, &subject, &calls) {
            for object in calls.iter().filter(|object| kept.ticket.scope.covers(object)) {
                let expected = world.decide(&subject, object, Freshness::Fresh).unwrap();
                let verdict = Some(kept.ticket.verdict);
                prop_assert_eq!(verdict, expected.verdict(), "{:?} {:?}", kept, object);
            }
        }
    }

    #[test]
    fn a_ticket_covers_its_call_and_no_more_than_the_rule(
        world in worlds(), subject in subjects(), calls in calls(),
    ) {
        let policy = world.compile();
        for object in &calls {
            let (Says::Decides(decision), Some(scope)) = said(&policy, &subject, object) else {
                continue;
            };
            prop_assert!(scope.covers(object), "{} {:?}", scope, object);
            let rule = world.rules.iter().find(|rule| Some(rule.id) == decision.rule).unwrap();
            prop_assert!(rule.spec.effective_scope().contains(&scope), "{}", scope);
        }
    }

    #[test]
    fn only_a_call_without_a_peer_may_go_without_a_ticket(
        world in worlds(), subject in subjects(), calls in calls(),
    ) {
        let policy = world.compile();
        for object in &calls {
            let (says, scope) = said(&policy, &subject, object);
            let expressible =
                object.remote.is_some() || Operations::WITHOUT_REMOTE.has(object.operation);
            match says {
                Says::Decides(Decision { source: Source::Rule, .. }) => {
                    prop_assert!(scope.is_some() || !expressible, "{:?}", object);
                }
                Says::Decides(Decision {
                    source:
                        Source::NoRule | Source::Learned | Source::WouldDeny | Source::WouldAsk,
                    ..
                })
                | Says::Asks(_) => prop_assert_eq!(scope, None),
                Says::Decides(other) => prop_assert!(false, "a policy doesn't say {:?}", other),
            }
        }
    }

    #[test]
    fn an_explanation_tells_what_would_be_decided(
        world in worlds(), subject in subjects(), calls in calls(),
    ) {
        let policy = world.compile();
        for object in &calls {
            let why = policy.explain(&subject, object);
            let (says, ticket) = said(&policy, &subject, object);
            match says {
                Says::Decides(ref decision) => prop_assert_eq!(&why.decision, decision),
                Says::Asks(rule) => prop_assert_eq!(why.decision.rule, rule),
            }
            prop_assert_eq!((why.asks, &why.ticket), (says.verdict().is_none(), &ticket));
            if why.decision.source == Source::Rule {
                prop_assert_eq!(why.considered.last().copied(), why.decision.rule);
            }
        }
    }
}

#[test]
fn tickets_decide_many_calls_of_random_policies_and_many_are_narrowed() {
    // Without hits, the properties above would say nothing.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut hits, mut narrowed) = (0, 0);
    for _ in 0..300 {
        let mut draw = || {
            let world = worlds().new_tree(&mut runner).unwrap().current();
            (world, calls().new_tree(&mut runner).unwrap().current())
        };
        let ((world, calls), subject) = (draw(), curl());
        let policy = world.compile();
        let mut model = Model { policy: &policy, subject: &subject, tickets: Vec::new(), hits: 0 };
        for object in &calls {
            model.call(object, false, 40);
        }
        hits += model.hits;
        let whole = |ticket: &&Ticket| {
            world.rules.iter().any(|rule| rule.spec.effective_scope() == ticket.scope)
        };
        narrowed += model.tickets.len() - model.tickets.iter().filter(whole).count();
    }
    assert!(hits > 1000 && narrowed > 100, "{hits} hits, {narrowed} narrowed");
}
