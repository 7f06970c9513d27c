// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of many processes: git, which has ssh talk to a server; a browser.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Home, Server, eventually};
use crate::programs::{connects, free_port};

/// Runs to its end, as it must.
fn done(directory: &Path, command: &[&str]) {
    let [program, arguments @ ..] = command else { panic!("no command") };
    let status = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// The server lets root in by the keys in root's home directory, which is another one in a mount
/// namespace of its own. Without root that can't be had: then a test that does nothing says so.
#[test]
fn git_clones_over_ssh() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: git_clones_over_ssh needs root, for the server");
        return;
    }
    let home = Home::with("");
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (work, repository, key) = (at("work"), at("repository.git"), at("key"));
    done(home.path(), &["git", "init", "--quiet", "--initial-branch=main", &work]);
    fs::write(Path::new(&work).join("file"), "cloned\n").unwrap();
    done(Path::new(&work), &["git", "add", "file"]);
    let author = ["-c", "user.name=somebody", "-c", "user.email=somebody@localhost"];
    let commit = [&["git"], author.as_slice(), &["commit", "--quiet", "--message=first"]].concat();
    done(Path::new(&work), &commit);
    done(home.path(), &["git", "clone", "--quiet", "--bare", &work, &repository]);
    done(home.path(), &["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &key]);
    done(home.path(), &["dropbearkey", "-t", "ed25519", "-f", &at("host")]);
    let of_root = home.path().join("root/.ssh");
    fs::create_dir_all(&of_root).unwrap();
    for directory in [of_root.as_path(), of_root.parent().unwrap()] {
        fs::set_permissions(directory, Permissions::from_mode(0o700)).unwrap();
    }
    fs::copy(at("key.pub"), of_root.join("authorized_keys")).unwrap();
    let port = free_port();
    let serve = format!(
        "mount --bind {} /root && exec /usr/sbin/dropbear -F -s -r {} -p 127.0.0.1:{port}",
        at("root"),
        at("host")
    );
    let mut server = Command::new("unshare")
        .args(["--mount", "sh", "-c", &serve])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the server", || connects(port));
    let ssh = format!(
        "ssh -F none -i {key} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    );
    let url = format!("ssh://root@127.0.0.1:{port}{repository}");
    let ssh = format!("GIT_SSH_COMMAND={ssh}");
    let ran = home.run(&["env", &ssh, "git", "clone", "--quiet", &url, "clone"]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(fs::read_to_string(at("clone/file")).unwrap(), "cloned\n");
    eventually("a record that ssh connected", || {
        home.done(&["log"]).contains("/usr/bin/ssh").then_some(())
    });
}

/// Where it may, with its own sandbox: its processes are in namespaces of their own then.
#[test]
fn chromium_loads_a_page() {
    let (home, server) = (Home::with(""), Server::start());
    let profile = format!("--user-data-dir={}", home.path().join("profile").display());
    let url = server.url();
    let mut command =
        vec!["chromium", "--headless=new", "--disable-gpu", "--dump-dom", &profile, &url];
    if nix::unistd::geteuid().is_root() {
        command.push("--no-sandbox");
    }
    let ran = home.run(&command);
    assert!(ran.out.contains("hello"), "{ran:?}");
    assert!(server.connections() > 0);
}
