// SPDX-License-Identifier: MIT OR Apache-2.0
//! `snet-tool backup` and `restore`: nothing that was acknowledged before is missing, and what can't
//! be restored changes nothing.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Uid;

use crate::disk::Disk;
use crate::harness::{Home, Ran, Server, snetd};

const RULE: [&str; 4] = ["allow", "curl", "tcp", "connect"];
/// The user that the system gives to nobody else.
const NOBODY: u32 = 65534;

fn tool(home: &Home, arguments: &[&str]) -> Ran {
    home.tool(arguments).output().unwrap().into()
}

fn rules(home: &Home) -> String {
    home.done(&["rules", "export"])
}

fn database(home: &Home) -> PathBuf {
    home.path().join(".local/share/snet/snet.db")
}

fn refused(ran: &Ran, why: &str) {
    assert!(ran.code == Some(1) && ran.err.contains(why), "{why}: {ran:?}");
}

#[test]
fn what_was_acknowledged_before_a_backup_is_there_after_its_restoration() {
    let (home, server) = (Home::denying().begun(), Server::start());
    home.done(&RULE);
    home.run(&["curl", "-s", &server.url()]);
    let adding = std::thread::scope(|scope| {
        let added = scope.spawn(|| {
            (0..30).for_each(|port| {
                home.done(&[&RULE[..], &["--port", &(1000 + port).to_string()]].concat());
            });
        });
        // Between two rules, or within one.
        std::thread::sleep(Duration::from_millis(100));
        let before = rules(&home);
        let said = home.done(&["backup", "--user", "amid.db"]);
        added.join().unwrap();
        (before, said)
    });
    let (before, said) = adding;
    assert!(said.contains("amid.db: ") && said.contains(" rule"), "{said}");
    let said: serde_json::Value =
        serde_json::from_str(&home.done(&["--json", "backup", "--user", "all.db"])).unwrap();
    assert_eq!((&said["rules"], &said["file"]), (&31.into(), &"all.db".into()), "{said}");
    assert_eq!(home.path().join("all.db").metadata().unwrap().mode() & 0o777, 0o600);
    let all = rules(&home);
    home.end_daemon(Signal::SIGTERM);

    home.done(&["restore", "--user", "amid.db"]);
    let amid = rules(&home);
    for rule in before.split("[[rules]]") {
        assert!(amid.contains(rule.trim()), "{rule} isn't in {amid}");
    }
    home.end_daemon(Signal::SIGKILL);
    home.done(&["restore", "--user", "all.db"]);
    assert_eq!(rules(&home), all);
    assert!(home.done(&["log"]).contains("curl"), "the journal is restored too");
    assert_eq!(home.run(&["curl", "-s", &server.url()]).code, Some(0));
}

#[test]
fn what_was_there_before_a_restoration_is_kept_and_can_be_restored() {
    let home = Home::denying().begun();
    home.done(&["backup", "--user", "empty.db"]);
    home.done(&RULE);
    let with_rule = rules(&home);
    home.end_daemon(Signal::SIGKILL);
    let restored = tool(&home, &["restore", "--user", "empty.db"]);
    let kept = restored.err.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(kept.contains("snet.db.before-restore-"), "{restored:?}");
    assert_ne!(rules(&home), with_rule);
    home.end_daemon(Signal::SIGTERM);
    home.done(&["restore", "--user", &kept]);
    assert_eq!(rules(&home), with_rule);
}

#[test]
fn what_cannot_be_saved_or_restored_is_refused_and_changes_nothing() {
    let home = Home::denying();
    refused(&tool(&home, &["backup", "--user", "x.db"]), "there is no database");
    let home = home.begun();
    home.done(&RULE);
    home.done(&["backup", "--user", "good.db"]);
    refused(&tool(&home, &["backup", "--user", "good.db"]), "good.db exists");
    home.done(&["backup", "--user", "good.db", "--force"]);
    refused(&tool(&home, &["backup", "--user", "no/where.db"]), "can't write to no/where.db");
    let own = database(&home).display().to_string();
    let onto_itself = tool(&home, &["backup", "--user", "--force", &own]);
    refused(&onto_itself, "is the database itself");
    refused(&tool(&home, &["restore", "--user", "good.db"]), "stop it first");

    let before = rules(&home);
    let file = |name: &str, content: &[u8]| fs::write(home.path().join(name), content).unwrap();
    let good = fs::read(home.path().join("good.db")).unwrap();
    file("text.db", b"allow curl");
    file("empty.db", b"");
    file("cut.db", &good[..good.len() / 2]);
    let mut damaged = good.clone();
    damaged.chunks_mut(4096).skip(1).for_each(|page| page[..64].fill(0xa5));
    file("damaged.db", &damaged);
    let mut foreign = good;
    foreign[68..72].copy_from_slice(b"mine");
    file("foreign.db", &foreign);
    home.end_daemon(Signal::SIGTERM);
    for (name, why) in [
        ("text.db", "nothing was changed: reading it failed"),
        ("empty.db", "nothing was changed: it has no rules"),
        ("cut.db", "nothing was changed: "),
        ("damaged.db", "nothing was changed: "),
        ("foreign.db", "another program"),
        ("none.db", "can't read none.db"),
        (".", "isn't a regular file"),
        (&own, "is the database itself"),
    ] {
        let ran = tool(&home, &["restore", "--user", name]);
        assert!(ran.code == Some(1) && ran.err.contains(why), "{name}: {ran:?}");
    }
    assert_eq!(rules(&home), before);
    let left = fs::read_dir(database(&home).parent().unwrap()).unwrap();
    let left: Vec<_> = left.map(|found| found.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("restor")), "{left:?}");
}

