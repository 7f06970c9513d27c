// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clocks that are set while the daemon runs, or are wrong when it starts. Only snetd and the
//! commands that talk of times see the clock of the test, by libfaketime.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Home, Ran, Server, eventually, snetd};

/// A home whose daemon has a clock of its own.
struct Clock {
    home: Home,
    library: PathBuf,
}

impl Clock {
    /// Nothing where it can't be had, which is said.
    fn at(time: &str) -> Option<Self> {
        let mut libraries = fs::read_dir("/usr/lib").unwrap().flatten();
        let library = libraries.find_map(|directory| {
            Some(directory.path().join("faketime/libfaketime.so.1")).filter(|file| file.is_file())
        });
        let Some(library) = library else {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            let _ = writeln!(std::io::stderr(), "skipped: {name}: there is no libfaketime");
            return None;
        };
        let clock = Self { home: Home::denying(), library };
        clock.set(time);
        let starter = clock.home.path().join("snetd");
        let lines = clock.variables().map(|(name, value)| format!("export {name}='{value}'\n"));
        let exec = format!("exec '{}' \"$@\"\n", snetd().display());
        fs::write(&starter, format!("#!/bin/sh\n{}{exec}", lines.concat())).unwrap();
        fs::set_permissions(&starter, Permissions::from_mode(0o755)).unwrap();
        clock.begin();
        Some(clock)
    }

    fn variables(&self) -> [(&'static str, String); 5] {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        [
            ("LD_PRELOAD", path(self.library.clone())),
            ("FAKETIME_TIMESTAMP_FILE", path(self.home.path().join("time"))),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
        ]
    }

    /// As libfaketime takes it: `+1d` from what it really is, or `@1960-01-01 00:00:00`.
    fn set(&self, time: &str) {
        let next = self.home.path().join("time.next");
        fs::write(&next, format!("{time}\n")).unwrap();
        fs::rename(next, self.home.path().join("time")).unwrap();
    }

    /// Starts the daemon.
    fn begin(&self) {
        let mut command = self.home.supervised(&["true"]);
        command.env("SNETD", self.home.path().join("snetd"));
        let ran: Ran = command.output().unwrap().into();
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    fn tool(&self, arguments: &[&str]) -> Ran {
        let mut command: Command = self.home.tool(arguments);
        command.envs(self.variables()).output().unwrap().into()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let ran = self.tool(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.out
    }

    fn rules(&self) -> String {
        self.done(&["rules", "export"])
    }

    /// Applies rules for curl that are to be confirmed.
    fn apply(&self, within: &str) {
        let file = self.home.path().join("rules.toml");
        let rules = "version = 1\n[[rule]]\naction = \"allow\"\nprogram = \"curl\"\n";
        fs::write(&file, rules).unwrap();
        self.done(&["rules", "apply", file.to_str().unwrap(), "--confirm", within]);
    }

    /// The rule for curl stands for most of this time, and not for ever.
    fn stands_for(&self, seconds: u64) {
        let begun = Instant::now();
        eventually("the end", || {
            let stands = self.rules().contains("curl");
            let early = begun.elapsed() < Duration::from_secs(seconds * 4 / 5);
            assert!(stands || !early, "over after {:?}", begun.elapsed());
            (!stands).then_some(())
        });
    }
}

#[test]
fn a_clock_set_forward_ends_a_rule_and_its_tickets() {
    let Some(clock) = Clock::at("+0d") else { return };
    clock.done(&["allow", "python3", "tcp", "connect", "--for", "1h"]);
    let server = Server::start();
    let program = format!(
        "
import socket, time
while True:
    try:
        socket.create_connection(('127.0.0.1', {})).close()
        print('connected', flush=True)
    except PermissionError:
        print('denied', flush=True)
        break
    time.sleep(0.01)
",
        server.port
    );
    let mut command = clock.home.supervised(&["/usr/bin/python3", "-c", &program]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..10 {
        assert_eq!(lines.next().unwrap().unwrap(), "connected");
    }
    clock.set("+1d");
    // It goes on until it is denied.
    eventually("the end of the rule", || (lines.next()?.unwrap() == "denied").then_some(()));
    assert!(child.wait().unwrap().success());
    assert!(!clock.rules().contains("python3"));
}

#[test]
fn a_clock_set_back_gives_a_rule_no_more_time() {
    let Some(clock) = Clock::at("+0d") else { return };
    clock.done(&["allow", "curl", "tcp", "connect", "--for", "10s"]);
    clock.set("-1d");
    clock.stands_for(10);
    clock.done(&["allow", "curl", "tcp", "connect", "--for", "5s"]);
    clock.stands_for(5);
}

#[test]
fn a_clock_set_back_before_the_daemon_starts_gives_a_rule_its_time_once_more() {
    let Some(clock) = Clock::at("+0d") else { return };
    clock.done(&["allow", "curl", "tcp", "connect", "--for", "10s"]);
    clock.home.end_daemon(Signal::SIGKILL);
    clock.set("-1d");
    clock.begin();
    clock.stands_for(10);
}

#[test]
fn setting_the_clock_neither_undoes_a_change_early_nor_lets_it_stand() {
    let Some(clock) = Clock::at("+0d") else { return };
    for time in ["+1d", "-1d"] {
        clock.apply("10s");
        clock.set(time);
        clock.stands_for(10);
        clock.apply("10s");
        clock.home.end_daemon(Signal::SIGKILL);
        clock.set("-2d");
        clock.begin();
        clock.stands_for(10);
    }
}

#[test]
fn a_clock_before_1970_or_after_2106_is_no_harm() {
    for time in ["@1960-02-03 04:05:06", "@1970-01-01 00:00:00", "@2110-02-03 04:05:06"] {
        let Some(clock) = Clock::at(time) else { return };
        let (home, server) = (&clock.home, Server::start());
        clock.done(&["allow", "curl", "tcp", "connect", "--for", "1h"]);
        assert_eq!(home.run(&["curl", "-s", &server.url()]).code, Some(0), "{time}");
        let denied = home.python("import socket; socket.create_connection(('127.0.0.1', 9))");
        assert!(denied.err.contains("PermissionError"), "{denied:?}");
        let log = eventually("the journal", || {
            let log = clock.done(&["log", "--utc"]);
            (log.lines().count() >= 2).then_some(log)
        });
        let year = &time[1..5];
        let moment = if year == "1970" { "1970-01-01" } else { &format!("{year}-02-03") };
        assert!(log.contains(moment), "{time}: {log}");
        assert!(clock.tool(&["status"]).out.contains("0 entries lost"), "{time}");
        home.end_daemon(Signal::SIGTERM);
        clock.begin();
        assert!(clock.rules().contains("curl"), "{time}");
        let said = home.path().join(".local/state/snet/snetd.log");
        let said = fs::read_to_string(said).unwrap();
        assert!(!said.contains("panicked") && !said.contains("ERROR"), "{time}: {said}");
    }
}
