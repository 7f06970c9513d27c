// SPDX-License-Identifier: MIT OR Apache-2.0
//! What deciding costs beside reading the event and writing the verdict, for policies of more and
//! more rules. All of it in one run, in turns, so that a busy machine is busy for all of them.
//! Part of `make bench`; give it `--release`.
#![allow(clippy::print_stdout, reason = "what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use libsnet::policy::{
    Candidate, Freshness, Host, Identity, Outcome, Policy, Program, ProgramTable, Rule,
};
use libsnet::types::{Event, Fallbacks, RuleId, Ticket, TicketId, Verdict};
use libsnet::wire::{Envelope, Messages, Request, event};

const RULES: [u64; 4] = [10, 1_000, 10_000, 100_000];
const TURNS: usize = 15;
const CALLS: u32 = 20_000;

type Failure = Box<dyn std::error::Error>;

/// A connection of the program with this number.
fn called(program: u64) -> Result<Event, Failure> {
    Ok(Event {
        request: libsnet::types::RequestId(1),
        subject: libsnet::types::Subject {
            process: libsnet::types::ProcessKey { tgid: 4711, start_time: 1, exec_id: 1 },
            tid: 4711,
            uid: 1000,
            gid: 1000,
            login_uid: Some(1000),
            comm: "program".to_owned(),
            exe: Some(libsnet::types::Exe {
                path: format!("/usr/bin/program-{program}").into(),
                device: 1,
                inode: program,
            }),
            parent_tgid: 1,
            cgroup_id: 1,
            net_ns: 1,
            mnt_ns: 1,
            pid_ns: 1,
            user_ns: 1,
            details: libsnet::types::Details::default(),
        },
        object: serde_json::from_value(serde_json::json!({
            "operation": "connect", "protocol": "tcp", "family": 2, "kind": 1, "number": 6,
            "remote": "192.0.2.1:443", "local": "0.0.0.0:0", "flags": 0,
        }))?,
        deadline: Duration::from_secs(2),
    })
}

/// A rule for each of so many programs, and a few for all.
fn policy(rules: u64) -> Result<Policy, Failure> {
    let (mut all, mut table) = (Vec::new(), ProgramTable::new());
    for number in 1..=rules {
        let name = format!("/usr/bin/program-{number}");
        let spec = serde_json::json!({ "action": "allow", "program": name,
            "scope": { "operations": "connect", "protocols": "tcp" } });
        all.push(Rule { id: RuleId(number), spec: serde_json::from_value(spec)? });
        let identity = Some(Identity { device: 1, inode: number });
        table.set(name.parse::<Program>()?, vec![Candidate { path: name.into(), identity }]);
    }
    for number in 1..=5 {
        let spec = serde_json::json!({ "action": "deny", "program": "any", "priority": 1,
            "scope": { "operations": "connect", "protocols": "udp", "remote": format!("10.{number}.0.0/16") } });
        all.push(Rule { id: RuleId(rules + number), spec: serde_json::from_value(spec)? });
    }
    let host = Host { mnt_ns: None, user_ns: 1 };
    Ok(Policy::compile(all, &table, host, Fallbacks::new()))
}

/// Reads the event, lets it be decided if there is a policy, and writes the verdict.
fn answer(datagram: &[u8], policy: Option<&Policy>, out: &mut Vec<u8>) -> Result<(), Failure> {
    let message = Messages::new(datagram).next().ok_or("no message")??;
    let event = event::decode(message.genl()?.attributes)?;
    let mut tickets = Vec::new();
    let mut verdict = Verdict::Allow;
    if let Some(policy) = policy {
        let outcome = policy.decide(&event.subject, &event.object, Freshness::Unsure);
        let Outcome::Decided { decision, ticket: Some(scope) } = outcome else {
            return Err("no rule decided it".into());
        };
        verdict = decision.verdict;
        tickets.push(Ticket::new(TicketId(1), scope, verdict));
    } else {
        tickets.push(Ticket::new(TicketId(1), libsnet::types::Scope::ANY, verdict));
    }
    let request = Request::Verdict { request: event.request, verdict, tickets: &tickets };
    out.clear();
    request.encode(Envelope { family: 32, flags: 1, sequence: 1 }, out)?;
    black_box(&out);
    Ok(())
}

/// Nanoseconds of one call.
fn time(datagram: &[u8], policy: Option<&Policy>) -> Result<f64, Failure> {
    let mut out = Vec::new();
    let began = Instant::now();
    for _ in 0..CALLS {
        answer(black_box(datagram), policy, &mut out)?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn main() -> Result<(), Failure> {
    let mut datagram = Vec::new();
    let envelope = Envelope { family: 32, flags: 0, sequence: 0 };
    event::encode(&called(7)?, envelope, &mut datagram)?;
    let policies: Vec<Policy> = RULES.into_iter().map(policy).collect::<Result<_, _>>()?;
    let (mut bare, mut decided) = (Vec::new(), vec![Vec::new(); RULES.len()]);
    for _ in 0..TURNS {
        bare.push(time(&datagram, None)?);
        for (times, policy) in decided.iter_mut().zip(&policies) {
            times.push(time(&datagram, Some(policy))?);
        }
    }
    let bare = median(bare);
    println!("{:<28}{:>9}{:>9}", format!("median of {TURNS}"), "ns", "");
    println!("{:<28}{bare:>9.0}{:>9}", "decode + encode", "1.00×");
    for (rules, times) in RULES.iter().zip(decided) {
        let with = median(times);
        let what = format!("… decided by {rules} rules");
        println!("{what:<28}{with:>9.0}{:>9}", format!("{:.2}×", with / bare));
    }
    Ok(())
}
