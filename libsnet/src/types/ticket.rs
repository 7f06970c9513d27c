// SPDX-License-Identifier: MIT OR Apache-2.0
//! Verdicts, and the tickets by which the kernel remembers them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ProcessKey, Scope};
use crate::uapi;

/// Shall the call go on?
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u32)]
pub enum Verdict {
    /// The call goes on.
    Allow = uapi::verdict::ALLOW,
    /// The call fails with `EACCES`.
    Deny = uapi::verdict::DENY,
}

impl Verdict {
    /// The verdict with this number on the wire.
    pub fn from_number(number: u32) -> Option<Self> {
        [Self::Allow, Self::Deny].into_iter().find(|verdict| *verdict as u32 == number)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

/// Number of a rule, given by the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(pub u64);

impl RuleId {
    /// The rule that snetd adds by itself where Unix sockets are watched: root's snet-tool may
    /// use them. It is in no database, and like the number 0 on the wire no rule of a ticket.
    pub const BUILT_IN: Self = Self(0);
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a ticket: chosen by the decider, not 0, below 2^63, unique among live tickets.
/// Inherited copies have numbers of the kernel's, from 2^63 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TicketId(pub u64);

impl TicketId {
    /// Did the kernel choose it, for a copy that a child inherited?
    pub fn is_copy(self) -> bool {
        self.0 >> 63 != 0
    }
}

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A verdict to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its number.
    pub id: TicketId,
    /// The calls it decides.
    pub scope: Scope,
    /// How it decides them.
    pub verdict: Verdict,
    /// How long it counts; `None` means until its process ends, and for a program for ever.
    pub lifetime: Option<Duration>,
    /// The rule behind it.
    pub rule: Option<RuleId>,
    /// How many calls it may decide; `None` means any number. Not together with `inherit`.
    pub uses: Option<u32>,
    /// Do processes that its process forks get a copy? Not for programs.
    pub inherit: bool,
}

impl Ticket {
    /// A ticket without a rule or a limit, which nobody inherits.
    pub fn new(id: TicketId, scope: Scope, verdict: Verdict) -> Self {
        Self { id, scope, verdict, lifetime: None, rule: None, uses: None, inherit: false }
    }
}

/// A program that has tickets: the processes of the host's user namespace that run a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramOwner {
    /// `st_dev` of the file.
    pub device: u64,
    /// `st_ino` of the file.
    pub inode: u64,
    /// Effective user; `None` means any.
    pub uid: Option<u32>,
}

/// A process that has tickets, and where it was when it got them: they count only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessOwner {
    /// The process.
    pub process: ProcessKey,
    /// Effective user.
    pub uid: u32,
    /// Network namespace.
    pub net_ns: u32,
    /// Cgroup.
    pub cgroup_id: u64,
}

/// Whom a ticket is to be given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TicketTarget {
    /// A running process.
    Process(ProcessKey),
    /// All that run a program, now and later.
    Program(ProgramOwner),
}

/// Whom a ticket in the kernel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TicketOwner {
    /// A process.
    Process(ProcessOwner),
    /// All that run a program.
    Program(ProgramOwner),
}

impl TicketOwner {
    /// The process, if it is one.
    pub fn process(&self) -> Option<ProcessKey> {
        match self {
            Self::Process(owner) => Some(owner.process),
            Self::Program(_) => None,
        }
    }
}

/// A ticket as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTicket {
    /// The ticket; its lifetime and its uses are what is left.
    pub ticket: Ticket,
    /// Whom it is for.
    pub owner: TicketOwner,
    /// The ticket that it is an inherited copy of. Removing that removes this.
    pub origin: Option<TicketId>,
    /// Calls it decided.
    pub hits: u64,
    /// Time since the last of them.
    pub last_hit: Option<Duration>,
}
