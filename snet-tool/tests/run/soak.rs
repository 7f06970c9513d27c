// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many decisions: what a daemon keeps of calls and processes must not grow with them.
//! `SNET_SOAK` says how many; `make soak` asks for a million.

use crate::harness::Home;

/// Calls number FIRST to END, each with an address and a port of its own, 500 by each process.
const CALLS: &str = "
import os, socket
each = 500
def call(number):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(('127.%d.%d.%d' % (number >> 16 & 255, number >> 8 & 255, number & 255), 1 + number * 7919 % 65535))
        except PermissionError:
            pass
for first in range(FIRST, END, each):
    if os.fork() == 0:
        for number in range(first, first + each):
            call(number)
        os._exit(0)
    assert os.wait()[1] == 0
";

const WARM_UP: u64 = 5000;

/// How many a supervised program makes: none runs for long.
const STEP: usize = 100_000;

/// What snetd may grow by, in KiB: caches of SQLite and of the allocator still fill up then. It
/// was 2464 after 20,000 decisions, 4748 after 60,000 and 4856 after 200,000.
const BOUND: u64 = 8192;

#[test]
fn memory_does_not_grow_with_decisions() {
    let total = std::env::var("SNET_SOAK").map_or(20_000, |count| count.parse().unwrap());
    let home = Home::denying().begun();
    // Tickets decide about half of the calls, as most of those of a real program.
    home.done(&["allow", "/usr/bin/python3", "udp", "connect", "--port", "1-32767"]);
    home.done(&["deny", "/usr/bin/python3", "udp", "connect", "--port", "7"]);
    let calls = |first: u64, end: u64| {
        let program = CALLS.replace("FIRST", &first.to_string()).replace("END", &end.to_string());
        let ran = home.python(&program);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    // What a daemon keeps up to a bound it has after these.
    calls(0, WARM_UP);
    let before = anonymous_memory(&home);
    for first in (WARM_UP..total).step_by(STEP) {
        calls(first, total.min(first + STEP as u64));
    }
    let grown = anonymous_memory(&home).saturating_sub(before);
    let status = home.tool(&["status", "--json"]).output().unwrap().stdout;
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    let number = |pointer| status.pointer(pointer).and_then(serde_json::Value::as_u64);
    assert!(number("/supervised/calls") >= Some(total), "{status}");
    assert!(number("/supervised/ticket_allowed") >= Some(total / 4), "{status}");
    assert_eq!(number("/daemon/journal_dropped"), Some(0), "{status}");
    assert!(grown < BOUND, "{total} decisions made snetd grow by {grown} KiB from {before} KiB");
    println!("{total} decisions: snetd grew from {before} KiB by {grown} KiB");
}

/// What the daemon has for itself, in KiB.
fn anonymous_memory(home: &Home) -> u64 {
    let daemon = home.daemon().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{daemon}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
