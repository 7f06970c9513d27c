// SPDX-License-Identifier: MIT OR Apache-2.0
//! A daemon that is killed at any moment: nothing acknowledged is lost, nothing is half done.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, Place};

/// How often.
const TIMES: u64 = 200;
/// Rules that are imported at once.
const AT_ONCE: u64 = 5;

/// The programs of the rules, each of which has one.
type Rules = BTreeSet<u64>;

fn spec(number: u64) -> Value {
    json!({ "action": "deny", "program": format!("program-{number}"),
        "scope": { "operations": "connect", "protocols": "tcp" } })
}

/// A change, what the rules are after it, and the call that makes it.
fn next(rules: &Rules, number: u64) -> (Rules, &'static str, Value) {
    let mut after = rules.clone();
    match number % 3 {
        0 => {
            after.insert(number * AT_ONCE);
            (after, "AddRule", json!({ "rule": spec(number * AT_ONCE) }))
        }
        1 => {
            let new: Vec<u64> = (0..AT_ONCE).map(|one| number * AT_ONCE + one).collect();
            after.extend(&new);
            let specs: Vec<Value> = new.iter().map(|number| spec(*number)).collect();
            (after, "ReplaceRules", json!({ "rules": specs, "keep_others": true }))
        }
        // All but the newest few, so that the rules don't become many.
        _ => {
            let kept: Rules = rules.iter().rev().take(4).copied().collect();
            let specs: Vec<Value> = kept.iter().map(|number| spec(*number)).collect();
            (kept, "ReplaceRules", json!({ "rules": specs }))
        }
    }
}

fn listed(client: &mut Client) -> Rules {
    let rules = client.ask("ListRules", json!({}))["rules"].take();
    let number = |rule: &Value| rule["program"].as_str()?.strip_prefix("program-")?.parse().ok();
    let rules = rules.as_array().unwrap();
    let numbers: Rules = rules.iter().map(|rule| number(rule).unwrap()).collect();
    assert_eq!(numbers.len(), rules.len(), "a rule is there twice");
    numbers
}

/// Makes changes until the daemon is gone. Gives what the rules are if the last change was made,
/// and if it wasn't.
fn change(client: &mut Client, rules: Rules, number: &mut u64) -> [Rules; 2] {
    let mut before = rules;
    loop {
        *number += 1;
        let (after, method, parameters) = next(&before, *number);
        let call =
            json!({ "method": format!("io.snet.Control.{method}"), "parameters": parameters });
        if client.try_send(format!("{call}\0").as_bytes()).is_err() {
            return [before, after];
        }
        match client.receive() {
            Some(reply) => assert_eq!(reply.get("error"), None, "{reply}"),
            None => return [before, after],
        }
        before = after;
    }
}

#[test]
fn a_daemon_that_is_killed_200_times_keeps_every_change_that_it_acknowledged() {
    let place = Place::new();
    let (mut rules, mut number, mut made) = (Rules::new(), 0, 0);
    let mut moment = 1;
    for time in 0..TIMES {
        let daemon = place.start();
        let mut client = daemon.client();
        assert_eq!(listed(&mut client), rules);
        // Spread over the time that some changes take.
        moment = moment * 48_271 % 0x7fff_ffff;
        let wait = Duration::from_micros(moment % 30_000);
        let pid = nix::unistd::Pid::from_raw(daemon.pid() as i32);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(wait);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        });
        let first = number;
        let may_be = change(&mut client, rules, &mut number);
        made += number - first - 1;
        killer.join().unwrap();
        drop(daemon);
        let daemon = place.start();
        rules = listed(&mut daemon.client());
        assert!(may_be.contains(&rules), "time {time}: {rules:?} is none of {may_be:?}");
        daemon.kill();
    }
    // Few are on a machine that has other things to do.
    assert!(made > TIMES / 10, "{made} changes were acknowledged");
}
