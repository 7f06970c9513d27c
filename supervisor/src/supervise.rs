// SPDX-License-Identifier: MIT OR Apache-2.0
//! The supervisor's process, from its fork to the end of the last process that it supervises.
//!
//! Owns its threads: this one waits for ends (of the command, of orphans, of every process that
//! made a call), workers handle a call each, one reads what snetd says, one looks after calls
//! that wait. A worker that begins makes sure that another one is ready, so that no call waits
//! for another.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use crate::blocked::Blocked;
use crate::calls::Calls;
use crate::channel::{Channel, News};
use crate::command::{Command, Started, execution_error};
use crate::daemon::{Connection, Daemon};
use crate::perform::{Own, STACK};
use crate::processes::{Process, Processes, namespace};
use crate::status::Status;
use crate::{object, sys};

/// Workers that are ready and have nothing to do.
const READY: usize = 2;
const READY_AT_MOST: usize = 16;
/// Between two looks for processes whose end has to be waited for.
const LOOK_MILLISECONDS: u16 = 500;

/// What the supervisor's process is given.
pub(crate) struct Assignment {
    pub(crate) command: Command,
    pub(crate) socket: PathBuf,
    pub(crate) connection: Connection,
    pub(crate) revive: Option<Box<dyn Fn() + Send + Sync>>,
    pub(crate) front: Channel,
}

/// The exit code for a supervisor that could not begin.
const NOT_BEGUN: u8 = 125;

/// Supervises, and ends the process.
pub(crate) fn main(assignment: Assignment) -> ! {
    let front = assignment.front;
    let begun = begin(
        assignment.command,
        assignment.socket,
        assignment.connection,
        assignment.revive,
        &front,
    );
    let code = match begun {
        Ok(supervisor) => {
            supervisor.run(front);
            0
        }
        Err(error) => {
            front.tell(&News::Failed(NOT_BEGUN, format!("{error:#}")));
            1
        }
    };
    std::process::exit(code)
}

struct Supervisor {
    calls: Arc<Calls>,
    command: Pid,
    /// As it was asked for.
    name: String,
    /// The command has, though processes that it started may go on.
    ended: bool,
    /// Until it is known that the command runs.
    result: Option<File>,
    ends: SignalFd,
    front_pid: Pid,
}

fn begin(
    command: Command,
    socket: PathBuf,
    connection: Connection,
    revive: Option<Box<dyn Fn() + Send + Sync>>,
    front: &Channel,
) -> Result<Supervisor> {
    sys::adopt_orphans()?;
    let front_pid = nix::unistd::getppid();
    let name = command.name();
    let Started { pid, listener, result, fresh } = command.start()?;
    // One of its own: snetd knows a supervisor by the process that connects.
    drop(connection);
    let connection = Connection::open(&socket)?;
    let daemon = Daemon::new(&connection, socket, revive)?;
    let _ = setsid();
    // Holds nothing that somebody else may wait for the end of.
    withdraw(&[front.as_fd(), listener.as_fd(), result.as_fd()], &connection, &daemon)?;
    // Before it has any use for them: the others of its user can't look into it from now on.
    sys::shut_out_tracers()?;
    sys::prepare_interrupt()?;
    let ends = block_signals()?;
    let own = sys::own_tid();
    let calls = Arc::new(Calls {
        listener,
        daemon,
        processes: Processes::default(),
        blocked: Blocked::default(),
        own: Own { credentials: Status::read(own)?.credentials, user_ns: namespace(own, "user")? },
        network: (own_network()?, namespace(own, "net")?),
    });
    let serving = Arc::clone(&calls);
    let watching = Arc::clone(&calls);
    Builder::new().spawn(move || serving.daemon.serve(connection))?;
    Builder::new().spawn(move || watching.blocked.look_after(watching.listener.as_fd()))?;
    let ready = Arc::new(AtomicUsize::new(0));
    for _ in 0..READY {
        add_worker(&calls, &ready).context("can't make a thread")?;
    }
    fresh.let_go();
    let command = Pid::from_raw(pid as i32);
    Ok(Supervisor { calls, command, name, ended: false, result: Some(result), ends, front_pid })
}

fn own_network() -> Result<u64> {
    let any =
        std::net::UdpSocket::bind("127.0.0.1:0").or_else(|_| std::net::UdpSocket::bind("[::1]:0"));
    match any {
        Ok(socket) => Ok(object::Socket::new(socket.into())?.network()?),
        // No network here at all: nothing is in this namespace then.
        Err(_) => Ok(0),
    }
}

fn withdraw(kept: &[BorrowedFd<'_>], connection: &Connection, daemon: &Daemon) -> Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    drop(null);
    daemon.with_stream(|stream| {
        let kept: Vec<_> = kept.iter().copied().chain([connection.as_fd()]).chain(stream).collect();
        sys::close_all_but(&kept);
    });
    chdir("/")?;
    Ok(())
}

/// Blocks all signals, for every thread to come; those of children are read.
fn block_signals() -> Result<SignalFd> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&children, flags)?)
}

