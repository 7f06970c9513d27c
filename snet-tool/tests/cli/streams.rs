// SPDX-License-Identifier: MIT OR Apache-2.0
//! `log` and `watch`: pages of the past, and decisions as they are made.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libsnet::control::{ErrorReply, JournalEntry, Reply};
use libsnet::types::{Cause, RuleId, Verdict};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::fake::{Act, Fake, changed, entry, reply, rule, status};

const LINE: &str = "1970-01-01 02:00:01.500  deny   curl[4711]                \
    tcp connect to 192.0.2.1:443            rule 3     uid 1000  /usr/bin/curl\n";

fn log_of(entries: Vec<JournalEntry>) -> Fake {
    Fake::new(move |method, parameters| {
        assert_eq!(method, "io.snet.Control.Log");
        let before = parameters["before"].as_i64().unwrap_or(i64::MAX);
        let limit = usize::try_from(parameters["limit"].as_u64().unwrap()).unwrap();
        assert!(limit <= 10_000);
        let older: Vec<_> =
            entries.iter().filter(|entry| entry.id.unwrap() < before).cloned().collect();
        let newest = older[older.len().saturating_sub(limit)..].to_vec();
        let (first, second) = newest.split_at(newest.len() / 2);
        Act::Reply([first, second].map(|part| Reply::Journal { entries: part.to_vec() }).to_vec())
    })
}

#[test]
fn the_log_is_a_line_for_each_decision_oldest_first() {
    let mut second = entry(Some(2), 2_000);
    second.decision.rule = None;
    second.decision.source = libsnet::control::Source::NoRule;
    second.decision.verdict = Verdict::Allow;
    second.comm = "a\nb".into();
    second.exe = None;
    second.remote = None;
    second.local = Some("[::]:80".parse().unwrap());
    let ran = log_of(vec![entry(Some(1), 1_500), second]).run(&["log"]);
    let (first, second) = ran.out.split_once('\n').unwrap();
    assert_eq!(format!("{first}\n"), LINE);
    let words: Vec<_> = second.split_whitespace().collect();
    assert_eq!(
        words.join(" "),
        "1970-01-01 02:00:02.000 allow a\\nb[4711] \
        tcp connect on [::]:80 no rule uid 1000 unknown program"
    );
}

/// The words behind the call.
fn reason(cause: Cause, rule: Option<u64>) -> String {
    let mut told = entry(Some(1), 1_500);
    told.decision.source = libsnet::control::Source::Kernel;
    told.decision.rule = rule.map(RuleId);
    told.cause = Some(cause);
    let ran = log_of(vec![told]).run(&["log"]);
    let (_, rest) = ran.out.split_once("192.0.2.1:443").unwrap();
    rest.split_once("uid").unwrap().0.trim().to_owned()
}

#[test]
fn what_the_kernel_decided_alone_says_why() {
    assert_eq!(reason(Cause::Deadline, None), "fallback (no verdict in time)");
    assert_eq!(reason(Cause::NoDecider, None), "fallback (no decider)");
    assert_eq!(reason(Cause::Ticket, Some(3)), "ticket of rule 3");
    assert_eq!(reason(Cause::Ticket, None), "ticket");
    assert_eq!(reason(Cause::SourceRoute, None), "source route");
}

#[test]
fn decisions_of_the_kernel_that_are_not_known_are_counted_where_they_were() {
    let mut second = entry(Some(2), 2_000);
    second.dropped = 17;
    let ran = log_of(vec![entry(Some(1), 1_500), second]).run(&["log"]);
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ran.out);
    assert!(lines[1].starts_with("17 decisions of the kernel aren't known"), "{}", lines[1]);
}

#[test]
fn the_newest_are_read_in_as_many_pages_as_it_takes() {
    let entries: Vec<_> = (1..=25_000).map(|id| entry(Some(id), id)).collect();
    let fake = log_of(entries.clone());
    let ran = fake.run(&["log", "-n", "12000", "--json"]);
    let read: Vec<JournalEntry> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, entries[13_000..]);
    let calls: Vec<_> = fake.requests().iter().map(|call| call["parameters"].clone()).collect();
    assert_eq!(calls, [json!({ "limit": 10_000 }), json!({ "limit": 2_000, "before": 15_001 })]);
}

