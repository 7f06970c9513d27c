// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a ticket covers, case by case.

use proptest::collection::vec;
use proptest::prelude::*;

use super::universe::{calls, scopes};
use super::*;
use crate::policy::Hosts;
use crate::policy::issue::narrow;
use crate::types::{Operations, PortRange};

/// The ticket of a TCP call by curl.
fn ticket(rules: &[Rule], object: &Object) -> Option<Scope> {
    settle(&policy(rules), &curl(), object).1
}

fn ports(min: u16, max: u16) -> PortRange {
    PortRange::new(min, max).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_left_holds_the_call_and_none_of_the_contrary_ones(
        scope in scopes(), contrary in vec(scopes(), 1..6), calls in calls(),
    ) {
        for object in calls.iter().filter(|object| scope.covers(object)) {
            let contrary: Vec<_> = contrary.iter().filter(|other| !other.covers(object)).collect();
            let rules: Vec<Rule> =
                contrary.iter().map(|scope| deny(1, "any", Scope::clone(scope))).collect();
            let expressible =
                object.remote.is_some() || Operations::WITHOUT_REMOTE.has(object.operation);
            let Some(left) = narrow(scope.clone(), object, rules.iter(), &Hosts::default()) else {
                prop_assert!(!expressible, "{:?}", object);
                continue;
            };
            prop_assert!(left.covers(object) && scope.contains(&left), "{} {:?}", left, object);
            for other in &contrary {
                prop_assert!(!left.overlaps(other), "{} overlaps {}", left, other);
                let both = calls.iter().find(|call| left.covers(call) && other.covers(call));
                prop_assert_eq!(both, None, "{} {}", left, other);
            }
        }
    }
}

#[test]
fn a_ticket_is_as_wide_as_the_rule_when_nothing_goes_before() {
    let wide = [allow(1, "curl", Scope::ANY), at_priority(-1, deny(2, "any", to("10.0.0.0/8")))];
    assert_eq!(ticket(&wide, &connect("10.77.0.1:443")), Some(Scope::ANY));
    let host = [allow(1, "curl", to("8.8.8.8/32"))];
    assert_eq!(ticket(&host, &connect("8.8.8.8:443")), Some(to("8.8.8.8/32")));
    // In the form that the kernel takes: no bits behind the prefix, MPTCP named.
    let tcp = [allow(1, "curl", Scope { remote: to("8.8.8.8/16").remote, ..scope("tcp", "out") })];
    let expected = Scope { remote: to("8.8.0.0/16").remote, ..scope("tcp,mptcp", "out") };
    assert_eq!(ticket(&tcp, &connect("8.8.4.4:443")), Some(expected));
}

#[test]
fn a_ticket_excludes_the_network_that_a_rule_before_denies() {
    let rules = [at_priority(100, deny(1, "any", to("10.0.0.0/8"))), allow(2, "any", Scope::ANY)];
    let inside = settle(&policy(&rules), &curl(), &connect("10.77.0.1:443"));
    assert_eq!(inside, (by_rule(Verdict::Deny, 1), Some(to("10.0.0.0/8"))));
    assert_eq!(ticket(&rules, &connect("8.8.8.8:443")), Some(to("8.0.0.0/7")));
    assert_eq!(ticket(&rules, &connect("192.0.2.1:443")), Some(to("128.0.0.0/1")));
    assert_eq!(ticket(&rules, &connect("11.0.0.1:443")), Some(to("11.0.0.0/8")));
    assert_eq!(ticket(&rules, &connect("[2001:db8::1]:443")), Some(to("::/0")));
    // Operations that have no peer are apart from it anyway.
    assert_eq!(ticket(&rules, &bind(80)), Some(scope("any", "create,bind,listen")));
}

