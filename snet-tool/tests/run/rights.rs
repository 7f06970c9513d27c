// SPDX-License-Identifier: MIT OR Apache-2.0
//! The supervisor's rights are never the program's. Needs root, to have rights that programs
//! don't; CI and `make test` are root.

use crate::harness::{Home, Ran};

/// Binds a port for which a capability is needed.
const BIND: &str = "
import socket
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', 81))
    print('bound')
except PermissionError:
    print('not permitted')
";

fn bind_as(home: &Home, who: &[&str]) -> Ran {
    let python = ["/usr/bin/python3", "-c", BIND];
    home.run(&[who, &python].concat())
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped: needs root");
    }
    root
}

#[test]
fn a_program_that_gave_its_rights_up_does_not_get_them_back() {
    if !is_root() {
        return;
    }
    let home = Home::with("");
    assert_eq!(bind_as(&home, &[]).out, "bound\n");
    let other_user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let ran = bind_as(&home, &other_user);
    assert_eq!(ran.out, "not permitted\n", "{ran:?}");
    let no_capabilities =
        ["setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service"];
    let ran = bind_as(&home, &no_capabilities);
    assert_eq!(ran.out, "not permitted\n", "{ran:?}");
}

#[test]
fn root_in_a_namespace_of_its_own_is_not_root() {
    if !is_root() {
        return;
    }
    let home = Home::with("");
    let ran = bind_as(&home, &["unshare", "--user", "--map-root-user"]);
    assert_eq!(ran.out, "not permitted\n", "{ran:?}");
}

/// Looks into the parent, which is the supervisor, of the same user.
const LOOK: &str = "
try:
    open('/proc/%d/mem' % os.getppid(), 'rb')
    print('open')
except PermissionError:
    print('closed')
";

#[test]
fn an_ordinary_user_has_a_supervisor_without_rights_that_it_can_not_look_into() {
    if !is_root() {
        return;
    }
    let home = Home::with("");
    std::os::unix::fs::chown(home.path(), Some(65534), Some(65534)).unwrap();
    for directory in [".config", ".config/snet", ".config/snet/snetd.toml"] {
        std::os::unix::fs::chown(home.path().join(directory), Some(65534), Some(65534)).unwrap();
    }
    let tool = home.tool(&[]);
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"]);
    command.arg(tool.get_program()).args(["run", "--", "/usr/bin/python3", "-c"]);
    command.arg(format!("import os\nprint(os.getuid()){BIND}{LOOK}"));
    for (name, value) in tool.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let ran: Ran = command.current_dir("/").output().unwrap().into();
    assert_eq!(ran.out, "65534\nnot permitted\nclosed\n", "{ran:?}");
}
