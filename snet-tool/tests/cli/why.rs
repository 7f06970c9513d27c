// SPDX-License-Identifier: MIT OR Apache-2.0
//! `test`: the question that is asked, the answer in words, and the exit code.

use std::fs;

use libsnet::control::{Decision, ErrorReply, Explanation, Reply, Source};
use libsnet::types::{RuleId, Scope, Verdict};
use serde_json::{Value, json};

use crate::fake::{Act, Fake, Ran, reply, rule};

fn explanation(verdict: Verdict, rule: Option<u64>) -> Explanation {
    let source = if rule.is_some() { Source::Rule } else { Source::NoRule };
    Explanation {
        asks: false,
        decision: Decision { verdict, source, rule: rule.map(RuleId) },
        ticket: rule.map(|_| Scope { remote: Some("192.0.2.0/24".parse().unwrap()), ..Scope::ANY }),
        considered: rule.map_or(vec![], |id| vec![RuleId(9), RuleId(id)]),
    }
}

fn explaining(explanation: Explanation) -> Fake {
    answering(explanation, true)
}

fn answering(explanation: Explanation, watched: bool) -> Fake {
    Fake::new(move |method, _| match method {
        "io.snet.Control.Test" => {
            reply(Reply::Explained { explanation: Box::new(explanation.clone()), watched })
        }
        "io.snet.Control.ListRules" => reply(Reply::Rules {
            rules: vec![rule(9, Verdict::Allow, "curl"), rule(3, Verdict::Deny, "curl")],
        }),
        _ => Act::Close,
    })
}

fn asked(arguments: &[&str]) -> Value {
    let fake = explaining(explanation(Verdict::Allow, Some(3)));
    let ran = fake.run(arguments);
    assert_eq!(ran.code, 0, "{ran:?}");
    fake.requests()[0]["parameters"].clone()
}

#[test]
fn the_question_is_the_call_as_the_kernel_would_tell_it() {
    let call = asked(&["test", "curl", "tcp", "connect", "--to", "192.0.2.1:443", "--user", "0"]);
    let expected = json!({ "program": "curl", "uid": 0, "object": {
        "operation": "connect", "protocol": "tcp", "family": 2, "kind": 1, "number": 6,
        "remote": "192.0.2.1:443", "local": "0.0.0.0:0", "flags": 0,
    }});
    assert_eq!(call, expected);
    let call = asked(&["test", "/bin/x", "udp", "send", "--to", "::1", "--port", "53"]);
    assert_eq!(call["object"]["remote"], "[::1]:53");
    assert_eq!(
        (&call["object"]["family"], &call["object"]["local"]),
        (&json!(10), &json!("[::]:0"))
    );
    let call = asked(&["test", "curl", "tcp", "bind", "--local-port", "80"]);
    assert_eq!(
        (&call["object"]["remote"], &call["object"]["local"]),
        (&Value::Null, &json!("0.0.0.0:80"))
    );
    let call = asked(&["test", "curl", "packet", "create"]);
    assert_eq!((&call["object"]["family"], &call["object"]["local"]), (&json!(17), &Value::Null));
}

#[test]
fn addresses_are_told_as_the_kernel_tells_them() {
    let remote =
        |to| asked(&["test", "curl", "tcp", "connect", "--to", to])["object"]["remote"].clone();
    assert_eq!(remote("0.0.0.0:80"), "127.0.0.1:80");
    assert_eq!(remote("[::]:80"), "[::1]:80");
    assert_eq!(remote("[::ffff:192.0.2.1]:80"), "192.0.2.1:80");
}

#[test]
fn a_denied_call_says_why_and_ends_in_3() {
    let fake = explaining(explanation(Verdict::Deny, Some(3)));
    let ran = fake.run(&["test", "curl", "tcp", "connect", "--to", "192.0.2.1:443", "--user", "0"]);
    assert_eq!(ran.code, 3);
    assert_eq!(
        ran.out,
        "\
deny: curl as root, tcp connect to 192.0.2.1:443
  rule 9 is about other calls: allow curl (/usr/bin/curl) tcp connect
  rule 3 decides: deny curl (/usr/bin/curl) tcp connect
  ticket: deny any any to 192.0.2.0/24
"
    );
}

