// SPDX-License-Identifier: MIT OR Apache-2.0
//! `tickets`: lists and revokes.

use libsnet::control::{ErrorReply, Reply, TicketRecord};
use libsnet::types::{ProcessKey, RuleId, Scope, TicketId, Verdict};
use serde_json::{Value, json};

use crate::fake::{Act, Fake, reply};

fn ticket(id: u64) -> TicketRecord {
    TicketRecord {
        id: TicketId(id),
        inherited: false,
        process: Some(ProcessKey { tgid: 4711, start_time: 12_345, exec_id: 2 }),
        exe: Some("/tmp/a\u{202e}b".into()),
        file: None,
        uid: Some(0),
        verdict: Verdict::Allow,
        scope: Scope::ANY,
        rule: Some(RuleId(3)),
        expires_in: None,
        uses: None,
        hits: 5,
        last_hit: Some(61_000),
    }
}

fn two_tickets() -> Vec<TicketRecord> {
    let brief = TicketRecord {
        exe: None,
        rule: None,
        expires_in: Some(3_600_000),
        last_hit: None,
        verdict: Verdict::Deny,
        ..ticket(18)
    };
    vec![ticket(17), brief]
}

fn listing() -> Fake {
    Fake::new(|_, _| reply(Reply::Tickets { tickets: two_tickets() }))
}

#[test]
fn a_list_shows_what_is_remembered_and_for_how_long() {
    let expected = "\
ID  PROCESS  PROGRAM          USER  VERDICT  CALLS    RULE  EXPIRES           HITS  LAST HIT
17  4711     /tmp/a\\u{202e}b  root  allow    any any  3     with the process  5     1m01s ago
18  4711     -                root  deny     any any  -     in 1h00m          5     -
";
    assert_eq!(listing().run(&["tickets"]).out, expected);
    assert_eq!(listing().run(&["tickets", "list"]).out, expected);
}

/// A program's, a program's that the daemon has no path for, a copy, and one for a call.
fn special_tickets() -> Vec<TicketRecord> {
    let program = TicketRecord {
        process: None,
        exe: Some("/usr/bin/curl".into()),
        file: Some("8:1 77".into()),
        uid: None,
        ..ticket(1)
    };
    let unknown =
        TicketRecord { exe: None, expires_in: Some(60_000), uses: Some(3), ..program.clone() };
    let copy = TicketRecord { inherited: true, exe: None, ..ticket(17) };
    let once = TicketRecord { uses: Some(1), exe: None, ..ticket(18) };
    vec![program, unknown, copy, once]
}

#[test]
fn a_list_shows_programs_copies_and_what_may_still_be_decided() {
    let expected = "\
ID  PROCESS         PROGRAM        USER  VERDICT  CALLS    RULE  EXPIRES                  HITS  LAST HIT
1   any             /usr/bin/curl  any   allow    any any  3     never                    5     1m01s ago
1   any             8:1 77         any   allow    any any  3     in 1m00s, after 3 calls  5     1m01s ago
17  4711 inherited  -              root  allow    any any  3     with the process         5     1m01s ago
18  4711            -              root  allow    any any  3     after 1 call             5     1m01s ago
";
    let fake = Fake::new(|_, _| reply(Reply::Tickets { tickets: special_tickets() }));
    assert_eq!(fake.run(&["tickets"]).out, expected);
}

#[test]
fn json_is_a_record_on_each_line() {
    for tickets in [two_tickets(), special_tickets()] {
        let given = tickets.clone();
        let fake = Fake::new(move |_, _| reply(Reply::Tickets { tickets: given.clone() }));
        let ran = fake.run(&["tickets", "--json"]);
        let records: Vec<TicketRecord> =
            ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records, tickets);
    }
    let ran = listing().run(&["tickets", "--json"]);
    assert!(ran.out.contains("\\u202e"), "{}", ran.out);
}

/// A daemon that has the tickets below 10.
fn revoking() -> Fake {
    Fake::new(|method, parameters| {
        assert_eq!(method, "io.snet.Control.RevokeTickets");
        match parameters["id"].as_u64() {
            Some(id @ 10..) => Act::Error(ErrorReply::NotFound { kind: "ticket".into(), id }),
            Some(0) => reply(Reply::Revoked { revoked: 0 }),
            Some(_) => reply(Reply::Revoked { revoked: 1 }),
            None => reply(Reply::Revoked { revoked: 12 }),
        }
    })
}

#[test]
fn tickets_are_revoked_one_by_one_by_process_or_all() {
    let cases: &[(&[&str], Value, &str)] = &[
        (&["revoke", "5"], json!({ "id": 5 }), "revoked ticket 5\n"),
        (&["revoke", "--process", "4711"], json!({ "tgid": 4711 }), "revoked 12 tickets\n"),
        (&["revoke", "--all"], json!({}), "revoked 12 tickets\n"),
    ];
    for (arguments, parameters, out) in cases {
        let fake = revoking();
        let ran = fake.run(&[&["tickets"], *arguments].concat());
        assert_eq!((ran.code, ran.out.as_str()), (0, *out));
        assert_eq!(fake.request()["parameters"], *parameters);
    }
}

#[test]
fn every_ticket_is_attempted() {
    let fake = revoking();
    let ran = fake.run(&["tickets", "revoke", "5", "10", "0", "6"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out, "revoked ticket 5\nrevoked ticket 6\n");
    assert!(ran.err.contains("no ticket 10") && ran.err.contains("no ticket 0"), "{}", ran.err);
    assert_eq!(fake.requests().len(), 4);
}

#[test]
fn all_tickets_go_only_when_that_is_said() {
    let cases =
        [&["revoke"][..], &["revoke", "5", "--all"], &["revoke", "--all", "--process", "1"]];
    for arguments in cases {
        let fake = Fake::unasked();
        assert_eq!(fake.run(&[&["tickets"], arguments].concat()).code, 2, "{arguments:?}");
        assert!(fake.requests().is_empty());
    }
}
