// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who a rule is about and which calls it covers, case by case.

use super::*;
use crate::policy::{Program, winner};
use crate::types::PortRange;

fn decision(rules: &[Rule], subject: &Subject, object: &Object) -> Decision {
    settle(&policy(rules), subject, object).0
}

#[test]
fn without_a_rule_the_fallback_of_the_operation_applies_and_no_ticket_is_issued() {
    let fallbacks = Fallbacks::from([(Operation::Bind, Verdict::Deny)]);
    let policy = Policy::compile(Vec::new(), &table(), HOST, fallbacks);
    assert_eq!(settle(&policy, &curl(), &bind(80)), (by_fallback(Verdict::Deny), None));
    let connect = connect("8.8.8.8:443");
    assert_eq!(settle(&policy, &curl(), &connect), (by_fallback(Verdict::Allow), None));
}

#[test]
fn a_rule_for_tcp_covers_mptcp_and_not_the_other_way_round() {
    let mptcp = Object { protocol: Protocol::Mptcp, ..connect("8.8.8.8:443") };
    let for_tcp = [deny(1, "curl", scope("tcp", "connect"))];
    assert_eq!(decision(&for_tcp, &curl(), &mptcp), by_rule(Verdict::Deny, 1));
    let for_mptcp = [deny(1, "curl", scope("mptcp", "connect"))];
    assert_eq!(decision(&for_mptcp, &curl(), &connect("8.8.8.8:443")).rule, None);
}

#[test]
fn a_disabled_rule_decides_nothing() {
    let mut rule = deny(1, "any", Scope::ANY);
    rule.spec.enabled = false;
    assert_eq!(decision(&[rule], &curl(), &bind(80)), by_fallback(Verdict::Allow));
}

#[test]
fn a_path_goes_before_a_name_and_a_name_before_any() {
    let rules = [
        deny(1, "any", Scope::ANY),
        allow(2, "curl", Scope::ANY),
        deny(3, CURL, scope("tcp", "bind")),
    ];
    assert_eq!(decision(&rules, &curl(), &bind(80)), by_rule(Verdict::Deny, 3));
    assert_eq!(decision(&rules, &curl(), &connect("8.8.8.8:1")), by_rule(Verdict::Allow, 2));
    let wget = subject("/usr/bin/wget", 12);
    assert_eq!(decision(&rules, &wget, &bind(80)), by_rule(Verdict::Deny, 1));
}

#[test]
fn a_rule_for_a_user_is_for_that_user_alone() {
    let mut rule = deny(1, "any", Scope::ANY);
    rule.spec.uid = Some(0);
    let root = Subject { uid: 0, ..curl() };
    assert_eq!(decision(std::slice::from_ref(&rule), &root, &bind(80)).rule, Some(RuleId(1)));
    assert_eq!(decision(&[rule], &curl(), &bind(80)).rule, None);
}

#[test]
fn deny_goes_before_allow_when_nothing_else_tells_them_apart() {
    let rules = [allow(1, "curl", scope("tcp", "bind")), deny(2, "curl", scope("tcp", "bind"))];
    assert_eq!(decision(&rules, &curl(), &bind(80)), by_rule(Verdict::Deny, 2));
    let same =
        [allow(1, "curl", scope("tcp", "bind")), deny(2, "curl", scope("tcp,mptcp", "bind"))];
    assert_eq!(decision(&same, &curl(), &bind(80)), by_rule(Verdict::Deny, 2));
}

#[test]
fn the_host_s_rules_do_not_match_in_other_namespaces() {
    let rules = [deny(1, CURL, Scope::ANY), allow(2, "any", Scope::ANY)];
    let call = bind(80);
    assert_eq!(decision(&rules, &curl(), &call).rule, Some(RuleId(1)));
    for subject in [
        Subject { mnt_ns: 99, ..curl() },
        Subject { mnt_ns: 0, ..curl() },
        Subject { user_ns: 99, ..curl() },
        Subject { exe: None, ..curl() },
    ] {
        assert_eq!(decision(&rules, &subject, &call), by_rule(Verdict::Allow, 2));
        let unsure = policy(&rules).decide(&subject, &call, Freshness::Unsure);
        assert_ne!(unsure, Outcome::Stale);
    }
}

