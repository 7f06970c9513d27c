// SPDX-License-Identifier: MIT OR Apache-2.0
//! Learning and observing: nothing is blocked, and what happened is known.

use crate::harness::{Home, Ran, Server, eventually};

fn visit(home: &Home, server: &Server) -> bool {
    home.run(&["curl", "-s", &server.url()]).code == Some(0)
}

/// Once the journal has it.
fn proposed(home: &Home, rules: usize) -> String {
    eventually("the proposals", || {
        let listed = home.done(&["rules", "review"]);
        (listed.lines().skip(1).count() == rules).then_some(listed)
    })
}

#[test]
fn what_was_learned_becomes_rules() {
    let (home, server, other) = (Home::denying().begun(), Server::start(), Server::start());
    assert!(!visit(&home, &server));
    home.done(&["learn", "any", "--for", "1h"]);
    home.done(&["deny", "curl", "tcp", "connect", "--port", &other.port.to_string()]);
    assert!(visit(&home, &server) && visit(&home, &server));
    assert!(!visit(&home, &other), "rules decide while it learns");
    let listed = proposed(&home, 1);
    assert!(listed.contains(&format!("connect to 127.0.0.1/32 port {}", server.port)), "{listed}");
    assert!(home.done(&["log"]).contains("learned"));
    let accepted = home.done(&["rules", "review", "accept", "1"]);
    assert!(accepted.contains("1 rules added, 0 removed, 2 kept"), "{accepted}");
    proposed(&home, 0);
    home.done(&["rules", "delete", "1"]);
    assert!(visit(&home, &server), "by the rule");
    let wrong: Ran = home.tool(&["rules", "review", "accept", "7"]).output().unwrap().into();
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}

#[test]
fn what_is_dropped_is_not_proposed_again() {
    let (home, server) = (Home::with("").begun(), Server::start());
    home.done(&["learn", "curl"]);
    assert!(visit(&home, &server));
    proposed(&home, 1);
    assert_eq!(home.done(&["rules", "review", "drop", "--all"]), "dropped 1 kinds of calls\n");
    proposed(&home, 0);
}

#[test]
fn what_is_observed_is_not_blocked_and_the_log_tells_what_would_have_been() {
    let (home, server) = (Home::denying().begun(), Server::start());
    home.done(&["deny", "curl", "tcp", "connect", "--priority", "9"]);
    assert!(!visit(&home, &server));
    home.done(&["observe", "curl"]);
    assert!(visit(&home, &server));
    let url = format!("127.0.0.1:{}", server.port);
    let tested: Ran =
        home.tool(&["test", "curl", "tcp", "connect", "--to", &url]).output().unwrap().into();
    assert_eq!(tested.code, Some(0), "{tested:?}");
    assert!(tested.out.contains("only observed"), "{tested:?}");
    eventually("the log", || home.done(&["log"]).contains("would deny (rule 1)").then_some(()));
    home.done(&["rules", "delete", "2"]);
    assert!(!visit(&home, &server));
}

#[test]
fn the_way_out_denies_nothing_and_ends_by_itself() {
    let (home, server) = (Home::denying().begun(), Server::start());
    home.done(&["deny", "any", "any", "any", "--priority", "100"]);
    assert!(!visit(&home, &server));
    let opened = home.done(&["open", "3s"]);
    assert!(opened.starts_with("nothing is denied until 20"), "{opened}");
    assert!(visit(&home, &server));
    eventually("the end of it", || (!home.done(&["rules"]).contains("opened")).then_some(()));
    assert!(!visit(&home, &server));
}
