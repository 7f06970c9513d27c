// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `/proc/TID/status` says of a thread at one moment.
//!
//! Whoever reads it makes sure that the thread's call is still held afterwards: until then its
//! number can't mean another thread.

use std::collections::HashMap;
use std::io;

use crate::sys::Credentials;

/// A thread, its process, and whom it acts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) comm: String,
    pub(crate) tgid: u32,
    pub(crate) parent: u32,
    pub(crate) threads: u32,
    pub(crate) credentials: Credentials,
    /// Signals that wait for this thread, alone or with its process, that it neither blocks nor
    /// ignores; one bit each.
    pub(crate) own_signals: u64,
    pub(crate) shared_signals: u64,
}

impl Status {
    /// Of a thread as it is now.
    pub(crate) fn read(tid: u32) -> io::Result<Self> {
        // The name may end within a letter: the kernel cuts it at 15 bytes.
        let text = std::fs::read(format!("/proc/{tid}/status"))?;
        Self::parse(&String::from_utf8_lossy(&text))
            .ok_or_else(|| io::Error::other(format!("/proc/{tid}/status isn't as expected")))
    }

    fn parse(text: &str) -> Option<Self> {
        let fields: HashMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once(':')).collect();
        let word = |name: &str, at: usize| fields.get(name)?.split_whitespace().nth(at);
        let number = |name: &str, at: usize| word(name, at)?.parse::<u32>().ok();
        let bits = |name: &str| u64::from_str_radix(word(name, 0)?, 16).ok();
        let groups = fields.get("Groups").map_or("", |groups| *groups).split_whitespace();
        let deaf = bits("SigBlk")? | bits("SigIgn")?;
        Some(Self {
            comm: fields.get("Name")?.trim().to_owned(),
            tgid: number("Tgid", 0)?,
            parent: number("PPid", 0)?,
            threads: number("Threads", 0)?,
            credentials: Credentials {
                // Real, effective, saved, file system.
                uid: number("Uid", 1)?,
                gid: number("Gid", 1)?,
                groups: groups.map(str::parse).collect::<Result<_, _>>().ok()?,
                capabilities: bits("CapEff")?,
                umask: u32::from_str_radix(word("Umask", 0).unwrap_or("0022"), 8).ok()?,
            },
            own_signals: bits("SigPnd")? & !deaf,
            shared_signals: bits("ShdPnd")? & !deaf,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name:\tmy prog\nUmask:\t0027\nState:\tS (sleeping)\nTgid:\t70\nPid:\t71\n\
        PPid:\t7\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t4 24 27 \nThreads:\t3\n\
        SigPnd:\t0000000000000003\nShdPnd:\t0000000000000104\nSigBlk:\t0000000000000001\n\
        SigIgn:\t0000000000000100\nCapEff:\t0000000000000400\n";

    #[test]
    fn the_effective_ids_and_the_deliverable_signals_count() {
        let status = Status::parse(TEXT).unwrap();
        assert_eq!((status.comm.as_str(), status.tgid, status.parent), ("my prog", 70, 7));
        assert_eq!((status.credentials.uid, status.credentials.gid), (2, 6));
        assert_eq!(status.credentials.groups, [4, 24, 27]);
        assert_eq!((status.credentials.capabilities, status.credentials.umask), (0x400, 0o27));
        assert_eq!((status.own_signals, status.shared_signals), (2, 4));
    }

    #[test]
    fn the_own_status_is_understood_and_a_cut_one_is_not() {
        let own = Status::read(crate::sys::own_tid()).unwrap();
        assert_eq!(own.tgid, std::process::id());
        assert!(own.threads >= 1);
        let cut = TEXT.split_once("CapEff").unwrap().0;
        assert_eq!(Status::parse(cut), None);
    }
}
