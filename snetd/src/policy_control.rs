// SPDX-License-Identifier: MIT OR Apache-2.0
//! A change of the policy, from the database to the last revoked ticket.
//!
//! Owns the order: store, compile, commit, put into force, revoke, acknowledge. A change
//! that fails before its commit never was; one that fails after it says so. Hands policies
//! to the decider and must not be called from it.

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use libsnet::control::{ErrorReply, RuleRecord};
use libsnet::policy::{Candidate, HostPattern, Policy, Program, RuleSpec};
use libsnet::types::{Object, RuleId, Subject};
use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::compiled::{Compiled, Inputs};
use crate::decider::Decider;
use crate::details::{self, Sums};
use crate::ends::{Ends, Moment};
use crate::names::Names;
use crate::problems::{Part, Problems};
use crate::rule_sets::NEVER;
use crate::store::{Change, RuleTransaction, Store};
use crate::{cgroups, resolve, tickets, watched};

/// Changes the policy, one change at a time.
pub(crate) struct PolicyControl {
    pub(crate) store: Store,
    decider: Decider,
    problems: Arc<Problems>,
    pub(crate) sums: Sums,
    names: Names,
    /// Told of each new policy.
    replaced: Notify,
    /// Which rules are over. Held for a look only: nothing else is locked or awaited meanwhile.
    ends: std::sync::Mutex<Ends>,
    /// When a change is undone that waits to be confirmed, in milliseconds since the machine was
    /// started.
    pub(crate) confirm_by: AtomicI64,
    /// Held from the beginning of a change until its tickets are revoked, so that changes
    /// don't overlap. Taken before `current`.
    pub(crate) changes: Mutex<()>,
    /// What is in force. Held while the next policy is made and put into force.
    current: Mutex<Compiled>,
}

/// A change that was made.
#[derive(Debug)]
pub(crate) struct Changed {
    /// The rule as it is now, or was before it was deleted.
    pub(crate) rule: RuleRecord,
    /// Tickets that were revoked.
    pub(crate) revoked: u64,
    /// What the caller should know.
    pub(crate) notes: Vec<String>,
}

impl PolicyControl {
    /// Begins with the policy that the decider was started with, which leaves out rules that
    /// were over.
    pub(crate) fn new(
        store: Store,
        decider: Decider,
        problems: Arc<Problems>,
        names: Names,
        first: Compiled,
        ends: Ends,
    ) -> Self {
        let (changes, current) = (Mutex::new(()), Mutex::new(first));
        let confirm_by = AtomicI64::new(NEVER);
        let (sums, replaced) = (Sums::default(), Notify::new());
        let ends = std::sync::Mutex::new(ends);
        Self { store, decider, problems, sums, names, replaced, ends, confirm_by, changes, current }
    }

    /// Changes one rule. When this returns, the change is stored, in force, and no ticket
    /// contradicts it.
    pub(crate) async fn change(&self, change: Change) -> Result<Changed, ErrorReply> {
        let _one = self.changes.lock().await;
        self.refuse_while_unconfirmed()?;
        let wanted = describe(&change);
        let mut writer = self.store.writer().await;
        let nothing = |error| self.failed(&error, &format!("{wanted} failed, nothing was changed"));
        let mut transaction = writer.begin_change().await.map_err(nothing)?;
        let Some(mut rule) = transaction.apply(&change).await.map_err(nothing)? else {
            return Err(not_found(&change));
        };
        let (current, next) = self.next(&mut transaction).await.map_err(nothing)?;
        let notes = noted(&change, &rule, next.inputs()).await.map_err(nothing)?;
        rule.resolved = next.resolved(&rule.spec.program);
        transaction.commit().await.map_err(nothing)?;
        drop(writer);
        let stored = format!("{wanted}: it is stored, but not all of it is in force");
        let revoked = self.enforce(current, next).await;
        let (revoked, more) = revoked.map_err(|error| failed(&error, &stored))?;
        Ok(Changed { rule, revoked, notes: notes.into_iter().chain(more).collect() })
    }

    /// Reads the rules again, as somebody may have edited them, and follows `inputs`. On an
    /// error the policy in force stays.
    pub(crate) async fn reload(&self, inputs: Inputs) -> Result<()> {
        let _one = self.changes.lock().await;
        let rules = self.standing(self.store.rules().await?);
        let current = self.current.lock().await;
        let generation = current.generation + 1;
        let names = self.names.clone();
        let next =
            blocking(move || Compiled::new(rules, Arc::new(inputs), names, generation)).await?;
        self.enforce(current, next).await.map(drop)
    }

