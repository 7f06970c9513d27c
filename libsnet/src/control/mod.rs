// SPDX-License-Identifier: MIT OR Apache-2.0
//! The vocabulary of snetd's control socket: Varlink interface `io.snet.Control`.
//!
//! Owns the shapes of calls and replies and the framing limits, not the socket. Varlink is
//! JSON objects with a NUL byte behind each; see `docs/adr/0003-control-protocol.md`.

#[cfg(test)]
mod description;
mod messages;
mod records;
mod supervision;
mod user_paths;

pub use messages::{Answer, Call, ErrorReply, Keep, Reply, TestCall};
pub use records::{
    DaemonStatus, Decision, Explanation, HistoryRecord, JournalEntry, KernelStatus, ProposalRecord,
    QuestionId, QuestionRecord, RuleRecord, Source, StatusReply, SupervisedStatus, TicketRecord,
};
pub use supervision::{Ask, Said, Terms, Told};
pub use user_paths::UserPaths;

/// Name of the interface.
pub const INTERFACE: &str = "io.snet.Control";
/// Where the daemon listens unless its configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/snet/snetd.sock";
/// Longest call in bytes, without the NUL; a longer one closes the connection. Who may change
/// the rules may send as much as [`MAX_REPLY`]: all of them at once.
pub const MAX_MESSAGE: usize = 256 * 1024;
/// Longest reply in bytes, without the NUL. `ListRules`, `ListTickets` and `Log` called with
/// `more` answer in several replies, none of which is longer than [`MAX_MESSAGE`]; called
/// without, they answer in one, or fail when that would be longer than this.
pub const MAX_REPLY: usize = 32 * 1024 * 1024;
/// The interface in Varlink's own language, as `GetInterfaceDescription` answers it.
pub const DESCRIPTION: &str = include_str!("io.snet.Control.varlink");
