// SPDX-License-Identifier: MIT OR Apache-2.0
//! Signals, and what the service manager sees.

use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::harness::{PATIENCE, Place};

const RULE: &str = r#"{"action": "deny", "program": "nc",
    "scope": {"operations": "any", "protocols": "any"}}"#;

#[test]
fn sigterm_and_sigint_end_it_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let place = Place::new();
        let daemon = place.start();
        let mut open = daemon.client();
        daemon.signal(signal);
        assert!(daemon.stop().success());
        assert!(!place.socket().exists());
        assert_eq!(open.receive(), None);
        // Closed in order, the database needs no recovery.
        assert!(!place.database().with_extension("db-wal").exists());
    }
}

#[test]
fn sighup_follows_the_configuration_and_the_rules() {
    let place = Place::new();
    let daemon = place.start();
    let rule: serde_json::Value = serde_json::from_str(RULE).unwrap();
    daemon.client().ask("AddRule", json!({ "rule": rule }));
    place.edit("UPDATE rules SET enabled = 0");
    place.configure("", "[fallback]\ndefault = \"deny\"");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_until(|status| status["generation"] == 3);
    let exe = std::fs::canonicalize("/proc/self/exe").unwrap();
    let explained = daemon.client().ask(
        "Test",
        json!({ "program": exe.to_str().unwrap(), "uid": 0, "object": {
            "operation": "listen", "protocol": "tcp", "family": 2, "kind": 1, "number": 6,
            "remote": null, "local": "0.0.0.0:80", "flags": 0 } }),
    );
    let decision = json!({ "verdict": "deny", "source": "no-rule", "rule": null });
    assert_eq!(explained["explanation"]["decision"], decision);
}

#[test]
fn sighup_keeps_what_was_right_and_says_what_is_wrong() {
    let place = Place::new();
    let daemon = place.start();
    let rule: serde_json::Value = serde_json::from_str(RULE).unwrap();
    daemon.client().ask("AddRule", json!({ "rule": rule }));
    place.edit("UPDATE rules SET action = 'perhaps'");
    place.configure("nonsense = 1", "");
    daemon.signal(Signal::SIGHUP);
    let said = |status: &serde_json::Value, word: &str| {
        status["problem"].as_str().is_some_and(|problem| problem.contains(word))
    };
    let status = daemon.wait_until(|status| {
        said(status, "`nonsense`") && said(status, "'perhaps'") || said(status, "`perhaps`")
    });
    assert_eq!((&status["rules"], &status["generation"]), (&json!(1), &json!(2)));

    place.edit("UPDATE rules SET action = 'allow'");
    place.configure("", "");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_until(|status| status["problem"].is_null() && status["generation"] == 3);
}

#[test]
fn the_service_manager_is_told() {
    let place = Place::new();
    let path = place.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = |wanted: &str| loop {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).unwrap();
        let told = String::from_utf8(buffer[..length].to_vec()).unwrap();
        // The watchdog is fed in between.
        if told != "WATCHDOG=1\n" {
            assert!(told.starts_with(wanted), "{told}");
            return told;
        }
    };
    let mut command = place.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "60000000").env_remove("WATCHDOG_PID");
    let daemon = place.start_as(command);
    next("READY=1");
    daemon.signal(Signal::SIGHUP);
    assert!(next("RELOADING=1").contains("MONOTONIC_USEC="));
    next("READY=1");
    daemon.signal(Signal::SIGTERM);
    next("STOPPING=1");
    assert!(daemon.stop().success());
}

#[test]
fn the_watchdog_is_fed() {
    let place = Place::new();
    let path = place.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = place.command();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "30000").env_remove("WATCHDOG_PID");
    let _daemon = place.start_as(command);
    let mut fed = 0;
    while fed < 2 {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).unwrap();
        fed += usize::from(buffer[..length].starts_with(b"WATCHDOG=1"));
    }
}
