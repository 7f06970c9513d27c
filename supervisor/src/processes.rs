// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processes of the supervised tree: which execution each is in, and who it is.
//!
//! Owns a descriptor for each process that has made a call, by which its end is noticed and its
//! number can't be taken for another's. What a process may change at any time (user, cgroup,
//! namespaces) is read at each call.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use libsnet::policy::Cgroups;
use libsnet::types::{Details, Exe, ProcessKey, Subject};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{SysconfVar, sysconf};

use crate::status::Status;
use crate::sys;

/// A process as long as it lives.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) tgid: u32,
    start_time: u64,
    pidfd: OwnedFd,
    /// Grows with every attempt to execute.
    executions: AtomicU64,
    /// What was looked at in an execution, and in which.
    looks: Mutex<Option<(u64, Looks)>>,
}

/// What doesn't change while a program is executed, or is told to people only.
#[derive(Debug, Clone)]
struct Looks {
    exe: Option<Exe>,
    login_uid: Option<u32>,
    mnt_ns: u32,
    pid_ns: u32,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    /// Protects only the map; nothing is waited for under it.
    known: Mutex<HashMap<u32, Arc<Process>>>,
    /// Processes share descriptors with others that aren't their threads.
    shared: AtomicBool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    fn open(tgid: u32) -> io::Result<Self> {
        let pidfd = sys::pidfd_open(tgid, false)?;
        Ok(Self {
            tgid,
            start_time: start_time(tgid)?,
            pidfd,
            executions: AtomicU64::new(1),
            looks: Mutex::new(None),
        })
    }

    /// For its descriptors, and for waiting for its end.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    fn has_ended(&self) -> bool {
        let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut ended, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    fn looks(&self, tid: u32, execution: u64) -> Looks {
        if let Some((when, looks)) = locked(&self.looks).as_ref()
            && *when == execution
        {
            return looks.clone();
        }
        let looks = Looks {
            exe: exe(self.tgid),
            login_uid: login_uid(tid),
            mnt_ns: namespace(tid, "mnt").unwrap_or(0),
            pid_ns: namespace(tid, "pid").unwrap_or(0),
        };
        // Only what was looked at in this execution from its beginning to its end counts.
        if self.executions.load(Ordering::Acquire) == execution {
            *locked(&self.looks) = Some((execution, looks.clone()));
        }
        looks
    }
}

fn exe(tgid: u32) -> Option<Exe> {
    let link = format!("/proc/{tgid}/exe");
    let file = fs::metadata(&link).ok()?;
    Some(Exe { path: fs::read_link(&link).ok()?, device: file.dev(), inode: file.ino() })
}

impl Processes {
    /// The process of a thread whose call is held.
    pub(crate) fn of(&self, status: &Status) -> io::Result<Arc<Process>> {
        if let Some(known) = locked(&self.known).get(&status.tgid)
            && !known.has_ended()
        {
            return Ok(Arc::clone(known));
        }
        let process = Arc::new(Process::open(status.tgid)?);
        let mut known = locked(&self.known);
        // Another thread of it may have been faster, and counts executions already.
        match known.get(&status.tgid) {
            Some(other) if !other.has_ended() => Ok(Arc::clone(other)),
            _ => {
                known.insert(status.tgid, Arc::clone(&process));
                Ok(process)
            }
        }
    }

