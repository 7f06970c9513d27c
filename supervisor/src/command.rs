// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command as a new process under the filter.
//!
//! The new process puts itself under the filter, says under which number it has the listener,
//! and executes the command; its first held call is that one, so that nothing of the command
//! runs before the supervisor has the listener.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, Result, anyhow, bail};
use libc::sock_filter;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, pipe2};

use crate::sys;

/// What the new process says before it is the command.
const LISTENER: u8 = b'l';
const NO_FILTER: u8 = b'n';
const NO_PROGRAM: u8 = b'p';

/// The command, about to be executed.
pub(crate) struct Started {
    pub(crate) pid: u32,
    pub(crate) listener: OwnedFd,
    /// Ends when the command runs; an errno comes first when it can't.
    pub(crate) result: File,
    pub(crate) fresh: Fresh,
}

/// The new process, which ends with this unless it is let go. It has the listener itself: its
/// first held call would wait for ever when nobody else has it.
pub(crate) struct Fresh(Option<Pid>);

impl Fresh {
    /// From now on its calls are answered.
    pub(crate) fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitpid(pid, None);
        }
    }
}

/// What is to be run.
pub(crate) struct Command {
    arguments: Vec<CString>,
    filter: Vec<sock_filter>,
    /// The signals that were blocked for who started this.
    mask: SigSet,
}

impl Command {
    pub(crate) fn new(
        arguments: Vec<OsString>,
        filter: Vec<sock_filter>,
        mask: SigSet,
    ) -> Result<Self> {
        let convert = |argument: OsString| CString::new(argument.into_vec());
        let arguments: Vec<CString> =
            arguments.into_iter().map(convert).collect::<Result<_, _>>()?;
        if arguments.first().is_none_or(|name| name.is_empty()) {
            bail!("there is no command to run");
        }
        Ok(Self { arguments, filter, mask })
    }

    /// The program, as it was asked for.
    pub(crate) fn name(&self) -> String {
        self.arguments.first().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// Forks it. The calling process must have one thread.
    pub(crate) fn start(mut self) -> Result<Started> {
        let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
        let Some(pid) = sys::fork().context("can't make a process")? else {
            drop(reading);
            self.become_command(File::from(writing));
        };
        let fresh = Fresh(Some(Pid::from_raw(pid as i32)));
        drop(writing);
        let mut result = File::from(reading);
        let mut said = [0; 5];
        result.read_exact(&mut said).context("the new process ended before it was one")?;
        let [kind, number @ ..] = said;
        let number = i32::from_ne_bytes(number);
        if kind != LISTENER {
            return Err(no_filter(number));
        }
        let process = sys::pidfd_open(pid, false)?;
        let listener =
            sys::pidfd_getfd(process.as_fd(), number).map_err(|error| no_access(&error))?;
        Ok(Started { pid, listener, result, fresh })
    }

    fn become_command(&mut self, mut result: File) -> ! {
        let mut say = |kind: u8, number: i32| {
            let [a, b, c, d] = number.to_ne_bytes();
            // Who listens is the parent; without it there is nothing to be done.
            let _ = result.write_all(&[kind, a, b, c, d]);
        };
        let errno = |error: &io::Error| error.raw_os_error().unwrap_or(libc::EIO);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None);
        // The Rust runtime ignores it, and the command would inherit that.
        sys::default_action(Signal::SIGPIPE);
        match sys::install_filter(&mut self.filter) {
            Ok(listener) => {
                say(LISTENER, listener.as_raw_fd());
                if let Some(program) = self.arguments.first() {
                    let error = sys::execute(program, &self.arguments);
                    say(NO_PROGRAM, errno(&error));
                }
            }
            Err(error) => say(NO_FILTER, errno(&error)),
        }
        std::process::exit(127)
    }
}

/// Why the command could not be executed; nothing once it was.
pub(crate) fn execution_error(result: &mut File) -> Option<io::Error> {
    let mut said = [0; 5];
    result.read_exact(&mut said).ok()?;
    let [NO_PROGRAM, number @ ..] = said else { return None };
    Some(io::Error::from_raw_os_error(i32::from_ne_bytes(number)))
}

fn no_filter(errno: i32) -> anyhow::Error {
    let error = io::Error::from_raw_os_error(errno);
    let hint = match errno {
        libc::EBUSY => "a program that is supervised already can't supervise another one",
        libc::EINVAL => "the kernel must be Linux 5.19 or newer, with CONFIG_SECCOMP_FILTER",
        libc::EPERM | libc::EACCES | libc::ENOSYS => {
            "this system forbids seccomp user notification, as some containers do: allow it \
             there, or use the kernel module on the host"
        }
        _ => "seccomp user notification isn't to be had",
    };
    anyhow!("can't hold the calls of a program: {error}: {hint}")
}

fn no_access(error: &io::Error) -> anyhow::Error {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let hint = match scope.trim() {
        scope @ ("2" | "3") => format!(
            "kernel.yama.ptrace_scope is {scope}, which lets nobody supervise{}: 1 would do",
            if scope == "2" { " but root" } else { "" }
        ),
        _ => "this system forbids access to the program's sockets (pidfd_getfd)".to_owned(),
    };
    anyhow!("can't get at the calls of a program: {error}: {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_obstacle_is_explained() {
        assert!(no_filter(libc::EBUSY).to_string().contains("supervised already"));
        assert!(no_filter(libc::EPERM).to_string().contains("containers"));
        assert!(no_filter(libc::EINVAL).to_string().contains("5.19"));
        let error = no_access(&io::Error::from_raw_os_error(libc::EPERM)).to_string();
        assert!(error.contains("pidfd_getfd") || error.contains("ptrace_scope"), "{error}");
    }

    #[test]
    fn a_command_has_a_name_and_no_nul_in_it() {
        assert!(Command::new(vec![], vec![], SigSet::empty()).is_err());
        assert!(Command::new(vec!["a\0b".into()], vec![], SigSet::empty()).is_err());
    }
}
