// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls, replies and errors as they are on the wire.

use serde::{Deserialize, Serialize};

use super::records::{
    Explanation, HistoryRecord, JournalEntry, ProposalRecord, QuestionId, QuestionRecord,
    RuleRecord, StatusReply, TicketRecord,
};
use super::supervision::Terms;
use crate::policy::{Container, Program, Reach, RuleSpec, Unit};
use crate::types::{Object, RuleId, Scope, TicketId, Verdict};

/// A call that somebody asks about. What is absent is none that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestCall {
    /// The program; `Any`, a pattern and a sum are no answerable questions.
    pub program: Program,
    /// The effective user.
    pub uid: u32,
    /// The call.
    pub object: Object,
    /// The unit that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The container that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Its command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The program that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Program>,
}

impl TestCall {
    /// A call of a process that is like none that rules are about beside its program and user.
    pub fn new(program: Program, uid: u32, object: Object) -> Self {
        Self { program, uid, object, unit: None, container: None, command: None, parent: None }
    }
}

/// A call of `io.snet.Control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", content = "parameters", deny_unknown_fields)]
#[non_exhaustive]
pub enum Call {
    /// Answered by [`Reply::Status`].
    #[serde(rename = "io.snet.Control.Status")]
    Status {},
    /// Answered by [`Reply::Rules`], in the order in which they are asked.
    #[serde(rename = "io.snet.Control.ListRules")]
    ListRules {},
    /// Answered by [`Reply::Rule`].
    #[serde(rename = "io.snet.Control.ShowRule")]
    ShowRule {
        /// Its number.
        id: RuleId,
    },
    /// Answered by [`Reply::Changed`], once the rule is stored *and* in force.
    #[serde(rename = "io.snet.Control.AddRule")]
    AddRule {
        /// The rule.
        rule: RuleSpec,
    },
    /// Answered by [`Reply::Changed`].
    #[serde(rename = "io.snet.Control.DeleteRule")]
    DeleteRule {
        /// Its number.
        id: RuleId,
    },
    /// Answered by [`Reply::Changed`].
    #[serde(rename = "io.snet.Control.EnableRule")]
    EnableRule {
        /// Its number.
        id: RuleId,
        /// Enable or disable?
        enabled: bool,
    },
    /// Puts these rules in the place of all, at once or not at all; a rule that says the same as
    /// one that is there is that one. Answered by [`Reply::Replaced`].
    #[serde(rename = "io.snet.Control.ReplaceRules")]
    ReplaceRules {
        /// The rules.
        rules: Vec<RuleSpec>,
        /// Those that aren't among them stay.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keep_others: bool,
        /// Undo it unless it is confirmed within so many milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm_within: Option<u64>,
    },
    /// Lets the change stand that waits to be confirmed. Answered by [`Reply::Confirmed`].
    #[serde(rename = "io.snet.Control.ConfirmRules")]
    ConfirmRules {},
    /// Puts the rules back as they were before a change of all of them. Answered by
    /// [`Reply::Replaced`].
    #[serde(rename = "io.snet.Control.RollBackRules")]
    RollBackRules {
        /// Which; the last one when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<i64>,
    },
    /// Changes of all rules at once, newest first. Answered by [`Reply::History`].
    #[serde(rename = "io.snet.Control.ListHistory")]
    ListHistory {},
    /// What would the policy say? Answered by [`Reply::Explained`].
    #[serde(rename = "io.snet.Control.Test")]
    Test(TestCall),
    /// Answered by [`Reply::Tickets`].
    #[serde(rename = "io.snet.Control.ListTickets")]
    ListTickets {},
    /// Answered by [`Reply::Revoked`]. With no condition: all tickets.
    #[serde(rename = "io.snet.Control.RevokeTickets")]
    RevokeTickets {
        /// Only this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<TicketId>,
        /// Only those of this process.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tgid: Option<u32>,
    },
    /// The newest entries of the journal, oldest first. Answered by [`Reply::Journal`].
    #[serde(rename = "io.snet.Control.Log")]
    Log {
        /// At most so many (the daemon gives at most 10,000).
        limit: u32,
        /// Only entries with a smaller number, to page backwards.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<i64>,
        /// Only those with this verdict.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verdict: Option<Verdict>,
    },
    /// What was learned and not dropped. Answered by [`Reply::Proposals`].
    #[serde(rename = "io.snet.Control.ListProposals")]
    ListProposals {},
    /// Don't propose these again. Answered by [`Reply::Dropped`].
    #[serde(rename = "io.snet.Control.DropProposals")]
    DropProposals {
        /// Which: the counts and times don't matter.
        proposals: Vec<ProposalRecord>,
    },
    /// Calls that a person is asked about. Answered by [`Reply::Questions`], oldest first.
    #[serde(rename = "io.snet.Control.ListQuestions")]
    ListQuestions {},
    /// Answers a question. Answered by [`Reply::Answered`].
    #[serde(rename = "io.snet.Control.AnswerQuestion")]
    AnswerQuestion(Answer),
    /// Decisions as they are made: a stream of [`Reply::Decided`] (`more`).
    #[serde(rename = "io.snet.Control.Watch")]
    Watch {},
    /// Answered by [`Reply::Supervising`], behind which the connection speaks
    /// [`super::Told`] and [`super::Said`] (`upgrade`).
    #[serde(rename = "io.snet.Control.Supervise")]
    Supervise {},
}

