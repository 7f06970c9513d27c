// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the policy: corner cases one by one, and random policies against a naive
//! decider ([`reference`]).

mod answers;
mod changes;
mod corners;
mod modes;
mod narrowing;
mod programs;
mod properties;
mod reference;
mod rules;
mod universe;

use std::net::SocketAddr;

use crate::policy::{
    Action, Candidate, Decision, Freshness, Host, Identity, Outcome, Policy, ProgramTable, Rule,
    RuleSpec, Source, Unmatched,
};
use crate::types::{
    CallFlags, Details, Exe, Fallbacks, KeptTicket, Object, Operation, ProcessKey, ProcessOwner,
    Protocol, RuleId, Scope, Subject, Ticket, TicketId, TicketOwner, Verdict,
};

const HOST: Host = Host { mnt_ns: Some(1), user_ns: 2 };
const CURL: &str = "/usr/bin/curl";

/// The file on device 1 with this inode.
fn identity(inode: u64) -> Identity {
    Identity { device: 1, inode }
}

fn candidate(path: &str, inode: Option<u64>) -> Candidate {
    Candidate { path: path.into(), identity: inode.map(identity) }
}

/// curl is inode 11 in `/usr/bin` and could be in `/usr/local/bin`; wget is inode 12.
fn table() -> ProgramTable {
    let mut table = ProgramTable::new();
    let curl = vec![candidate("/usr/local/bin/curl", None), candidate(CURL, Some(11))];
    table.set("curl".parse().unwrap(), curl);
    table.set(CURL.parse().unwrap(), vec![candidate(CURL, Some(11))]);
    table.set("wget".parse().unwrap(), vec![candidate("/usr/bin/wget", Some(12))]);
    table
}

fn policy(rules: &[Rule]) -> Policy {
    Policy::compile(rules.to_vec(), &table(), HOST, Fallbacks::new())
}

/// A process of the host that runs this file.
fn subject(path: &str, inode: u64) -> Subject {
    Subject {
        process: ProcessKey { tgid: 100, start_time: 1, exec_id: 1 },
        tid: 100,
        uid: 1000,
        gid: 1000,
        login_uid: None,
        comm: "test".to_owned(),
        exe: Some(Exe { path: path.into(), device: 1, inode }),
        parent_tgid: 1,
        cgroup_id: 7,
        net_ns: 3,
        mnt_ns: 1,
        pid_ns: 4,
        user_ns: 2,
        details: Details::default(),
    }
}

fn curl() -> Subject {
    subject(CURL, 11)
}

/// A call without addresses.
fn call(operation: Operation, protocol: Protocol) -> Object {
    Object {
        operation,
        protocol,
        family: 2,
        kind: 1,
        number: 6,
        remote: None,
        local: None,
        flags: CallFlags::default(),
    }
}

/// A TCP connect to this peer, from no port yet.
fn connect(remote: &str) -> Object {
    Object {
        remote: Some(remote.parse().unwrap()),
        local: Some(SocketAddr::from(([0, 0, 0, 0], 0))),
        ..call(Operation::Connect, Protocol::Tcp)
    }
}

/// A TCP bind to this port.
fn bind(port: u16) -> Object {
    Object {
        local: Some(SocketAddr::from(([0, 0, 0, 0], port))),
        ..call(Operation::Bind, Protocol::Tcp)
    }
}

fn spec(action: Action, program: &str, scope: Scope) -> RuleSpec {
    RuleSpec::new(action, program.parse().unwrap(), scope)
}

fn allow(id: u64, program: &str, scope: Scope) -> Rule {
    Rule { id: RuleId(id), spec: spec(Action::Allow, program, scope) }
}

fn deny(id: u64, program: &str, scope: Scope) -> Rule {
    Rule { id: RuleId(id), spec: spec(Action::Deny, program, scope) }
}

fn ask(id: u64, program: &str, scope: Scope) -> Rule {
    Rule { id: RuleId(id), spec: spec(Action::Ask, program, scope) }
}

fn at_priority(priority: i32, mut rule: Rule) -> Rule {
    rule.spec.priority = priority;
    rule
}

fn scope(protocols: &str, operations: &str) -> Scope {
    Scope {
        protocols: protocols.parse().unwrap(),
        operations: operations.parse().unwrap(),
        ..Scope::ANY
    }
}

/// Every call to this prefix.
fn to(remote: &str) -> Scope {
    Scope { remote: Some(remote.parse().unwrap()), ..Scope::ANY }
}

/// What the policy decides once its programs are resolved afresh, and the ticket's scope.
fn settle(policy: &Policy, subject: &Subject, object: &Object) -> (Decision, Option<Scope>) {
    match policy.decide(subject, object, Freshness::Fresh) {
        Outcome::Decided { decision, ticket } => (decision, ticket),
        Outcome::Ask { .. } => panic!("a person is asked"),
        Outcome::Stale => panic!("stale with a fresh table"),
    }
}

fn by_rule(verdict: Verdict, rule: u64) -> Decision {
    Decision { verdict, source: Source::Rule, rule: Some(RuleId(rule)) }
}

fn by_fallback(verdict: Verdict) -> Decision {
    Decision { verdict, source: Source::NoRule, rule: None }
}

/// The ticket that the kernel keeps for a decision.
fn kept(id: u64, subject: &Subject, decision: &Decision, scope: Scope) -> KeptTicket {
    let rule = decision.rule;
    KeptTicket {
        ticket: Ticket { rule, ..Ticket::new(TicketId(id), scope, decision.verdict) },
        owner: TicketOwner::Process(ProcessOwner {
            process: subject.process,
            uid: subject.uid,
            net_ns: subject.net_ns,
            cgroup_id: subject.cgroup_id,
        }),
        origin: None,
        hits: 0,
        last_hit: None,
    }
}
