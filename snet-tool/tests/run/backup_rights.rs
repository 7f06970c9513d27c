// SPDX-License-Identifier: MIT OR Apache-2.0
//! Root's backups of a daemon that isn't root, as packages make it: what root does there is no more
//! than the daemon's user could. Needs root.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::backup::{database, file, names, ran};
use crate::harness::{Home, Ran, eventually, snetd};

/// A daemon with a user and a directory of its own, as packages make it.
struct Service {
    home: Home,
}

const SOMEBODY: u32 = 65534;

/// Ended with this.
struct Daemon(Child);

impl Daemon {
    fn stop(mut self) {
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Service {
    fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            let _ = writeln!(std::io::stderr(), "skipped: needs root");
            return None;
        }
        let home = Home::with("");
        let place = home.path().join("lib");
        fs::create_dir(&place).unwrap();
        chown(&place, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        fs::set_permissions(&place, Permissions::from_mode(0o700)).unwrap();
        // Else nobody but root would come to it.
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        let text = format!(
            "database = \"{0}/snet.db\"\nkernel = \"optional\"\n[control]\nsocket = \"{0}/run/s\"\n\
             group = \"\"\n",
            place.display()
        );
        fs::write(home.path().join("config"), text).unwrap();
        Some(Self { home })
    }

    fn start(&self) -> Daemon {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(snetd()).arg("--config").arg(self.home.path().join("config"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let daemon = Daemon(child);
        let socket = self.home.path().join("lib/run/s");
        eventually("the daemon", || UnixStream::connect(&socket).ok().map(drop));
        daemon
    }

    fn rules(&self) -> String {
        self.home.done(&["--socket", "lib/run/s", "rules", "export"])
    }

    /// The tickets for the next boot.
    fn early(&self) -> String {
        fs::read_to_string(self.home.path().join("lib/early.json")).unwrap_or_default()
    }

    fn all_is_its_own(&self) {
        for name in names(&self.home.path().join("lib")) {
            let found = self.home.path().join("lib").join(&name).symlink_metadata().unwrap();
            assert_eq!((found.uid(), found.gid()), (SOMEBODY, SOMEBODY), "{name}");
            assert!(found.is_dir() || found.mode() & 0o777 == 0o600, "{name}: {:o}", found.mode());
        }
    }
}

#[test]
fn roots_backup_and_restore_leave_nothing_of_roots_to_the_daemon() {
    let Some(service) = Service::new() else { return };
    let home = &service.home;
    let daemon = service.start();
    home.done(&["--socket", "lib/run/s", "allow", "curl", "tcp", "connect"]);
    let rules = service.rules();
    let allowed = |text: &String| text.contains("/curl\"") && !text.contains("deny");
    let early = eventually("its ticket", || Some(service.early()).filter(allowed));
    home.done(&["backup", "--config", "config", "running"]);
    let said = ran(home, &["restore", "--config", "config", "running"]);
    assert!(said.err.contains("`systemctl stop snetd`"), "{said:?}");
    home.done(&["--socket", "lib/run/s", "deny", "curl", "tcp", "connect"]);
    eventually("its ticket", || service.early().contains("deny").then_some(()));
    daemon.stop();
    home.done(&["backup", "--config", "config", "stopped"]);
    service.all_is_its_own();
    home.done(&["restore", "--config", "config", "running"]);
    service.all_is_its_own();
    assert_eq!(service.early(), early, "the machine may be what is started next");
    let daemon = service.start();
    assert_eq!(service.rules(), rules);
    home.done(&["--socket", "lib/run/s", "deny", "nc", "tcp", "connect"]);
    daemon.stop();
    service.all_is_its_own();
}

#[test]
fn links_that_somebody_in_the_daemon_left_lead_root_nowhere() {
    let Some(service) = Service::new() else { return };
    let home = &service.home;
    let root = Home::with("").begun();
    root.done(&["allow", "curl", "tcp", "connect"]);
    root.end_daemon(Signal::SIGTERM);
    let secret = database(&root);
    let secret_before = fs::read(&secret).unwrap();
    root.done(&["backup", "--user", "backup"]);
    let backup = file(&root, "backup");
    let link = home.path().join("lib/snet.db");
    symlink(&secret, &link).unwrap();
    for arguments in
        [["backup", "--config", "config", "x"], ["restore", "--config", "config", &backup]]
    {
        let said: Ran = ran(home, &arguments);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("can't get at the database "), "{said:?}");
    }
    assert!(!home.path().join("x").exists());
    assert_eq!(fs::read(&secret).unwrap(), secret_before);
    // One that leads to what isn't a database isn't copied to where the daemon's user can read it.
    let (hidden, planted) = (root.path().join("hidden"), home.path().join("lib/planted"));
    fs::write(&hidden, "a secret of root's").unwrap();
    symlink(&hidden, &planted).unwrap();
    fs::remove_file(&link).unwrap();
    let said = ran(home, &["restore", "--config", "config", planted.to_str().unwrap()]);
    assert!(said.err.contains("it is no database of snet"), "{said:?}");
    // And one in the place of what a restore writes first is only removed.
    symlink(&hidden, home.path().join("lib/snet.db.restoring")).unwrap();
    home.done(&["restore", "--config", "config", &backup]);
    assert_eq!(fs::read_to_string(&hidden).unwrap(), "a secret of root's");
}

#[test]
fn somebody_else_gets_neither_backup_nor_restore() {
    let Some(service) = Service::new() else { return };
    let home = &service.home;
    service.start().stop();
    for way in ["--backup", "--restore"] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "1234", "--regid", "1234", "--clear-groups"]);
        command.arg(snetd()).arg(way).arg("--config").arg(home.path().join("config"));
        let said: Ran = command.stdin(Stdio::null()).output().unwrap().into();
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("be root, or its owner"), "{said:?}");
    }
}
