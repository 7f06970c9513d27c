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
fn a_rule_for_calls_that_nobody_watches_is_told_and_test_says_so() {
    let place = Place::new();
    place.configure("", "[watch]\nconnect = \"udp\"");
    let daemon = place.start();
    let mut client = daemon.client();
    let added = client.ask("AddRule", deny(&program()));
    let notes = added["notes"].to_string();
    assert!(notes.contains("no tcp connect is watched"), "{notes}");
    let answer = client.ask("Test", connect(&program()));
    assert_eq!(
        (&answer["watched"], &answer["explanation"]["decision"]["verdict"]),
        (&json!(false), &json!("deny"))
    );
    place.configure("", "[watch]\nconnect = \"tcp\"");
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    let began = std::time::Instant::now();
    while client.ask("Test", connect(&program()))["watched"] != true {
        assert!(began.elapsed() < crate::harness::PATIENCE, "the watch set isn't followed");
    }
    let notes = client.ask("AddRule", deny(&program()))["notes"].to_string();
    assert!(!notes.contains("watched"), "{notes}");
}

#[test]
fn where_unix_sockets_are_watched_no_rule_keeps_root_from_the_daemon() {
    let place = Place::new();
    let tool = place.path().join("bin/snet-tool");
    std::fs::create_dir(tool.parent().unwrap()).unwrap();
    std::fs::copy("/bin/true", &tool).unwrap();
    let path = format!("search_path = [{:?}]", tool.parent().unwrap());
    place.configure(&path, "[watch]\nconnect = \"unix,tcp\"\ncreate = \"unix\"");
    let daemon = place.start();
    let mut client = daemon.client();
    let everything = json!({ "action": "deny", "program": "any", "priority": 1000,
        "scope": { "operations": "any", "protocols": "any" } });
    client.ask("AddRule", json!({ "rule": everything }));
    let mut verdict = |program: &std::path::Path, uid: u32, operation: &str, protocol: &str| {
        let mut question = connect(program.to_str().unwrap());
        question["uid"] = uid.into();
        question["object"]["operation"] = operation.into();
        question["object"]["protocol"] = protocol.into();
        question["object"]["remote"] = Value::Null;
        client.ask("Test", question)["explanation"]["decision"]["verdict"].take()
    };
    assert_eq!(verdict(&tool, 0, "connect", "unix"), "allow");
    assert_eq!(verdict(&tool, 0, "create", "unix"), "allow");
    assert_eq!(verdict(&tool, 1000, "connect", "unix"), "deny");
    assert_eq!(verdict(&tool, 0, "connect", "tcp"), "deny");
    assert_eq!(verdict(std::path::Path::new(&program()), 0, "connect", "unix"), "deny");
    let rules = client.ask("ListRules", json!({}))["rules"].take();
    assert_eq!(rules.as_array().unwrap().len(), 1, "{rules}");
    assert_eq!(client.ask("Status", json!({}))["daemon"]["rules"], 1);
}

#[test]
fn a_database_that_is_gone_is_noticed_before_anything_is_lost() {
    let place = Place::new();
    let daemon = place.start();
    let mut client = daemon.client();
    client.ask("AddRule", deny("one"));
    std::fs::remove_file(place.database()).unwrap();
    let (error, parameters) = client.refused("AddRule", deny("two"));
    let reason = parameters["reason"].as_str().unwrap();
    assert!(error == "Failed" && reason.contains("was deleted while snetd ran"), "{reason}");
    assert!(reason.contains("nothing was changed"), "{reason}");
    assert_eq!(client.ask("ListRules", json!({}))["rules"].as_array().unwrap().len(), 1);
}

#[test]
fn rules_of_another_file_in_the_place_of_the_database_are_not_taken_for_its_own() {
    let (place, other) = (Place::new(), Place::new());
    other.start().client().ask("AddRule", deny("other"));
    let daemon = place.start();
    let mut client = daemon.client();
    client.ask("AddRule", deny(&program()));
    std::fs::rename(other.database(), place.database()).unwrap();
    for (method, parameters) in [("AddRule", deny("two")), ("ListRules", json!({}))] {
        let (_, parameters) = client.refused(method, parameters);
        let reason = parameters["reason"].as_str().unwrap();
        assert!(reason.contains("was replaced while snetd ran"), "{reason}");
    }
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    let replaced = |problem: &Value| problem.as_str().is_some_and(|it| it.contains("was replaced"));
    let status = daemon.wait_until(|status| replaced(&status["problem"]));
    assert_eq!(status["rules"], 1);
    let decided = client.ask("Test", connect(&program()))["explanation"]["decision"].take();
    assert_eq!(decided["verdict"], "deny");
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
fn with_the_module_switched_off_there_are_only_tickets_of_supervised_programs() {
    let place = Place::new();
    let daemon = place.start();
    let (error, parameters) = daemon.client().refused("RevokeTickets", json!({ "id": 1 }));
    assert_eq!((error.as_str(), &parameters["kind"]), ("NotFound", &json!("ticket")));
    assert_eq!(daemon.client().ask("ListTickets", json!({}))["tickets"], json!([]));
}
