// SPDX-License-Identifier: MIT OR Apache-2.0
//! `snet-tool backup` and `restore` of a user's own daemon: what is in a backup, and what comes
//! back.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Home, Ran, Server, eventually};

/// Where a user's daemon has its database.
pub(crate) fn database(home: &Home) -> PathBuf {
    home.path().join(".local/share/snet/snet.db")
}

/// A file in this home.
pub(crate) fn file(home: &Home, name: &str) -> String {
    home.path().join(name).to_str().unwrap().to_owned()
}

pub(crate) fn ran(home: &Home, arguments: &[&str]) -> Ran {
    home.tool(arguments).output().unwrap().into()
}

/// What statements make of a database, the last of them printed.
pub(crate) fn sqlite(file: impl AsRef<Path>, statements: &str) -> String {
    let program = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
        for one in sys.argv[2].split(';'): rows = db.execute(one).fetchall()\nprint(rows)";
    let mut python = Command::new("/usr/bin/python3");
    let ran: Ran =
        python.args(["-c", program]).arg(file.as_ref()).arg(statements).output().unwrap().into();
    assert_eq!(ran.code, Some(0), "{statements}: {ran:?}");
    ran.out.trim().to_owned()
}

/// Names beside the database, and in the home.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|found| found.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn everything(home: &Home) -> [String; 4] {
    let log = home.done(&["log", "--json"]);
    [home.done(&["rules", "export"]), numbers(home), home.done(&["rules", "history"]), log]
}

/// Rules with their numbers, without what daemons find out anew.
fn numbers(home: &Home) -> String {
    let rules = home.done(&["rules", "--json"]);
    let rule = |line: &str| {
        let rule: Value = serde_json::from_str(line).unwrap();
        format!("{} {} {}\n", rule["id"], rule["created_at"], rule["note"])
    };
    rules.lines().map(rule).collect()
}

#[test]
fn a_backup_has_every_rule_that_was_acknowledged_before_it() {
    let (home, server) = (Home::with("").begun(), Server::start());
    let (made, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let backup = file(&home, "backup");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                home.done(&["allow", "curl", "tcp", "connect", "--note", "x"]);
                made.fetch_add(1, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                home.run(&["curl", "-s", &server.url()]);
            }
        });
        for round in 1..=6 {
            eventually("more rules", || (made.load(Ordering::SeqCst) >= round * 2).then_some(()));
            let before = made.load(Ordering::SeqCst);
            let said = ran(&home, &["backup", "--user", "--force", "--json", &backup]);
            let after = made.load(Ordering::SeqCst) + 1;
            assert_eq!(said.code, Some(0), "{said:?}");
            let said: Value = serde_json::from_str(&said.out).unwrap();
            let rules = said["rules"].as_u64().unwrap();
            assert!((before..=after).contains(&rules), "{before}..={after}: {said}");
            let found = "SELECT (SELECT count(*) FROM rules), (SELECT count(*) FROM journal)";
            let counted = format!("[({rules}, {})]", said["entries"]);
            assert_eq!(sqlite(&backup, found), counted);
            assert_eq!(sqlite(&backup, "PRAGMA integrity_check"), "[('ok',)]");
            let about = fs::metadata(&backup).unwrap();
            assert_eq!(
                (about.mode() & 0o777, about.len()),
                (0o600, said["bytes"].as_u64().unwrap())
            );
            // Nothing is beside it, neither before nor after it was read.
            assert_eq!(names(home.path()), [".config", ".local", "backup"]);
        }
        over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn what_is_restored_is_all_that_was_backed_up_and_it_is_in_force() {
    let (home, server) = (Home::denying().begun(), Server::start());
    let attempt = || home.run(&["curl", "-s", &server.url()]).code == Some(0);
    for note in ["one", "two", "three"] {
        home.done(&["allow", "curl", "tcp", "connect", "--note", note]);
    }
    home.done(&["rules", "delete", "2"]);
    let rules = file(&home, "rules.toml");
    fs::write(&rules, "version = 1\n[[rule]]\naction = \"deny\"\nprogram = \"nc\"\n").unwrap();
    home.done(&["rules", "import", &rules]);
    assert!(attempt());
    eventually("the journal", || home.done(&["log"]).contains("allow").then_some(()));
    let before = everything(&home);
    assert!(!before[1].lines().any(|rule| rule.starts_with("2 ")), "{}", before[1]);
    let backup = file(&home, "backup");
    let said = home.done(&["backup", "--user", &backup]);
    assert!(said.starts_with(&format!("{backup}: 3 rules, 1 entry of the journal, ")), "{said}");

    for rule in ["1", "3"] {
        home.done(&["rules", "delete", rule]);
    }
    home.done(&["deny", "wget", "tcp", "connect"]);
    assert!(!attempt());
    let meanwhile = home.done(&["rules", "export"]);
    // Killed: its last changes are in a log beside the database.
    home.end_daemon(Signal::SIGKILL);
    let said = ran(&home, &["restore", "--user", &backup]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains(" is restored: 3 rules, 1 entry of the journal\n"), "{said:?}");
    let kept = said.out.lines().last().unwrap().strip_prefix("what was there before is ").unwrap();
    assert!(kept.contains("/snet.db.before-restore-2"), "{kept}");
    assert_eq!(everything(&home), before);
    assert!(attempt());

    home.end_daemon(Signal::SIGTERM);
    home.done(&["restore", "--user", kept]);
    assert_eq!(home.done(&["rules", "export"]), meanwhile);
    assert!(!attempt());
}

#[test]
fn a_backup_needs_no_daemon_and_a_restore_no_database() {
    let home = Home::with("").begun();
    home.done(&["allow", "curl", "tcp", "connect"]);
    let rules = home.done(&["rules", "export"]);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        home.end_daemon(signal);
        home.done(&["backup", "--user", "--force", "backup"]);
        let other = Home::with("");
        let said = home.tool(&["restore", "--user", "backup"]).env("HOME", other.path()).output();
        let said: Ran = said.unwrap().into();
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(!said.out.contains("before"), "{said:?}");
        assert_eq!(other.done(&["rules", "export"]), rules);
        assert_eq!(home.done(&["rules", "export"]), rules);
    }
}

#[test]
fn a_backup_of_an_earlier_version_is_brought_to_this_one() {
    let home = Home::with("").begun();
    home.done(&["allow", "curl", "tcp", "connect"]);
    let rules = home.done(&["rules", "export"]);
    let backup = file(&home, "backup");
    home.done(&["backup", "--user", &backup]);
    let newest = "SELECT max(version) FROM _sqlx_migrations";
    let version = sqlite(&backup, newest);
    let columns = ["container", "command", "parent", "host"];
    let drop = columns.map(|column| format!("ALTER TABLE rules DROP COLUMN {column};")).concat();
    sqlite(&backup, &format!("{drop}DELETE FROM _sqlx_migrations WHERE version = 6"));
    home.done(&["deny", "curl", "tcp", "connect"]);
    home.end_daemon(Signal::SIGTERM);
    home.done(&["restore", "--user", &backup]);
    assert_eq!(sqlite(database(&home), newest), version);
    assert_ne!(sqlite(&backup, newest), version, "the backup stays as it is");
    assert_eq!(home.done(&["rules", "export"]), rules);
}
