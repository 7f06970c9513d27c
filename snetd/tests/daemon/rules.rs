// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules over the control socket, and through restarts.

use serde_json::{Value, json};

use crate::harness::Place;

fn deny(program: &str) -> Value {
    json!({ "rule": { "action": "deny", "program": program,
        "scope": { "operations": "connect", "protocols": "tcp" } } })
}

fn connect(program: &str) -> Value {
    json!({ "program": program, "uid": 0, "object": {
        "operation": "connect", "protocol": "tcp", "family": 2, "kind": 1, "number": 6,
        "remote": "192.0.2.1:443", "local": null, "flags": 0 } })
}

/// A program that is there on any machine, under its real name.
fn program() -> String {
    std::fs::canonicalize("/proc/self/exe").unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_rule_is_in_force_once_it_is_acknowledged_and_until_it_is_deleted() {
    let place = Place::new();
    let daemon = place.start();
    let mut client = daemon.client();
    let verdict = |client: &mut crate::harness::Client| {
        client.ask("Test", connect(&program()))["explanation"]["decision"].take()
    };
    assert_eq!(verdict(&mut client)["source"], "no-rule");

    let changed = client.ask("AddRule", deny(&program()))["changed"].take();
    let id = &changed["id"];
    assert_eq!(changed["resolved"], program().as_str());
    assert_eq!(changed["created_by"], nix::unistd::geteuid().as_raw());
    assert_eq!(verdict(&mut client), json!({ "verdict": "deny", "source": "rule", "rule": id }));

    client.ask("EnableRule", json!({ "id": id, "enabled": false }));
    assert_eq!(verdict(&mut client)["source"], "no-rule");
    client.ask("EnableRule", json!({ "id": id, "enabled": true }));
    assert_eq!(verdict(&mut client)["verdict"], "deny");

    client.ask("DeleteRule", json!({ "id": id }));
    assert_eq!(verdict(&mut client)["source"], "no-rule");
    assert_eq!(client.ask("ListRules", json!({}))["rules"], json!([]));
    let (error, parameters) = client.refused("ShowRule", json!({ "id": id }));
    assert_eq!((error.as_str(), &parameters["id"]), ("NotFound", id));
}

#[test]
fn rules_outlive_a_stop_and_a_kill() {
    let place = Place::new();
    let daemon = place.start();
    let stopped = daemon.client().ask("AddRule", deny("one"))["changed"].take();
    assert!(daemon.stop().success());
    let daemon = place.start();
    let killed = daemon.client().ask("AddRule", deny("two"))["changed"].take();
    daemon.kill();
    let daemon = place.start();
    assert_eq!(daemon.client().ask("ListRules", json!({}))["rules"], json!([stopped, killed]));
}

#[test]
fn rules_are_listed_in_the_order_in_which_they_are_asked() {
    let place = Place::new();
    let daemon = place.start();
    let mut client = daemon.client();
    for (program, priority) in [("any", 0), ("one", 0), ("any", 5)] {
        let mut rule = deny(program);
        rule["rule"]["priority"] = priority.into();
        client.ask("AddRule", rule);
    }
    let rules = client.ask("ListRules", json!({}))["rules"].take();
    let ids: Vec<_> = rules.as_array().unwrap().iter().map(|rule| rule["id"].clone()).collect();
    assert_eq!(ids, [3, 2, 1]);
}

#[test]
fn a_rule_that_cannot_mean_anything_is_refused_with_the_reason() {
    let place = Place::new();
    let daemon = place.start();
    let mut client = daemon.client();
    let mut rule = deny("nc");
    rule["rule"]["scope"] =
        json!({ "operations": "listen", "protocols": "tcp", "remote": "192.0.2.0/24" });
    let (error, parameters) = client.refused("AddRule", rule);
    assert_eq!(error, "InvalidRule");
    assert!(parameters["reason"].as_str().unwrap().contains("remote"), "{parameters}");

    let (error, parameters) = client.refused("AddRule", deny("bin/nc"));
    assert_eq!(error, "InvalidParameter");
    assert!(parameters["parameter"].as_str().unwrap().starts_with("rule.program"), "{parameters}");
    assert_eq!(client.ask("ListRules", json!({}))["rules"], json!([]));
}

#[test]
fn who_adds_a_rule_learns_what_the_program_is() {
    let place = Place::new();
    let script = place.path().join("script");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    let daemon = place.start();
    let mut client = daemon.client();
    let note = |reply: Value| reply["notes"][0].as_str().unwrap_or_default().to_owned();
    let absent = note(client.ask("AddRule", deny("no-such-program")));
    assert!(absent.contains("isn't installed yet"), "{absent}");
    let interpreted = note(client.ask("AddRule", deny(script.to_str().unwrap())));
    assert!(interpreted.contains("/bin/sh"), "{interpreted}");
}

#[test]
fn a_long_list_comes_in_parts_to_who_asks_for_more() {
    let place = Place::new();
    let daemon = place.start();
    let mut client = daemon.client();
    let mut rule = deny("nc");
    rule["rule"]["note"] = "n".repeat(1024).into();
    for _ in 0..300 {
        client.ask("AddRule", rule.clone());
    }
    assert_eq!(client.ask("ListRules", json!({}))["rules"].as_array().unwrap().len(), 300);
    client.send(b"{\"method\":\"io.snet.Control.ListRules\",\"more\":true}\0");
    let (mut parts, mut rules) = (0, 0);
    loop {
        let reply = client.receive().unwrap();
        parts += 1;
        rules += reply["parameters"]["rules"].as_array().unwrap().len();
        if reply["continues"] != true {
            break;
        }
    }
    assert_eq!((parts, rules), (2, 300));
}

#[test]
fn without_the_module_tickets_are_an_honest_failure() {
    let place = Place::new();
    let daemon = place.start();
    let (error, parameters) = daemon.client().refused("RevokeTickets", json!({ "id": 1 }));
    let expected = if std::path::Path::new("/sys/module/snet").exists() {
        ["NotFound"; 2]
    } else {
        ["Failed", "isn't loaded"]
    };
    assert_eq!(error, expected[0]);
    assert!(error == "NotFound" || parameters["reason"].as_str().unwrap().contains(expected[1]));
}
