// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules about some processes of a program: by command line, parent, and content.

use std::fs;
use std::process::Command;

use crate::harness::{Home, Ran, Server};
use crate::visitor::Visitor;

fn tool(home: &Home, arguments: &[&str]) -> Ran {
    home.tool(arguments).output().unwrap().into()
}

/// Fetches, and says whether that was allowed.
fn fetches(home: &Home, command: &[&str]) -> bool {
    let ran = home.run(command);
    match ran.code {
        Some(0) => true,
        Some(_) if ran.err.contains("ermission denied") || ran.code == Some(7) => false,
        _ => panic!("{ran:?}"),
    }
}

const FETCH: &str = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()";

#[test]
fn the_scripts_of_an_interpreter_are_told_apart_by_the_command_line() {
    let (home, server) = (Home::denying().begun(), Server::start());
    let script = |name: &str| {
        let path = home.path().join(name).to_str().unwrap().to_owned();
        fs::write(&path, FETCH).unwrap();
        path
    };
    let (backup, other) = (script("backup.py"), script("other.py"));
    let pattern = format!("* {backup} *");
    home.done(&["allow", "/usr/bin/python3", "tcp", "connect", "--command", &pattern]);
    assert!(fetches(&home, &["/usr/bin/python3", &backup, &server.url()]));
    assert!(!fetches(&home, &["/usr/bin/python3", &other, &server.url()]));
    assert!(fetches(&home, &["/usr/bin/python3", "-I", &backup, &server.url()]));
    let rules = home.done(&["rules"]);
    assert!(rules.contains(&format!("run as '{pattern}'")), "{rules}");
    let line = format!("python3 {backup} x");
    let call = ["test", "/usr/bin/python3", "tcp", "connect", "--to", "192.0.2.1:1", "--command"];
    assert_eq!(tool(&home, &[&call[..], &[&line]].concat()).code, Some(0));
    assert_eq!(tool(&home, &[&call[..], &["python3 x"]].concat()).code, Some(3));
    assert_eq!(tool(&home, &call[..6]).code, Some(3));
}

#[test]
fn a_rule_for_a_command_line_reaches_processes_that_had_a_ticket() {
    let (home, server) = (Home::with("").begun(), Server::start());
    home.done(&["allow", "/usr/bin/python3", "tcp", "connect"]);
    let mut visitor = Visitor::of(&home, &["marked"]);
    assert_eq!(visitor.visit(&server), "reached");
    let added = home.done(&["deny", "/usr/bin/python3", "tcp", "connect", "--command", "* other"]);
    assert!(!added.contains("revoked"), "it isn't about the process: {added}");
    let added = home.done(&["deny", "/usr/bin/python3", "tcp", "connect", "--command", "* marked"]);
    assert!(added.contains("revoked 1 ticket"), "{added}");
    assert_eq!(visitor.visit(&server), "Permission denied");
    visitor.end();
}

#[test]
fn a_program_is_told_by_the_one_that_started_it() {
    let (home, server) = (Home::denying().begun(), Server::start());
    home.done(&["allow", "curl", "tcp", "connect", "--parent", "dash"]);
    let url = server.url();
    let by_shell = format!("curl -sS {url}; exit $?");
    assert!(fetches(&home, &["dash", "-c", &by_shell]));
    assert!(!fetches(&home, &["curl", "-sS", &url]));
    let by_python =
        format!("import subprocess, sys; sys.exit(subprocess.call(['curl', '-sS', '{url}']))");
    assert!(!fetches(&home, &["/usr/bin/python3", "-c", &by_python]));
    let call = ["test", "curl", "tcp", "connect", "--to", "192.0.2.1:1"];
    assert_eq!(tool(&home, &[&call[..], &["--parent", "/usr/bin/dash"]].concat()).code, Some(0));
    assert_eq!(tool(&home, &call).code, Some(3));
    let refused = tool(&home, &["allow", "curl", "--parent", "any"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("leave it out"), "{refused:?}");
}

#[test]
fn a_program_is_told_by_its_content_wherever_it_lies() {
    let (home, server) = (Home::denying().begun(), Server::start());
    let copy = home.path().join("tool").to_str().unwrap().to_owned();
    fs::copy("/usr/bin/curl", &copy).unwrap();
    let sum = Command::new("sha256sum").arg("/usr/bin/curl").output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap()[..64].to_owned();
    home.done(&["allow", &format!("sha256:{sum}"), "tcp", "connect"]);
    let fetch = |program: &str| fetches(&home, &[program, "-sS", &server.url()]);
    assert!(fetch(&copy) && fetch("/usr/bin/curl"));
    // Programs may have something at their end.
    let mut bytes = fs::read(&copy).unwrap();
    bytes.extend(b"changed");
    fs::write(&copy, bytes).unwrap();
    assert!(!fetch(&copy));
    let refused = tool(&home, &["allow", "sha256:12", "tcp", "connect"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("64 hexadecimal digits"), "{refused:?}");
    let exported = home.done(&["rules", "export"]);
    assert!(exported.contains(&format!("program = \"sha256:{sum}\"")), "{exported}");
}

#[test]
fn a_rule_for_a_container_is_about_no_process_outside() {
    let (home, server) = (Home::with("").begun(), Server::start());
    let added = tool(&home, &["deny", "any", "any", "any", "--container", "web"]);
    assert_eq!(added.code, Some(0), "{added:?}");
    assert!(fetches(&home, &["curl", "-sS", &server.url()]));
    let call = ["test", "/bin/app", "tcp", "connect", "--to", "192.0.2.1:1", "--container"];
    assert_eq!(tool(&home, &[&call[..], &["web"]].concat()).code, Some(3));
    assert_eq!(tool(&home, &[&call[..], &["db"]].concat()).code, Some(0));
    let copy = home.path().join("anywhere").to_str().unwrap().to_owned();
    fs::copy("/usr/bin/curl", &copy).unwrap();
    home.done(&["deny", &copy, "tcp", "connect", "--container", "any"]);
    assert!(!fetches(&home, &[&copy, "-sS", &server.url()]));
    let refused = tool(&home, &["deny", "any", "--container", "a/b"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

/// The kernel cuts a name at 15 bytes, which may be within a letter.
#[test]
fn a_program_whose_name_is_no_text_is_decided_as_any_other() {
    let (home, server) = (Home::denying().begun(), Server::start());
    let call = ["/usr/bin/python3", "tcp", "connect", "--command"];
    home.done(&[&["allow"], &call[..], &["*import ctypes*"]].concat());
    home.done(&[&["deny"], &call[..], &["*nothing like it*"]].concat());
    let program = format!(
        "import ctypes, socket, sys
ctypes.CDLL(None).prctl(15, b'cut \\xc3', 0, 0, 0)
socket.create_connection(('127.0.0.1', {})).close()
print('reached')",
        server.port
    );
    let ran = home.run(&["/usr/bin/python3", "-c", &program]);
    assert_eq!(ran.out, "reached\n", "{ran:?}");
}
