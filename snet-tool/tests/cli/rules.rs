// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rules`: lists, shows, deletes, enables and disables.

use libsnet::control::{ErrorReply, Reply, RuleRecord};
use libsnet::types::Verdict;
use serde_json::{Value, json};

use crate::fake::{Act, Fake, changed, reply, rule};

fn listing(rules: Vec<RuleRecord>) -> Fake {
    Fake::new(move |method, _| {
        assert_eq!(method, "io.snet.Control.ListRules");
        // In parts of one rule, the order being that of the daemon.
        let mut parts: Vec<_> =
            rules.iter().map(|rule| Reply::Rules { rules: vec![rule.clone()] }).collect();
        if parts.is_empty() {
            parts.push(Reply::Rules { rules: vec![] });
        }
        Act::Reply(parts)
    })
}

fn two_rules() -> Vec<RuleRecord> {
    let mut denied = rule(9, Verdict::Deny, "nc");
    denied.hits = 12;
    denied.last_hit = Some(0);
    denied.spec.note = "a\x1b[2Jb\nc".into();
    denied.spec.uid = Some(0);
    denied.spec.unit = Some("backup.service".parse().unwrap());
    let mut allowed = rule(3, Verdict::Allow, "curl");
    allowed.spec.enabled = false;
    vec![denied, allowed]
}

#[test]
fn a_list_in_a_pipe_is_aligned_text_in_the_order_of_the_daemon() {
    let fake = listing(two_rules());
    let ran = fake.run(&["rules"]);
    let expected = "\
ID  ACTION            PROGRAM                             CALLS        USER  PRIO  ENDS  HITS  LAST HIT             NOTE
9   deny              nc (/usr/bin/nc) in backup.service  tcp connect  root  0     -     12    1970-01-01 02:00:00  a\\u{1b}[2Jb\\nc
3   allow (disabled)  curl (/usr/bin/curl)                tcp connect  -     0     -     0     -                    -
";
    assert_eq!(ran.out, expected);
    let call = json!({ "method": "io.snet.Control.ListRules", "parameters": {}, "more": true });
    assert_eq!(fake.request(), call);
    assert_eq!(listing(two_rules()).run(&["rules", "list"]).out, expected);
}

#[test]
fn times_are_utc_when_asked_for() {
    let ran = listing(two_rules()).run(&["rules", "--utc"]);
    assert!(ran.out.contains("1970-01-01 00:00:00Z"), "{}", ran.out);
}

#[test]
fn json_is_a_record_on_each_line() {
    let ran = listing(two_rules()).run(&["--json", "rules"]);
    let records: Vec<RuleRecord> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records, two_rules());
    assert!(!ran.out.contains('\x1b'));
}

#[test]
fn no_rules_are_no_lines() {
    let ran = listing(vec![]).run(&["rules"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    assert!(ran.err.contains("no rules"), "{ran:?}");
    let ran = listing(vec![]).run(&["rules", "--json"]);
    assert_eq!((ran.code, ran.out, ran.err), (0, String::new(), String::new()));
}

#[test]
fn colours_come_only_when_asked_for_in_a_pipe() {
    assert!(!listing(two_rules()).run(&["rules"]).out.contains('\x1b'));
    let ran = listing(two_rules()).run(&["rules", "--color", "always"]);
    assert!(ran.out.contains("\x1b["), "{:?}", ran.out);
    assert!(!ran.out.contains("\x1b[2J"), "{:?}", ran.out);
}

#[test]
fn one_rule_is_shown_with_all_its_fields() {
    let fake = Fake::new(|_, _| {
        let [rule, _] = two_rules().try_into().unwrap();
        reply(Reply::Rule { rule: Box::new(rule) })
    });
    let ran = fake.run(&["rules", "show", "9", "--utc"]);
    let call = json!({ "method": "io.snet.Control.ShowRule", "parameters": { "id": 9 } });
    assert_eq!(fake.request(), call);
    assert_eq!(
        ran.out,
        "\
rule      9
action    deny
enabled   yes
program   nc (/usr/bin/nc)
calls     tcp connect
user      root
unit      backup.service
priority  0
ends      never
hits      12
last hit  1970-01-01 00:00:00Z
made      1970-01-01 00:00:00Z
made by   root
note      a\\u{1b}[2Jb\\nc
"
    );
    let ran = fake.run(&["rules", "show", "9", "--json"]);
    assert_eq!(serde_json::from_str::<RuleRecord>(&ran.out).unwrap(), two_rules()[0]);
}

/// A daemon that has the rules below 10.
fn changing() -> Fake {
    Fake::new(|_, parameters| {
        let id = parameters["id"].as_u64().unwrap();
        if id < 10 {
            reply(changed(rule(id, Verdict::Deny, "nc"), id % 2))
        } else {
            Act::Error(ErrorReply::NotFound { kind: "rule".into(), id })
        }
    })
}

#[test]
fn every_rule_is_attempted_and_each_is_reported() {
    let fake = changing();
    let ran = fake.run(&["rules", "delete", "3", "10", "4"]);
    assert_eq!(
        ran.out,
        "\
rule 3 deleted: deny nc (/usr/bin/nc) tcp connect; revoked 1 ticket
rule 4 deleted: deny nc (/usr/bin/nc) tcp connect
"
    );
    assert_eq!(ran.err, "snet-tool: can't delete rule 10: no rule 10\n");
    assert_eq!(ran.code, 1);
    let ids: Vec<Value> = fake.requests().iter().map(|call| call["parameters"].clone()).collect();
    assert_eq!(ids, [json!({ "id": 3 }), json!({ "id": 10 }), json!({ "id": 4 })]);
}

#[test]
fn rules_are_enabled_and_disabled() {
    for (word, enabled) in [("enable", true), ("disable", false)] {
        let fake = changing();
        let ran = fake.run(&["rules", word, "3"]);
        assert_eq!(ran.code, 0);
        assert!(ran.out.starts_with(&format!("rule 3 {word}d: deny nc")), "{}", ran.out);
        assert_eq!(fake.request()["method"], "io.snet.Control.EnableRule");
        assert_eq!(fake.request()["parameters"], json!({ "id": 3, "enabled": enabled }));
    }
}

#[test]
fn a_change_in_json_is_what_the_daemon_answered() {
    let ran = changing().run(&["rules", "delete", "3", "4", "--json"]);
    let lines: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["revoked"], 1);
    let record: RuleRecord = serde_json::from_value(lines[1]["changed"].clone()).unwrap();
    assert_eq!(record, rule(4, Verdict::Deny, "nc"));
}

#[test]
fn numbers_that_are_none_are_refused() {
    for arguments in [&["rules", "delete"][..], &["rules", "delete", "x"], &["rules", "show", "-1"]]
    {
        let fake = Fake::unasked();
        assert_eq!(fake.run(arguments).code, 2, "{arguments:?}");
        assert!(fake.requests().is_empty());
    }
}
