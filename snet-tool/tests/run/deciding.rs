// SPDX-License-Identifier: MIT OR Apache-2.0
//! The same rules, tickets and journal as with the kernel module.

use libsnet::control::{JournalEntry, StatusReply, TicketRecord};
use nix::sys::signal::{Signal, kill};

use crate::harness::{Home, Ran, Server, eventually};
use crate::visitor::Visitor;

#[test]
fn a_fresh_home_needs_nothing_but_the_command() {
    let (home, server) = (Home::denying(), Server::start());
    let ran = home.run(&["curl", "-sS", &server.url()]);
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert_eq!(server.connections(), 0);
    home.done(&["allow", "curl", "tcp", "connect"]);
    let ran = home.run(&["curl", "-sS", &server.url()]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "hello\n"), "{ran:?}");
    let log = eventually("the journal", || {
        let log = home.done(&["log", "--json"]);
        (log.lines().count() == 2).then_some(log)
    });
    let entries: Vec<JournalEntry> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.decision.verdict.to_string(), entry.comm.as_str(), entry.remote))
        .collect();
    let remote = Some(format!("127.0.0.1:{}", server.port).parse().unwrap());
    assert_eq!(told, [("deny".into(), "curl", remote), ("allow".into(), "curl", remote)]);
    assert!(entries[0].exe.as_deref().unwrap().ends_with("/curl"));
    assert_eq!(entries[0].uid, nix::unistd::geteuid().as_raw());
}

#[test]
fn a_ticket_decides_the_next_calls_until_its_rule_goes() {
    let (home, server) = (Home::denying().begun(), Server::start());
    home.done(&["allow", "/usr/bin/python3", "tcp", "connect"]);
    let mut visitor = Visitor::of(&home, &[]);
    let mut visit = || visitor.visit(&server);
    assert_eq!(visit(), "reached");
    assert_eq!(visit(), "reached");
    let status: StatusReply = serde_json::from_str(&home.done(&["status", "--json"])).unwrap();
    assert!(status.supervised.supervisors >= 1);
    assert_eq!((status.supervised.ticket_allowed, status.supervised.tickets), (1, 1));
    let ticket: TicketRecord = serde_json::from_str(&home.done(&["tickets", "--json"])).unwrap();
    assert_eq!((ticket.hits, ticket.rule.map(|rule| rule.0)), (1, Some(1)));
    assert!(ticket.exe.unwrap().contains("python3"));
    let deleted = home.done(&["rules", "delete", "1"]);
    assert!(deleted.contains("1 ticket"), "{deleted}");
    assert_eq!(visit(), "Permission denied");
    visitor.end();
}

#[test]
fn a_daemon_that_is_killed_comes_again_and_the_program_goes_on() {
    let (home, server) = (Home::denying().begun(), Server::start());
    home.done(&["allow", "/usr/bin/python3", "tcp", "connect"]);
    let mut visitor = Visitor::of(&home, &[]);
    let mut visit = || visitor.visit(&server);
    assert_eq!(visit(), "reached");
    let first = home.daemon().unwrap();
    kill(first, Signal::SIGKILL).unwrap();
    // Held until the next daemon is there, which takes less than the deadline; on a machine that
    // is too busy for that, the fallback denies.
    eventually("a daemon", || (visit() == "reached").then_some(()));
    let second = home.daemon().unwrap();
    assert_ne!(second, first);
    visitor.end();
    // The supervisor, which started it, blocks all signals.
    kill(second, Signal::SIGTERM).unwrap();
    let exe = format!("/proc/{second}/exe");
    eventually("its end", || std::fs::read_link(&exe).is_err().then_some(()));
}

#[test]
fn a_daemon_that_says_nothing_is_waited_for_and_no_longer() {
    let home = Home::with("[fallback]\ndefault = \"deny\"\n[requests]\ndeadline = \"300ms\"\n");
    let (home, server) = (home.begun(), Server::start());
    home.done(&["allow", "/usr/bin/python3", "tcp", "connect"]);
    let program = format!(
        "
import os, signal, socket, time
daemon = int(open('{}').read())
os.kill(daemon, signal.SIGSTOP)
before = time.monotonic()
try:
    socket.create_connection(('127.0.0.1', {}))
except PermissionError:
    print(0.25 < time.monotonic() - before < 30)
os.kill(daemon, signal.SIGCONT)
",
        home.path().join(".local/share/snet/run/snetd.sock.lock").display(),
        server.port
    );
    let ran = home.python(&program);
    assert_eq!(ran.out, "True\n", "{ran:?}");
    assert_eq!(server.connections(), 0);
}

