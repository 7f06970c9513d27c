// SPDX-License-Identifier: MIT OR Apache-2.0
//! A daemon that is killed at any moment: nothing acknowledged is lost, nothing is half done.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, Place};

/// How often.
const TIMES: u64 = 200;
/// Microseconds until it is killed, at most.
const LONGEST: u64 = 60_000;
/// Rules that are imported at once.
const AT_ONCE: u64 = 5;
/// Rules that stay when all are replaced: they don't become many.
const LEFT: usize = 4;

/// The programs of the rules, each of which has one, and whether it is enabled.
type Rules = BTreeMap<u64, bool>;

/// What a client can see.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    rules: Rules,
    /// The number of the last change of all rules at once.
    change: u64,
    /// Does it wait to be confirmed?
    waits: bool,
}

/// What the daemon should have stored.
#[derive(Debug, Clone, Default)]
struct Stored {
    seen: Seen,
    /// The rules before the last change of all of them at once.
    before: Rules,
}

impl Stored {
    fn replaced(&self, rules: Rules, waits: bool) -> Self {
        let change = self.seen.change + 1;
        Self { seen: Seen { rules, change, waits }, before: self.seen.rules.clone() }
    }

    fn changed(&self, change: impl FnOnce(&mut Rules) -> Option<bool>) -> Self {
        let mut after = self.clone();
        change(&mut after.seen.rules);
        after
    }
}

fn spec(number: u64, enabled: bool) -> Value {
    json!({ "action": "deny", "program": format!("program-{number}"), "enabled": enabled,
        "scope": { "operations": "connect", "protocols": "tcp" } })
}

fn specs(rules: &Rules) -> Vec<Value> {
    rules.iter().map(|(number, enabled)| spec(*number, *enabled)).collect()
}

/// A change: what is stored after it, and the call that makes it.
fn next(stored: &Stored, ids: &BTreeMap<u64, u64>, number: u64) -> (Stored, &'static str, Value) {
    let rules = &stored.seen.rules;
    let one = rules.iter().nth(number as usize % rules.len().max(1));
    match (number % 8, one) {
        (_, _) if stored.seen.waits && number.is_multiple_of(2) => {
            let seen = Seen { waits: false, ..stored.seen.clone() };
            (Stored { seen, ..stored.clone() }, "ConfirmRules", json!({}))
        }
        (6, _) if stored.seen.change > 0 => roll_back(stored),
        (_, _) if stored.seen.waits => roll_back(stored),
        (1, Some((one, _))) => {
            let after = stored.changed(|rules| rules.remove(one));
            (after, "DeleteRule", json!({ "id": ids[one] }))
        }
        (2, Some((one, enabled))) => {
            let after = stored.changed(|rules| rules.insert(*one, !enabled));
            (after, "EnableRule", json!({ "id": ids[one], "enabled": !enabled }))
        }
        (3 | 7, _) => {
            let new: Rules = (0..AT_ONCE).map(|one| (number * AT_ONCE + one, true)).collect();
            let all = rules.iter().chain(&new).map(|(one, enabled)| (*one, *enabled)).collect();
            let call = json!({ "rules": specs(&new), "keep_others": true });
            (stored.replaced(all, false), "ReplaceRules", call)
        }
        (4 | 5, _) => {
            let left = rules.iter().rev().take(LEFT).map(|(one, enabled)| (*one, *enabled));
            let (left, waits) = (left.collect(), number % 8 == 5);
            let mut call = json!({ "rules": specs(&left) });
            if waits {
                call["confirm_within"] = 3_600_000.into();
            }
            (stored.replaced(left, waits), "ReplaceRules", call)
        }
        (_, _) => {
            let new = number * AT_ONCE;
            let after = stored.changed(|rules| rules.insert(new, true));
            (after, "AddRule", json!({ "rule": spec(new, true) }))
        }
    }
}

fn roll_back(stored: &Stored) -> (Stored, &'static str, Value) {
    (stored.replaced(stored.before.clone(), false), "RollBackRules", json!({}))
}

/// What is there, and the numbers that the daemon gave to the rules.
fn look(client: &mut Client) -> Option<(Seen, BTreeMap<u64, u64>)> {
    let listed = client.try_ask("ListRules", json!({}))?["rules"].take();
    let listed = listed.as_array().unwrap();
    let number = |rule: &Value| rule["program"].as_str()?.strip_prefix("program-")?.parse().ok();
    let number = |rule: &Value| -> u64 { number(rule).unwrap() };
    let rules: Rules = listed.iter().map(|rule| (number(rule), rule["enabled"] == true)).collect();
    assert_eq!(rules.len(), listed.len(), "a rule is there twice");
    let ids = listed.iter().map(|rule| (number(rule), rule["id"].as_u64().unwrap())).collect();
    let history = client.try_ask("ListHistory", json!({}))?["history"].take();
    let change = history[0]["id"].as_u64().unwrap_or(0);
    let mut entries = history.as_array().unwrap().iter();
    let waits = entries.any(|entry| !entry["confirm_by"].is_null());
    Some((Seen { rules, change, waits }, ids))
}

/// Makes changes until the daemon is gone. Gives what is stored if the last change was made,
/// and if it wasn't.
fn change(client: &mut Client, stored: Stored, number: &mut u64) -> [Stored; 2] {
    let mut before = stored;
    loop {
        let Some((seen, ids)) = look(client) else {
            return [before.clone(), before];
        };
        assert_eq!(seen, before.seen);
        *number += 1;
        let (after, method, parameters) = next(&before, &ids, *number);
        if client.try_ask(method, parameters).is_none() {
            return [before, after];
        }
        before = after;
    }
}

#[test]
fn a_daemon_that_is_killed_200_times_keeps_every_change_that_it_acknowledged() {
    let place = Place::new();
    let (mut may_be, mut number, mut made) = (vec![Stored::default()], 0, 0);
    let mut moment = 1;
    for time in 0..=TIMES {
        let daemon = place.start();
        let mut client = daemon.client();
        let (seen, _) = look(&mut client).unwrap();
        let found = may_be.iter().find(|stored| stored.seen == seen);
        let stored = found.unwrap_or_else(|| panic!("time {time}: {seen:?} of {may_be:?}")).clone();
        // Spread over the time that some changes take.
        moment = moment * 48_271 % 0x7fff_ffff;
        let wait = Duration::from_micros(moment % LONGEST);
        let pid = nix::unistd::Pid::from_raw(daemon.pid() as i32);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(wait);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        });
        let first = number;
        may_be = change(&mut client, stored, &mut number).to_vec();
        made += (number - first).saturating_sub(1);
        killer.join().unwrap();
    }
    // Few are on a machine that has other things to do.
    assert!(made > TIMES / 10, "{made} changes were acknowledged");
}