    /// Ends the rules whose time is over. They decide nothing any more even if the database
    /// can't be written: then it is an error all the same, and they are deleted by a later call.
    pub(crate) async fn end_rules(&self, now: Moment) -> Result<()> {
        let policy = Arc::clone(&self.current.lock().await.policy);
        self.learn_ends(&policy, now).await;
        let over = self.ends().over(now);
        if over.is_empty() {
            return Ok(());
        }
        let _one = self.changes.lock().await;
        let current = self.current.lock().await;
        let (before, ended) = (current.clone(), over.clone());
        if let Some(next) = blocking(move || before.without(&ended)).await? {
            let ended = current.rules() - next.rules();
            let (revoked, _) = self.enforce(current, next).await?;
            tracing::info!("{ended} rules have ended, {revoked} tickets were revoked");
        } else {
            drop(current);
        }
        self.store.writer().await.delete_rules(&over).await?;
        self.ends().deleted(&over);
        Ok(())
    }

    async fn learn_ends(&self, policy: &Policy, now: Moment) {
        for (id, end) in policy.ends() {
            if !self.ends().knows(id, end) {
                let made = self.store.rule(id).await.ok().flatten();
                let made = made.map_or(now.wall, |rule| rule.created_at);
                self.ends().learn(id, made, end, now);
            }
        }
        self.ends().keep(|id| policy.expires_at(id).is_some());
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves out the rules that are over and couldn't be deleted.
    pub(crate) fn standing(&self, rules: Vec<RuleRecord>) -> Vec<RuleRecord> {
        self.ends().without(rules)
    }

    /// Looks at all programs again: a link may lead to another file by now.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let _one = self.changes.lock().await;
        let before = self.current.lock().await.clone();
        let generation = before.generation;
        let Some(next) = blocking(move || before.refreshed()).await? else {
            return Ok(());
        };
        let current = self.current.lock().await;
        if current.generation != generation {
            // An event made somebody look meanwhile; the next turn looks again.
            return Ok(());
        }
        tracing::info!("programs of rules were replaced: the policy follows");
        self.enforce(current, next).await.map(drop)
    }

    /// Waits until the answers of name servers are known that came before the call, looks again at
    /// the programs that may be the subject's file, at the cgroups if the subject's is none that
    /// is known, and completes what is known of the subject; gives the generation of the policy
    /// for which that was done. No ticket contradicts the new policy: the decider issues none that
    /// something still to be looked at might decide otherwise.
    pub(crate) async fn look_at(&self, subject: &mut Subject, object: &Object) -> Result<u64> {
        let place = subject.exe.as_ref().map(|exe| exe.path.clone()).unwrap_or_default();
        if self.current.lock().await.policy.misses_host(object) {
            self.names.catch_up().await;
        }
        let (programs, inputs, missing) = {
            let current = self.current.lock().await;
            (current.programs_at(&place), current.inputs(), current.policy.missing(subject))
        };
        let (who, sums) = (subject.clone(), self.sums.clone());
        let (found, cgroups, details) = blocking(move || {
            let look = |(program, known): (Program, Vec<Candidate>)| {
                let candidates = match program {
                    Program::Pattern(_) => resolve::seen(&known, &place),
                    _ => resolve::candidates(&program, &inputs.search_path),
                };
                (program, candidates)
            };
            let found: Vec<_> = programs.into_iter().map(look).collect();
            let cgroups = missing.cgroups.then(cgroups::all);
            (found, cgroups, details::look(&who, missing, &sums))
        })
        .await?;
        subject.details.complete(details);
        let mut current = self.current.lock().await;
        let before = current.clone();
        if let Some(next) = blocking(move || before.with_found(found, cgroups)).await? {
            self.adopt(&mut current, next).await?;
        }
        Ok(current.generation)
    }

    /// Returns after the policy was replaced; at once if that was since the last time.
    pub(crate) async fn changed(&self) {
        self.replaced.notified().await;
    }

    /// Which hosts the rules name.
    pub(crate) async fn hosts_meant(&self) -> Arc<[HostPattern]> {
        self.current.lock().await.hosts_meant()
    }

