// SPDX-License-Identifier: MIT OR Apache-2.0
//! A disk of its own for a daemon, small and easily broken: mounted where the database is, in a
//! mount namespace that ends with the test. Needs root.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;

use crate::harness::{Home, Ran, eventually};

const NOTHING: Option<&str> = None;

/// Where a user's daemon has its database.
const DATA: &str = ".local/share/snet";

/// A home whose database is on this disk.
pub(crate) struct Disk {
    pub(crate) home: Home,
    place: PathBuf,
}

impl Disk {
    /// Runs a test with a disk of this kind, or says that it was skipped.
    pub(crate) fn with(kind: &'static str, test: impl FnOnce(&Self) + Send + 'static) {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        // The namespace is the thread's, and that of what it starts.
        let ran = std::thread::spawn(move || match Self::mounted(kind) {
            Ok(disk) => test(&disk),
            // Not captured by the test harness, so that a skip is seen.
            Err(why) => {
                let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
            }
        });
        if let Err(panic) = ran.join() {
            std::panic::resume_unwind(panic);
        }
    }

    fn mounted(kind: &str) -> Result<Self, String> {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|error| format!("no mount namespace: {error}"))?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(NOTHING, "/", NOTHING, private, NOTHING).map_err(|error| error.to_string())?;
        let home = Home::denying();
        let place = home.path().join(DATA);
        fs::create_dir_all(&place).unwrap();
        if kind == "ext4" {
            let image = home.path().join("image");
            File::create(&image).unwrap().set_len(8 << 20).unwrap();
            succeeds(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
            let options = ["-o", "loop,errors=remount-ro"];
            succeeds(Command::new("mount").args(options).arg(&image).arg(&place))?;
        } else {
            let options = Some("size=2m,mode=700");
            let flags = MsFlags::empty();
            mount(Some("tmpfs"), &place, Some("tmpfs"), flags, options)
                .map_err(|error| format!("can't mount a tmpfs: {error}"))?;
        }
        // What the daemon writes beside its database isn't what is tested.
        let disk = Self { home, place };
        let run = disk.place.join("run");
        fs::create_dir(&run).unwrap();
        let options = Some("size=1m,mode=700");
        mount(Some("tmpfs"), &run, Some("tmpfs"), MsFlags::empty(), options).unwrap();
        Ok(disk)
    }

    /// Leaves no room.
    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.place.join("filler")).unwrap();
        while filler.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.place.join("filler")).unwrap();
    }

    /// Makes it read-only or writable, once nothing on it is open: a process that has ended may
    /// have threads that haven't.
    pub(crate) fn remount(&self, read_only: bool) {
        let read_only = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        let flags = MsFlags::MS_REMOUNT | read_only;
        eventually("the end of who writes", || {
            let done = mount(NOTHING, &self.place, NOTHING, flags, NOTHING);
            (done != Err(Errno::EBUSY)).then_some(done)
        })
        .unwrap();
    }

    /// As ext4 does by itself when it finds a fault.
    pub(crate) fn fail(&self) -> Result<(), String> {
        let found = Command::new("findmnt").args(["-n", "-o", "SOURCE"]).arg(&self.place).output();
        let source = String::from_utf8(found.unwrap().stdout).unwrap();
        let device = Path::new(source.trim()).file_name().unwrap().to_owned();
        let trigger = Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error");
        fs::write(&trigger, "test").map_err(|error| format!("{}: {error}", trigger.display()))
    }

    /// Ended in order, or killed, and begun again.
    pub(crate) fn restart(&self, signal: Signal) {
        self.home.end_daemon(signal);
        assert_eq!(self.home.run(&["true"]).code, Some(0), "{}", self.log());
    }

    /// snet-tool, whatever becomes of it.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Ran {
        self.home.tool(arguments).output().unwrap().into()
    }

    pub(crate) fn rules(&self) -> String {
        self.home.done(&["rules", "export"])
    }

    /// Of the daemon.
    pub(crate) fn status(&self) -> serde_json::Value {
        let status = self.tool(&["status", "--json"]).out;
        serde_json::from_str::<serde_json::Value>(&status).unwrap()["daemon"].take()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join(".local/state/snet/snetd.log")).unwrap_or_default()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.home.is_served() {
            self.home.end_daemon(Signal::SIGKILL);
        }
        for place in [self.place.join("run"), self.place.clone()] {
            let _ = umount2(&place, MntFlags::MNT_DETACH);
        }
    }
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}
