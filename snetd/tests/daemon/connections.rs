// SPDX-License-Identifier: MIT OR Apache-2.0
//! Peers that misbehave harm only themselves.

use libsnet::control::MAX_REPLY;
use serde_json::json;

use crate::harness::{Client, Place};

#[test]
fn a_hundred_half_sent_calls_hold_up_nobody() {
    let place = Place::new();
    let daemon = place.start();
    let half = |_| {
        let mut client = daemon.client();
        client.send(b"{\"method\":\"io.snet.Con");
        client
    };
    let _half_sent: Vec<Client> = (0..100).map(half).collect();
    for _ in 0..10 {
        daemon.client().ask("Status", json!({}));
    }
}

#[test]
fn too_many_connections_are_refused_and_their_places_come_back() {
    let place = Place::new();
    place.configure("", "connections = 4\nconnections_per_user = 2");
    let daemon = place.start();
    let served = |client: &mut Client| {
        client.send(b"{\"method\":\"org.varlink.service.GetInfo\"}\0");
        let reply = client.receive().unwrap();
        if let Some(error) = reply.get("error") {
            assert_eq!(error, "io.snet.Control.Failed");
            assert!(reply["parameters"]["reason"].as_str().unwrap().contains("too many"));
            assert_eq!(client.receive(), None);
        }
        reply.get("error").is_none()
    };
    let mut open: Vec<Client> = Vec::new();
    // Those of the harness go when the daemon has noticed.
    while open.len() < 4 {
        let mut client = daemon.client();
        if served(&mut client) {
            open.push(client);
        }
    }
    assert!(!served(&mut daemon.client()));
    drop(open);
    while !served(&mut daemon.client()) {}
}

#[test]
fn a_call_that_is_too_long_closes_the_connection() {
    let place = Place::new();
    let daemon = place.start();
    let mut client = daemon.client();
    client.send(b"{\"method\":\"org.varlink.service.GetInfo\"}\0");
    assert!(client.receive().is_some());
    // The daemon stops reading: how much of it can be written isn't known.
    use std::io::Write;
    let _ = client.0.get_mut().write_all(&vec![b' '; MAX_REPLY + 1]);
    assert_eq!(client.receive(), None);
    daemon.client().ask("Status", json!({}));
}

#[test]
fn garbage_closes_the_connection_and_nothing_else() {
    let place = Place::new();
    let daemon = place.start();
    let mut watcher = daemon.client();
    watcher.send(b"{\"method\":\"io.snet.Control.Watch\",\"more\":true}\0");
    for garbage in [&b"\0"[..], b"garbage\0", b"\xff\xfe\0", b"[1,2]\0", b"{\"method\":7}\0"] {
        let mut client = daemon.client();
        client.send(garbage);
        assert_eq!(client.receive(), None, "{garbage:?}");
    }
    let deep = "[".repeat(100_000);
    let mut client = daemon.client();
    client.send(format!("{{\"method\":\"a.b\",\"parameters\":{deep}\0").as_bytes());
    assert_eq!(client.receive(), None);
    daemon.client().ask("Status", json!({}));
    assert!(daemon.stop().success());
    assert_eq!(watcher.receive(), None);
}

#[test]
fn wrong_calls_are_answered_and_the_connection_stays() {
    let place = Place::new();
    let daemon = place.start();
    let mut client = daemon.client();
    assert_eq!(client.refused("Nope", json!({})).0, "MethodNotFound");
    assert_eq!(client.refused("ShowRule", json!({ "id": "one" })).0, "InvalidParameter");
    assert_eq!(client.refused("Status", json!({ "more": 1 })).0, "InvalidParameter");
    assert_eq!(client.refused("Watch", json!({})).0, "ExpectedMore");
    assert_eq!(client.refused("Log", json!({ "limit": -1 })).0, "InvalidParameter");
    client.ask("Status", json!({}));
}
