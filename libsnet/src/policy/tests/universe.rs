// SPDX-License-Identifier: MIT OR Apache-2.0
//! A world so small that random rules overlap and random calls hit their borders.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::policy::{Cgroups, Hosts, Program};
use crate::types::{Details, Operations, Parent, PortRange, Protocols, Sha256};

const PATHS: &[&str] = &["/usr/local/bin/curl", CURL, "/usr/bin/wget"];
const PROGRAMS: &[&str] =
    &["any", "any", "any", "curl", "curl", CURL, "wget", "/usr/bin/*", "/usr/**/curl", SUM];
pub(super) const SUM: &str =
    "sha256:0101010101010101010101010101010101010101010101010101010101010101";
const PROTOCOLS: &[Protocol] =
    &[Protocol::Tcp, Protocol::Mptcp, Protocol::Udp, Protocol::Raw, Protocol::Unix];
const ADDRESSES: &[&str] = &[
    "0.0.0.1",
    "8.8.8.8",
    "9.255.255.255",
    "10.0.0.0",
    "10.77.0.1",
    "10.255.255.255",
    "11.0.0.0",
    "255.255.255.255",
    "::1",
    "2001:db7:ffff::",
    "2001:db8::",
    "2001:db8::1",
    "2001:db8:1::1",
    "2001:db9::",
];
const NETS: &[&str] = &[
    "0.0.0.0/0",
    "8.0.0.0/7",
    "8.8.8.8/32",
    "10.0.0.0/8",
    "10.77.0.0/16",
    "10.77.0.1/32",
    "::/0",
    "2001:db8::/32",
    "2001:db8::/48",
    "2001:db8::1/128",
];
const PORTS: &[u16] = &[0, 1, 79, 80, 81, 443, 1023, 1024, 65534, 65535];

fn ranges() -> impl Strategy<Value = PortRange> {
    let any = Just(PortRange::ANY);
    let some = (select(PORTS), select(PORTS))
        .prop_map(|(one, other)| PortRange::new(one.min(other), one.max(other)).unwrap());
    prop_oneof![4 => any, 1 => some]
}

fn operation_sets() -> impl Strategy<Value = Operations> {
    let some = subsequence(Operation::ALL, 1..=3).prop_map(Operations::from_iter);
    prop_oneof![Just(Operations::ANY), Just(Operations::OUT), Just(Operations::IN), some]
}

fn protocol_sets() -> impl Strategy<Value = Protocols> {
    let some = subsequence(PROTOCOLS, 1..=2).prop_map(Protocols::from_iter);
    prop_oneof![2 => Just(Protocols::ANY), 1 => some]
}

pub(super) fn scopes() -> impl Strategy<Value = Scope> {
    let nets = select(NETS).prop_map(|net| net.parse::<IpNet>().unwrap());
    let number = option::weighted(0.1, select(&[6, 17][..]));
    let remote = option::weighted(0.5, nets);
    (operation_sets(), protocol_sets(), number, remote, ranges(), ranges()).prop_map(
        |(operations, protocols, number, remote, remote_ports, local_ports)| Scope {
            operations,
            protocols,
            number,
            remote,
            remote_ports,
            local_ports,
        },
    )
}

const ACTIONS: &[Action] = &[
    Action::Allow,
    Action::Allow,
    Action::Allow,
    Action::Deny,
    Action::Deny,
    Action::Deny,
    Action::Ask,
    Action::Ask,
    Action::Learn,
    Action::Observe,
];

fn specs() -> impl Strategy<Value = RuleSpec> {
    let action = select(ACTIONS);
    let uid = option::weighted(0.2, select(&[0, 1000][..]));
    let enabled = prop::bool::weighted(0.9);
    (action, select(PROGRAMS), uid, conditions(), scopes(), 0..3_i32, enabled)
        .prop_map(
            |(
                action,
                program,
                uid,
                [unit, container, command, parent],
                scope,
                priority,
                enabled,
            )| {
                RuleSpec {
                    uid,
                    unit: unit.map(|unit| unit.parse().unwrap()),
                    container: container.map(|name| name.parse().unwrap()),
                    command: command.map(|pattern| pattern.parse().unwrap()),
                    parent: parent.map(|program| program.parse().unwrap()),
                    priority,
                    enabled,
                    ..spec(action, program, scope)
                }
            },
        )
        .prop_flat_map(|spec| {
            // A host is in the place of an address.
            let host = option::weighted(0.15, select(&["a.test", "b.test", "*.test"][..]));
            host.prop_map(move |host| match host {
                Some(host) if spec.scope.possible().operations.overlaps(Operations::OUT) => {
                    let scope = Scope { remote: None, ..spec.scope.clone() };
                    RuleSpec { host: Some(host.parse().unwrap()), scope, ..spec.clone() }
                }
                _ => spec.clone(),
            })
        })
}

/// Unit, container, command line and parent.
fn conditions() -> impl Strategy<Value = [Option<&'static str>; 4]> {
    let one = |choice: &'static [&'static str]| option::weighted(0.05, select(choice));
    let unit = one(&["web.slice", "/web.slice/a.service"]);
    let parent = one(&["wget", CURL, "/usr/bin/*"]);
    (unit, one(&["web", "db", "any"]), one(&["* -x*", "curl"]), parent).prop_map(<[_; 4]>::from)
}

/// Rules numbered from 1.
pub(super) fn rules() -> impl Strategy<Value = Vec<Rule>> {
    vec(specs(), 0..10).prop_map(|specs| {
        let ids = (1..).map(RuleId);
        ids.zip(specs).map(|(id, spec)| Rule { id, spec }).collect()
    })
}

