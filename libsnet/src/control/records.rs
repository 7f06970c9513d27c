// SPDX-License-Identifier: MIT OR Apache-2.0
//! Records that replies carry.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::policy::RuleSpec;
pub use crate::policy::{Decision, Explanation, Source};
use crate::types::{
    AuditRecord, Cause, Object, Operation, ProcessKey, Protocol, RuleId, Scope, Stats, Subject,
    TicketId, Verdict,
};

/// A rule with what the database keeps beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleRecord {
    /// Its number.
    pub id: RuleId,
    /// What it says.
    #[serde(flatten)]
    pub spec: RuleSpec,
    /// User id of who made it.
    pub created_by: u32,
    /// When, in milliseconds since 1970 (UTC).
    pub created_at: i64,
    /// Decisions made by it, without ticket hits.
    pub hits: u64,
    /// The last of them, in milliseconds since 1970 (UTC).
    pub last_hit: Option<i64>,
    /// The file that the program means now, when it means a single existing one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
}

/// A change of all rules at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// Its number.
    pub id: i64,
    /// When, in milliseconds since 1970 (UTC).
    pub time: i64,
    /// User id of who made it.
    pub made_by: u32,
    /// `apply`, `import` or `rollback`.
    pub what: String,
    /// How many rules there were before it.
    pub rules: u64,
    /// When it is undone unless it is confirmed, in milliseconds since 1970 (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_by: Option<i64>,
}

/// A ticket in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRecord {
    /// Its number; of an inherited copy that of the ticket it is a copy of.
    pub id: TicketId,
    /// Is it a copy that a child inherited?
    pub inherited: bool,
    /// The process it is for; `None` when it is for all that run a program.
    #[serde(flatten)]
    pub process: Option<ProcessKey>,
    /// Path of the executable, as far as the daemon knows it.
    pub exe: Option<String>,
    /// The executable that a program ticket is for: major and minor number of the device,
    /// and the inode.
    pub file: Option<String>,
    /// Effective user it is for; `None` means any.
    pub uid: Option<u32>,
    /// How it decides.
    pub verdict: Verdict,
    /// Which calls.
    pub scope: Scope,
    /// The rule behind it.
    pub rule: Option<RuleId>,
    /// Milliseconds until it expires; `None` means until the process ends, and for a program
    /// ticket never.
    pub expires_in: Option<u64>,
    /// Calls it may still decide; `None` means any number.
    pub uses: Option<u32>,
    /// Calls it decided.
    pub hits: u64,
    /// Milliseconds since the last of them.
    pub last_hit: Option<u64>,
}

/// A decision in the journal. Also what `Watch` streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Number in the journal; `None` in a live stream, which runs ahead of the journal.
    pub id: Option<i64>,
    /// When, in milliseconds since 1970 (UTC).
    pub time: i64,
    /// The decision.
    #[serde(flatten)]
    pub decision: Decision,
    /// Process id.
    pub tgid: u32,
    /// Effective user id.
    pub uid: u32,
    /// Name of the thread.
    pub comm: String,
    /// Path of the executable.
    pub exe: Option<String>,
    /// The operation.
    pub operation: Operation,
    /// The class of the socket.
    pub protocol: Protocol,
    /// The peer.
    pub remote: Option<SocketAddr>,
    /// The own address.
    pub local: Option<SocketAddr>,
    /// Why the kernel decided it alone; `None` for decisions of the daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Decisions of the kernel that aren't known, just before this one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl JournalEntry {
    /// The entry for a call that the kernel decided alone.
    pub fn of_kernel(record: &AuditRecord) -> Self {
        let decision =
            Decision { verdict: record.verdict, source: Source::Kernel, rule: record.rule };
        let time = i64::try_from(record.time).unwrap_or(i64::MAX);
        Self {
            cause: Some(record.cause),
            dropped: record.dropped,
            ..Self::new(time, decision, &record.subject, &record.object)
        }
    }

    /// The entry for a decision on a call, at `time` (milliseconds since 1970).
    pub fn new(time: i64, decision: Decision, subject: &Subject, object: &Object) -> Self {
        Self {
            id: None,
            time,
            decision,
            tgid: subject.process.tgid,
            uid: subject.uid,
            comm: subject.comm.clone(),
            exe: subject.exe.as_ref().map(|exe| exe.path.to_string_lossy().into_owned()),
            operation: object.operation,
            protocol: object.protocol,
            remote: object.remote,
            local: object.local,
            cause: None,
            dropped: 0,
        }
    }
}

