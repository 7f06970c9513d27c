// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which tickets outlive a change of the rules or of the files.

use proptest::collection::vec;
use proptest::prelude::*;

use super::properties::{issued, worlds};
use super::reference::World;
use super::universe::{any_rule, calls, subjects, tables};
use super::*;

/// Puts the rules in place of those with their numbers, or beside them.
fn changed(world: &World, new: &[Rule], table: Option<ProgramTable>) -> World {
    let mut world = world.clone();
    for rule in new {
        world.rules.retain(|old| old.id != rule.id);
        world.rules.push(rule.clone());
    }
    world.table = table.unwrap_or(world.table);
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_ticket_that_is_kept_agrees_with_the_new_policy(
        world in worlds(), subject in subjects(), calls in calls(), new in vec(any_rule(), 0..4),
        table in proptest::option::of(tables()),
    ) {
        let tickets = issued(&world.compile(), &subject, &calls);
        let world = changed(&world, &new, table);
        let policy = world.compile();
        for freshness in [Freshness::Unsure, Freshness::Fresh] {
            let kept = tickets.iter().filter(|kept| policy.still_issues(&subject, kept, freshness));
            for ticket in kept.map(|kept| &kept.ticket) {
                for object in calls.iter().filter(|object| ticket.scope.covers(object)) {
                    let Some(expected) = world.decide(&subject, object, freshness) else {
                        continue;
                    };
                    let verdict = Some(ticket.verdict);
                    prop_assert_eq!(verdict, expected.verdict(), "{:?} {:?}", ticket, object);
                }
            }
        }
    }

    #[test]
    fn a_policy_stands_by_its_own_tickets(
        world in worlds(), subject in subjects(), calls in calls(),
    ) {
        let (policy, again) = (world.compile(), world.compile());
        for kept in issued(&policy, &subject, &calls) {
            prop_assert!(again.still_issues(&subject, &kept, Freshness::Fresh), "{:?}", kept);
        }
        for (id, object) in (1..).zip(&calls) {
            let outcome = policy.decide(&subject, object, Freshness::Unsure);
            let Outcome::Decided { decision, ticket: Some(scope) } = outcome else { continue };
            let kept = kept(id, &subject, &decision, scope);
            prop_assert!(again.still_issues(&subject, &kept, Freshness::Unsure), "{:?}", kept);
        }
    }

    #[test]
    fn a_ticket_holds_whatever_the_file_at_the_path_turns_out_to_be(
        world in worlds(), subject in subjects(), calls in calls(),
    ) {
        let policy = world.compile();
        let mut resolved = world.clone();
        resolved.table = with_file_of(&subject, &world);
        for object in &calls {
            let outcome = policy.decide(&subject, object, Freshness::Unsure);
            let Outcome::Decided { decision, ticket: Some(scope) } = outcome else { continue };
            for object in calls.iter().filter(|object| scope.covers(object)) {
                for world in [&world, &resolved] {
                    let expected = world.decide(&subject, object, Freshness::Fresh).unwrap();
                    let verdict = Some(decision.verdict);
                    prop_assert_eq!(verdict, expected.verdict(), "{} {:?}", scope, object);
                }
            }
        }
    }
}

/// The table, were the subject's file the one at its path.
fn with_file_of(subject: &Subject, world: &World) -> ProgramTable {
    let mut table = world.table.clone();
    let Some(exe) = &subject.exe else {
        return table;
    };
    let wanted = ProgramTable::wanted(&world.rules).into_iter().cloned();
    let at: Vec<_> = table.at(&exe.path).cloned().chain(wanted).collect();
    for program in at {
        let mut candidates = table.get(&program).map_or(Vec::new(), <[_]>::to_vec);
        let named = program.to_string() == exe.path.to_string_lossy();
        if named || candidates.iter().any(|found| found.path == exe.path) {
            candidates.push(Candidate { path: exe.path.clone(), identity: Some(exe.into()) });
            table.set(program, candidates);
        }
    }
    table
}

/// The ticket of curl for a TCP connect, and the rules it came from.
fn ticket_of(rules: &[Rule]) -> KeptTicket {
    let (decision, scope) = settle(&policy(rules), &curl(), &connect("8.8.8.8:443"));
    kept(1, &curl(), &decision, scope.unwrap())
}

fn stands(rules: &[Rule], kept: &KeptTicket) -> bool {
    policy(rules).still_issues(&curl(), kept, Freshness::Fresh)
}

#[test]
fn a_change_that_does_not_touch_the_ticket_keeps_it() {
    let rule = allow(1, "curl", scope("tcp", "connect"));
    let kept = ticket_of(std::slice::from_ref(&rule));
    let mut off = at_priority(9, deny(2, "curl", Scope::ANY));
    off.spec.enabled = false;
    for other in [
        off,
        at_priority(9, deny(2, "wget", Scope::ANY)),
        at_priority(9, deny(2, "curl", scope("udp", "any"))),
        at_priority(9, deny(2, "curl", scope("tcp", "bind"))),
        at_priority(9, allow(2, "curl", to("10.0.0.0/8"))),
        at_priority(-9, deny(2, "curl", Scope::ANY)),
    ] {
        assert!(stands(&[rule.clone(), other.clone()], &kept), "{other:?}");
    }
    assert!(stands(&[allow(1, "curl", Scope::ANY)], &kept));
}

#[test]
fn a_new_rule_reaches_the_tickets_of_others() {
    let rule = allow(1, "curl", scope("tcp", "connect"));
    let kept = ticket_of(std::slice::from_ref(&rule));
    for other in [
        at_priority(9, deny(2, "any", to("10.0.0.0/8"))),
        at_priority(9, deny(2, "curl", scope("mptcp", "any"))),
        deny(2, CURL, Scope::ANY),
    ] {
        assert!(!stands(&[rule.clone(), other.clone()], &kept), "{other:?}");
    }
}

#[test]
fn a_ticket_goes_with_its_rule() {
    let rule = allow(1, "curl", scope("tcp", "connect"));
    let kept = ticket_of(std::slice::from_ref(&rule));
    let mut off = rule.clone();
    off.spec.enabled = false;
    let mut for_root = rule.clone();
    for_root.spec.uid = Some(0);
    for now in [
        off,
        for_root,
        allow(2, "curl", scope("tcp", "connect")),
        deny(1, "curl", scope("tcp", "connect")),
        allow(1, "wget", scope("tcp", "connect")),
        allow(1, "curl", to("8.8.8.8/32")),
    ] {
        assert!(!stands(std::slice::from_ref(&now), &kept), "{now:?}");
    }
    let policy = policy(std::slice::from_ref(&rule));
    assert!(!policy.still_issues(&subject(CURL, 77), &kept, Freshness::Unsure));
    let TicketOwner::Process(owner) = kept.owner else { panic!("a process's ticket") };
    for other in [
        ProcessOwner { uid: 0, ..owner },
        ProcessOwner { cgroup_id: 0, ..owner },
        ProcessOwner { net_ns: 0, ..owner },
        ProcessOwner { process: ProcessKey { exec_id: 2, ..owner.process }, ..owner },
    ] {
        let other = KeptTicket { owner: TicketOwner::Process(other), ..kept.clone() };
        assert!(!policy.still_issues(&curl(), &other, Freshness::Fresh));
    }
    let mut ruleless = kept;
    ruleless.ticket.rule = None;
    assert!(!stands(std::slice::from_ref(&rule), &ruleless));
}
