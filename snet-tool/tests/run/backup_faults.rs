// SPDX-License-Identifier: MIT OR Apache-2.0
//! Backups and restores that can't be: each is refused with what to do, and changes nothing. A
//! restore that is killed leaves the database of before or the one of after.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::backup::{database, file, names, ran, sqlite};
use crate::disk::Disk;
use crate::harness::{Home, snetd};

/// Refused with these words, and nothing is left.
#[track_caller]
fn refused(home: &Home, arguments: &[&str], words: &str) {
    let look = || {
        let bytes = fs::read(database(home)).ok();
        let beside = database(home).parent().map(names).unwrap_or_default();
        let logs = |name: &String| !name.ends_with("-wal") && !name.ends_with("-shm");
        (bytes, beside.into_iter().filter(logs).collect::<Vec<_>>(), names(home.path()))
    };
    let before = look();
    let said = ran(home, arguments);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains(words), "{words}: {said:?}");
    assert_eq!(said.out, "");
    assert_eq!(look(), before, "{said:?}");
}

#[test]
fn a_backup_that_can_not_be_is_refused_and_leaves_nothing() {
    let home = Home::with("");
    fs::create_dir_all(database(&home).parent().unwrap()).unwrap();
    refused(&home, &["backup", "--user", "x"], "there is no database ");
    let home = home.begun();
    fs::write(home.path().join("there"), "mine").unwrap();
    refused(&home, &["backup", "--user", "there"], "exists: name another file, or say --force");
    assert_eq!(fs::read(home.path().join("there")).unwrap(), b"mine");
    refused(&home, &["backup", "--user", "no/x"], "there is no directory no: make it first");
    refused(&home, &["backup", "--user", "."], "is a directory");
    for end in ["", "-wal", "-shm", "-journal"] {
        let own = format!("{}{end}", database(&home).display());
        refused(&home, &["backup", "--user", "--force", &own], "is the database itself");
    }
    home.end_daemon(Signal::SIGTERM);
    let mut bytes = fs::read(database(&home)).unwrap();
    bytes.chunks_mut(4096).skip(1).for_each(|page| page[..64].fill(0xa5));
    fs::write(database(&home), bytes).unwrap();
    refused(&home, &["backup", "--user", "x"], "can't be saved: ");
    refused(&home, &["backup", "--user", "x"], "snet.db .recover | sqlite3 NEWFILE");
}

#[test]
fn a_restore_that_can_not_be_is_refused_and_changes_nothing() {
    let home = Home::with("").begun();
    home.done(&["allow", "curl", "tcp", "connect", "--note", &"n".repeat(1000)]);
    home.done(&["backup", "--user", "good"]);
    let good = fs::read(home.path().join("good")).unwrap();
    refused(&home, &["restore", "--user", "good"], "this user's snetd runs: end what runs under");
    home.end_daemon(Signal::SIGTERM);
    let restore = |bytes: &[u8], words| {
        fs::write(home.path().join("bad"), bytes).unwrap();
        refused(&home, &["restore", "--user", "bad"], words);
    };
    restore(b"", "it is no database of snet, and nothing was changed");
    restore(b"version = 1\n", "it is no database of snet");
    restore(&good[..good.len() / 2], "it can't be restored, and nothing was changed: ");
    restore(&good[..100], "it can't be restored");
    let mut damaged = good.clone();
    damaged.chunks_mut(4096).skip(1).for_each(|page| page[..64].fill(0xa5));
    restore(&damaged, "nothing was changed");
    let altered = |statements: &str| {
        fs::write(home.path().join("bad"), &good).unwrap();
        sqlite(home.path().join("bad"), statements);
        fs::read(home.path().join("bad")).unwrap()
    };
    let foreign = altered("PRAGMA application_id = 7");
    restore(&foreign, "it is no database of snet");
    let newer = altered("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1");
    restore(&newer, "it was made by a newer snetd");
    let senseless = altered("UPDATE rules SET operations = 'fly'");
    restore(&senseless, "rule 1");
    // What the look at each start doesn't see: an entry that its table's check forbids.
    let forbidden =
        altered("PRAGMA ignore_check_constraints = 1; UPDATE rules SET enabled = 7 WHERE id = 1");
    restore(&forbidden, "it is damaged (");
    refused(&home, &["restore", "--user", "nothing"], "can't read nothing: ");
    refused(&home, &["restore", "--user", "."], "isn't a regular file");
    let own = database(&home).to_str().unwrap().to_owned();
    refused(&home, &["restore", "--user", &own], "is the database itself");
    home.done(&["restore", "--user", "good"]);
}

