// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules as files: all of them at once, or not at all.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::harness::{Home, Ran, Server, eventually};

fn rules(home: &Home) -> String {
    home.done(&["rules", "export"])
}

fn write(home: &Home, rules: &str) -> String {
    let file = home.path().join("rules.toml");
    fs::write(&file, format!("version = 1\n{rules}")).unwrap();
    file.to_str().unwrap().to_owned()
}

fn ran(home: &Home, arguments: &[&str]) -> Ran {
    home.tool(arguments).output().unwrap().into()
}

const SSH: &str = "[[rule]]\naction = \"allow\"\nprogram = \"ssh\"\noperations = \"connect\"\n";
const DENY: &str = "[[rule]]\naction = \"deny\"\nprogram = \"any\"\npriority = -9\n";

#[test]
fn what_is_exported_is_checked_compared_applied_and_rolled_back() {
    let home = Home::with("").begun();
    home.done(&["deny", "curl", "tcp", "connect", "--to", "10.0.0.0/8", "--note", "the \"lan\""]);
    home.done(&["allow", "sh", "udp", "send", "--user", "root", "--priority", "3"]);
    let exported = rules(&home);
    let file = home.path().join("rules.toml").to_str().unwrap().to_owned();
    home.done(&["rules", "export", &file]);
    assert_eq!(fs::read_to_string(&file).unwrap(), exported);
    assert!(home.done(&["rules", "check", &file]).contains("2 rules, no errors\n"));
    assert_eq!(ran(&home, &["rules", "diff", &file]).out, "");
    fs::write(&file, format!("{exported}\n{SSH}").replace("10.0.0.0/8", "10.1.0.0/16")).unwrap();
    let differs = ran(&home, &["rules", "diff", &file]);
    assert_eq!(differs.code, Some(1), "{differs:?}");
    let lines: Vec<&str> = differs.out.lines().collect();
    assert_eq!(lines[0], "- deny curl tcp connect to 10.0.0.0/8");
    assert_eq!(lines.len(), 3, "{differs:?}");
    let applied = home.done(&["rules", "apply", &file]);
    assert_eq!(applied, "change 1: 2 rules added, 1 removed, 1 kept\n");
    assert_eq!(ran(&home, &["rules", "diff", &file]).code, Some(0));
    // The rule that stayed has its number still.
    assert!(home.done(&["rules", "show", "2"]).contains("sh (/"));
    let rolled_back = home.done(&["rules", "rollback"]);
    assert_eq!(rolled_back, "change 2: 1 rules added, 2 removed, 1 kept\n");
    assert_eq!(rules(&home), exported);
    assert_eq!(home.done(&["rules", "rollback", "2"]).lines().count(), 1);
    let history = home.done(&["rules", "history"]);
    assert_eq!(history.lines().count(), 4, "{history}");
    assert!(ran(&home, &["rules", "rollback", "99"]).err.contains("no change 99"));
}

#[test]
fn a_file_with_an_error_changes_nothing_and_says_where_it_is() {
    let home = Home::with("").begun();
    home.done(&["deny", "curl", "tcp", "connect"]);
    let before = rules(&home);
    let file = write(
        &home,
        &format!(
            "{SSH}\n[[rule]]\naction = \"deny\"\nprogram = \"x\"\noperations = \"bind\"\nport = \"80\"\n"
        ),
    );
    for command in ["check", "diff", "apply", "import"] {
        let refused = ran(&home, &["rules", command, &file]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains("rules.toml:7:1: remote_ports: "), "{refused:?}");
    }
    let missing = ran(&home, &["rules", "apply", "/no/such/file"]);
    assert!(missing.err.contains("can't read /no/such/file"), "{missing:?}");
    assert_eq!(rules(&home), before);
}

#[test]
fn rules_that_never_decide_are_told_and_are_no_error() {
    let home = Home::with("");
    let file = write(&home, &format!("{}{SSH}", DENY.replace("-9", "9")));
    // Without a daemon, too.
    let checked = ran(&home, &["rules", "check", &file]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.err.contains("rules.toml:6: never decides: the rule of line 2"), "{checked:?}");
    assert!(checked.out.ends_with("2 rules, no errors, 1 note\n"), "{checked:?}");
}

#[test]
fn imported_rules_come_beside_those_that_are_there() {
    let home = Home::with("").begun();
    home.done(&["allow", "ssh", "any", "connect"]);
    home.done(&["deny", "curl", "tcp", "connect"]);
    let file = write(&home, &format!("{SSH}{DENY}"));
    let imported = home.done(&["rules", "import", &file]);
    assert_eq!(imported, "change 1: 1 rules added, 0 removed, 2 kept\n", "the same rule is one");
    assert_eq!(rules(&home).matches("[[rule]]").count(), 3);
}

#[test]
fn a_change_that_nobody_confirms_is_undone() {
    let (home, server) = (Home::with("").begun(), Server::start());
    let attempt = || home.run(&["curl", "-s", &server.url()]).code == Some(0);
    let file = write(&home, DENY);
    let applied = home.done(&["rules", "apply", &file, "--confirm", "3s"]);
    assert!(applied.contains("undone in 2s unless `snet-tool rules confirm` is run"), "{applied}");
    assert!(!attempt(), "it is in force meanwhile");
    let meanwhile = ran(&home, &["allow", "curl", "tcp", "connect"]);
    assert_eq!(meanwhile.code, Some(1), "{meanwhile:?}");
    assert!(meanwhile.err.contains("wait to be confirmed"), "{meanwhile:?}");
    eventually("the old rules", || (!rules(&home).contains("deny")).then_some(()));
    assert!(attempt());
    home.done(&["allow", "curl", "tcp", "connect"]);
    let late = ran(&home, &["rules", "confirm"]);
    assert!(late.err.contains("no change of the rules waits to be confirmed"), "{late:?}");
}