#[test]
fn with_any_mount_namespace_the_file_tells_the_host_s_program() {
    let host = Host { mnt_ns: None, ..HOST };
    let rules = vec![deny(1, CURL, Scope::ANY)];
    let policy = Policy::compile(rules, &table(), host, Fallbacks::new());
    let sandboxed = Subject { mnt_ns: 99, ..curl() };
    assert_eq!(settle(&policy, &sandboxed, &bind(80)).0.rule, Some(RuleId(1)));
    let container = Subject { mnt_ns: 99, ..subject(CURL, 500) };
    assert_eq!(settle(&policy, &container, &bind(80)).0.rule, None);
    let user_ns = Subject { user_ns: 99, ..curl() };
    assert_eq!(settle(&policy, &user_ns, &bind(80)).0.rule, None);
}

#[test]
fn another_file_at_the_path_is_stale_until_the_table_is_fresh() {
    let policy = policy(&[deny(1, "curl", scope("tcp", "bind")), allow(2, "any", Scope::ANY)]);
    let new = subject(CURL, 77);
    assert_eq!(policy.decide(&new, &bind(80), Freshness::Unsure), Outcome::Stale);
    assert_eq!(settle(&policy, &new, &bind(80)).0, by_rule(Verdict::Allow, 2));
    // A file that wasn't there is one as well.
    let local = subject("/usr/local/bin/curl", 5);
    assert_eq!(policy.decide(&local, &bind(80), Freshness::Unsure), Outcome::Stale);
    // The same number on another device is another file.
    let mut other = curl();
    other.exe.as_mut().unwrap().device = 2;
    assert_eq!(policy.decide(&other, &bind(80), Freshness::Unsure), Outcome::Stale);
}

#[test]
fn a_stale_program_that_would_decide_nothing_is_not_reported() {
    let new = subject(CURL, 77);
    let other_scope = [deny(1, "curl", scope("tcp", "bind")), allow(2, "any", Scope::ANY)];
    let later = [at_priority(1, allow(1, "any", Scope::ANY)), deny(2, "curl", Scope::ANY)];
    let mut for_root = [deny(1, "curl", Scope::ANY)];
    for_root[0].spec.uid = Some(0);
    for rules in [&other_scope[..], &later, &for_root] {
        let outcome = policy(rules).decide(&new, &connect("8.8.8.8:443"), Freshness::Unsure);
        assert!(matches!(outcome, Outcome::Decided { .. }), "{rules:?}");
    }
}

#[test]
fn a_path_that_was_never_resolved_is_stale() {
    let rules = vec![deny(1, CURL, Scope::ANY)];
    let policy = Policy::compile(rules, &ProgramTable::new(), HOST, Fallbacks::new());
    assert_eq!(policy.decide(&curl(), &bind(80), Freshness::Unsure), Outcome::Stale);
    assert_eq!(settle(&policy, &curl(), &bind(80)).0.rule, None);
}

#[test]
fn each_file_that_is_given_for_a_path_counts() {
    let mut table = table();
    let both = vec![candidate(CURL, Some(11)), candidate(CURL, Some(77))];
    assert!(table.set("curl".parse().unwrap(), both.clone()));
    assert!(!table.set("curl".parse().unwrap(), both));
    let rules = vec![deny(1, "curl", Scope::ANY)];
    let policy = Policy::compile(rules, &table, HOST, Fallbacks::new());
    for inode in [11, 77] {
        let subject = subject(CURL, inode);
        assert_eq!(settle(&policy, &subject, &bind(80)).0.rule, Some(RuleId(1)));
    }
}

