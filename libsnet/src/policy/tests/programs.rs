// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which program tickets outlive a change: those that are right for every process that runs
//! the file.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;

use super::properties::worlds;
use super::reference::World;
use super::universe::{calls, subjects};
use super::*;
use crate::policy::Names;
use crate::types::ProgramOwner;

/// For the file on device 1 with this inode.
fn program_ticket(inode: u64, uid: Option<u32>, rule: &Rule) -> KeptTicket {
    let scope = rule.spec.effective_scope();
    // Of a rule that asks none may stand.
    let verdict = rule.spec.action.verdict().unwrap_or(Verdict::Allow);
    let ticket = Ticket::new(TicketId(1), scope, verdict);
    KeptTicket {
        ticket: Ticket { rule: Some(rule.id), ..ticket },
        owner: TicketOwner::Program(ProgramOwner { device: 1, inode, uid }),
        origin: None,
        hits: 0,
        last_hit: None,
    }
}

/// Does the ticket count for this process, and is its file called as `names` says?
fn counts_for(
    kept: &KeptTicket,
    policy: &Policy,
    host: Host,
    subject: &Subject,
    names: Names,
) -> bool {
    let TicketOwner::Program(program) = kept.owner else { return false };
    let Some(exe) = &subject.exe else { return false };
    let file = Identity::from(exe);
    subject.user_ns == host.user_ns
        && file == Identity::from(&program)
        && program.uid.is_none_or(|uid| uid == subject.uid)
        && (names == Names::Any || policy.paths_of(file).contains(&exe.path.as_path()))
}

/// How many calls of the subject the ticket would decide, all as the policy does.
fn agreed(
    world: &World,
    kept: &KeptTicket,
    subject: &Subject,
    calls: &[Object],
    names: Names,
) -> usize {
    let policy = world.compile();
    if !policy.still_issues_to_program(kept, names)
        || !counts_for(kept, &policy, world.host, subject, names)
    {
        return 0;
    }
    let covered = calls.iter().filter(|object| kept.ticket.scope.covers(object));
    let compared = covered.map(|object| {
        let expected = world.decide(subject, object, Freshness::Fresh).unwrap();
        assert_eq!(Some(kept.ticket.verdict), expected.verdict(), "{kept:?} {object:?}");
    });
    compared.count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_program_ticket_that_is_kept_agrees_with_the_policy_for_every_process(
        world in worlds(), subjects in proptest::collection::vec(subjects(), 6), calls in calls(),
        inode in select(&[11, 12][..]), uid in select(&[None, Some(0), Some(1000)][..]),
        names in select(&[Names::Known, Names::Any][..]),
    ) {
        for rule in &world.rules {
            let kept = program_ticket(inode, uid, rule);
            for subject in &subjects {
                agreed(&world, &kept, subject, &calls, names);
            }
        }
    }
}

#[test]
fn program_tickets_of_random_policies_are_kept_and_decide_calls() {
    // Else the property above would say nothing.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut decided = 0;
    for _ in 0..300 {
        let world = worlds().new_tree(&mut runner).unwrap().current();
        let calls = calls().new_tree(&mut runner).unwrap().current();
        for rule in &world.rules {
            let kept = program_ticket(11, None, rule);
            decided += agreed(&world, &kept, &curl(), &calls, Names::Known);
        }
    }
    assert!(decided > 200, "{decided} calls decided");
}

fn stands(rules: &[Rule], kept: &KeptTicket, names: Names) -> bool {
    let host = Host { mnt_ns: None, ..HOST };
    let policy = Policy::compile(rules.to_vec(), &table(), host, Fallbacks::new());
    policy.still_issues_to_program(kept, names)
}

#[test]
fn a_ticket_for_a_file_with_other_names_needs_a_rule_for_any_program() {
    let named = allow(1, "curl", scope("tcp", "connect"));
    let kept = program_ticket(11, None, &named);
    assert!(stands(std::slice::from_ref(&named), &kept, Names::Known));
    assert!(!stands(std::slice::from_ref(&named), &kept, Names::Any));
    assert!(!policy(std::slice::from_ref(&named)).still_issues_to_program(&kept, Names::Known));
    let any = allow(1, "any", scope("tcp", "connect"));
    assert!(stands(std::slice::from_ref(&any), &program_ticket(99, None, &any), Names::Any));
}

#[test]
fn a_ticket_for_every_user_needs_a_rule_for_every_user() {
    let mut rule = allow(1, "curl", scope("tcp", "connect"));
    rule.spec.uid = Some(0);
    let rules = std::slice::from_ref(&rule);
    assert!(stands(rules, &program_ticket(11, Some(0), &rule), Names::Known));
    assert!(!stands(rules, &program_ticket(11, None, &rule), Names::Known));
    assert!(!stands(rules, &program_ticket(11, Some(1), &rule), Names::Known));
}

#[test]
fn a_rule_that_goes_first_for_some_user_or_name_ends_a_program_ticket() {
    let rule = allow(1, "curl", scope("tcp", "connect"));
    let mut of_root = at_priority(9, deny(2, "any", to("10.0.0.0/8")));
    of_root.spec.uid = Some(0);
    let for_all = program_ticket(11, None, &rule);
    let for_user = program_ticket(11, Some(1000), &rule);
    let rules = [rule.clone(), of_root];
    assert!(!stands(&rules, &for_all, Names::Known));
    assert!(stands(&rules, &for_user, Names::Known));
    let by_path = [rule.clone(), at_priority(9, deny(2, CURL, to("10.0.0.0/8")))];
    assert!(!stands(&by_path, &for_user, Names::Known));
    let other = [rule, at_priority(9, deny(2, "wget", Scope::ANY))];
    assert!(stands(&other, &for_user, Names::Known));
}

#[test]
fn a_ticket_of_a_process_is_no_program_ticket() {
    let rule = allow(1, "any", scope("tcp", "connect"));
    let policy = policy(std::slice::from_ref(&rule));
    let (decision, scope) = settle(&policy, &curl(), &connect("8.8.8.8:443"));
    let of_process = kept(1, &curl(), &decision, scope.unwrap());
    assert!(!policy.still_issues_to_program(&of_process, Names::Any));
    let of_program = program_ticket(11, None, &rule);
    assert!(!policy.still_issues(&curl(), &of_program, Freshness::Fresh));
}