#[test]
fn a_restoration_that_is_killed_leaves_the_old_rules_or_the_new_ones() {
    let home = Home::denying().begun();
    home.done(&["backup", "--user", "none.db"]);
    let none = rules(&home);
    home.done(&RULE);
    home.done(&["backup", "--user", "one.db"]);
    let one = rules(&home);
    home.end_daemon(Signal::SIGTERM);
    let begun = Instant::now();
    home.done(&["restore", "--user", "one.db"]);
    let whole = begun.elapsed();
    rules(&home);
    let mut outcomes = [0, 0];
    for round in 0..24 {
        home.end_daemon(if round % 2 == 0 { Signal::SIGKILL } else { Signal::SIGTERM });
        let now = if round % 2 == 0 { "none.db" } else { "one.db" };
        let mut restoring = Command::new(snetd());
        restoring.args(["--user", "--restore", now]).current_dir(home.path());
        let mut restoring = restoring.env("HOME", home.path()).spawn().unwrap();
        std::thread::sleep(whole * round / 16);
        let _ = restoring.kill();
        restoring.wait().unwrap();
        let found = rules(&home);
        assert!(found == none || found == one, "round {round}: {found}");
        outcomes[usize::from(found == one)] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

#[test]
fn a_full_disk_keeps_the_old_rules_and_can_be_saved() {
    Disk::with("tmpfs", |disk| {
        let home = &disk.home;
        home.run(&["true"]);
        home.done(&RULE);
        home.done(&["backup", "--user", "good.db"]);
        let before = disk.rules();
        disk.fill();
        home.done(&["backup", "--user", "full.db"]);
        home.end_daemon(Signal::SIGTERM);
        refused(&disk.tool(&["restore", "--user", "good.db"]), "nothing was changed");
        disk.free();
        assert_eq!(disk.rules(), before);
        home.end_daemon(Signal::SIGTERM);
        home.done(&["restore", "--user", "full.db"]);
        assert_eq!(disk.rules(), before);
    });
}

/// A directory for a database, of the user `nobody`, where root is in charge of it.
fn of_nobody(home: &Home) -> (PathBuf, String) {
    let place = home.path().join("of-nobody");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
    chown(&place, Some(NOBODY), Some(NOBODY)).unwrap();
    let config = home.path().join("nobody.toml");
    let text =
        format!("database = \"{0}/snet.db\"\n[control]\nsocket = \"{0}/run/s\"\n", place.display());
    fs::write(&config, text).unwrap();
    (place, config.display().to_string())
}

#[test]
fn root_touches_the_database_of_another_user_by_that_user_s_rights() {
    if !Uid::effective().is_root() {
        // Not captured by the test harness, so that a skip is seen.
        let _ = writeln!(std::io::stderr(), "skipped: needs root");
        return;
    }
    let home = Home::denying().begun();
    home.done(&RULE);
    home.done(&["backup", "--user", "good.db"]);
    let (place, config) = of_nobody(&home);
    let of = |file: &Path| {
        let found = file.symlink_metadata().unwrap();
        (found.uid(), found.mode() & 0o777)
    };
    let call = |command: &str, file: &str| tool(&home, &[command, "--config", &config, file]);

    assert_eq!(call("restore", "good.db").code, Some(0), "{:?}", call("restore", "good.db"));
    assert_eq!(of(&place.join("snet.db")), (NOBODY, 0o600));
    assert_eq!(call("backup", "saved.db").code, Some(0));
    assert_eq!(of(&home.path().join("saved.db")), (0, 0o600), "the backup is root's");
    for found in fs::read_dir(&place).unwrap() {
        let found = found.unwrap().path();
        assert_eq!(of(&found).0, NOBODY, "{}", found.display());
    }

    // What only root may read isn't read for whoever is in that directory, nor written over.
    let secret = home.path().join("good.db");
    let content = fs::read(&secret).unwrap();
    fs::remove_file(place.join("snet.db")).unwrap();
    symlink(&secret, place.join("snet.db")).unwrap();
    assert_eq!(call("backup", "stolen.db").code, Some(1));
    assert!(!home.path().join("stolen.db").exists());
    fs::remove_file(place.join("snet.db")).unwrap();
    symlink(&secret, place.join("snet.db.restoring")).unwrap();
    let log = place.join("snet.db-wal");
    let _ = fs::remove_file(&log);
    symlink(&secret, log).unwrap();
    assert_eq!(call("restore", "saved.db").code, Some(0));
    assert_eq!(of(&place.join("snet.db")), (NOBODY, 0o600));
    assert_eq!(fs::read(&secret).unwrap(), content);
}