#[test]
fn the_table_names_what_is_wanted_and_what_may_be_at_a_path() {
    let mut off = allow(4, "telnet", Scope::ANY);
    off.spec.enabled = false;
    let rules = [
        allow(1, "curl", Scope::ANY),
        deny(2, "curl", to("::1/128")),
        allow(3, "any", Scope::ANY),
        off,
    ];
    let names: Vec<_> = ProgramTable::wanted(&rules).into_iter().cloned().collect();
    assert_eq!(names, [Program::Name("curl".to_owned())]);
    let table = table();
    let at: Vec<_> = table.at(CURL.as_ref()).map(ToString::to_string).collect();
    assert_eq!(at, ["curl", CURL]);
    assert_eq!(table.file(&names[0]), Some(CURL.as_ref()));
}

#[test]
fn a_condition_on_the_peer_covers_no_call_without_one() {
    let unix = call(Operation::Connect, Protocol::Unix);
    assert_eq!(decision(&[deny(1, "any", to("0.0.0.0/0"))], &curl(), &unix).rule, None);
    let port = Scope { remote_ports: PortRange::new(0, 65534).unwrap(), ..Scope::ANY };
    assert_eq!(decision(&[deny(1, "any", port)], &curl(), &unix).rule, None);
    assert_eq!(decision(&[deny(1, "any", Scope::ANY)], &curl(), &unix).rule, Some(RuleId(1)));
}

#[test]
fn a_rule_for_a_local_port_decides_the_bind_to_it() {
    let low = Scope { local_ports: PortRange::new(1, 1023).unwrap(), ..scope("tcp", "bind") };
    let rules = [deny(1, "any", low), allow(2, "any", scope("any", "any"))];
    assert_eq!(decision(&rules, &curl(), &bind(80)), by_rule(Verdict::Deny, 1));
    assert_eq!(decision(&rules, &curl(), &bind(0)), by_rule(Verdict::Allow, 2));
}

#[test]
fn an_explanation_names_the_rules_about_the_subject_up_to_the_one_that_decides() {
    let rules = [
        at_priority(9, deny(1, "curl", to("10.0.0.0/8"))),
        at_priority(8, deny(2, "wget", Scope::ANY)),
        allow(3, "any", scope("any", "out")),
        allow(4, "any", Scope::ANY),
    ];
    let policy = policy(&rules);
    let why = policy.explain(&curl(), &connect("8.8.8.8:443"));
    assert_eq!(why.considered, [RuleId(1), RuleId(3)]);
    assert_eq!(why.decision, by_rule(Verdict::Allow, 3));
    assert_eq!(why.ticket, settle(&policy, &curl(), &connect("8.8.8.8:443")).1);
    let nothing = Policy::compile(rules[..2].to_vec(), &table(), HOST, Fallbacks::new())
        .explain(&curl(), &bind(80));
    assert_eq!((nothing.considered, nothing.ticket), (vec![RuleId(1)], None));
}

#[test]
fn the_most_specific_ticket_wins_and_one_that_denies_on_a_tie() {
    let subject = curl();
    let ticket = |id, verdict, scope| kept(id, &subject, &by_rule(verdict, id), scope).ticket;
    let wide = ticket(1, Verdict::Deny, Scope::ANY);
    let narrow = ticket(2, Verdict::Allow, to("8.0.0.0/8"));
    let equal = ticket(3, Verdict::Deny, to("8.0.0.0/8"));
    let elsewhere = ticket(4, Verdict::Deny, to("8.8.4.4/32"));
    let call = connect("8.8.8.8:443");
    let decided = |tickets: &[Ticket]| winner(tickets, &call).map(|ticket| ticket.id.0);
    assert_eq!(decided(&[wide.clone(), narrow.clone(), elsewhere.clone()]), Some(2));
    assert_eq!(decided(&[wide, narrow.clone(), equal.clone()]), Some(3));
    assert_eq!(decided(&[equal, narrow]), Some(3));
    assert_eq!(decided(&[elsewhere]), None);
}