#[test]
fn a_journal_that_ends_early_ends_the_log() {
    let ran = log_of(vec![entry(Some(1), 0)]).run(&["log", "-n", "20", "--verdict", "deny"]);
    assert_eq!(ran.out.lines().count(), 1);
    let ran = log_of(vec![]).run(&["log"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert_eq!(Fake::unasked().run(&["log", "--verdict", "maybe"]).code, 2);
}

#[test]
fn the_verdict_is_left_to_the_daemon() {
    let fake = log_of(vec![]);
    let _ = fake.run(&["log", "-n", "5", "--verdict", "deny"]);
    assert_eq!(fake.requests()[0]["parameters"], json!({ "limit": 5, "verdict": "deny" }));
}

fn decided(entry: JournalEntry, missed: u64) -> Reply {
    Reply::Decided { decided: Box::new(entry), missed }
}

/// A daemon that streams these and keeps the stream open.
fn streaming(decisions: Vec<Reply>, log: Vec<JournalEntry>) -> Fake {
    Fake::new(move |method, _| match method {
        "io.snet.Control.Status" => reply(Reply::Status(Box::new(status()))),
        "io.snet.Control.Watch" => Act::Stream(decisions.clone()),
        "io.snet.Control.Log" => reply(Reply::Journal { entries: log.clone() }),
        _ => Act::Close,
    })
}

/// The tool in the background, its output in pipes.
fn start(fake: &Fake, arguments: &[&str]) -> Child {
    Command::new(assert_cmd::cargo::cargo_bin!("snet-tool"))
        .args(arguments)
        .env("SNET_SOCKET", fake.socket())
        .env("TZ", "TWO-2")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The exit code of a tool that has to end by itself, soon.
fn ended(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    panic!("it doesn't end");
}

fn interrupt(child: &Child) {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
}

#[test]
fn watching_prints_each_decision_and_ends_cleanly_on_interrupt() {
    let fake =
        streaming(vec![decided(entry(None, 1_500), 0), decided(entry(None, 1_500), 7)], vec![]);
    let mut child = start(&fake, &["watch"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..2 {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, LINE);
    }
    assert_eq!(child.try_wait().unwrap(), None, "it goes on watching");
    interrupt(&child);
    assert_eq!(ended(&mut child), Some(0));
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(err, "note: 7 decisions left out: too many at once\n");
    let calls: Vec<_> = fake.requests();
    let watch = json!({ "method": "io.snet.Control.Watch", "parameters": {}, "more": true });
    assert_eq!(calls[1], watch);
}

#[test]
fn watching_ends_when_nobody_reads_although_nothing_happens() {
    let fake = streaming(vec![decided(entry(None, 0), 0)], vec![]);
    let mut child = start(&fake, &["watch", "--json"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(serde_json::from_str::<JournalEntry>(&line).unwrap(), entry(None, 0));
    drop(out);
    assert_eq!(ended(&mut child), Some(0));
}

#[test]
fn a_reader_that_has_gone_changes_neither_what_is_done_nor_how_it_ends() {
    let fake = Fake::new(|_, parameters| {
        // The reader goes before there is anything to read.
        thread::sleep(Duration::from_millis(200));
        let id = parameters["id"].as_u64().unwrap();
        match id {
            4 => Act::Error(ErrorReply::NotFound { kind: "rule".into(), id }),
            _ => reply(changed(rule(id, Verdict::Deny, "nc"), 0)),
        }
    });
    let mut child = start(&fake, &["rules", "delete", "3", "4", "5"]);
    drop(child.stdout.take());
    assert_eq!(ended(&mut child), Some(1));
    assert_eq!(fake.requests().len(), 3);
}

#[test]
fn an_interrupt_ends_it_although_nobody_empties_the_pipe() {
    let many = (0..5_000).map(|time| decided(entry(None, time), 0)).collect();
    let fake = streaming(many, vec![]);
    let mut child = start(&fake, &["watch"]);
    // Long enough that the pipe is full; when it isn't, the test shows less.
    thread::sleep(Duration::from_millis(300));
    interrupt(&child);
    assert_eq!(ended(&mut child), Some(0));
}

#[test]
fn a_verdict_can_be_picked() {
    let mut allowed = entry(None, 0);
    allowed.decision.verdict = Verdict::Allow;
    let fake = streaming(vec![decided(entry(None, 0), 0), decided(allowed, 0)], vec![]);
    let mut child = start(&fake, &["watch", "--verdict", "allow"]);
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("allow"), "{line}");
    assert_eq!(ended(&mut child), Some(0));
}

#[test]
fn following_the_log_shows_each_decision_once() {
    let live =
        vec![decided(entry(None, 2), 0), decided(entry(None, 3), 0), decided(entry(None, 3), 0)];
    let log = vec![entry(Some(1), 1), entry(Some(2), 2), entry(Some(3), 3)];
    let fake = streaming(live, log);
    let mut child = start(&fake, &["log", "--follow", "--json", "-n", "3"]);
    let out = BufReader::new(child.stdout.take().unwrap());
    let times: Vec<i64> = out
        .lines()
        .take(4)
        .map(|line| serde_json::from_str::<JournalEntry>(&line.unwrap()).unwrap().time)
        .collect();
    assert_eq!(times, [1, 2, 3, 3]);
    assert_eq!(ended(&mut child), Some(0));
}

#[test]
fn a_daemon_that_ends_is_told() {
    let fake = Fake::new(|method, _| match method {
        "io.snet.Control.Status" => reply(Reply::Status(Box::new(status()))),
        _ => Act::Close,
    });
    let ran = fake.run(&["watch"]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("closed the connection"), "{}", ran.err);
}

#[test]
fn a_missing_module_is_told_before_anything_else() {
    let fake = Fake::new(|method, _| match method {
        "io.snet.Control.Status" => {
            let silent = libsnet::control::StatusReply { kernel: None, ..status() };
            reply(Reply::Status(Box::new(silent)))
        }
        _ => Act::Close,
    });
    assert!(fake.run(&["watch"]).err.starts_with("note: the kernel module isn't there"));
}
