// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which daemon is asked: the system's, or else this user's own, started on the spot.
//!
//! Owns where they are looked for and how the latter is started. What is said to them is
//! `client`'s.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use libsnet::control::UserPaths;

/// A log that has become longer than this begins anew.
const LONG_LOG: u64 = 1024 * 1024;

/// The daemon of this user alone, running or not.
#[derive(Debug, Clone)]
pub(crate) struct UserDaemon {
    paths: UserPaths,
}

impl UserDaemon {
    /// Nothing without a home directory.
    pub(crate) fn find() -> Option<Self> {
        UserPaths::new(|name| std::env::var_os(name)).map(|paths| Self { paths })
    }

    /// Its control socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.paths.socket
    }

    /// Is there one, or was there?
    pub(crate) fn is_known(&self) -> bool {
        self.paths.database.exists() || self.paths.socket.exists()
    }

    /// Starts it, without a look whether it comes up. Several at once are no harm: one stays.
    pub(crate) fn start(&self) -> Result<Child> {
        let log = &self.paths.log;
        let place = || format!("can't write the log {} of this user's snetd", log.display());
        fs::create_dir_all(log.parent().unwrap_or(log)).with_context(place)?;
        let long = log.metadata().is_ok_and(|found| found.len() > LONG_LOG);
        let log =
            OpenOptions::new().create(true).append(!long).write(true).truncate(long).open(log);
        let log = log.with_context(place)?;
        let snetd = program()?;
        Command::new(&snetd)
            .arg("--user")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Signals of this terminal aren't meant for it.
            .process_group(0)
            .current_dir("/")
            .spawn()
            .with_context(|| format!("can't start {}", snetd.display()))
    }

    /// Starts it and waits until `connect` succeeds.
    pub(crate) fn bring_up<T>(
        &self,
        patience: Duration,
        connect: impl Fn(&Path) -> Result<T>,
    ) -> Result<T> {
        let began = Instant::now();
        let mut child = self.start()?;
        loop {
            let error = match connect(self.socket()) {
                Ok(connected) => return Ok(connected),
                Err(error) => error,
            };
            if let Some(status) = child.try_wait()? {
                // Another one was faster, perhaps, and answers in a moment.
                if let Ok(connected) = connect(self.socket()) {
                    return Ok(connected);
                }
                bail!("this user's snetd ended at once ({status}): {}", self.last_words());
            }
            if began.elapsed() > patience {
                return Err(error.context("this user's snetd doesn't come up"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.paths.log).unwrap_or_default();
        let last = log.lines().last().unwrap_or("it said nothing");
        last.to_owned()
    }
}

/// The snetd that belongs to this snet-tool: beside it, or else one that is installed.
pub(crate) fn program() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("SNETD") {
        return Ok(PathBuf::from(named));
    }
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("snetd"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from))
        .map(|directory| directory.join("snetd"));
    beside.into_iter().chain(installed).find(|path| path.is_file()).context(
        "there is no snetd beside snet-tool, in PATH or in /usr/local/sbin: install it, or say \
         where it is with SNETD",
    )
}