fn add_worker(calls: &Arc<Calls>, ready: &Arc<AtomicUsize>) -> std::io::Result<()> {
    ready.fetch_add(1, Ordering::AcqRel);
    let (own_calls, own_ready) = (Arc::clone(calls), Arc::clone(ready));
    let spawned = Builder::new().stack_size(STACK).spawn(move || work(&own_calls, &own_ready));
    if spawned.is_err() {
        ready.fetch_sub(1, Ordering::AcqRel);
    }
    spawned.map(drop)
}

/// Handles calls until there are enough others to do it.
fn work(calls: &Arc<Calls>, ready: &Arc<AtomicUsize>) {
    loop {
        let Ok(notification) = sys::receive(calls.listener.as_fd()) else {
            if is_over(calls.listener.as_fd()) {
                return;
            }
            continue;
        };
        if ready.fetch_sub(1, Ordering::AcqRel) <= READY {
            // Without another thread, calls wait for those that are being handled.
            let _ = add_worker(calls, ready);
        }
        calls.handle(&notification);
        if ready.fetch_add(1, Ordering::AcqRel) >= READY_AT_MOST {
            ready.fetch_sub(1, Ordering::AcqRel);
            return;
        }
    }
}

/// Is nobody under the filter any more?
fn is_over(listener: BorrowedFd<'_>) -> bool {
    let mut state = [PollFd::new(listener, PollFlags::empty())];
    let _ = poll(&mut state, PollTimeout::ZERO);
    let [state] = state;
    state.revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

impl Supervisor {
    /// Until nobody is under the filter any more.
    fn run(mut self, front: Channel) {
        let mut front = Some(front);
        let mut known: HashMap<u32, Arc<Process>> = HashMap::new();
        loop {
            for process in self.calls.processes.all() {
                known.insert(process.tgid, process);
            }
            let ended = self.wait(front.as_ref(), &known);
            for process in ended {
                known.remove(&process.tgid);
                self.calls.processes.forget(&process);
                self.calls.daemon.ended(process.tgid);
            }
            self.reap(front.as_ref());
            front = front.filter(|front| self.obey(front));
            // The filter may be gone before the command can be waited for.
            if self.ended && is_over(self.calls.listener.as_fd()) {
                return;
            }
        }
    }

    /// Waits until something happens; gives the processes that have ended.
    fn wait(
        &self,
        front: Option<&Channel>,
        known: &HashMap<u32, Arc<Process>>,
    ) -> Vec<Arc<Process>> {
        let processes: Vec<&Arc<Process>> = known.values().collect();
        let mut states = vec![PollFd::new(self.ends.as_fd(), PollFlags::POLLIN)];
        if self.ended {
            // Says for ever that it is over once it is.
            states.push(PollFd::new(self.calls.listener.as_fd(), PollFlags::empty()));
        }
        let first = states.len();
        states.extend(processes.iter().map(|one| PollFd::new(one.pidfd(), PollFlags::POLLIN)));
        states.extend(front.map(|front| PollFd::new(front.as_fd(), PollFlags::POLLIN)));
        let _ = poll(&mut states, PollTimeout::from(LOOK_MILLISECONDS));
        let of_processes = states.iter().skip(first);
        let ended =
            processes.iter().zip(of_processes).filter(|(_, state)| state.any() == Some(true));
        ended.map(|(process, _)| Arc::clone(process)).collect()
    }

    /// Learns of children that ended or were stopped.
    fn reap(&mut self, front: Option<&Channel>) {
        while let Ok(Some(_)) = self.ends.read_signal() {}
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED;
        while let Ok(status) = waitpid(None, Some(flags)) {
            if status == WaitStatus::StillAlive {
                return;
            }
            if status.pid() == Some(self.command) {
                self.tell(status, front);
            }
        }
    }

    fn tell(&mut self, status: WaitStatus, front: Option<&Channel>) {
        let news = match status {
            WaitStatus::Exited(_, code) => self.exited(code),
            WaitStatus::Signaled(_, signal, _) => News::Killed(signal as i32),
            WaitStatus::Stopped(..) => News::Stopped,
            WaitStatus::Continued(_) => {
                let _ = kill(self.front_pid, Signal::SIGCONT);
                return;
            }
            _ => return,
        };
        self.ended |= news != News::Stopped;
        if let Some(front) = front {
            front.tell(&news);
        }
    }

    fn exited(&mut self, code: i32) -> News {
        let error = self.result.take().and_then(|mut result| execution_error(&mut result));
        match error {
            Some(error) if error.kind() == std::io::ErrorKind::NotFound => {
                News::Failed(127, format!("{}: there is no such program: {error}", self.name))
            }
            Some(error) => News::Failed(126, format!("{} can't be executed: {error}", self.name)),
            None => News::Exited(code as u8),
        }
    }

    /// Passes a signal on to the command. `false` once the front is gone.
    fn obey(&self, front: &Channel) -> bool {
        let mut state = [PollFd::new(front.as_fd(), PollFlags::POLLIN)];
        while poll(&mut state, PollTimeout::ZERO).is_ok_and(|count| count > 0) {
            match front.passed_on().map(Signal::try_from) {
                // Its number is its own until it was waited for, which happens in this thread.
                Some(Ok(signal)) => drop(kill(self.command, signal)),
                Some(Err(_)) => {}
                None => return false,
            }
        }
        true
    }
}
