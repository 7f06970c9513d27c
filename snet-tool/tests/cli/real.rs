// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tool with the real daemon, without the kernel module: rules from the first to the
//! last word, and what both sides understand by them.
//!
//! Needs root and a built snetd: beside snet-tool in the target directory, or named by
//! `SNETD`. Without them the tests say so and do nothing; with `SNETD` set they must run.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libsnet::control::{Explanation, RuleRecord, StatusReply};
use tempfile::TempDir;

use crate::fake::{Ran, tool};

struct Real {
    dir: TempDir,
    daemon: Child,
}

impl Real {
    /// A daemon of its own, or nothing and the reason on stderr.
    fn start() -> Option<Self> {
        let named = std::env::var_os("SNETD").map(PathBuf::from);
        let beside = assert_cmd::cargo::cargo_bin!("snet-tool").with_file_name("snetd");
        let Some(snetd) = named.or_else(|| Some(beside).filter(|path| path.exists())) else {
            return skip("there is no snetd beside snet-tool; cargo build -p snetd makes it");
        };
        if !nix::unistd::geteuid().is_root() {
            return skip("only root may change rules");
        }
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("snetd.toml");
        fs::write(&config, configuration(dir.path())).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let daemon = Command::new(snetd)
            .arg("--config")
            .arg(&config)
            .arg("--no-kernel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut real = Self { dir, daemon };
        real.wait();
        Some(real)
    }

    fn wait(&mut self) {
        let start = Instant::now();
        while self.run(&["status"]).code == 4 {
            let log = || fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert_eq!(self.daemon.try_wait().unwrap(), None, "snetd ended: {}", log());
            assert!(start.elapsed() < Duration::from_secs(30), "snetd hangs: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let socket = self.dir.path().join("run/snetd.sock");
        tool(arguments).env("SNET_SOCKET", socket).output().unwrap().into()
    }

    /// Runs what must succeed, and gives what it prints.
    fn done(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?} {ran:?}");
        ran.out
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // It may have ended already, which the test has noticed then.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn configuration(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "database = \"{dir}/state/snet.db\"\nsearch_path = [\"{dir}/bin\"]\n\
         [control]\nsocket = \"{dir}/run/snetd.sock\"\ngroup = \"\"\nconnections = 16\n\
         [fallback]\ndefault = \"deny\"\n"
    )
}

fn skip<T>(reason: &str) -> Option<T> {
    // Not captured by the test harness, so that a skip is seen.
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
    None
}

#[test]
fn rules_live_from_the_first_word_to_the_last() {
    let Some(real) = Real::start() else { return };
    let bin = real.dir.path().canonicalize().unwrap().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::copy("/bin/true", bin.join("prog")).unwrap();
    let file = bin.join("prog");

    let out = real.done(&["allow", "prog", "tcp", "connect", "--port", "443"]);
    assert_eq!(out, format!("rule 1: allow prog ({}) tcp connect port 443\n", file.display()));
    let out = real.done(&["deny", "any", "--to", "10.0.0.0/8", "--priority", "5"]);
    assert_eq!(out, "rule 2: deny any any any to 10.0.0.0/8, priority 5\n");

    let listed: Vec<RuleRecord> = real
        .done(&["rules", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<_> = listed.iter().map(|rule| rule.id.0).collect();
    assert_eq!(ids, [2, 1], "in the order in which they are asked");

    let test = |to| real.run(&["test", "prog", "tcp", "connect", "--to", to, "--json"]);
    let allowed = test("192.0.2.1:443");
    assert_eq!(allowed.code, 0, "{allowed:?}");
    let why: Explanation = serde_json::from_str(&allowed.out).unwrap();
    assert_eq!(why.decision.rule.map(|id| id.0), Some(1));
    assert_eq!(test("10.1.2.3:443").code, 3);
    assert_eq!(test("192.0.2.1:80").code, 3, "the fallback denies");

    assert!(real.done(&["rules", "disable", "1"]).starts_with("rule 1 disabled: allow prog"));
    assert_eq!(test("192.0.2.1:443").code, 3);
    assert!(real.done(&["rules", "show", "1"]).contains("enabled   no"));
    let ran = real.run(&["rules", "delete", "1", "7", "2"]);
    assert_eq!((ran.code, ran.out.lines().count()), (1, 2), "{ran:?}");
    assert_eq!(real.done(&["rules", "list", "--json"]), "");
}

#[test]
fn programs_are_told_about_as_the_daemon_finds_them() {
    let Some(real) = Real::start() else { return };
    let ran = real.run(&["allow", "no-such-program"]);
    assert_eq!((ran.code, ran.err.lines().count()), (0, 1), "{ran:?}");
    assert!(ran.err.contains("isn't installed"), "{}", ran.err);
    let own = real.dir.path().canonicalize().unwrap().join("own");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("mine"), "#!/bin/sh\n").unwrap();
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    fs::set_permissions(own.join("mine"), mode).unwrap();
    let socket = real.dir.path().join("run/snetd.sock");
    let mut command = tool(&["deny", "mine"]);
    let ran: Ran = command.env("SNET_SOCKET", socket).env("PATH", &own).output().unwrap().into();
    assert!(ran.out.contains(&format!("deny {}/mine any any", own.display())), "{ran:?}");
    assert!(ran.err.contains("script") && ran.err.contains("search path"), "{ran:?}");
    assert_eq!(real.done(&["rules", "--json"]).lines().count(), 2);
}

#[test]
fn a_daemon_without_the_module_says_so() {
    let Some(real) = Real::start() else { return };
    let ran = real.run(&["status", "--json"]);
    let status: StatusReply = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, status.kernel), (6, None));
    assert!(real.run(&["status"]).out.contains("nothing is mediated"));
    assert_eq!(real.done(&["log"]), "");
    let ran = real.run(&["tickets"]);
    assert!(ran.code == 0 || ran.code == 1, "{ran:?}");
}

#[test]
fn too_many_connections_are_told_as_what_they_are() {
    let Some(real) = Real::start() else { return };
    let socket = real.dir.path().join("run/snetd.sock");
    let _open: Vec<_> = (0..16).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let ran = real.run(&["rules"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("too many connections") && ran.err.contains("have 16"), "{ran:?}");
}
