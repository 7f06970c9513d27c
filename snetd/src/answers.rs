// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers the calls of the control socket from the parts of the daemon.
//!
//! Owns no state of its own. Must not know the wire: that is `control`'s.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use libsnet::client::Client;
use libsnet::control::{
    Call, DaemonStatus, ErrorReply, KernelStatus, Reply, RuleRecord, StatusReply,
};
use libsnet::policy::{Rule, RuleSpec};
use libsnet::types::{RuleId, TicketId};
use libsnet::uapi::ABI_VERSION;

use crate::control::{Controller, Decisions};
use crate::decider::{Counters, Decider, LinkState};
use crate::journal::now;
use crate::policy_control::{PolicyControl, failed};
use crate::problems::Problems;
use crate::store::{Change, LogQuery, Replacement, Store};
use crate::tickets;
use crate::watchers::Watchers;

/// Entries that one call of `Log` gives at most.
const LOG_LIMIT: u32 = 10_000;

/// Longest time for a change to be confirmed, in milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// What answers are made of.
pub(crate) struct Answers {
    pub(crate) store: Store,
    pub(crate) policy: Arc<PolicyControl>,
    pub(crate) decider: Decider,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) problems: Arc<Problems>,
    pub(crate) started_at: i64,
}

pub(crate) type Answer = Result<Reply, ErrorReply>;

impl Controller for Answers {
    async fn call(&self, uid: u32, call: Call) -> Answer {
        match call {
            Call::Status {} => self.status().await,
            Call::ListRules {} => self.list_rules().await,
            Call::ShowRule { id } => self.show_rule(id).await,
            Call::AddRule { rule } => self.add_rule(rule, uid).await,
            Call::DeleteRule { id } => self.change(Change::Delete(id)).await,
            Call::EnableRule { id, enabled } => self.change(Change::Enable(id, enabled)).await,
            Call::Test(call) => self.test(call).await,
            Call::ListTickets {} => self.list_tickets().await,
            Call::RevokeTickets { id, tgid } => self.revoke_tickets(id, tgid).await,
            Call::Log { limit, before, verdict } => {
                self.log(LogQuery { limit: limit.min(LOG_LIMIT), before, verdict }).await
            }
            Call::ReplaceRules { rules, keep_others, confirm_within } => {
                let at = now();
                let within = confirm_within.map(|within| i64::try_from(within).unwrap_or(i64::MAX));
                let confirm_by = within.map(|within| at.saturating_add(within.clamp(1000, DAY)));
                let what = if keep_others { "import" } else { "apply" };
                let change = Replacement { rules, keep_others, what, by: uid, at, confirm_by };
                self.policy.replace(change).await
            }
            Call::ConfirmRules {} => self.policy.confirm().await,
            Call::RollBackRules { change } => self.policy.roll_back(change, uid).await,
            Call::ListHistory {} => self.list_history().await,
            Call::ListProposals {} => self.list_proposals().await,
            Call::DropProposals { proposals } => {
                let dropped = self.store.writer().await.drop_proposals(&proposals).await;
                let dropped =
                    dropped.map_err(|error| self.policy.failed(&error, "dropping failed"))?;
                Ok(Reply::Dropped { dropped })
            }
            Call::ListQuestions {} => self.list_questions().await,
            Call::AnswerQuestion(answer) => self.answer_question(answer, uid).await,
            other => Err(ErrorReply::MethodNotFound { method: format!("{other:?}") }),
        }
    }

    fn watch(&self) -> Decisions {
        self.watchers.watch()
    }

    async fn supervise(&self, stream: UnixStream) -> std::io::Result<()> {
        self.decider.supervise(stream).await.map_err(std::io::Error::other)
    }
}

