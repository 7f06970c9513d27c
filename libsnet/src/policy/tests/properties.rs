// SPDX-License-Identifier: MIT OR Apache-2.0
//! What holds for every policy and every sequence of calls.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::reference::World;
use super::universe::{calls, fallbacks, hosts, rules, subjects, tables};
use super::*;
use crate::policy::winner;
use crate::types::Operations;

pub(super) fn worlds() -> impl Strategy<Value = World> {
    (rules(), tables(), hosts(), fallbacks()).prop_map(|(rules, table, host, fallbacks)| World {
        rules,
        table,
        host,
        fallbacks,
    })
}

/// The ticket that comes with the answer to each call, where one does, in order.
pub(super) fn issued(policy: &Policy, subject: &Subject, calls: &[Object]) -> Vec<KeptTicket> {
    let answers = calls.iter().map(|object| settle(policy, subject, object));
    let tickets = (1..)
        .zip(answers)
        .filter_map(|(id, (decision, scope))| Some(kept(id, subject, &decision, scope?)));
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
    fn call(&mut self, object: &Object, newest_first: bool, tickets_kept: usize) -> Verdict {
        self.tickets.truncate(tickets_kept);
        if let Some(ticket) = winner(&self.tickets, object) {
            self.hits += 1;
            return ticket.verdict;
        }
        let (decision, scope) = settle(self.policy, self.subject, object);
        if let Some(scope) = scope {
            let ticket = kept(1, self.subject, &decision, scope).ticket;
            let place = if newest_first { 0 } else { self.tickets.len() };
            self.tickets.insert(place, ticket);
        }
        decision.verdict
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
                    Outcome::Decided { decision, .. } => Some(decision),
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
            prop_assert_eq!(verdict, expected.verdict, "{:?} {:?}", object, &model.tickets);
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
                prop_assert_eq!(kept.ticket.verdict, expected.verdict, "{:?} {:?}", kept, object);
            }
        }
    }

    #[test]
    fn a_ticket_covers_its_call_and_no_more_than_the_rule(
        world in worlds(), subject in subjects(), calls in calls(),
    ) {
        let policy = world.compile();
        for object in &calls {
            let (decision, scope) = settle(&policy, &subject, object);
            let Some(scope) = scope else { continue };
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
            let (decision, scope) = settle(&policy, &subject, object);
            let expressible =
                object.remote.is_some() || Operations::WITHOUT_REMOTE.has(object.operation);
            match decision.source {
                Source::Rule => prop_assert!(scope.is_some() || !expressible, "{:?}", object),
                Source::NoRule => prop_assert_eq!(scope, None),
                Source::Kernel => prop_assert!(false, "a policy decided for the kernel"),
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
            prop_assert_eq!((why.decision.clone(), why.ticket), settle(&policy, &subject, object));
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
    for _ in 0..200 {
        let mut draw = || {
            let world = worlds().new_tree(&mut runner).unwrap().current();
            (world, calls().new_tree(&mut runner).unwrap().current())
        };
        let ((world, calls), subject) = (draw(), curl());
        let policy = world.compile();
        let mut model = Model { policy: &policy, subject: &subject, tickets: Vec::new(), hits: 0 };
        for object in &calls {
            let _ = model.call(object, false, 40);
        }
        hits += model.hits;
        let whole = |ticket: &&Ticket| {
            world.rules.iter().any(|rule| rule.spec.effective_scope() == ticket.scope)
        };
        narrowed += model.tickets.len() - model.tickets.iter().filter(whole).count();
    }
    assert!(hits > 1000 && narrowed > 100, "{hits} hits, {narrowed} narrowed");
}