#[test]
fn a_database_that_is_open_elsewhere_or_damaged_is_not_lost() {
    let home = Home::with("").begun();
    home.done(&["allow", "curl", "tcp", "connect"]);
    let rules = home.done(&["rules", "export"]);
    home.done(&["backup", "--user", "good"]);
    home.end_daemon(Signal::SIGTERM);
    // A daemon that doesn't know the lock of the directory, say.
    let program = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\n\
        db.execute('SELECT count(*) FROM rules').fetchall()\nprint('open', flush=True)\ninput()";
    let mut other = Command::new("/usr/bin/python3");
    other.args(["-c", program]).arg(database(&home));
    let mut other = other.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 5];
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut line).unwrap();
    refused(&home, &["restore", "--user", "good"], "another process has the database ");
    drop(other.stdin.take());
    other.wait().unwrap();

    fs::write(database(&home), "all that is left").unwrap();
    let log = format!("{}-wal", database(&home).display());
    fs::write(&log, "of it").unwrap();
    let said = home.done(&["restore", "--user", "good"]);
    let kept = said.lines().last().unwrap().strip_prefix("what was there before is ").unwrap();
    assert_eq!(fs::read_to_string(kept).unwrap(), "all that is left");
    assert_eq!(fs::read_to_string(format!("{kept}-wal")).unwrap(), "of it");
    assert_eq!(home.done(&["rules", "export"]), rules);
}

#[test]
fn a_full_disk_takes_no_backup_and_no_restore_and_keeps_what_it_has() {
    Disk::with("tmpfs", |disk| {
        let home = &disk.home;
        home.run(&["true"]);
        home.done(&["allow", "curl", "tcp", "connect"]);
        home.done(&["backup", "--user", "first"]);
        home.done(&["deny", "nc", "tcp", "connect"]);
        let rules = disk.rules();
        disk.fill();
        // To another disk it can be.
        home.done(&["backup", "--user", "second"]);
        let there = file(home, ".local/share/snet/backup");
        refused(home, &["backup", "--user", &there], "no space is left for the backup: free some");
        home.end_daemon(Signal::SIGTERM);
        refused(home, &["restore", "--user", "first"], "no space is left on the file system");
        refused(home, &["restore", "--user", "first"], "nothing was changed");
        disk.free();
        assert_eq!(disk.rules(), rules);
        home.end_daemon(Signal::SIGTERM);
        home.done(&["restore", "--user", "first"]);
        assert!(!disk.rules().contains("nc"));
        home.end_daemon(Signal::SIGTERM);
        home.done(&["restore", "--user", "second"]);
        assert_eq!(disk.rules(), rules);
    });
}

/// snetd as snet-tool runs it, so that it is the one that is killed.
fn restoring(home: &Home, backup: &str) -> Command {
    let mut command = Command::new(snetd());
    command.args(["--user", "--restore"]).env("HOME", home.path());
    for name in ["XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    command.stdin(File::open(backup).unwrap()).stderr(Stdio::null());
    command
}

/// How often.
const TIMES: u32 = 24;

#[test]
fn a_restore_that_is_killed_leaves_the_rules_of_before_or_those_of_after() {
    let home = Home::with("").begun();
    home.done(&["allow", "curl", "tcp", "connect", "--note", "after"]);
    let after = home.done(&["rules", "export"]);
    let backup = file(&home, "backup");
    home.done(&["backup", "--user", &backup]);
    let (mut restored, mut takes) = (0, Duration::from_secs(60));
    for time in 0..TIMES {
        // Different each time, and in the log: the daemon is killed, too.
        home.done(&["deny", "nc", "tcp", "connect", "--note", &time.to_string()]);
        let before = home.done(&["rules", "export"]);
        home.end_daemon(Signal::SIGKILL);
        let begun = Instant::now();
        let mut child = restoring(&home, &backup).spawn().unwrap();
        if time > 0 {
            // Spread over the time that it takes on this machine.
            std::thread::sleep(takes * time / TIMES);
            child.kill().unwrap();
        }
        let ended = child.wait().unwrap();
        if time == 0 {
            assert!(ended.success());
            takes = begun.elapsed();
        }
        let now = ran(&home, &["rules", "export"]);
        let log = fs::read_to_string(home.path().join(".local/state/snet/snetd.log"));
        assert_eq!(now.code, Some(0), "round {time}: {now:?}: {log:?}");
        let now = now.out;
        assert!(now == before || now == after, "round {time}: {now}");
        restored += u32::from(now == after);
    }
    assert!(restored < TIMES, "none was killed in time");
    println!("{restored} of {TIMES} were restored");
    home.end_daemon(Signal::SIGTERM);
    home.done(&["restore", "--user", &backup]);
    let left = names(database(&home).parent().unwrap());
    assert!(!left.iter().any(|name| name.contains("restoring")), "{left:?}");
}
