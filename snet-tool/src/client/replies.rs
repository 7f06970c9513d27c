// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each call is answered with, one shape per call.
//!
//! [`libsnet::control::Reply`] tries one shape after the other, so that an answer of which a
//! field is wrong turns into another answer (`Changed` into `Revoked`) or into an error that
//! names no field. Here the call is known, so only its own shape is tried.

use libsnet::control::{
    Explanation, HistoryRecord, JournalEntry, ProposalRecord, QuestionRecord, RuleRecord,
    TicketRecord,
};
use libsnet::types::Scope;
use serde::{Deserialize, Serialize};

/// A part of the answer to `ListRules`.
#[derive(Deserialize)]
pub(super) struct Rules {
    pub(super) rules: Vec<RuleRecord>,
}

/// The answer to `ShowRule`.
#[derive(Deserialize)]
pub(super) struct Rule {
    pub(super) rule: RuleRecord,
}

/// The answer to `AddRule`, `DeleteRule` and `EnableRule`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// The rule as it is now, or last was.
    pub(crate) changed: RuleRecord,
    /// How many tickets went with the change.
    pub(crate) revoked: u64,
    /// What the caller should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// The answer to `ReplaceRules` and `RollBackRules`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Replaced {
    /// Number of the change.
    pub(crate) change: i64,
    /// Rules that are new.
    pub(crate) added: u64,
    /// Rules that are gone.
    pub(crate) removed: u64,
    /// Rules that stayed.
    pub(crate) kept: u64,
    /// How many tickets went with the change.
    pub(crate) revoked: u64,
    /// When it is undone unless it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirm_by: Option<i64>,
    /// What the caller should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// The answer to `ConfirmRules`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Confirmed {
    /// Number of the change.
    pub(crate) confirmed: i64,
}

/// The answer to `ListHistory`.
#[derive(Deserialize)]
pub(super) struct History {
    pub(super) history: Vec<HistoryRecord>,
}

/// The answer to `ListProposals`.
#[derive(Deserialize)]
pub(super) struct Proposals {
    pub(super) proposals: Vec<ProposalRecord>,
}

/// The answer to `DropProposals`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Dropped {
    /// How many kinds of calls.
    pub(crate) dropped: u64,
}

/// The answer to `Test`.
#[derive(Debug, Deserialize)]
pub(crate) struct Explained {
    /// What the policy says.
    pub(crate) explanation: Explanation,
    /// Is it asked at all?
    pub(crate) watched: bool,
}

/// A part of the answer to `ListTickets`.
#[derive(Deserialize)]
pub(super) struct Tickets {
    pub(super) tickets: Vec<TicketRecord>,
}

/// The answer to `RevokeTickets`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Revoked {
    /// How many.
    pub(crate) revoked: u64,
}

/// The answer to `ListQuestions`.
#[derive(Deserialize)]
pub(super) struct Questions {
    pub(super) questions: Vec<QuestionRecord>,
}

/// The answer to `AnswerQuestion`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// Calls that waited and got the verdict.
    pub(crate) released: u64,
    /// What the tickets cover that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ticket: Option<Scope>,
    /// The rule that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<RuleRecord>,
    /// What the caller should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// A part of the answer to `Log`.
#[derive(Deserialize)]
pub(super) struct Journal {
    pub(super) entries: Vec<JournalEntry>,
}

/// One of the answers to `Watch`.
#[derive(Debug, Deserialize)]
pub(crate) struct Decided {
    /// The decision.
    pub(crate) decided: JournalEntry,
    /// Decisions left out just before it.
    pub(crate) missed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use libsnet::control::Reply;

    #[test]
    fn what_libsnet_writes_is_what_is_read_here() {
        let revoked = serde_json::to_value(Reply::Revoked { revoked: 7 }).unwrap();
        assert_eq!(serde_json::from_value::<Revoked>(revoked).unwrap().revoked, 7);
        let rules = serde_json::to_value(Reply::Rules { rules: vec![] }).unwrap();
        assert!(serde_json::from_value::<Rules>(rules).unwrap().rules.is_empty());
        let tickets = serde_json::to_value(Reply::Tickets { tickets: vec![] }).unwrap();
        assert!(serde_json::from_value::<Tickets>(tickets).unwrap().tickets.is_empty());
        let journal = serde_json::to_value(Reply::Journal { entries: vec![] }).unwrap();
        assert!(serde_json::from_value::<Journal>(journal).unwrap().entries.is_empty());
    }

    #[test]
    fn a_wrong_field_is_named() {
        let error = serde_json::from_str::<Changed>(r#"{"changed":{"id":3},"revoked":1}"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("missing field"), "{error}");
    }
}