#[test]
fn a_call_without_a_peer_gets_no_ticket_where_others_of_its_kind_have_one() {
    let rules = [at_priority(1, deny(1, "any", to("10.0.0.0/8"))), allow(2, "any", Scope::ANY)];
    let send = call(Operation::Send, Protocol::Udp);
    assert_eq!(settle(&policy(&rules), &curl(), &send), (by_rule(Verdict::Allow, 2), None));
    let mut tcp_only = rules;
    tcp_only[0].spec.scope.protocols = "tcp".parse().unwrap();
    let expected = scope("udp,udplite,sctp,icmp,raw,packet,unix,other", "any");
    assert_eq!(ticket(&tcp_only, &send), Some(expected));
}

#[test]
fn a_rule_of_the_same_verdict_cuts_nothing() {
    let rules = [at_priority(1, deny(1, "any", to("10.0.0.0/8"))), deny(2, "any", Scope::ANY)];
    assert_eq!(ticket(&rules, &connect("8.8.8.8:443")), Some(Scope::ANY));
}

#[test]
fn a_rule_about_another_program_or_user_cuts_nothing() {
    let mut for_root = at_priority(1, deny(1, "any", to("10.0.0.0/8")));
    for_root.spec.uid = Some(0);
    let rules =
        [for_root, at_priority(1, deny(2, "wget", to("10.0.0.0/8"))), allow(3, "any", Scope::ANY)];
    assert_eq!(ticket(&rules, &connect("8.8.8.8:443")), Some(Scope::ANY));
}

#[test]
fn the_cut_that_keeps_most_is_made() {
    let after = |denied: Scope, object: &Object| {
        ticket(&[at_priority(1, deny(1, "any", denied)), allow(2, "any", Scope::ANY)], object)
    };
    let call = connect("8.8.8.8:443");
    // Ports before a prefix that is a small part of all addresses.
    let mail = Scope { remote_ports: ports(25, 25), ..to("10.0.0.0/8") };
    let but_mail = Scope { remote_ports: ports(26, 65535), ..Scope::ANY };
    assert_eq!(after(mail, &call), Some(but_mail));
    // Protocols before ports, so that binds stay in.
    let dns = Scope { remote_ports: ports(53, 53), ..scope("udp", "any") };
    let but_udp = scope("tcp,udplite,sctp,mptcp,icmp,raw,packet,unix,other", "any");
    assert_eq!(after(dns, &call), Some(but_udp));
    // Protocols before the other address family, for the same reason.
    let most = "udp,udplite,sctp,icmp,raw,packet";
    let on_v6 = Scope { remote: to("::/0").remote, ..scope(most, "any") };
    assert_eq!(after(on_v6, &call), Some(scope("tcp,mptcp,unix,other", "any")));
    // Operations before a single own port, a range of own ports before operations.
    let low = Scope { local_ports: ports(1, 1023), ..scope("any", "bind") };
    let but_bind = scope("any", "create,listen,connect,accept,send,recv");
    assert_eq!(after(low.clone(), &call), Some(but_bind));
    let high = Scope { local_ports: ports(1024, 65535), ..Scope::ANY };
    assert_eq!(after(low, &bind(8080)), Some(high));
    // The number where nothing else differs.
    let sctp = Scope { number: Some(132), ..Scope::ANY };
    assert_eq!(after(sctp, &call), Some(Scope { number: Some(6), ..Scope::ANY }));
}

#[test]
fn operations_are_cut_before_protocols_when_both_keep_as_much() {
    let rules = [
        at_priority(1, deny(1, "any", scope("raw", "bind"))),
        allow(2, "any", scope("udp,raw", "bind,connect")),
    ];
    let udp = Object { protocol: Protocol::Udp, ..connect("8.8.8.8:443") };
    assert_eq!(ticket(&rules, &udp), Some(scope("udp,raw", "connect")));
}

#[test]
fn several_rules_cut_one_after_the_other() {
    let rules = [
        at_priority(3, deny(1, "any", to("10.0.0.0/8"))),
        at_priority(2, deny(2, "curl", scope("udp", "any"))),
        at_priority(1, deny(3, CURL, to("9.0.0.0/8"))),
        allow(4, "any", Scope::ANY),
    ];
    let expected = Scope {
        protocols: "tcp,udplite,sctp,mptcp,icmp,raw,packet,unix,other".parse().unwrap(),
        ..to("8.0.0.0/8")
    };
    assert_eq!(ticket(&rules, &connect("8.8.8.8:443")), Some(expected));
}