/// A kind of call that was learned: made, and decided by no rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProposalRecord {
    /// Path of the executable.
    pub exe: String,
    /// Effective user id.
    pub uid: u32,
    /// The operation.
    pub operation: Operation,
    /// The class of the socket.
    pub protocol: Protocol,
    /// The peer.
    #[serde(default)]
    pub remote: Option<SocketAddr>,
    /// The own address, where there is no peer.
    #[serde(default)]
    pub local: Option<SocketAddr>,
    /// How often it was made.
    pub count: u64,
    /// When for the first time, in milliseconds since 1970 (UTC).
    pub first: i64,
    /// When for the last time.
    pub last: i64,
}

/// Number of a question, for as long as the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuestionId(pub u64);

impl std::fmt::Display for QuestionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A question that is open: identical calls of one program are one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionRecord {
    /// Its number.
    pub id: QuestionId,
    /// The rule that asks; `None` when there is no rule.
    pub rule: Option<RuleId>,
    /// When the first of its calls was made, in milliseconds since 1970 (UTC).
    pub asked_at: i64,
    /// Milliseconds for which it can still be answered.
    pub expires_in: u64,
    /// How many calls it is about.
    pub calls: u64,
    /// How many of them got the fallback, since they can't be held for longer (those of
    /// non-blocking sockets). An answer applies to their next attempt.
    pub over: u64,
    /// Process id of the first.
    pub tgid: u32,
    /// Effective user id.
    pub uid: u32,
    /// Name of the thread.
    pub comm: String,
    /// Path of the executable.
    pub exe: Option<String>,
    /// The operation.
    pub operation: Operation,
    /// The class of the socket.
    pub protocol: Protocol,
    /// The peer.
    pub remote: Option<SocketAddr>,
    /// The own address.
    pub local: Option<SocketAddr>,
}

/// The daemon's part of the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Version of snetd.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// When it started, in milliseconds since 1970 (UTC).
    pub started_at: i64,
    /// Rules in the database.
    pub rules: u64,
    /// Grows with every policy that took effect.
    pub generation: u64,
    /// Events decided since the start.
    pub decided: u64,
    /// Journal entries lost because the disk was slower than the calls.
    pub journal_dropped: u64,
    /// Questions that wait for an answer.
    #[serde(default)]
    pub questions: u64,
    /// What went wrong last, when it still matters.
    pub problem: Option<String>,
}

/// The kernel's part of the status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelStatus {
    /// Version of the protocol.
    pub abi_version: u32,
    /// The counters.
    pub stats: Stats,
}

/// What goes on under supervisors (`snet-tool run`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SupervisedStatus {
    /// Supervisors that are connected.
    pub supervisors: u64,
    /// Calls that they asked about.
    pub calls: u64,
    /// Those that a ticket allowed.
    pub ticket_allowed: u64,
    /// Those that a ticket denied.
    pub ticket_denied: u64,
    /// Tickets now.
    pub tickets: u64,
}

/// Status of the daemon and, when the module is loaded, of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReply {
    /// The daemon.
    pub daemon: DaemonStatus,
    /// The kernel module.
    pub kernel: Option<KernelStatus>,
    /// Programs that run under `snet-tool run`.
    #[serde(default)]
    pub supervised: SupervisedStatus,
}
