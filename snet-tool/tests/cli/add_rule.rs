// SPDX-License-Identifier: MIT OR Apache-2.0
//! `allow` and `deny`: what is sent for which words, and what is told about the answer.

use libsnet::control::Reply;
use serde_json::{Value, json};

use crate::fake::{Fake, added, reply, storing};

/// The rule that a command line makes.
fn sent(arguments: &[&str]) -> Value {
    let fake = storing();
    let ran = fake.run(arguments);
    assert_eq!(ran.code, 0, "{ran:?}");
    fake.request()["parameters"]["rule"].clone()
}

fn scope(operations: &str, protocols: &str) -> Value {
    json!({ "operations": operations, "protocols": protocols })
}

#[test]
fn the_words_of_the_readme_make_exactly_this_call() {
    let fake = storing();
    let ran = fake.run(&["allow", "firefox", "tcp", "connect"]);
    let rule = json!({
        "action": "allow", "program": "firefox", "priority": 0, "enabled": true,
        "scope": { "operations": "connect", "protocols": "tcp" },
    });
    let call = json!({ "method": "io.snet.Control.AddRule", "parameters": { "rule": rule } });
    assert_eq!(fake.request(), call);
    assert_eq!(ran.out, "rule 3: allow firefox (/usr/bin/firefox) tcp connect\n");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn what_is_left_out_means_any() {
    assert_eq!(sent(&["deny", "cat"])["scope"], scope("any", "any"));
    assert_eq!(sent(&["deny", "cat", "udp"])["scope"], scope("any", "udp"));
    assert_eq!(sent(&["deny", "any"])["program"], json!("any"));
}

#[test]
fn operations_and_protocols_come_as_words_or_with_commas() {
    let both = scope("bind,listen", "tcp,udp");
    assert_eq!(sent(&["allow", "cat", "tcp,udp", "bind", "listen"])["scope"], both);
    assert_eq!(sent(&["allow", "cat", "tcp,udp", "listen,bind"])["scope"], both);
    assert_eq!(sent(&["allow", "cat", "6,17", "bind", "listen"])["scope"], both);
    assert_eq!(sent(&["allow", "cat", "any", "out"])["scope"], scope("connect,send", "any"));
    let input = scope("bind,listen,accept,recv", "any");
    assert_eq!(sent(&["allow", "cat", "any", "in"])["scope"], input);
}

#[test]
fn a_number_without_a_class_is_a_condition_of_its_own() {
    let gre = json!({ "operations": "any", "protocols": "raw,other", "number": 47 });
    assert_eq!(sent(&["deny", "cat", "47"])["scope"], gre);
}

#[test]
fn every_option_is_in_the_rule() {
    let rule = sent(&[
        "deny",
        "cat",
        "tcp",
        "connect",
        "--to",
        "10.1.2.3/8",
        "--port",
        "8000-8999",
        "--local-port",
        "1024-65535",
        "--user",
        "root",
        "--priority",
        "-5",
        "--note",
        "why not",
        "--disabled",
    ]);
    let expected = json!({
        "action": "deny", "program": "cat", "uid": 0, "priority": -5, "enabled": false,
        "note": "why not",
        "scope": {
            "operations": "connect", "protocols": "tcp", "remote": "10.0.0.0/8",
            "remote_ports": "8000-8999", "local_ports": "1024-65535",
        },
    });
    assert_eq!(rule, expected);
}

#[test]
fn one_address_is_a_network_of_one() {
    let remote = |to| sent(&["deny", "cat", "--to", to])["scope"]["remote"].clone();
    assert_eq!(remote("192.0.2.1"), json!("192.0.2.1/32"));
    assert_eq!(remote("2001:db8::1"), json!("2001:db8::1/128"));
    assert_eq!(remote("::ffff:192.0.2.1"), json!("192.0.2.1/32"));
}

#[test]
fn words_that_mean_nothing_are_named_and_nothing_is_sent() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["allow"], &["<PROGRAM>"]),
        (&["allow", "cat", "tpc"], &["'tpc'", "tcp, udp"]),
        (&["allow", "cat", "connect"], &["'connect'", "any connect"]),
        (&["allow", "cat", "tcp", "conect"], &["'conect'", "create, bind"]),
        (&["allow", "cat", "tcp", "bind,lisen"], &["'lisen'"]),
        (&["allow", "cat", "tcp,47"], &["47", "beside"]),
        (&["allow", "cat", "--to", "exa_mple.*"], &["exa_mple.*", "name of a host"]),
        (&["allow", "cat", "--to", "1.2.3.4:80"], &["--port"]),
        (&["allow", "cat", "--port", "9-1"], &["'9-1'"]),
        (&["allow", "cat", "--port", "http"], &["'http'"]),
        (&["allow", "cat", "--user", "no-such-user"], &["'no-such-user'"]),
        (&["allow", "cat", "--priority", "high"], &["high"]),
        (&["allow", "cat", "tcp", "bind", "--to", "1.2.3.4"], &["--to", "bind"]),
        (&["allow", "cat", "tcp", "listen", "--port", "80"], &["--port", "local port"]),
        (&["allow", "/usr/bin"], &["'/usr/bin'", "directory"]),
        (&["allow", ""], &["''"]),
        (&["alow", "cat"], &["'alow'", "allow"]),
    ];
    for (arguments, words) in cases {
        let fake = Fake::unasked();
        let ran = fake.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?} {ran:?}");
        for word in *words {
            assert!(ran.err.contains(word), "{arguments:?} lacks {word}: {}", ran.err);
        }
        assert_eq!(fake.requests(), Vec::<Value>::new());
    }
}

#[test]
fn revoked_tickets_and_notes_are_told() {
    let fake = Fake::new(|_, parameters| {
        reply(Reply::Changed {
            changed: Box::new(added(7, parameters)),
            revoked: 2,
            notes: vec!["something \x1b[1m worth knowing".into()],
        })
    });
    let ran = fake.run(&["deny", "any", "tcp", "--user", "0", "--priority", "9", "--disabled"]);
    let rule = "rule 7: deny any tcp any for user root, priority 9, disabled";
    assert_eq!(ran.out, format!("{rule}\nrevoked 2 tickets\n"));
    assert_eq!(ran.err, "note: something \\u{1b}[1m worth knowing\n");
}