#[test]
fn a_call_that_is_not_watched_is_allowed_whatever_the_rules_say() {
    let fake = answering(explanation(Verdict::Deny, Some(3)), false);
    let ran = fake.run(&["test", "curl", "tcp", "bind", "--user", "0"]);
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.out,
        "\
allow: curl as root, tcp bind
  not watched: allowed without asking (see [watch] in snetd's configuration)
  if it were watched: deny
  rule 9 is about other calls: allow curl (/usr/bin/curl) tcp connect
  rule 3 decides: deny curl (/usr/bin/curl) tcp connect
  ticket: deny any any to 192.0.2.0/24
"
    );
    let ran = fake.run(&["test", "curl", "tcp", "bind", "--json"]);
    assert_eq!(ran.code, 0);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["watched"], false);
}

#[test]
fn no_rule_and_no_ticket_are_said() {
    let ran =
        explaining(explanation(Verdict::Allow, None)).run(&["test", "curl", "tcp", "connect"]);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("no rule decides it"), "{}", ran.out);
    assert!(ran.out.contains("no ticket"), "{}", ran.out);
    assert!(ran.err.contains("without --to"), "{}", ran.err);
}

#[test]
fn a_program_that_only_the_user_finds_is_asked_about_by_its_path() {
    let fake = Fake::new(|_, parameters| match parameters["program"].as_str() {
        Some("mine") => Act::Error(ErrorReply::Failed { reason: "mine isn't installed".into() }),
        _ => reply(Reply::Explained {
            explanation: Box::new(explanation(Verdict::Deny, None)),
            watched: true,
        }),
    });
    let bin = fake.dir().canonicalize().unwrap().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::copy("/bin/true", bin.join("mine")).unwrap();
    let mut command = fake.tool(&["test", "mine", "tcp", "connect", "--json"]);
    let ran: Ran = command.env("PATH", &bin).output().unwrap().into();
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("trying /"), "{}", ran.err);
    assert_eq!(fake.requests()[1]["parameters"]["program"], json!(bin.join("mine")));
    let ran = fake.run(&["test", "mine", "tcp", "connect"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "snet-tool: mine isn't installed\n"));
}

#[test]
fn json_is_the_explanation_and_the_code_stays() {
    let answer = explanation(Verdict::Deny, Some(3));
    let fake = explaining(answer.clone());
    let ran = fake.run(&["test", "curl", "tcp", "connect", "--json"]);
    assert_eq!(ran.code, 3);
    assert_eq!(serde_json::from_str::<Explanation>(&ran.out).unwrap(), answer);
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn questions_that_are_no_call_are_refused() {
    let cases: &[(&[&str], &str)] = &[
        (&["test", "any", "tcp", "connect"], "any"),
        (&["test", "curl", "tcp,udp", "connect"], "more than one protocol"),
        (&["test", "curl", "any", "connect"], "more than one protocol"),
        (&["test", "curl", "tcp", "out"], "more than one operation"),
        (&["test", "curl", "tcp"], "<OP>"),
        (&["test", "curl", "tcp", "bind", "--to", "192.0.2.1"], "names no peer"),
        (&["test", "curl", "unix", "connect", "--to", "192.0.2.1"], "names no peer"),
        (&["test", "curl", "tcp", "connect", "--port", "80"], "--to"),
        (&["test", "curl", "tcp", "connect", "--to", "192.0.2.1:1", "--port", "2"], "port 1"),
    ];
    for (arguments, word) in cases {
        let fake = Fake::unasked();
        let ran = fake.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?} {ran:?}");
        assert!(ran.err.contains(word), "{arguments:?} lacks {word}: {}", ran.err);
        assert!(fake.requests().is_empty());
    }
}
