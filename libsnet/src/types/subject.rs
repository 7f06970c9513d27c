// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who attempts: the calling thread's process as the kernel saw it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

use super::Details;

/// The executable of a process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Exe {
    /// As the process itself sees it; ends in ` (deleted)` when the file is unlinked. In a
    /// chroot or another mount namespace it names another file than here: compare the
    /// identity (device and inode) before believing it.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// `st_dev` of the file.
    pub device: u64,
    /// `st_ino` of the file.
    pub inode: u64,
}

/// Paths in JSON are for people: bytes that aren't UTF-8 are shown as U+FFFD.
fn lossy<S: Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// One execution of a program: the part of a [`Subject`] that never comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessKey {
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Nanoseconds from boot to the start of the process.
    pub start_time: u64,
    /// Grows with every `execve()`.
    pub exec_id: u64,
}

/// Who attempts a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The process.
    #[serde(flatten)]
    pub process: ProcessKey,
    /// The thread, in the initial pid namespace.
    pub tid: u32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Audit login uid, when one was set.
    pub login_uid: Option<u32>,
    /// Name of the thread (`comm`), which the program chooses: never decide by it.
    pub comm: String,
    /// The executable; `None` when the kernel couldn't tell.
    pub exe: Option<Exe>,
    /// The parent process.
    pub parent_tgid: u32,
    /// Id of the cgroup; the inode number of its directory on a cgroup2 mount.
    pub cgroup_id: u64,
    /// Inode of the network namespace of the *socket*.
    pub net_ns: u32,
    /// Inode of the mount namespace; 0 when the kernel couldn't tell.
    pub mnt_ns: u32,
    /// Inode of the pid namespace.
    pub pid_ns: u32,
    /// Inode of the user namespace.
    pub user_ns: u32,
    /// What was looked up. Never taken from anybody's message.
    #[serde(skip)]
    pub details: Details,
}

impl Subject {
    /// A process that isn't there, of this user and with this executable: nothing else is known
    /// of it.
    pub fn imagined(exe: Option<Exe>, uid: u32) -> Self {
        Self {
            process: ProcessKey { tgid: 0, start_time: 0, exec_id: 0 },
            tid: 0,
            uid,
            gid: 0,
            login_uid: None,
            comm: String::new(),
            exe,
            parent_tgid: 0,
            cgroup_id: 0,
            net_ns: 0,
            mnt_ns: 0,
            pid_ns: 0,
            user_ns: 0,
            details: Details::default(),
        }
    }
}
