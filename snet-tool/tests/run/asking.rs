// SPDX-License-Identifier: MIT OR Apache-2.0
//! A person is asked: calls wait, and answers let them go.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Home, Ran, Server, eventually};

const PYTHON: &str = "/usr/bin/python3";

/// Connects to each port, one after the other, and says what came of each.
fn visits(ports: &[u16]) -> String {
    format!(
        "
import socket
for port in {ports:?}:
    try:
        socket.socket().connect(('127.0.0.1', port))
        print('connected', flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"
    )
}

/// The program goes on by itself.
fn begin(home: &Home, program: &str) -> Child {
    let mut command: Command = home.supervised(&[PYTHON, "-c", program]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> Ran {
    child.wait_with_output().unwrap().into()
}

/// The journal is written a little later.
fn journaled(home: &Home, words: &str) {
    eventually(words, || (home.done(&["log"]).matches(words).count() == 1).then_some(()));
}

/// The questions, once there are so many calls that are asked about.
fn asked(home: &Home, calls: u64) -> Vec<Value> {
    eventually("the question", || {
        // There may be no daemon just now.
        let listed: Ran = home.tool(&["pending", "--json"]).output().unwrap().into();
        let lines = listed.out.lines().filter(|_| listed.code == Some(0));
        let questions: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        let count: u64 = questions.iter().map(|one| one["calls"].as_u64().unwrap()).sum();
        (count == calls).then_some(questions)
    })
}

fn id(question: &Value) -> String {
    question["id"].to_string()
}

/// A home in which connections of Python are asked about.
fn asking() -> Home {
    let home = Home::with("[ask]\ntimeout = \"5m\"\n").begun();
    home.done(&["ask", "python3", "tcp", "connect"]);
    home
}

#[test]
fn a_call_waits_until_somebody_has_answered() {
    let (home, server) = (asking(), Server::start());
    let program = begin(&home, &visits(&[server.port, server.port, server.port]));
    let question = asked(&home, 1).remove(0);
    assert_eq!(question["exe"], "/usr/bin/python3.11");
    assert_eq!(question["remote"], format!("127.0.0.1:{}", server.port));
    assert_eq!(question["rule"], 1);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(server.connections(), 0, "nothing left before the answer");
    let status: Ran = home.tool(&["status"]).output().unwrap().into();
    assert!(status.out.contains("1 wait for an answer"), "{status:?}");
    let shown = home.done(&["pending"]);
    assert!(shown.contains("tcp connect to 127.0.0.1:"), "{shown}");
    // The other two go by the ticket.
    let answered = home.done(&["answer", &id(&question), "allow"]);
    assert!(answered.starts_with("allow: 1 call\n"), "{answered}");
    assert!(answered.contains("ticket until the process ends"), "{answered}");
    let ran = end(program);
    assert_eq!(ran.out, "connected\n".repeat(3), "{ran:?}");
    assert_eq!(server.connections(), 3);
    journaled(&home, "answer (rule 1)");
    assert!(asked(&home, 0).is_empty());
}

#[test]
fn once_is_for_the_call_alone_and_a_denial_is_an_answer() {
    let (home, server) = (asking(), Server::start());
    let program = begin(&home, &visits(&[server.port, server.port]));
    for (number, answer) in ["allow", "deny"].into_iter().enumerate() {
        let question = asked(&home, 1).remove(0);
        assert_eq!(question["id"], number as u64 + 1);
        home.done(&["answer", &id(&question), answer, "--for", "once"]);
    }
    let ran = end(program);
    assert_eq!(ran.out, "connected\nPermission denied\n", "{ran:?}");
    assert_eq!(server.connections(), 1);
}

#[test]
fn identical_questions_are_one_and_its_answer_lets_all_go() {
    let (home, server) = (asking(), Server::start());
    let programs: Vec<Child> = (0..5).map(|_| begin(&home, &visits(&[server.port]))).collect();
    let questions = asked(&home, 5);
    assert_eq!(questions.len(), 1);
    let answered = home.done(&["answer", &id(&questions[0]), "allow"]);
    assert!(answered.starts_with("allow: 5 calls\n"), "{answered}");
    for program in programs {
        assert_eq!(end(program).out, "connected\n");
    }
    assert_eq!(server.connections(), 5);
}

#[test]
fn an_answer_becomes_a_rule_that_goes_before_the_one_that_asks() {
    let (home, server, other) = (asking(), Server::start(), Server::start());
    let program = begin(&home, &visits(&[server.port, server.port, other.port]));
    let question = asked(&home, 1).remove(0);
    let answered = home.done(&["answer", &id(&question), "allow", "--for", "1h"]);
    assert!(answered.contains("rule 2: allow /usr/bin/python3.11 tcp"), "{answered}");
    assert!(!answered.contains("doesn't decide"), "{answered}");
    // The other server isn't in it.
    let question = asked(&home, 1).remove(0);
    assert_eq!(question["remote"], format!("127.0.0.1:{}", other.port));
    let wide = ["answer", &id(&question), "deny", "--for", "until-restart", "--to", "anywhere"];
    home.done(&wide);
    let ran = end(program);
    assert_eq!(ran.out, "connected\nconnected\nPermission denied\n", "{ran:?}");
    let rules = home.done(&["rules"]);
    assert!(rules.contains("restart") && rules.contains("answered deny"), "{rules}");
    // The narrower allow goes before the wider denial, which goes before the question.
    let ran = home.python(&visits(&[server.port, other.port]));
    assert_eq!(ran.out, "connected\nPermission denied\n", "{ran:?}");
}

#[test]
fn a_rule_that_is_made_meanwhile_answers_what_waits() {
    let (home, server) = (asking(), Server::start());
    let program = begin(&home, &visits(&[server.port]));
    asked(&home, 1);
    home.done(&["deny", "python3", "tcp", "connect"]);
    let ran = end(program);
    assert_eq!(ran.out, "Permission denied\n", "{ran:?}");
    assert!(asked(&home, 0).is_empty());
}

#[test]
fn nobody_answers_and_the_fallback_applies() {
    let server = Server::start();
    let home = Home::with(
        "[ask]\nunmatched = true\ntimeout = \"1500ms\"\n[fallback]\nconnect = \"deny\"\n",
    )
    .begun();
    let began = Instant::now();
    let ran = home.python(&visits(&[server.port]));
    assert_eq!(ran.out, "Permission denied\n", "{ran:?}");
    assert!(began.elapsed() >= Duration::from_millis(1500), "it was not held");
    journaled(&home, "no answer");
    let late: Ran = home.tool(&["answer", "1", "allow"]).output().unwrap().into();
    assert_eq!(late.code, Some(1));
    assert!(
        late.err.contains("no question 1") && late.err.contains("its time is over"),
        "{late:?}"
    );
}

/// It gets the fallback in time; what is answered later is for its next attempt.
#[test]
fn a_non_blocking_call_does_not_wait_for_a_person() {
    let server = Server::start();
    let configuration = "[requests]\nnonblock_deadline = \"50ms\"\n[ask]\ntimeout = \"5m\"\n[fallback]\nconnect = \"deny\"\n";
    let home = Home::with(configuration).begun();
    home.done(&["ask", "python3", "tcp", "connect"]);
    let program = format!(
        "
import os, select, socket, time
def attempt():
    s = socket.socket()
    s.setblocking(False)
    try:
        s.connect(('127.0.0.1', {}))
    except BlockingIOError:
        select.select([], [s], [])
        return 'connected'
    except PermissionError:
        return 'denied'
    return 'connected'
print(attempt(), flush=True)
while attempt() == 'denied':
    time.sleep(0.1)
print('connected', flush=True)
",
        server.port
    );
    let program = begin(&home, &program);
    let question = eventually("a question about calls that are over", || {
        let listed = home.done(&["pending", "--json"]);
        let first: Value = serde_json::from_str(listed.lines().next()?).unwrap();
        (first["over"].as_u64() >= Some(1)).then_some(first)
    });
    home.done(&["answer", &id(&question), "allow"]);
    let ran = end(program);
    assert_eq!(ran.out, "denied\nconnected\n", "{ran:?}");
}

/// The supervisor asks the next daemon again, which asks the person again.
#[test]
fn a_daemon_that_is_killed_leaves_the_question_to_the_next_one() {
    use nix::sys::signal::{Signal, kill};
    let configuration = "[requests]\ndeadline = \"1m\"\n[ask]\ntimeout = \"5m\"\n";
    let (home, server) = (Home::with(configuration).begun(), Server::start());
    home.done(&["ask", "python3", "tcp", "connect"]);
    let program = begin(&home, &visits(&[server.port]));
    asked(&home, 1);
    let first = home.daemon().unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    eventually("another daemon", || {
        (home.is_served() && home.daemon() != Some(first)).then_some(())
    });
    let question = asked(&home, 1).remove(0);
    home.done(&["answer", &id(&question), "allow"]);
    assert_eq!(end(program).out, "connected\n");
}

#[test]
fn a_program_does_not_answer_its_own_question() {
    let (home, server) = (asking(), Server::start());
    let program = begin(&home, &visits(&[server.port]));
    let question = asked(&home, 1).remove(0);
    let tool = env!("CARGO_BIN_EXE_snet-tool");
    let ran = home.run(&[tool, "answer", &id(&question), "allow"]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("supervised program"), "{ran:?}");
    home.done(&["answer", &id(&question), "deny"]);
    assert_eq!(end(program).out, "Permission denied\n");
}

#[test]
fn test_says_that_a_person_would_be_asked() {
    let home = asking();
    let ran: Ran = home
        .tool(&["test", "python3", "tcp", "connect", "--to", "192.0.2.1:443"])
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert!(ran.out.starts_with("ask: python3"), "{ran:?}");
    assert!(ran.out.contains("rule 1 asks a person"), "{ran:?}");
    assert!(ran.out.contains("when nobody answers: allow"), "{ran:?}");
}

#[test]
fn a_rule_ends_after_its_time_and_takes_its_tickets_along() {
    let (home, server) = (Home::denying().begun(), Server::start());
    let made = home.done(&["allow", "python3", "tcp", "connect", "--for", "2s"]);
    assert!(made.contains(", until 20"), "{made}");
    let program = format!(
        "
import socket, time
def attempt():
    try:
        socket.socket().connect(('127.0.0.1', {}))
        return True
    except PermissionError:
        return False
print(attempt(), attempt())
began = time.monotonic()
while attempt():
    time.sleep(0.02)
print(time.monotonic() - began < 60)
",
        server.port
    );
    let ran = home.python(&program);
    assert_eq!(ran.out, "True True\nTrue\n", "{ran:?}");
    assert!(!home.done(&["rules"]).contains("python3"));
    assert_eq!(home.done(&["tickets", "--json"]), "");
}

#[test]
fn a_rule_until_restart_ends_with_the_daemon() {
    use nix::sys::signal::{Signal, kill};
    let home = Home::with("").begun();
    home.done(&["deny", "curl", "tcp", "connect", "--for", "until-restart"]);
    home.done(&["deny", "curl", "udp", "connect"]);
    kill(home.daemon().unwrap(), Signal::SIGTERM).unwrap();
    eventually("the end of the daemon", || (!home.is_served()).then_some(()));
    let rules = home.done(&["rules"]);
    assert!(rules.contains("udp") && !rules.contains("tcp"), "{rules}");
}
