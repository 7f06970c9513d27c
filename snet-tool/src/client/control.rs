// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls of `io.snet.Control`, each with the answer that belongs to it.

use std::time::Duration;

use libsnet::control::{
    Answer, Call, HistoryRecord, JournalEntry, ProposalRecord, QuestionRecord, RuleRecord,
    StatusReply, TestCall, TicketRecord,
};
use libsnet::policy::RuleSpec;
use libsnet::types::{RuleId, TicketId, Verdict};

use super::frames::Until;
use super::replies::{History, Journal, Proposals, Questions, Rule, Rules, Tickets};
use super::{
    Answered, Changed, Client, ClientError, Confirmed, Decided, Dropped, Explained, Replaced,
    Revoked,
};

type Result<T> = std::result::Result<T, ClientError>;

impl Client {
    pub(crate) fn status(&mut self) -> Result<StatusReply> {
        self.call(&Call::Status {})
    }

    pub(crate) fn rules(&mut self) -> Result<Vec<RuleRecord>> {
        let parts = self.parts::<Rules>(&Call::ListRules {})?;
        Ok(parts.into_iter().flat_map(|part| part.rules).collect())
    }

    pub(crate) fn rule(&mut self, id: RuleId) -> Result<RuleRecord> {
        self.call::<Rule>(&Call::ShowRule { id }).map(|reply| reply.rule)
    }

    pub(crate) fn add_rule(&mut self, rule: RuleSpec) -> Result<Changed> {
        self.call(&Call::AddRule { rule })
    }

    pub(crate) fn delete_rule(&mut self, id: RuleId) -> Result<Changed> {
        self.call(&Call::DeleteRule { id })
    }

    pub(crate) fn enable_rule(&mut self, id: RuleId, enabled: bool) -> Result<Changed> {
        self.call(&Call::EnableRule { id, enabled })
    }

    pub(crate) fn replace_rules(
        &mut self,
        rules: Vec<RuleSpec>,
        keep_others: bool,
        confirm_within: Option<Duration>,
    ) -> Result<Replaced> {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let confirm_within = confirm_within.map(milliseconds);
        self.call(&Call::ReplaceRules { rules, keep_others, confirm_within })
    }

    /// Before the last change when none is named.
    pub(crate) fn roll_back(&mut self, change: Option<i64>) -> Result<Replaced> {
        self.call(&Call::RollBackRules { change })
    }

    pub(crate) fn confirm_rules(&mut self) -> Result<Confirmed> {
        self.call(&Call::ConfirmRules {})
    }

    /// Newest first.
    pub(crate) fn history(&mut self) -> Result<Vec<HistoryRecord>> {
        self.call::<History>(&Call::ListHistory {}).map(|reply| reply.history)
    }

    /// What was learned and not dropped.
    pub(crate) fn proposals(&mut self) -> Result<Vec<ProposalRecord>> {
        self.call::<Proposals>(&Call::ListProposals {}).map(|reply| reply.proposals)
    }

    pub(crate) fn drop_proposals(&mut self, proposals: Vec<ProposalRecord>) -> Result<Dropped> {
        self.call(&Call::DropProposals { proposals })
    }

    pub(crate) fn test(&mut self, call: TestCall) -> Result<Explained> {
        self.call(&Call::Test(call))
    }

    pub(crate) fn tickets(&mut self) -> Result<Vec<TicketRecord>> {
        let parts = self.parts::<Tickets>(&Call::ListTickets {})?;
        Ok(parts.into_iter().flat_map(|part| part.tickets).collect())
    }

    /// What people are asked now, oldest first.
    pub(crate) fn questions(&mut self) -> Result<Vec<QuestionRecord>> {
        self.call::<Questions>(&Call::ListQuestions {}).map(|reply| reply.questions)
    }

    pub(crate) fn answer_question(&mut self, answer: Answer) -> Result<Answered> {
        self.call(&Call::AnswerQuestion(answer))
    }

    /// With neither an id nor a process: all tickets.
    pub(crate) fn revoke_tickets(
        &mut self,
        id: Option<TicketId>,
        tgid: Option<u32>,
    ) -> Result<Revoked> {
        self.call(&Call::RevokeTickets { id, tgid })
    }

    /// At most `limit` entries before the entry `before`, oldest first.
    pub(crate) fn log(
        &mut self,
        limit: u32,
        before: Option<i64>,
        verdict: Option<Verdict>,
    ) -> Result<Vec<JournalEntry>> {
        let parts = self.parts::<Journal>(&Call::Log { limit, before, verdict })?;
        Ok(parts.into_iter().flat_map(|part| part.entries).collect())
    }

    /// Turns the connection into a stream of decisions.
    pub(crate) fn watch(mut self) -> Result<Decisions> {
        self.send(&Call::Watch {}, true)?;
        Ok(Decisions { client: self, ended: false })
    }
}

/// Decisions as they are made, until nobody reads our output any more or the daemon ends.
pub(crate) struct Decisions {
    client: Client,
    ended: bool,
}

impl Iterator for Decisions {
    type Item = Result<Decided>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let answer = self.client.answer(Until::OutputCloses);
        self.ended = !matches!(answer, Ok((_, true)));
        match answer {
            Err(ClientError::OutputClosed) => None,
            answer => Some(answer.map(|(decided, _)| decided)),
        }
    }
}
