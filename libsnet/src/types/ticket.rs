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

/// Number of a ticket, chosen by the decider; not 0, unique among live tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TicketId(pub u64);

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A verdict to be remembered for the process that asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its number.
    pub id: TicketId,
    /// The calls it decides.
    pub scope: Scope,
    /// How it decides them.
    pub verdict: Verdict,
    /// How long it counts; `None` means until the process ends.
    pub lifetime: Option<Duration>,
    /// The rule behind it.
    pub rule: Option<RuleId>,
}

/// A ticket as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTicket {
    /// The ticket; its lifetime is what is left.
    pub ticket: Ticket,
    /// The process it is for.
    pub process: ProcessKey,
    /// Effective user it was issued for.
    pub uid: u32,
    /// Network namespace it was issued for.
    pub net_ns: u32,
    /// Cgroup it was issued for.
    pub cgroup_id: u64,
    /// Calls it decided.
    pub hits: u64,
    /// Time since the last of them.
    pub last_hit: Option<Duration>,
}