/// A single rule, with a number that [`rules`] may have given as well.
pub(super) fn any_rule() -> impl Strategy<Value = Rule> {
    (1..12_u64, specs()).prop_map(|(id, spec)| Rule { id: RuleId(id), spec })
}

/// What the programs are: mostly there, sometimes missing, replaced, or never resolved.
pub(super) fn tables() -> impl Strategy<Value = ProgramTable> {
    let inode = || prop_oneof![1 => Just(None), 3 => Just(Some(11)), 1 => Just(Some(12))];
    let looked_at = subsequence(PATHS, 0..=PATHS.len());
    let whole = (inode(), inode(), inode(), inode(), any::<bool>(), looked_at);
    whole.prop_map(|(one, two, three, four, all, looked_at)| {
        let mut table = ProgramTable::new();
        for pattern in ["/usr/bin/*", "/usr/**/curl"] {
            let program: Program = pattern.parse().unwrap();
            let Program::Pattern(pattern) = &program else { unreachable!("a pattern") };
            let matching = looked_at.iter().filter(|path| pattern.matches(path.as_ref()));
            let candidates = matching.map(|path| candidate(path, Some(11))).collect();
            table.set(program.clone(), candidates);
        }
        let name = vec![candidate(PATHS[0], one), candidate(CURL, two)];
        table.set(Program::Name("curl".to_owned()), name);
        if all {
            table.set(Program::Path(CURL.into()), vec![candidate(CURL, three)]);
        }
        let wget = vec![candidate(PATHS[2], four), candidate(PATHS[2], Some(11))];
        table.set(Program::Name("wget".to_owned()), wget);
        table
    })
}

pub(super) fn subjects() -> impl Strategy<Value = Subject> {
    let exe = option::weighted(0.9, (select(PATHS), select(&[11, 11, 12, 13][..])));
    let mnt_ns = select(&[1, 1, 1, 1, 9][..]);
    let user_ns = select(&[2, 2, 2, 2, 9][..]);
    let cgroup = select(&[7, 7, 8, 9, 0][..]);
    (exe, mnt_ns, user_ns, select(&[0, 1000][..]), cgroup, details()).prop_map(
        |(exe, mnt_ns, user_ns, uid, cgroup_id, details)| {
            let exe = exe.map(|(path, inode)| Exe { path: path.into(), device: 1, inode });
            Subject { exe, mnt_ns, user_ns, uid, cgroup_id, details, ..curl() }
        },
    )
}

/// Looked up or not, and found or not.
fn details() -> impl Strategy<Value = Details> {
    let command = select(&[None, Some("curl"), Some("curl"), Some("curl -x y"), Some("wget")][..]);
    let parent = select(&[None, Some("/usr/bin/wget"), Some(CURL), Some("/bin/sh"), Some("")][..]);
    let sum = select(&[None, Some(1), Some(1), Some(2)][..]);
    (command, parent, sum).prop_map(|(command, parent, sum)| Details {
        command: command.map(str::to_owned),
        parent: parent.map(|path| match path {
            "" => Parent::Elsewhere,
            path => Parent::Host(path.into()),
        }),
        sha256: sum.map(|byte| Sha256([byte; 32])),
    })
}

/// Two are known, or there are none.
pub(super) fn cgroups() -> impl Strategy<Value = Cgroups> {
    prop::bool::weighted(0.8).prop_map(|there| {
        let mut cgroups = Cgroups::default();
        if there {
            cgroups.insert(7, "/web.slice/a.service/worker", vec!["web".to_owned()]);
            cgroups.insert(8, "/web.slice/b.service", vec![]);
        }
        cgroups
    })
}

/// Some addresses stand for a host, one for two, and one for another.
pub(super) fn names() -> impl Strategy<Value = Hosts> {
    subsequence(ADDRESSES, 0..6).prop_map(|addresses| {
        let mut names = Hosts::default();
        for (address, name) in addresses.iter().zip(["a.test", "a.test", "b.test", "other"]) {
            names.insert(address.parse().unwrap(), name);
        }
        if let Some(address) = addresses.first() {
            names.insert(address.parse().unwrap(), "b.test");
        }
        names
    })
}

pub(super) fn hosts() -> impl Strategy<Value = Host> {
    select(&[HOST, HOST, Host { mnt_ns: None, ..HOST }][..])
}

pub(super) fn fallbacks() -> impl Strategy<Value = Fallbacks> {
    select(&[None, Some(Verdict::Allow), Some(Verdict::Deny)][..]).prop_map(|verdict| {
        verdict.map(|verdict| (Operation::Connect, verdict)).into_iter().collect()
    })
}

/// A call that can happen: bind, listen and create name no peer, others may.
pub(super) fn objects() -> impl Strategy<Value = Object> {
    let address = || {
        (select(ADDRESSES), select(PORTS))
            .prop_map(|(ip, port)| SocketAddr::new(ip.parse::<IpAddr>().unwrap(), port))
    };
    let operation = select(Operation::ALL);
    let remote = option::weighted(0.8, address());
    let local = option::weighted(0.7, address());
    (operation, select(PROTOCOLS), select(&[6, 6, 17, 1][..]), remote, local).prop_map(
        |(operation, protocol, number, remote, local)| Object {
            number,
            remote: remote.filter(|_| !Operations::WITHOUT_REMOTE.has(operation)),
            local,
            ..call(operation, protocol)
        },
    )
}

/// A random sequence of calls.
pub(super) fn calls() -> impl Strategy<Value = Vec<Object>> {
    vec(objects(), 40)
}
