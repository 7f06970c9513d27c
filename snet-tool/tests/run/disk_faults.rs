// SPDX-License-Identifier: MIT OR Apache-2.0
//! A disk that is full or read-only: decisions go on by the rules there are, what can't be stored
//! is refused and said, and what was acknowledged is there afterwards.

use std::fs;
use std::io::Write;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::disk::Disk;
use crate::harness::{Home, Server, eventually};

const RULE: [&str; 4] = ["allow", "nc", "udp", "connect"];

fn gets_through(home: &Home, server: &Server) -> bool {
    home.run(&["curl", "-s", &server.url()]).code == Some(0)
}

/// Decisions go on, until the journal has lost some of them.
fn loses_the_journal(disk: &Disk, server: &Server) {
    eventually("entries are lost", || {
        assert!(gets_through(&disk.home, server));
        disk.status()["journal_dropped"].as_u64().filter(|lost| *lost > 0)
    });
    let told = disk.tool(&["status"]).out;
    assert!(told.contains(" entries lost") && !told.contains(" 0 entries lost"), "{told}");
}

/// The daemon waits for something to do, and has little to say.
fn is_quiet(disk: &Disk) {
    let daemon = disk.home.daemon().unwrap();
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{daemon}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let (before, second) = (ticks(), 100);
    std::thread::sleep(Duration::from_secs(2));
    assert!(ticks() - before < second, "of two seconds it took {} ticks", ticks() - before);
    let log = disk.log();
    assert!(log.lines().count() < 50, "{log}");
}

/// Adds rules until there is no room for one, and gives how that was refused.
fn add_until_refused(disk: &Disk) -> String {
    let note = "n".repeat(1000);
    let refused = (0..1000).find_map(|_| {
        let before = disk.rules();
        let ran = disk.tool(&[&RULE[..], &["--note", &note]].concat());
        let added = disk.rules().len() > before.len();
        assert_eq!(added, ran.code == Some(0), "{ran:?}");
        (!added).then_some(ran)
    });
    let refused = refused.unwrap();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("adding the rule failed, nothing was changed"), "{refused:?}");
    refused.err
}

#[test]
fn a_full_disk_costs_new_rules_and_the_journal_and_no_decision() {
    Disk::with("tmpfs", |disk| {
        let (home, server) = (&disk.home, Server::start());
        home.run(&["true"]);
        home.done(&["allow", "curl", "tcp", "connect"]);
        let daemon = home.daemon();
        disk.fill();
        let refused = add_until_refused(disk);
        assert!(refused.contains("no space is left on the file system of the data"), "{refused}");
        assert!(refused.contains("snet.db: free some, then try again"), "{refused}");
        let kept = disk.rules();
        loses_the_journal(disk, &server);
        let problem = disk.status()["problem"].to_string();
        assert!(problem.contains("entries are lost: no space is left"), "{problem}");
        let denied = home.python("import socket; socket.create_connection(('127.0.0.1', 9))");
        assert!(denied.err.contains("PermissionError"), "{denied:?}");
        is_quiet(disk);
        disk.free();
        home.done(&["deny", "nc", "tcp", "connect"]);
        let more = disk.rules();
        assert!(more.len() > kept.len() && home.daemon() == daemon);
        eventually("the problem is over", || {
            assert!(gets_through(home, &server));
            disk.status()["problem"].is_null().then_some(())
        });
        disk.restart(Signal::SIGKILL);
        assert_eq!(disk.rules(), more);
        assert!(gets_through(home, &server));
    });
}

