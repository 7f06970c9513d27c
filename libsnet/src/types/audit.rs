// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel decided alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Object, RuleId, Subject, TicketId, Verdict};
use crate::uapi::cause;

/// Why the kernel decided a call without the decider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
#[repr(u32)]
pub enum Cause {
    /// A ticket denied it.
    Ticket = cause::TICKET,
    /// No verdict came in time.
    Deadline = cause::DEADLINE,
    /// There was no decider.
    NoDecider = cause::NO_DECIDER,
    /// The decider went while the call was held.
    DeciderGone = cause::DECIDER_GONE,
    /// The decider had missed three deadlines in a row.
    Stalled = cause::STALLED,
    /// Too many calls were held.
    Bounds = cause::BOUNDS,
    /// The event could not be delivered.
    Lost = cause::LOST,
    /// It would have reached another host first than the one it names.
    SourceRoute = cause::SOURCE_ROUTE,
}

impl Cause {
    /// All of them, in the order of the protocol spec.
    pub const ALL: &'static [Self] = &[
        Self::Ticket,
        Self::Deadline,
        Self::NoDecider,
        Self::DeciderGone,
        Self::Stalled,
        Self::Bounds,
        Self::Lost,
        Self::SourceRoute,
    ];

    /// The cause with this number on the wire.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|cause| *cause as u32 == number)
    }

    /// The word for it in the journal.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Deadline => "deadline",
            Self::NoDecider => "no-decider",
            Self::DeciderGone => "decider-gone",
            Self::Stalled => "stalled",
            Self::Bounds => "bounds",
            Self::Lost => "lost",
            Self::SourceRoute => "source-route",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A call that the kernel decided alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// When, in milliseconds since 1970 (UTC).
    pub time: u64,
    /// Who.
    pub subject: Subject,
    /// What. Of a source route that is being prepared it tells the socket, as far as that is
    /// known, and no peer.
    pub object: Object,
    /// What happened to the call.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// The ticket, with [`Cause::Ticket`].
    pub ticket: Option<TicketId>,
    /// The rule behind that ticket.
    pub rule: Option<RuleId>,
    /// Records that were not sent just before this one: there were too many, or the socket
    /// was full.
    pub dropped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_number_and_its_word() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_number(*cause as u32), Some(*cause));
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.word());
        }
        for number in [0, Cause::ALL.len() as u32 + 1, u32::MAX] {
            assert_eq!(Cause::from_number(number), None);
        }
    }
}