    /// Puts the addresses that hosts have now into force; gives when the first of them ends.
    /// Tickets that contradict them are revoked at once, but not before this returns.
    pub(crate) async fn follow_names(self: &Arc<Self>) -> Result<Option<Instant>> {
        let mut current = self.current.lock().await;
        let (next, end) = current.with_names_of_now();
        let Some(next) = next else { return Ok(end) };
        self.adopt(&mut current, next).await?;
        drop(current);
        let policy = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = policy.reconcile().await {
                policy.problems.set(Part::Tickets, format!("{error:#}"));
            }
        });
        Ok(end)
    }

    /// Revokes what a policy before this one, or a daemon before this one, left in the
    /// kernel.
    pub(crate) async fn reconcile(&self) -> Result<u64> {
        let _one = self.changes.lock().await;
        let policy = Arc::clone(&self.current.lock().await.policy);
        Ok(tickets::revoke_all_but(policy, &self.decider, &self.sums).await?.count)
    }

    /// What is in force now.
    pub(crate) async fn current(&self) -> Compiled {
        self.current.lock().await.clone()
    }

    /// Waits until no change is under way, and lets none begin while the guard lives.
    pub(crate) async fn quiesce(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().await
    }

    /// The policy of the rules that a transaction leaves, and the one in force, held until the
    /// other takes its place.
    pub(crate) async fn next(
        &self,
        transaction: &mut RuleTransaction<'_>,
    ) -> Result<(MutexGuard<'_, Compiled>, Compiled)> {
        let rules = self.standing(transaction.rules().await?);
        let current = self.current.lock().await;
        let before = current.clone();
        let next = blocking(move || before.followed_by(rules)).await?;
        Ok((current, next))
    }

    /// Puts a policy into force and revokes the tickets that it would not issue.
    pub(crate) async fn enforce(
        &self,
        mut current: MutexGuard<'_, Compiled>,
        next: Compiled,
    ) -> Result<(u64, Option<String>)> {
        self.adopt(&mut current, next).await?;
        let policy = Arc::clone(&current.policy);
        // Events whose program must be looked at needn't wait for the tickets.
        drop(current);
        match tickets::revoke_all_but(policy, &self.decider, &self.sums).await {
            Ok(revoked) => {
                self.problems.clear(Part::Tickets);
                let note = "the tickets couldn't be sorted: all of them were revoked";
                Ok((revoked.count, revoked.all.then(|| note.to_owned())))
            }
            Err(error) => {
                let error = error.context(
                    "the new policy decides new calls, but the kernel may still hold tickets of \
                     the old one: try `snet-tool tickets revoke`",
                );
                self.problems.set(Part::Tickets, format!("{error:#}"));
                Err(error)
            }
        }
    }

    /// The reply for a failure that may be the disk's.
    pub(crate) fn failed(&self, error: &anyhow::Error, tried: &str) -> ErrorReply {
        ErrorReply::Failed { reason: format!("{tried}: {}", self.store.explain(error)) }
    }

    async fn adopt(&self, current: &mut Compiled, next: Compiled) -> Result<()> {
        self.decider.adopt(Arc::clone(&next.policy), next.generation).await?;
        *current = next;
        self.names.rules_changed();
        self.replaced.notify_one();
        Ok(())
    }
}

async fn noted(change: &Change, rule: &RuleRecord, inputs: Arc<Inputs>) -> Result<Vec<String>> {
    match change {
        Change::Add { .. } | Change::Enable(_, true) => {
            let spec = rule.spec.clone();
            blocking(move || notes(&spec, &inputs)).await
        }
        Change::Enable(_, false) | Change::Delete(_) => Ok(Vec::new()),
    }
}

/// What who makes or enables this rule should know.
fn notes(spec: &RuleSpec, inputs: &Inputs) -> Vec<String> {
    let mut notes = Vec::new();
    // Of a container's programs nothing is known here.
    let program = Some(&spec.program).filter(|_| spec.container.is_none());
    for program in program.into_iter().chain(&spec.parent) {
        let candidates = resolve::candidates(program, &inputs.search_path);
        notes.extend(resolve::notes(program, &candidates));
    }
    notes.extend(watched::note(&inputs.watch, &spec.scope));
    notes.extend(cgroups::note(spec));
    notes
}

/// Runs what may wait for a disk beside the daemon's own threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("a worker thread failed")
}

fn describe(change: &Change) -> String {
    match change {
        Change::Add { .. } => "adding the rule".to_owned(),
        Change::Delete(id) => format!("deleting rule {id}"),
        Change::Enable(id, true) => format!("enabling rule {id}"),
        Change::Enable(id, false) => format!("disabling rule {id}"),
    }
}

fn not_found(change: &Change) -> ErrorReply {
    match change {
        Change::Delete(RuleId(id)) | Change::Enable(RuleId(id), _) => {
            ErrorReply::NotFound { kind: "rule".to_owned(), id: *id }
        }
        Change::Add { .. } => failed(&anyhow!("it is gone at once"), "adding the rule failed"),
    }
}

/// The reply for a failure: what was tried, and each cause behind it.
pub(crate) fn failed(error: &anyhow::Error, tried: &str) -> ErrorReply {
    ErrorReply::Failed { reason: format!("{tried}: {error:#}") }
}