    /// The process is about to execute a program. Should that fail, it is taken for another
    /// execution all the same: too few tickets are safe, too many aren't.
    pub(crate) fn executing(&self, status: &Status) -> io::Result<()> {
        self.of(status)?.executions.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// A process is made that shares its descriptors.
    pub(crate) fn sharing(&self) {
        self.shared.store(true, Ordering::Release);
    }

    /// Can nobody but the thread itself change what its descriptors mean, so that they stay
    /// what they are until its call returns?
    pub(crate) fn is_steady(&self, status: &Status) -> bool {
        status.threads == 1 && !self.shared.load(Ordering::Acquire)
    }

    /// Those that live, for waiting for their end.
    pub(crate) fn all(&self) -> Vec<Arc<Process>> {
        locked(&self.known).values().cloned().collect()
    }

    /// Forgets a process that has ended.
    pub(crate) fn forget(&self, process: &Process) {
        let mut known = locked(&self.known);
        if known.get(&process.tgid).is_some_and(|other| other.start_time == process.start_time) {
            known.remove(&process.tgid);
        }
    }

    /// Who makes a call on a socket in this network namespace.
    pub(crate) fn subject(
        &self,
        tid: u32,
        status: &Status,
        process: &Process,
        net_ns: u32,
    ) -> io::Result<Subject> {
        let execution = process.executions.load(Ordering::Acquire);
        let looks = process.looks(tid, execution);
        Ok(Subject {
            process: ProcessKey {
                tgid: process.tgid,
                start_time: process.start_time,
                exec_id: execution,
            },
            tid,
            uid: status.credentials.uid,
            gid: status.credentials.gid,
            login_uid: looks.login_uid,
            comm: status.comm.clone(),
            exe: looks.exe,
            parent_tgid: status.parent,
            cgroup_id: cgroup(tid),
            net_ns,
            mnt_ns: looks.mnt_ns,
            pid_ns: looks.pid_ns,
            user_ns: namespace(tid, "user")?,
            details: Details::default(),
        })
    }
}

/// Id of the thread's cgroup; 0 where it can't be told.
fn cgroup(tid: u32) -> u64 {
    static ROOT: LazyLock<Option<&Path>> = LazyLock::new(|| {
        let mut mounts = Cgroups::MOUNTS.map(Path::new).into_iter();
        mounts.find(|root| root.join("cgroup.controllers").exists())
    });
    let text = fs::read_to_string(format!("/proc/{tid}/cgroup")).unwrap_or_default();
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let directory = ROOT.zip(path).map(|(root, path)| root.join(path));
    directory.and_then(|directory| fs::metadata(directory).ok()).map_or(0, |found| found.ino())
}

/// The inode of a namespace of a thread.
pub(crate) fn namespace(tid: u32, name: &str) -> io::Result<u32> {
    let inode = fs::metadata(format!("/proc/{tid}/ns/{name}"))?.ino();
    u32::try_from(inode).map_err(io::Error::other)
}

fn login_uid(tid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{tid}/loginuid")).ok()?;
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

/// Nanoseconds from boot to the start of a process, as exact as clock ticks are.
fn start_time(tgid: u32) -> io::Result<u64> {
    // The name in parentheses may hold any bytes, also parentheses and spaces.
    let stat = String::from_utf8_lossy(&fs::read(format!("/proc/{tgid}/stat"))?).into_owned();
    let ticks = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    let per_second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u64::try_from(ticks).ok());
    let nanoseconds = ticks
        .and_then(|ticks| ticks.parse::<u64>().ok())
        .zip(per_second)
        .and_then(|(ticks, per_second)| Some(ticks * 1_000_000_000_u64.checked_div(per_second)?));
    nanoseconds.ok_or_else(|| io::Error::other(format!("/proc/{tgid}/stat isn't as expected")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_own_process_is_told_as_proc_tells_it() {
        let processes = Processes::default();
        let tid = sys::own_tid();
        let status = Status::read(tid).unwrap();
        let process = processes.of(&status).unwrap();
        let subject = processes.subject(tid, &status, &process, 5).unwrap();
        assert_eq!(subject.process.tgid, std::process::id());
        assert_eq!(subject.exe.unwrap().path, std::env::current_exe().unwrap());
        assert_eq!(subject.net_ns, 5);
        assert_eq!(subject.user_ns, namespace(tid, "user").unwrap());
    }

    #[test]
    fn an_execution_makes_another_subject() {
        let processes = Processes::default();
        let tid = sys::own_tid();
        let status = Status::read(tid).unwrap();
        let process = processes.of(&status).unwrap();
        let key = || processes.subject(tid, &status, &process, 5).unwrap().process;
        let before = key();
        assert_eq!(key(), before);
        processes.executing(&status).unwrap();
        assert_eq!(key().exec_id, before.exec_id + 1);
        assert_eq!(key().start_time, before.start_time);
    }

    #[test]
    fn a_process_that_ended_is_not_taken_for_one_with_its_number() {
        let processes = Processes::default();
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let status = Status::read(child.id()).unwrap();
        let process = processes.of(&status).unwrap();
        assert!(!process.has_ended());
        assert!(Arc::ptr_eq(&process, &processes.of(&status).unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(process.has_ended());
        assert!(processes.of(&status).is_err());
        assert_eq!(processes.all().len(), 1);
        processes.forget(&process);
        assert_eq!(processes.all().len(), 0);
    }

    #[test]
    fn only_a_thread_that_is_alone_is_steady() {
        let processes = Processes::default();
        let mut status = Status::read(sys::own_tid()).unwrap();
        status.threads = 2;
        assert!(!processes.is_steady(&status));
        status.threads = 1;
        assert!(processes.is_steady(&status));
        processes.sharing();
        assert!(!processes.is_steady(&status));
    }
}
