// SPDX-License-Identifier: MIT OR Apache-2.0
//! What keeps the daemon from starting, and what it says then.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::harness::Place;

#[test]
fn a_wrong_configuration_is_refused_at_its_place() {
    let place = Place::new();
    place.configure("databse = \"/x\"", "");
    let told = place.refusal();
    let expected = format!("{}:3:1: unknown field `databse`", place.config().display());
    assert!(told.contains(&expected), "{told}");
    assert!(!place.database().exists());
    fs::remove_file(place.config()).unwrap();
    assert!(place.refusal().contains("can't read the configuration"));
}

#[test]
fn a_configuration_is_checked_without_starting() {
    let place = Place::new();
    let check = || place.command().arg("--check-config").output().unwrap();
    let right = check();
    assert!(right.status.success(), "{right:?}");
    assert!(!place.database().exists() && !place.socket().exists());
    place.configure("log_level = \"loud\"", "");
    let wrong = check();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains(":3:13: "), "line and column");
}

#[test]
fn the_shipped_configuration_is_right() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/snetd.toml");
    let mut snetd = Command::new(env!("CARGO_BIN_EXE_snetd"));
    assert!(snetd.args(["--check-config", "--config", file]).status().unwrap().success());
}

#[test]
fn a_damaged_database_is_refused_and_left_as_it_is() {
    let place = Place::new();
    place.start().stop();
    let mut bytes = fs::read(place.database()).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xa5);
    fs::write(place.database(), &bytes).unwrap();
    let told = place.refusal();
    assert!(told.contains(place.database().to_str().unwrap()) && told.contains(".recover"));
    assert_eq!(fs::read(place.database()).unwrap(), bytes);
    assert!(!place.socket().exists());
}

#[test]
fn a_rule_edited_into_nonsense_is_named() {
    let place = Place::new();
    let daemon = place.start();
    let rule = json!({ "action": "deny", "program": "nc",
        "scope": { "operations": "any", "protocols": "any" } });
    daemon.client().ask("AddRule", json!({ "rule": rule }));
    daemon.stop();
    place.edit("UPDATE rules SET remote = '192.0.2.0/99'");
    let told = place.refusal();
    assert!(told.contains("rule 1") && told.contains("192.0.2.0/99"), "{told}");
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let first = place.start();
    let told = place.refusal();
    assert!(told.contains(&format!("process {}", first.pid())), "{told}");
    first.client().ask("Status", json!({}));
    // What a killed daemon leaves doesn't count.
    first.kill();
    assert!(place.socket().exists());
    place.start();
}

#[test]
fn a_missing_module_is_an_error_unless_it_is_optional() {
    if std::path::Path::new("/sys/module/snet").exists() {
        eprintln!("skipped: the module is loaded here");
        return;
    }
    let place = Place::new();
    let configure = |kernel: &str| {
        let text = fs::read_to_string(place.config()).unwrap();
        let text = text.replace("\"off\"", kernel).replace("\"optional\"", kernel);
        fs::write(place.config(), text).unwrap();
    };
    configure("\"optional\"");
    let daemon = place.start();
    let status = daemon.wait_until(|status| !status["problem"].is_null());
    assert!(status["problem"].as_str().unwrap().contains("isn't loaded"), "{status}");
    assert!(daemon.stop().success());
    configure("\"required\"");
    let told = place.refusal();
    // Without the right to lock memory that is what is missing first.
    assert!(told.contains("modprobe snet") || told.contains("LimitMEMLOCK"), "{told}");
}