/// They are held by a daemon that is stopped. A call that nobody has to be asked about isn't
/// kept waiting by them.
#[test]
fn ten_thousand_calls_are_held_at_once_and_none_is_lost() {
    let home = Home::with(
        "kernel = \"off\"\n[watch]\nconnect = \"udp\"\nbind = \"tcp\"\n[fallback]\ndefault = \"deny\"\n\
         [requests]\ndeadline = \"600s\"\n",
    )
    .begun();
    home.done(&["allow", "/usr/bin/python3", "udp", "connect"]);
    let program = format!(
        "
import os, signal, socket, threading, time
daemon = int(open('{}').read())
calls, held, outcomes = 10000, threading.Semaphore(0), []
def call():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        held.release()
        try:
            s.connect(('127.0.0.1', 9))
            outcomes.append('allowed')
        except OSError as error:
            outcomes.append(error)
threading.stack_size(65536)
os.kill(daemon, signal.SIGSTOP)
threads = [threading.Thread(target=call) for _ in range(calls)]
for t in threads: t.start()
for t in threads: held.acquire()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
    other.bind(('127.0.0.1', 0))
print(len(outcomes), 'before')
os.kill(daemon, signal.SIGCONT)
for t in threads: t.join()
print(len(outcomes), *set(outcomes))
",
        home.path().join(".local/share/snet/run/snetd.sock.lock").display(),
    );
    let ran = home.python(&program);
    assert_eq!(ran.out, "0 before\n10000 allowed\n", "{ran:?}");
}

#[test]
fn a_supervised_program_may_not_change_the_rules() {
    let home = Home::denying().begun();
    let tool = env!("CARGO_BIN_EXE_snet-tool");
    let ran = home.run(&[tool, "allow", "curl"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.err.contains("supervised"), "{}", ran.err);
    assert_eq!(home.run(&[tool, "rules"]).code, Some(0));
    // Nor does it help to leave the family.
    let orphan = format!("setsid {tool} allow curl; echo $? >done");
    let ran = home.run(&["sh", "-c", &format!("({orphan}) & sleep 0.1")]);
    assert_eq!(ran.code, Some(0));
    let done = eventually("the orphan", || {
        std::fs::read_to_string(home.path().join("done")).ok().filter(|text| !text.is_empty())
    });
    assert_eq!(done, "5\n");
    assert_eq!(home.done(&["rules", "--json"]), "");
}

/// A file that is put there later, under a name that nobody could foresee, is looked at before its
/// first call is decided; one that only looks like it is another.
#[test]
fn a_pattern_is_about_every_program_that_it_matches() {
    let (home, server) = (Home::denying().begun(), Server::start());
    let place = |version: &str| home.path().join(format!("opt/{version}/bin"));
    let attempt = |program: &std::path::Path| {
        let ran = home.run(&[program.to_str().unwrap(), "-s", &server.url()]);
        ran.code == Some(0)
    };
    let pattern = format!("{}/opt/*/bin/curl", home.path().display());
    home.done(&["allow", &pattern, "tcp", "connect"]);
    let copied = |version: &str, name: &str| {
        std::fs::create_dir_all(place(version)).unwrap();
        std::fs::copy("/usr/bin/curl", place(version).join(name)).unwrap();
        place(version).join(name)
    };
    let (one, two, other) = (copied("1.0", "curl"), copied("2.0", "curl"), copied("2.0", "wget"));
    assert!(attempt(&one) && attempt(&two) && attempt(&one));
    assert!(!attempt(&other) && !attempt("/usr/bin/curl".as_ref()));
    // Replaced, it is the program still.
    std::fs::remove_file(&one).unwrap();
    assert!(attempt(&copied("1.0", "curl")));
    home.done(&["deny", two.to_str().unwrap(), "tcp", "connect"]);
    assert!(!attempt(&two), "the path goes before the pattern");
    let wrong: Ran = home.tool(&["allow", "/opt/a**", "tcp"]).output().unwrap().into();
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
}
