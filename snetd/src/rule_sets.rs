// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes of all rules at once: made whole or not at all, undone when nobody confirms them in
//! time, taken back later.

use std::sync::atomic::Ordering;

use anyhow::{Result, anyhow};
use libsnet::control::{ErrorReply, HistoryRecord, Reply};
use libsnet::policy::RuleSpec;

use crate::ends::{Moment, since_boot};
use crate::journal::now;
use crate::policy_control::PolicyControl;
use crate::store::{Replaced, Replacement, RuleTransaction};

/// No change waits to be confirmed.
pub(crate) const NEVER: i64 = i64::MAX;

impl PolicyControl {
    /// Looks whether a change from before this daemon's start waits to be confirmed.
    pub(crate) async fn recall_unconfirmed(&self) -> Result<()> {
        let now = Moment::now();
        let left = |one: &HistoryRecord| Some(now.left(one.time, one.confirm_by?));
        let waits = self.store.history().await?.iter().filter_map(left).min();
        self.confirm_by.store(waits.map_or(NEVER, |left| now.boot + left), Ordering::Relaxed);
        Ok(())
    }

    /// Puts these rules in the place of all, or beside them.
    pub(crate) async fn replace(&self, change: Replacement) -> Result<Reply, ErrorReply> {
        for (number, spec) in change.rules.iter().enumerate() {
            spec.check().map_err(|error| ErrorReply::InvalidRule {
                reason: format!("rule {} of {}: {error}", number + 1, change.rules.len()),
            })?;
        }
        let tried =
            format!("{} of {} rules failed, nothing was changed", change.what, change.rules.len());
        let _one = self.changes.lock().await;
        self.refuse_while_unconfirmed()?;
        self.make(change, false).await.map_err(|error| self.failed(&error, &tried))
    }

    /// Puts the rules back as they were before a change, by default before the last one.
    pub(crate) async fn roll_back(&self, id: Option<i64>, by: u32) -> Result<Reply, ErrorReply> {
        let tried = "rolling back failed, nothing was changed";
        let _one = self.changes.lock().await;
        let before = self.before(id).await.map_err(|error| self.failed(&error, tried))?;
        let Some(rules) = before else {
            let id = id.and_then(|id| u64::try_from(id).ok()).unwrap_or_default();
            return Err(ErrorReply::NotFound { kind: "change".to_owned(), id });
        };
        let change = rollback(rules, by);
        self.make(change, true).await.map_err(|error| self.failed(&error, tried))
    }

    /// Lets a change stand that waits for it.
    pub(crate) async fn confirm(&self) -> Result<Reply, ErrorReply> {
        let tried = "confirming failed: the change is undone at its time";
        let _one = self.changes.lock().await;
        let confirmed = self.confirmed().await.map_err(|error| self.failed(&error, tried))?;
        match confirmed {
            Some(confirmed) => Ok(Reply::Confirmed { confirmed }),
            None => {
                let reason = "no change of the rules waits to be confirmed".to_owned();
                Err(ErrorReply::Failed { reason })
            }
        }
    }

    /// Undoes the change whose time to be confirmed is over at `now`, in milliseconds since the
    /// machine was started.
    pub(crate) async fn undo_unconfirmed(&self, now: i64) -> Result<()> {
        if self.confirm_by.load(Ordering::Relaxed) > now {
            return Ok(());
        }
        let _one = self.changes.lock().await;
        // Somebody may have confirmed it just now.
        if self.confirm_by.load(Ordering::Relaxed) > now {
            return Ok(());
        }
        let waits = {
            let mut writer = self.store.writer().await;
            writer.begin_change().await?.unconfirmed().await?
        };
        let Some((id, _)) = waits else {
            self.confirm_by.store(NEVER, Ordering::Relaxed);
            return Ok(());
        };
        let rules = self.before(Some(id)).await?.unwrap_or_default();
        self.make(rollback(rules, 0), true).await?;
        tracing::warn!("change {id} of the rules was not confirmed in time: it is undone");
        Ok(())
    }

    /// While a change waits, others would be undone with it.
    pub(crate) fn refuse_while_unconfirmed(&self) -> Result<(), ErrorReply> {
        if self.confirm_by.load(Ordering::Relaxed) == NEVER {
            return Ok(());
        }
        let reason = "rules were applied that wait to be confirmed: `snet-tool rules confirm`, or \
                      `snet-tool rules rollback`, comes first";
        Err(ErrorReply::Failed { reason: reason.to_owned() })
    }

    async fn before(&self, id: Option<i64>) -> Result<Option<Vec<RuleSpec>>> {
        let mut writer = self.store.writer().await;
        writer.begin_change().await?.before(id).await
    }

    async fn confirmed(&self) -> Result<Option<i64>> {
        let mut writer = self.store.writer().await;
        let mut transaction = writer.begin_change().await?;
        let waits = transaction.unconfirmed().await?;
        transaction.confirm().await?;
        transaction.commit().await?;
        self.confirm_by.store(NEVER, Ordering::Relaxed);
        Ok(waits.map(|(id, _)| id))
    }

    /// Makes a change; `settles` the one that waits to be confirmed.
    async fn make(&self, change: Replacement, settles: bool) -> Result<Reply> {
        let mut writer = self.store.writer().await;
        let mut transaction = writer.begin_change().await?;
        if settles {
            transaction.confirm().await?;
        }
        let Replaced { id, added, removed, kept } = replaced(&mut transaction, &change).await?;
        let (current, next) = self.next(&mut transaction).await?;
        transaction.commit().await?;
        drop(writer);
        // Setting the clock neither undoes it early nor lets it stand for longer.
        let within = change.confirm_by.map(|by| by.saturating_sub(change.at));
        let confirm_by = within.map_or(NEVER, |within| since_boot().saturating_add(within));
        self.confirm_by.store(confirm_by, Ordering::Relaxed);
        let enforced = self.enforce(current, next).await;
        let (revoked, note) = enforced
            .map_err(|error| anyhow!("it is stored, but not all of it is in force: {error:#}"))?;
        let notes = note.into_iter().collect();
        let confirm_by = change.confirm_by;
        Ok(Reply::Replaced { change: id, added, removed, kept, revoked, confirm_by, notes })
    }
}

/// Rules that are over by now aren't brought back.
async fn replaced(transaction: &mut RuleTransaction<'_>, change: &Replacement) -> Result<Replaced> {
    let replaced = transaction.replace(change).await?;
    transaction.end_rules(now()).await?;
    Ok(replaced)
}

fn rollback(rules: Vec<RuleSpec>, by: u32) -> Replacement {
    Replacement { rules, keep_others: false, what: "rollback", by, at: now(), confirm_by: None }
}
