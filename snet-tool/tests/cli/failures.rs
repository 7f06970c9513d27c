// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can go wrong on the way to an answer, and how that is told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use libsnet::control::{ErrorReply, Reply};

use crate::fake::{Act, Fake, Ran, reply, status, tool};

fn failing(act: impl Fn() -> Act + Send + Sync + 'static) -> Fake {
    Fake::new(move |_, _| act())
}

#[test]
fn a_missing_socket_is_named_with_what_to_do() {
    let ran: Ran = tool(&["status", "--socket", "/nonexistent/socket"]).output().unwrap().into();
    assert_eq!(ran.code, 4);
    for words in ["no socket /nonexistent/socket", "is snetd running?", "as root: snetd"] {
        assert!(ran.err.contains(words), "{}", ran.err);
    }
    assert_eq!(ran.err.lines().count(), 1);
}

#[test]
fn a_socket_that_nobody_serves_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    let ran: Ran = tool(&["status", "--socket", path.to_str().unwrap()]).output().unwrap().into();
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("nothing answers on"), "{}", ran.err);
}

#[test]
fn the_option_counts_more_than_the_environment() {
    let mut command = tool(&["status", "--socket", "/nonexistent/option"]);
    let ran: Ran = command.env("SNET_SOCKET", "/nonexistent/env").output().unwrap().into();
    assert!(ran.err.contains("/nonexistent/option"), "{}", ran.err);
    let mut command = tool(&["status"]);
    let ran: Ran = command.env("SNET_SOCKET", "/nonexistent/env").output().unwrap().into();
    assert!(ran.err.contains("/nonexistent/env"), "{}", ran.err);
}

#[test]
fn a_socket_that_is_not_for_us_says_whom_it_is_for() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    // Root may write to every socket, so root becomes somebody else; others lose the bits.
    let tool = dir.path().join("snet-tool");
    fs::copy(assert_cmd::cargo::cargo_bin!("snet-tool"), &tool).unwrap();
    let mut command = Command::new(&tool);
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534);
    } else {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let output = command.arg("status").env("SNET_SOCKET", &path).output().unwrap();
    let ran = Ran::from(output);
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("be root or a member of group snet"), "{}", ran.err);
}

#[test]
fn a_daemon_that_hangs_is_waited_for_only_so_long() {
    let fake = failing(|| Act::Hang);
    for command in [&["status"][..], &["rules"], &["watch"], &["log"]] {
        let start = Instant::now();
        let ran = fake.run(&[command, &["--timeout", "0.2"]].concat());
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(ran.code, 4, "{command:?}");
        assert!(ran.err.contains("no answer") && ran.err.contains("within 0.2 s"), "{}", ran.err);
    }
}

#[test]
fn half_an_answer_is_waited_for_only_so_long_too() {
    let ran =
        failing(|| Act::Bytes(b"{\"parameters\":".to_vec())).run(&["status", "--timeout", "0.2"]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("within 0.2 s"), "{}", ran.err);
}

#[test]
fn a_closed_connection_is_told() {
    let ran = failing(|| Act::Close).run(&["rules"]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("closed the connection"), "{}", ran.err);
}

#[test]
fn nonsense_is_no_answer() {
    let nonsense =
        [&b"nonsense\0"[..], b"{}\0", b"{\"parameters\":{\"rules\":[{\"id\":1}]}}\0", b"\0"];
    for bytes in nonsense {
        let ran = failing(move || Act::Bytes(bytes.to_vec())).run(&["rules"]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{bytes:?}");
        assert!(ran.err.contains("io.snet.Control.ListRules with something else"), "{}", ran.err);
    }
}

#[test]
fn an_answer_to_another_question_is_no_answer() {
    let ran = failing(|| reply(Reply::Revoked { revoked: 1 })).run(&["rules", "delete", "3"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("missing field `changed`"), "{}", ran.err);
}

#[test]
fn what_the_daemon_refuses_is_told_in_its_words() {
    let cases = [
        (
            ErrorReply::PermissionDenied { reason: "only root".into() },
            5,
            "permission denied: only root",
        ),
        (ErrorReply::NotFound { kind: "rule".into(), id: 3 }, 1, "no rule 3"),
        (ErrorReply::Failed { reason: "disk\x1b full".into() }, 1, "disk\\u{1b} full"),
        (ErrorReply::InvalidRule { reason: "remote: no".into() }, 1, "remote: no"),
    ];
    for (error, code, words) in cases {
        let ran = failing(move || Act::Error(error.clone())).run(&["rules", "delete", "3"]);
        assert_eq!(ran.code, code, "{words}");
        assert!(ran.err.contains(words), "{}", ran.err);
    }
}

#[test]
fn a_refusal_of_permission_ends_a_list_of_things() {
    let denied = || Act::Error(ErrorReply::PermissionDenied { reason: "only root".into() });
    let fake = failing(denied);
    let ran = fake.run(&["rules", "delete", "3", "4"]);
    assert_eq!(ran.code, 5);
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn an_error_of_tomorrow_is_shown_as_it_came() {
    let bytes = b"{\"error\":\"io.snet.Control.Busy\",\"parameters\":{\"until\":7}}\0";
    let ran = failing(|| Act::Bytes(bytes.to_vec())).run(&["status"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("io.snet.Control.Busy {\"until\":7}"), "{}", ran.err);
    let bare =
        failing(|| Act::Bytes(b"{\"error\":\"org.varlink.service.ExpectedMore\"}\0".to_vec()));
    assert!(bare.run(&["status"]).err.contains("needs 'more'"));
}

#[test]
fn an_answer_of_tomorrow_with_more_fields_is_understood() {
    let fake = failing(|| {
        let mut answer = serde_json::to_value(status()).unwrap();
        answer["daemon"]["mood"] = "fine".into();
        Act::Bytes(format!("{{\"parameters\":{answer},\"new\":1}}\0").into_bytes())
    });
    assert_eq!(fake.run(&["status"]).code, 0);
}