#[test]
fn a_change_that_is_confirmed_stands() {
    let home = Home::with("").begun();
    let file = write(&home, SSH);
    home.done(&["rules", "apply", &file, "--confirm", "2s"]);
    assert_eq!(home.done(&["rules", "confirm"]), "change 1 stands\n");
    std::thread::sleep(Duration::from_secs(3));
    assert!(rules(&home).contains("ssh"));
}

/// As after a power cut: the database is all that is left.
#[test]
fn a_daemon_that_is_killed_meanwhile_undoes_it_all_the_same() {
    let home = Home::with("").begun();
    let file = write(&home, SSH);
    home.done(&["rules", "apply", &file, "--confirm", "2s"]);
    kill(home.daemon().unwrap(), Signal::SIGKILL).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    eventually("the old rules", || {
        let exported = ran(&home, &["rules", "export"]);
        (exported.code == Some(0) && !exported.out.contains("ssh")).then_some(())
    });
}

#[test]
fn thousands_of_rules_are_one_change() {
    let home = Home::with("").begun();
    let many: String = (0..5000)
        .map(|number| {
            let (high, low) = (number / 250, number % 250);
            format!("{SSH}to = \"10.{high}.{low}.1\"\n")
        })
        .collect();
    let file = write(&home, &many);
    let applied = home.done(&["--timeout", "120", "rules", "apply", &file]);
    assert_eq!(applied, "change 1: 5000 rules added, 0 removed, 0 kept\n");
    let again = home.done(&["--timeout", "120", "rules", "apply", &file]);
    assert_eq!(again, "change 2: 0 rules added, 0 removed, 5000 kept\n");
    assert_eq!(home.done(&["--timeout", "120", "rules", "--json"]).lines().count(), 5000);
}

#[test]
fn recorded_decisions_are_replayed_against_other_rules() {
    let (home, server) = (Home::with("").begun(), Server::start());
    home.done(&["allow", "curl", "tcp", "connect"]);
    for _ in 0..3 {
        assert_eq!(home.run(&["curl", "-s", &server.url()]).code, Some(0));
    }
    home.python("import socket; socket.socket().connect_ex(('127.0.0.1', 9))");
    let events = home.path().join("events.json").to_str().unwrap().to_owned();
    eventually("the journal", || {
        let exported = home.done(&["log", "--export"]);
        fs::write(&events, &exported).unwrap();
        (exported.lines().count() == 4).then_some(())
    });
    let numbered = home.done(&["log", "--numbers"]);
    let number = numbered.lines().last().unwrap().split_whitespace().next().unwrap().to_owned();
    let explained = home.done(&["test", "--event", &number]);
    assert!(explained.starts_with("allow: /usr/bin/python3.11 as "), "{explained}");
    assert!(explained.contains("tcp connect to 127.0.0.1:9\n"), "{explained}");
    assert!(ran(&home, &["test", "--event", "999"]).err.contains("no decision 999"));
    let replay = |rules: &str| {
        let file = write(&home, rules);
        ran(&home, &["replay", &events, "--rules", &file])
    };
    let same = replay("[[rule]]\naction = \"allow\"\nprogram = \"curl\"\n");
    assert_eq!((same.code, same.out.as_str()), (Some(0), "0 of 4 decisions would change\n"));
    let denied = replay("[[rule]]\naction = \"deny\"\nprogram = \"curl\"\n");
    assert_eq!(denied.code, Some(1), "{denied:?}");
    assert!(denied.out.ends_with("3 of 4 decisions would change\n"), "{denied:?}");
    assert_eq!(
        denied.out.matches("allow (rule 1) would be deny (line 2)").count(),
        3,
        "{denied:?}"
    );
    fs::write(&events, "{}\n").unwrap();
    let wrong = replay(SSH);
    assert!(wrong.err.contains("events.json:1: no entry of `snet-tool log --export`"), "{wrong:?}");
}

#[test]
fn the_shipped_base_rules_let_a_closed_machine_work() {
    let home = Home::denying().begun();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/base-rules.toml");
    assert!(home.done(&["rules", "check", file]).contains(" rules, no errors"));
    let tested = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        ran(&home, &[&["test", "/usr/bin/python3"][..], &words].concat()).code
    };
    let resolves = "udp connect --to 192.0.2.1:53";
    let keeps_time = "udp send --to 192.0.2.1:123 --unit systemd-timesyncd.service";
    assert_eq!([resolves, keeps_time].map(tested), [Some(3); 2]);
    home.done(&["rules", "import", file]);
    assert_eq!([resolves, keeps_time].map(tested), [Some(0); 2]);
    assert_eq!(tested("tcp connect --to 127.0.0.1:80"), Some(0));
    assert_eq!(tested("tcp connect --to 192.0.2.1:80"), Some(3));
    assert_eq!(tested("udp send --to 192.0.2.1:123"), Some(3));
}