#[test]
fn a_rule_ends_on_a_full_disk_too() {
    Disk::with("tmpfs", |disk| {
        let (home, server) = (&disk.home, Server::start());
        home.run(&["true"]);
        home.done(&["allow", "curl", "tcp", "connect", "--for", "6s"]);
        home.done(&RULE);
        disk.fill();
        add_until_refused(disk);
        eventually("the end of the rule", || (!gets_through(home, &server)).then_some(()));
        assert!(!disk.rules().contains("curl"), "{}", disk.rules());
        is_quiet(disk);
        disk.free();
        eventually("the problem is over", || {
            assert!(!gets_through(home, &server));
            disk.status()["problem"].is_null().then_some(())
        });
        home.done(&["deny", "nc", "tcp", "connect"]);
        disk.restart(Signal::SIGKILL);
        assert!(!disk.rules().contains("curl") && !gets_through(home, &server));
    });
}

#[test]
fn a_daemon_starts_on_a_full_disk_and_decides_by_the_rules_there_are() {
    Disk::with("tmpfs", |disk| {
        let (home, server) = (&disk.home, Server::start());
        home.run(&["true"]);
        home.done(&["allow", "curl", "tcp", "connect"]);
        home.done(&["allow", "nc", "tcp", "connect", "--for", "until-restart"]);
        disk.fill();
        for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
            disk.restart(signal);
            add_until_refused(disk);
            let rules = disk.rules();
            assert!(rules.contains("curl") && !rules.contains("until_restart"), "{rules}");
            assert!(gets_through(home, &server));
        }
        disk.free();
        disk.restart(Signal::SIGTERM);
        home.done(&RULE);
        let rules = disk.rules();
        assert!(rules.contains("curl") && !rules.contains("until_restart"), "{rules}");
    });
}

#[test]
fn a_disk_that_becomes_read_only_costs_no_decision() {
    Disk::with("ext4", |disk| {
        let (home, server) = (&disk.home, Server::start());
        home.run(&["true"]);
        home.done(&["allow", "curl", "tcp", "connect"]);
        let daemon = home.daemon();
        if let Err(why) = disk.fail() {
            let _ = writeln!(std::io::stderr(), "skipped: no fault of ext4: {why}");
            return;
        }
        let refused = add_until_refused(disk);
        assert!(refused.contains("the file system of the database "), "{refused}");
        assert!(refused.contains("is read-only: see `dmesg`"), "{refused}");
        loses_the_journal(disk, &server);
        assert_eq!(home.daemon(), daemon);
        is_quiet(disk);
        disk.restart(Signal::SIGKILL);
        assert!(gets_through(home, &server) && disk.rules().contains("curl"));
    });
}

#[test]
fn a_daemon_starts_on_a_read_only_disk_and_decides_by_the_rules_there_are() {
    Disk::with("tmpfs", |disk| {
        let (home, server) = (&disk.home, Server::start());
        home.run(&["true"]);
        // Ended in order, nothing is beside the database; killed, its last changes are.
        for (signal, program) in [(Signal::SIGTERM, "curl"), (Signal::SIGKILL, "wget")] {
            home.done(&["allow", program, "tcp", "connect"]);
            let rules = disk.rules();
            home.end_daemon(signal);
            disk.remount(true);
            assert!(gets_through(home, &server), "{}", disk.log());
            assert_eq!(disk.rules(), rules);
            let refused = add_until_refused(disk);
            assert!(refused.contains("nothing is stored, for when snetd was started"), "{refused}");
            assert!(refused.contains("is read-only: see `dmesg` for"), "{refused}");
            loses_the_journal(disk, &server);
            let problem = disk.status()["problem"].to_string();
            assert!(problem.contains("make it writable, then restart snetd"), "{problem}");
            home.end_daemon(Signal::SIGTERM);
            disk.remount(false);
            assert!(gets_through(home, &server), "{}", disk.log());
            assert_eq!(disk.rules(), rules);
        }
    });
}

#[test]
fn on_a_read_only_disk_without_a_database_no_daemon_starts() {
    Disk::with("tmpfs", |disk| {
        disk.remount(true);
        let ran = disk.home.run(&["true"]);
        assert_ne!(ran.code, Some(0), "{ran:?}");
        assert!(ran.err.contains("is read-only: see `dmesg`"), "{ran:?}");
        assert!(ran.err.contains("there is no database"), "{ran:?}");
    });
}
