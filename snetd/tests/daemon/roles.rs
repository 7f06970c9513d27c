// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other users on the control socket. Needs root, to become another user.

use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::Place;

/// A group that every Debian has.
const GROUP: (&str, u32) = ("daemon", 1);
const NOBODY: u32 = 65534;

/// Calls each method in the arguments without parameters and prints the replies.
const CLIENT: &str = r#"
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
try:
    s.connect(sys.argv[1])
except PermissionError:
    print(json.dumps({"error": "connect"}))
    sys.exit()
for method in sys.argv[2:]:
    s.sendall(json.dumps({"method": "io.snet.Control." + method}).encode() + b"\0")
    reply = b""
    while not reply.endswith(b"\0"):
        reply += s.recv(65536)
    print(reply[:-1].decode())
"#;

/// What a user of this group gets, or nothing when this machine can't tell.
fn replies(place: &Place, gid: u32, methods: &[&str]) -> Option<Vec<Value>> {
    let mut client = Command::new("python3");
    client.arg("-c").arg(CLIENT).arg(place.socket()).args(methods).uid(NOBODY).gid(gid);
    match client.output() {
        Ok(output) => {
            assert!(output.status.success(), "{output:?}");
            let lines = String::from_utf8(output.stdout).unwrap();
            Some(lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
        }
        Err(error) => {
            eprintln!("skipped: can't run python3 as another user: {error}");
            None
        }
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can become another user");
    }
    root
}

#[test]
fn members_of_the_group_look_and_change_nothing() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    place.configure("", &format!("group = {:?}", GROUP.0));
    let daemon = place.start();
    let Some(replies) = replies(&place, GROUP.1, &["Status", "ListRules", "RevokeTickets"]) else {
        return;
    };
    assert_eq!(replies[0]["parameters"]["daemon"]["pid"], daemon.pid());
    assert_eq!(replies[1]["parameters"]["rules"], json!([]));
    assert_eq!(replies[2]["error"], "io.snet.Control.PermissionDenied");
}

#[test]
fn others_do_not_even_connect() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    for group in [GROUP.0, "", "no-such-group"] {
        place.configure("", &format!("group = {group:?}"));
        let daemon = place.start();
        if let Some(replies) = replies(&place, NOBODY, &["Status"]) {
            assert_eq!(replies, [json!({ "error": "connect" })], "{group}");
        }
        assert!(daemon.stop().success());
    }
}

#[test]
fn a_stranger_who_gets_through_is_refused_by_the_daemon() {
    if !is_root() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let _daemon = place.start();
    let open = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(place.socket().parent().unwrap(), 0o755);
    open(&place.socket(), 0o666);
    if let Some(replies) = replies(&place, NOBODY, &["Status", "Watch"]) {
        for reply in replies {
            assert_eq!(reply["error"], "io.snet.Control.PermissionDenied");
        }
    }
}
