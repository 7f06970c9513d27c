// SPDX-License-Identifier: MIT OR Apache-2.0
//! The process that the shell knows: stands for the command towards whoever started it. It stops
//! when the command stops, passes signals on, and ends as the command ends.
//!
//! The supervisor is a process of its own behind it, since a command may leave processes behind
//! that are still to be supervised when it has ended.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::channel::{Channel, News};
use crate::command::Command;
use crate::daemon::Connection;
use crate::supervise::{self, Assignment};
use crate::{filter, sys};

/// What is to be run, and who decides.
pub struct Launch {
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// The control socket of the daemon.
    pub socket: PathBuf,
    /// A connection to it.
    pub connection: Connection,
    /// Starts the daemon where it has ended, if that is this user's to do.
    pub revive: Option<Box<dyn Fn() + Send + Sync>>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With this code.
    Exited(u8),
    /// By this signal.
    Killed(i32),
    /// It never began: the exit code that says so, and why.
    Failed(u8, String),
}

/// Those that mean the command. Nobody can pass SIGKILL and SIGSTOP on.
const PASSED_ON: [Signal; 12] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGWINCH,
];

/// Runs a command under supervision until it ends. The process must have one thread.
///
/// # Errors
/// When there can't be a supervisor here.
pub fn run(launch: Launch) -> Result<Ended> {
    let signals: SigSet = PASSED_ON.into_iter().collect();
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), Some(&mut before))?;
    let program = filter::program(&launch.connection.terms().watch);
    let command = Command::new(launch.command, program, before)?;
    let (ours, theirs) = Channel::pair().context("can't make a channel")?;
    if sys::fork().context("can't make a process")?.is_none() {
        drop(ours);
        supervise::main(Assignment {
            command,
            socket: launch.socket,
            connection: launch.connection,
            revive: launch.revive,
            front: theirs,
        });
    }
    drop(theirs);
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let ended = stand_in(&ours, &signals);
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    ended
}

fn stand_in(supervisor: &Channel, signals: &SignalFd) -> Result<Ended> {
    loop {
        let mut states = [
            PollFd::new(supervisor.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        // Interrupted or not, what there is to read shows.
        let _ = poll(&mut states, PollTimeout::NONE);
        let [news, signal] = states.map(|state| state.any() == Some(true));
        if signal {
            pass_on(signals, supervisor);
        }
        if !news {
            continue;
        }
        match supervisor.news() {
            Some(News::Exited(code)) => return Ok(Ended::Exited(code)),
            Some(News::Killed(signal)) => return Ok(Ended::Killed(signal)),
            Some(News::Failed(code, why)) => return Ok(Ended::Failed(code, why)),
            // Until somebody continues the job, or the command alone.
            Some(News::Stopped) => raise(Signal::SIGSTOP)?,
            None => bail!(
                "the supervisor was killed: the program goes on, and each of its socket calls fails"
            ),
        }
    }
}

/// What a terminal sends, it sends to the command as well.
fn pass_on(signals: &SignalFd, supervisor: &Channel) {
    const SI_KERNEL: i32 = 0x80;
    while let Ok(Some(info)) = signals.read_signal() {
        if info.ssi_code != SI_KERNEL {
            supervisor.pass_on(info.ssi_signo as i32);
        }
    }
}

/// Ends this process by the signal that ended the command, as far as a signal can.
pub fn end_by(number: i32) {
    let Ok(name) = Signal::try_from(number) else {
        return;
    };
    // One core dump is enough.
    let _ = sys::shut_out_tracers();
    sys::default_action(name);
    let only: SigSet = std::iter::once(name).collect();
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&only), None);
    let _ = raise(name);
}
