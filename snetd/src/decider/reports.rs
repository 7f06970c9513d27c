// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the decider, and the kernel, tell the rest of the daemon, without ever waiting for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libsnet::control::{Decision, JournalEntry};
use libsnet::types::{AuditRecord, Object, Subject};

/// One thing that happened to a call, or on the decision path.
#[derive(Debug)]
pub(crate) enum Report {
    /// A call was decided.
    Decided {
        /// When, in milliseconds since 1970.
        time: i64,
        /// How.
        decision: Decision,
        /// Whose.
        subject: Arc<Subject>,
        /// Which.
        object: Object,
    },
    /// The kernel decided a call alone.
    Kernel(Box<AuditRecord>),
    /// Something to be logged.
    Trouble(String),
}

impl Report {
    /// The journal's entry for a decision.
    pub(crate) fn entry(&self) -> Option<JournalEntry> {
        match self {
            Self::Decided { time, decision, subject, object } => {
                Some(JournalEntry::new(*time, decision.clone(), subject, object))
            }
            Self::Kernel(record) => Some(JournalEntry::of_kernel(record)),
            Self::Trouble(_) => None,
        }
    }
}

/// Counted on the decision path, read anywhere.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    decided: AtomicU64,
    dropped: AtomicU64,
}

impl Counters {
    /// One more call was decided.
    pub(crate) fn count_decided(&self) {
        self.decided.fetch_add(1, Ordering::Relaxed);
    }

    /// So many decisions will not be in the journal.
    pub(crate) fn count_dropped(&self, entries: usize) {
        self.dropped.fetch_add(entries as u64, Ordering::Relaxed);
    }

    /// Calls decided since the start.
    pub(crate) fn decided(&self) -> u64 {
        self.decided.load(Ordering::Relaxed)
    }

    /// Decisions that are not in the journal.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// How it stands with the kernel module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// Not tried yet.
    Connecting,
    /// This daemon never talks to it.
    Off,
    /// This daemon is the decider. The number tells registrations apart.
    Registered(u64),
    /// It is not.
    Lost {
        /// The module isn't loaded.
        absent: bool,
        /// What went wrong.
        why: String,
    },
}