/// A person's answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Number of the question.
    pub id: QuestionId,
    /// The answer.
    pub verdict: Verdict,
    /// To which calls it applies beside those that were asked about.
    #[serde(default)]
    pub reach: Reach,
    /// What is made of it.
    #[serde(default)]
    pub keep: Keep,
    /// When the rule ends, in milliseconds since 1970 (UTC); `None` means never. Only with
    /// [`Keep::Rule`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// The rule ends with the daemon. Only with [`Keep::Rule`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_restart: bool,
}

/// What is made of an answer beside the verdict on the calls that wait for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Nothing.
    Once,
    /// A ticket for each of the processes that asked, until it ends or executes another program.
    #[default]
    UntilExit,
    /// A rule for the program and the user.
    Rule,
}

/// The parameters of a reply, told apart by the call that they answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Reply {
    /// To `ListRules`.
    Rules {
        /// All rules.
        rules: Vec<RuleRecord>,
    },
    /// To `ShowRule`.
    Rule {
        /// The rule.
        rule: Box<RuleRecord>,
    },
    /// To `AddRule`, `DeleteRule`, `EnableRule`.
    Changed {
        /// The rule, as it is now or last was.
        changed: Box<RuleRecord>,
        /// How many tickets the change revoked.
        revoked: u64,
        /// Something the caller should know: the program isn't installed, or is a script.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// To `ReplaceRules` and `RollBackRules`.
    Replaced {
        /// Number of the change.
        change: i64,
        /// Rules that are new.
        added: u64,
        /// Rules that are gone.
        removed: u64,
        /// Rules that stayed.
        kept: u64,
        /// How many tickets the change revoked.
        revoked: u64,
        /// When it is undone unless it is confirmed, in milliseconds since 1970 (UTC).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm_by: Option<i64>,
        /// Something the caller should know.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// To `ConfirmRules`.
    Confirmed {
        /// Number of the change.
        confirmed: i64,
    },
    /// To `ListHistory`.
    History {
        /// The changes.
        history: Vec<HistoryRecord>,
    },
    /// To `Test`.
    Explained {
        /// What the policy says.
        explanation: Box<Explanation>,
        /// Is such a call mediated? Otherwise it is allowed without asking the policy.
        watched: bool,
    },
    /// To `ListTickets`.
    Tickets {
        /// All tickets.
        tickets: Vec<TicketRecord>,
    },
    /// To `RevokeTickets`.
    Revoked {
        /// How many.
        revoked: u64,
    },
    /// To `Log`.
    Journal {
        /// The entries.
        entries: Vec<JournalEntry>,
    },
    /// To `ListProposals`.
    Proposals {
        /// Kinds of calls, the first seen first.
        proposals: Vec<ProposalRecord>,
    },
    /// To `DropProposals`.
    Dropped {
        /// How many kinds of calls.
        dropped: u64,
    },
    /// To `ListQuestions`.
    Questions {
        /// All that are open.
        questions: Vec<QuestionRecord>,
    },
    /// To `AnswerQuestion`.
    Answered {
        /// Calls that waited and got the verdict.
        released: u64,
        /// What the tickets that came with it cover, when there are some.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ticket: Option<Scope>,
        /// The rule that was made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<Box<RuleRecord>>,
        /// What the caller should know.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// To `Watch`.
    Decided {
        /// A decision.
        decided: Box<JournalEntry>,
        /// Decisions left out just before this one because the reader was too slow.
        missed: u64,
    },
    /// To `Supervise`.
    Supervising {
        /// The terms.
        terms: Box<Terms>,
    },
    /// To `Status`.
    Status(Box<StatusReply>),
}

/// An error of `io.snet.Control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", content = "parameters")]
#[non_exhaustive]
pub enum ErrorReply {
    /// No rule, ticket, question or change of the rules has this number.
    #[error("no {kind} {id}")]
    #[serde(rename = "io.snet.Control.NotFound")]
    NotFound {
        /// `rule`, `ticket`, `question` or `change`.
        kind: String,
        /// The number.
        id: u64,
    },
    /// The rule can't mean anything.
    #[error("{reason}")]
    #[serde(rename = "io.snet.Control.InvalidRule")]
    InvalidRule {
        /// The field and what is wrong with it.
        reason: String,
    },
    /// The caller may not do this.
    #[error("permission denied: {reason}")]
    #[serde(rename = "io.snet.Control.PermissionDenied")]
    PermissionDenied {
        /// Who may.
        reason: String,
    },
    /// The database or the kernel refused; nothing was changed.
    #[error("{reason}")]
    #[serde(rename = "io.snet.Control.Failed")]
    Failed {
        /// What was tried, on what, and what went wrong.
        reason: String,
    },
    /// Varlink: a parameter is missing, unknown or of the wrong type.
    #[error("invalid parameter: {parameter}")]
    #[serde(rename = "org.varlink.service.InvalidParameter")]
    InvalidParameter {
        /// Which.
        parameter: String,
    },
    /// Varlink: no such method.
    #[error("unknown method {method}")]
    #[serde(rename = "org.varlink.service.MethodNotFound")]
    MethodNotFound {
        /// Its name.
        method: String,
    },
    /// Varlink: no such interface.
    #[error("unknown interface {interface}")]
    #[serde(rename = "org.varlink.service.InterfaceNotFound")]
    InterfaceNotFound {
        /// Its name.
        interface: String,
    },
    /// Varlink: the method only answers as a stream (`more`).
    #[error("this method needs 'more'")]
    #[serde(rename = "org.varlink.service.ExpectedMore")]
    ExpectedMore {},
}
