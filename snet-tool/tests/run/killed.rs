// SPDX-License-Identifier: MIT OR Apache-2.0
//! A daemon that is killed while somebody answers: an answer that was acknowledged is a rule, and
//! none is half a rule. What isn't an answer is in snetd's own tests.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::harness::{Home, Ran, eventually};

/// How often.
const TIMES: u16 = 20;

/// Connects to a port where nobody listens.
fn asking(home: &Home, port: u16) -> Child {
    let program = format!("import socket; socket.socket().connect_ex(('127.0.0.1', {port}))");
    let mut command = home.supervised(&["/usr/bin/python3", "-c", &program]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The lines of a list, or nothing while there is no daemon.
fn listed(home: &Home, what: &str) -> Option<Vec<Value>> {
    let ran: Ran = home.tool(&[what, "--json"]).output().unwrap().into();
    let lines = || ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (ran.code == Some(0)).then(lines)
}

/// The question about this port.
fn question(home: &Home, port: u16) -> Value {
    let about = |question: &Value| question["remote"] == format!("127.0.0.1:{port}");
    eventually("the question", || listed(home, "pending")?.into_iter().find(about))
}

/// The ports of the rules that answers made, each of which is whole.
fn answered(home: &Home) -> Vec<u16> {
    let rules = eventually("the rules", || listed(home, "rules"));
    let made = rules.iter().filter(|rule| rule["action"] != "ask");
    let port = |rule: &Value| {
        assert_eq!((&rule["action"], &rule["uid"]), (&"allow".into(), &0.into()), "{rule}");
        assert!(rule["note"].as_str().unwrap().starts_with("answered allow to tcp"), "{rule}");
        rule["scope"]["remote_ports"].as_str().unwrap().parse().unwrap()
    };
    let mut ports: Vec<u16> = made.map(port).collect();
    ports.sort_unstable();
    ports
}

/// Answers a question, kills the daemon after a while, and gives how long the reply took, if there
/// was one. Not by snet-tool: most of its time it takes to start.
fn answer(home: &Home, question: &Value, patience: Duration) -> Option<Duration> {
    let mut socket =
        UnixStream::connect(home.path().join(".local/share/snet/run/snetd.sock")).unwrap();
    let answer = json!({ "id": question["id"], "verdict": "allow", "reach": "this-address",
        "keep": "rule", "expires_at": null });
    let call = json!({ "method": "io.snet.Control.AnswerQuestion", "parameters": answer });
    let daemon = home.daemon().unwrap();
    let begun = Instant::now();
    socket.write_all(format!("{call}\0").as_bytes()).unwrap();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(patience);
        kill(daemon, Signal::SIGKILL).unwrap();
    });
    let mut reply = Vec::new();
    // Ended by the daemon's end at the latest.
    let _ = BufReader::new(socket).read_until(0, &mut reply);
    let took = begun.elapsed();
    killer.join().unwrap();
    let text = reply.strip_suffix(b"\0")?;
    let reply: Value = serde_json::from_slice(text).unwrap();
    assert_eq!(reply.get("error"), None, "{reply}");
    Some(took)
}

#[test]
fn a_daemon_that_is_killed_during_answers_keeps_those_that_it_acknowledged() {
    let home = Home::with("[ask]\ntimeout = \"5m\"\n").begun();
    home.done(&["ask", "python3", "tcp", "connect"]);
    let (mut kept, mut acknowledged) = (Vec::new(), 0);
    let mut takes = Duration::from_secs(1);
    for time in 0..TIMES {
        let port = 1000 + time;
        let mut program = asking(&home, port);
        let asked = question(&home, port);
        // Spread over the time that an answer takes on this machine.
        let patience = takes * u32::from(time) / u32::from(TIMES);
        let took = answer(&home, &asked, if time == 0 { takes } else { patience });
        takes = if time == 0 { took.unwrap() } else { takes };
        acknowledged += u16::from(took.is_some());
        let now = answered(&home);
        let with: Vec<u16> = kept.iter().copied().chain([port]).collect();
        assert!(now == with || now == kept && took.is_none(), "{took:?}: {kept:?}, {now:?}");
        if now == kept {
            let id = question(&home, port)["id"].to_string();
            home.done(&["answer", &id, "deny", "--for", "once"]);
        }
        program.wait().unwrap();
        kept = now;
    }
    assert!(acknowledged < TIMES, "none was killed in time");
    println!("{acknowledged} of {TIMES} answers were acknowledged");
}