impl Answers {
    async fn status(&self) -> Answer {
        let current = self.policy.current().await;
        let daemon = DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started_at,
            rules: current.rules() as u64,
            generation: current.generation,
            decided: self.counters.decided(),
            journal_dropped: self.counters.dropped(),
            questions: self.decider.questions().await.map_or(0, |open| open.len() as u64),
            problem: self.problems.all(),
        };
        let supervised = self.decider.supervised_status().await;
        let supervised = supervised.map_err(|error| failed(&error, "asking the decider failed"))?;
        let kernel = self.kernel_status().await;
        Ok(Reply::Status(Box::new(StatusReply { daemon, kernel, supervised })))
    }

    async fn kernel_status(&self) -> Option<KernelStatus> {
        if !matches!(*self.decider.state().borrow(), LinkState::Registered(_)) {
            return None;
        }
        let stats = Client::connect().await.ok()?.stats().await.ok()?;
        // Registering fails with a module that speaks another version.
        Some(KernelStatus { abi_version: ABI_VERSION, stats })
    }

    async fn list_rules(&self) -> Answer {
        let records = self.store.rules().await;
        let records = records.map_err(|error| failed(&error, "listing the rules failed"))?;
        let records = self.policy.standing(records);
        let current = self.policy.current().await;
        let mut rules: Vec<(Rule, RuleRecord)> = records
            .into_iter()
            .map(|mut record| {
                record.resolved = current.resolved(&record.spec.program);
                (Rule { id: record.id, spec: record.spec.clone() }, record)
            })
            .collect();
        rules.sort_by(|(one, _), (other, _)| one.precedence(other));
        Ok(Reply::Rules { rules: rules.into_iter().map(|(_, record)| record).collect() })
    }

    async fn list_history(&self) -> Answer {
        let history = self.store.history().await;
        let history = history.map_err(|error| failed(&error, "listing the changes failed"))?;
        Ok(Reply::History { history })
    }

    async fn list_proposals(&self) -> Answer {
        let proposals = self.store.proposals().await;
        let proposals =
            proposals.map_err(|error| failed(&error, "listing what was learned failed"))?;
        Ok(Reply::Proposals { proposals })
    }

    async fn show_rule(&self, id: RuleId) -> Answer {
        let found = self.store.rule(id).await;
        let found = found.map_err(|error| failed(&error, &format!("showing rule {id} failed")))?;
        let Some(mut rule) = found else {
            return Err(ErrorReply::NotFound { kind: "rule".to_owned(), id: id.0 });
        };
        rule.resolved = self.policy.current().await.resolved(&rule.spec.program);
        Ok(Reply::Rule { rule: Box::new(rule) })
    }

    async fn add_rule(&self, spec: RuleSpec, by: u32) -> Answer {
        spec.check().map_err(|error| ErrorReply::InvalidRule { reason: error.to_string() })?;
        if spec.expires_at.is_some_and(|end| end <= now()) {
            let reason = "expires_at: that is over already".to_owned();
            return Err(ErrorReply::InvalidRule { reason });
        }
        self.change(Change::Add { spec: Box::new(spec), by, at: now() }).await
    }

    async fn change(&self, change: Change) -> Answer {
        let changed = self.policy.change(change).await?;
        Ok(Reply::Changed {
            changed: Box::new(changed.rule),
            revoked: changed.revoked,
            notes: changed.notes,
        })
    }

    async fn list_tickets(&self) -> Answer {
        let policy = self.policy.current().await.policy;
        let listed = tickets::list(policy, &self.decider).await;
        let tickets = listed.map_err(|error| failed(&error, "listing the tickets failed"))?;
        Ok(Reply::Tickets { tickets })
    }

    async fn log(&self, query: LogQuery) -> Answer {
        let entries = self.store.log(query).await;
        let entries = entries.map_err(|error| failed(&error, "reading the journal failed"))?;
        Ok(Reply::Journal { entries })
    }

    async fn revoke_tickets(&self, id: Option<TicketId>, tgid: Option<u32>) -> Answer {
        let revoked = tickets::revoke(&self.decider, id, tgid).await;
        match (revoked.map_err(|error| failed(&error, "revoking tickets failed"))?, id) {
            (Some(revoked), _) => Ok(Reply::Revoked { revoked }),
            (None, id) => {
                let id = id.map_or(0, |id| id.0);
                Err(ErrorReply::NotFound { kind: "ticket".to_owned(), id })
            }
        }
    }
}
