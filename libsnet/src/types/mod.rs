// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel module and a decider talk about.
//!
//! Owns the meaning of each value, not its encoding (see [`crate::wire`]).

mod audit;
mod call;
mod details;
mod mask;
mod scope;
mod settings;
mod subject;
mod ticket;

pub use audit::{AuditRecord, Cause};
pub use call::{CallFlags, Event, Object, RequestId};
pub use details::{Details, Parent, ParseSha256Error, Sha256};
pub use mask::{Operation, Operations, ParseMaskError, Protocol, Protocols};
pub use scope::{PortRange, Scope};
pub use settings::{Fallbacks, Limits, Settings, Stats, WatchSet};
pub use subject::{Exe, ProcessKey, Subject};
pub use ticket::{
    KeptTicket, ProcessOwner, ProgramOwner, RuleId, Ticket, TicketId, TicketOwner, TicketTarget,
    Verdict,
};
