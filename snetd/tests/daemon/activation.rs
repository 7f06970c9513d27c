// SPDX-License-Identifier: MIT OR Apache-2.0
//! A control socket that somebody else has made and passes, as systemd does.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{Client, Place};

/// A place whose daemon is passed a socket at the configured path.
fn listening() -> (Place, UnixListener) {
    let place = Place::new();
    place.configure("", "group = \"\"");
    fs::create_dir(place.socket().parent().unwrap()).unwrap();
    let socket = UnixListener::bind(place.socket()).unwrap();
    fs::set_permissions(place.socket(), fs::Permissions::from_mode(0o600)).unwrap();
    (place, socket)
}

/// The daemon with this as descriptor 3, told in the environment as `sd_listen_fds(3)` says.
/// `pid` is what a shell makes LISTEN_PID of, before the daemon takes its place.
fn passing(place: &Place, passed: impl Into<OwnedFd>, pid: &str, count: u32) -> Command {
    let snetd = place.command();
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("LISTEN_PID={pid} exec \"$@\" 3<&0 4<&0 </dev/null")).arg("sh");
    command.arg(snetd.get_program()).args(snetd.get_args());
    command.env_remove("NOTIFY_SOCKET").env("LISTEN_FDS", count.to_string());
    command.stdin(Stdio::from(passed.into()));
    command
}

fn refusal(place: &Place, passed: impl Into<OwnedFd>) -> String {
    let output = passing(place, passed, "$$", 1).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_socket_that_is_passed_is_served_and_left_to_who_made_it() {
    let (place, socket) = listening();
    // Who calls before there is a daemon waits for it.
    let mut early = Client::connect(&place.socket());
    let daemon = place.start_as(passing(&place, socket.try_clone().unwrap(), "$$", 1));
    early.ask("Status", json!({}));
    assert!(!place.log().contains("WARN"), "{}", place.log());
    assert!(daemon.stop().success());
    let mut between = Client::connect(&place.socket());
    let next = place.start_as(passing(&place, socket.try_clone().unwrap(), "$$", 1));
    between.ask("Status", json!({}));
    next.kill();
    UnixStream::connect(place.socket()).unwrap();
}

#[test]
fn who_called_a_daemon_that_was_killed_is_answered_by_the_next() {
    let (place, socket) = listening();
    let daemon = place.start_as(passing(&place, socket.try_clone().unwrap(), "$$", 1));
    daemon.kill();
    let mut waiting = Client::connect(&place.socket());
    let _next = place.start_as(passing(&place, socket, "$$", 1));
    waiting.ask("Status", json!({}));
}

#[test]
fn the_socket_is_closed_to_other_programs() {
    let (place, socket) = listening();
    let daemon = place.start_as(passing(&place, socket, "$$", 1));
    let process = format!("/proc/{}", daemon.pid());
    // The flags are octal; 02000000 is O_CLOEXEC.
    let told = fs::read_to_string(format!("{process}/fdinfo/3")).unwrap();
    let flags = told.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    assert_ne!(u32::from_str_radix(flags, 8).unwrap() & 0o2_000_000, 0, "{told}");
    let file = fs::read_link(format!("{process}/fd/3")).unwrap();
    assert!(file.to_string_lossy().starts_with("socket:"), "{}", file.display());
}

#[test]
fn a_second_daemon_that_binds_itself_is_refused() {
    let (place, socket) = listening();
    let daemon = place.start_as(passing(&place, socket, "$$", 1));
    let told = place.refusal();
    assert!(told.contains(&format!("process {}", daemon.pid())), "{told}");
    daemon.client().ask("Status", json!({}));
}

#[test]
fn a_socket_for_another_process_is_not_taken() {
    let (place, socket) = listening();
    fs::remove_file(place.socket()).unwrap();
    // It binds one of its own, and takes it away at its end.
    let daemon = place.start_as(passing(&place, socket, "1", 1));
    assert!(daemon.stop().success());
    assert!(!place.socket().exists());
}

#[test]
fn a_wrong_socket_is_refused_and_named() {
    let (place, socket) = listening();
    let path = place.socket().display().to_string();
    let told = refusal(&place, UnixStream::pair().unwrap().0);
    assert!(told.contains("it doesn't listen") && told.contains(&path), "{told}");
    for wrong in [
        OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap()),
        TcpListener::bind("127.0.0.1:0").unwrap().into(),
        UnixDatagram::unbound().unwrap().into(),
    ] {
        let told = refusal(&place, wrong);
        assert!(told.contains("it is no Unix stream socket") && told.contains(&path), "{told}");
    }
    let elsewhere = place.path().join("elsewhere");
    let told = refusal(&place, UnixListener::bind(&elsewhere).unwrap());
    assert!(told.contains(&format!("it is at {}", elsewhere.display())), "{told}");
    let told = refusal(&place, fs::File::open("/dev/null").unwrap());
    assert!(told.contains("LISTEN_FDS") && told.contains(&path), "{told}");
    let two = passing(&place, socket, "$$", 2).output().unwrap();
    assert_eq!(two.status.code(), Some(1), "{two:?}");
    assert!(String::from_utf8(two.stderr).unwrap().contains("2 sockets were passed"));
    assert!(place.socket().exists(), "none of them took the socket away");
}

#[test]
fn a_socket_that_others_may_use_is_told_of() {
    let (place, socket) = listening();
    fs::set_permissions(place.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    place.start_as(passing(&place, socket, "$$", 1));
    assert!(place.log().contains("SocketMode=0600"), "{}", place.log());
}