#[test]
fn a_rule_whose_program_may_have_been_replaced_cuts_until_the_table_is_fresh() {
    let rules = [at_priority(1, deny(1, "curl", to("10.0.0.0/8"))), allow(2, "any", Scope::ANY)];
    let policy = policy(&rules);
    let (new, call) = (subject(CURL, 77), connect("8.8.8.8:443"));
    let unsure = policy.decide(&new, &call, Freshness::Unsure);
    let narrowed = Some(to("8.0.0.0/7"));
    let decision = by_rule(Verdict::Allow, 2);
    assert_eq!(unsure, Outcome::Decided { decision, ticket: narrowed });
    assert_eq!(settle(&policy, &new, &call).1, Some(Scope::ANY));
}

fn with_host(rule: Rule, host: &str) -> Rule {
    Rule { spec: RuleSpec { host: Some(host.parse().unwrap()), ..rule.spec }, ..rule }
}

fn naming(rules: &[Rule], names: &[(&str, &str)]) -> Policy {
    let mut hosts = Hosts::default();
    for (address, name) in names {
        hosts.insert(address.parse().unwrap(), name);
    }
    policy(rules).with_hosts(hosts.into())
}

#[test]
fn a_ticket_of_a_host_is_for_one_of_its_addresses_while_that_stands() {
    let rules = [with_host(allow(1, "curl", scope("tcp", "connect")), "*.test")];
    let policy = naming(&rules, &[("8.8.8.8", "a.test")]);
    let (decided, ticket) = settle(&policy, &curl(), &connect("8.8.8.8:443"));
    assert_eq!(decided, by_rule(Verdict::Allow, 1));
    let kept = kept(1, &curl(), &decided, ticket.clone().unwrap());
    assert_eq!(ticket.unwrap().remote, to("8.8.8.8/32").remote);
    assert!(policy.still_issues(&curl(), &kept, Freshness::Fresh));
    let moved = naming(&rules, &[("8.8.4.4", "a.test")]);
    assert!(!moved.still_issues(&curl(), &kept, Freshness::Fresh));
    assert_eq!(settle(&moved, &curl(), &connect("8.8.8.8:443")).1, None);
}

#[test]
fn a_ticket_beside_a_denied_host_is_for_the_address_alone_and_goes_when_it_is_the_hosts() {
    let denied = with_host(deny(1, "any", scope("tcp", "connect")), "evil.test");
    let rules = [at_priority(1, denied), allow(2, "curl", Scope::ANY)];
    let policy = naming(&rules, &[("8.8.8.8", "good.test"), ("8.8.4.4", "evil.test")]);
    let unknown = policy.decide(&curl(), &connect("1.1.1.1:443"), Freshness::Unsure);
    assert_eq!(unknown, Outcome::Stale);
    assert_eq!(settle(&policy, &curl(), &connect("8.8.4.4:443")).0, by_rule(Verdict::Deny, 1));
    let (decided, ticket) = settle(&policy, &curl(), &connect("8.8.8.8:443"));
    assert_eq!(decided, by_rule(Verdict::Allow, 2));
    assert_eq!(ticket.clone(), Some(to("8.8.8.8/32")));
    let kept = kept(1, &curl(), &decided, ticket.unwrap());
    let after = naming(&rules, &[("8.8.8.8", "good.test"), ("8.8.8.8", "evil.test")]);
    assert!(!after.still_issues(&curl(), &kept, Freshness::Fresh));
    assert!(policy.still_issues(&curl(), &kept, Freshness::Fresh));
    // Calls that name no peer are none to the host.
    let rest = "create,bind,listen,accept,send,recv";
    assert_eq!(settle(&policy, &curl(), &bind(80)).1, Some(scope("any", rest)));
}
