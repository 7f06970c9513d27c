// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a decider sets in the kernel, and what the kernel counts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Operation, Protocols, Verdict};

/// Which calls are mediated: for each operation, the protocols. Absent means none.
pub type WatchSet = BTreeMap<Operation, Protocols>;

/// What applies to an operation when no verdict comes.
pub type Fallbacks = BTreeMap<Operation, Verdict>;

/// Bounds of what the kernel keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Calls held at once.
    pub requests: Option<u32>,
    /// Calls held at once by one process.
    pub requests_per_process: Option<u32>,
    /// Tickets.
    pub tickets: Option<u32>,
    /// Tickets of one process.
    pub tickets_per_process: Option<u32>,
}

/// Deadlines, fallbacks and bounds. What is absent stays as it is in the kernel; what the
/// kernel answers is complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// How long a call is held without a verdict.
    pub deadline: Option<Duration>,
    /// The same for non-blocking sockets.
    pub nonblock_deadline: Option<Duration>,
    /// What applies then.
    pub fallbacks: Fallbacks,
    /// Bounds.
    pub limits: Limits,
}

/// The kernel's counters; see the attribute set `stats` in `kernel/snet.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Stats {
    /// Watched calls.
    pub calls: u64,
    /// Calls that a ticket allowed.
    pub ticket_allowed: u64,
    /// Calls that a ticket denied.
    pub ticket_denied: u64,
    /// Events sent to a decider.
    pub events: u64,
    /// Calls that a verdict allowed.
    pub verdict_allowed: u64,
    /// Calls that a verdict denied.
    pub verdict_denied: u64,
    /// Fallbacks because no verdict came in time.
    pub fallback_deadline: u64,
    /// Fallbacks because there was no decider.
    pub fallback_no_decider: u64,
    /// Fallbacks because the decider went while the call was held.
    pub fallback_decider_gone: u64,
    /// Fallbacks at once because the decider had missed three deadlines in a row.
    pub fallback_stalled: u64,
    /// Fallbacks because too many calls were held.
    pub fallback_bounds: u64,
    /// Fallbacks because the event could not be delivered.
    pub fallback_lost: u64,
    /// Held calls that a fatal signal ended.
    pub killed: u64,
    /// Calls refused because of a source route.
    pub refused: u64,
    /// Audit messages that were not sent, for their rate or for want of room.
    pub audit_dropped: u64,
    /// Calls held now.
    pub held: u32,
    /// Tickets now.
    pub tickets: u32,
    /// Processes and programs that have tickets now.
    pub owners: u32,
    /// Process id of the decider.
    pub decider: Option<u32>,
}
