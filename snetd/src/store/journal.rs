// SPDX-License-Identifier: MIT OR Apache-2.0
//! The journal in the database: written in batches together with the hits of rules, read
//! in pages, and cut at its old end.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use libsnet::control::{Decision, JournalEntry, Source};
use libsnet::types::{Cause, RuleId, Verdict};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteExecutor};

use super::row::Columns;
use super::{Store, Writer, rules};

/// Hits of rules since the last batch: how many, and the time of the last.
pub(crate) type RuleHits = HashMap<RuleId, (u64, i64)>;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// At most so many entries.
    pub(crate) entries: u32,
    /// None older than this.
    pub(crate) age: Option<Duration>,
}

/// Which entries a reader wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogQuery {
    /// At most so many: the newest.
    pub(crate) limit: u32,
    /// Only with a smaller number.
    pub(crate) before: Option<i64>,
    /// Only with this verdict.
    pub(crate) verdict: Option<Verdict>,
}

/// Entries that one call of [`Writer::prune`] deletes at most, so that it never holds up a
/// change of a rule for long.
const PRUNE: u32 = 10_000;

impl Store {
    /// The newest entries that match, oldest first.
    pub(crate) async fn log(&self, query: LogQuery) -> Result<Vec<JournalEntry>> {
        let verdict = query.verdict.map(|verdict| verdict.to_string());
        let rows = sqlx::query(
            "SELECT * FROM journal WHERE id < ? AND (?2 IS NULL OR verdict = ?2)
             ORDER BY id DESC LIMIT ?3",
        )
        .bind(query.before.unwrap_or(i64::MAX))
        .bind(verdict)
        .bind(query.limit)
        .fetch_all(&self.readers)
        .await
        .with_context(|| format!("can't read the journal of {}", self.file.display()))?;
        rows.iter().rev().map(read).collect()
    }
}

impl Writer<'_> {
    /// Writes entries and hits in one transaction.
    pub(crate) async fn append(&mut self, entries: &[JournalEntry], hits: &RuleHits) -> Result<()> {
        let mut transaction = self.begin("PRAGMA synchronous = NORMAL").await?;
        for part in entries.chunks(64) {
            insert(&mut *transaction, part).await.context("can't write to the journal")?;
        }
        for (rule, (count, last)) in hits {
            sqlx::query("UPDATE rules SET hits = hits + ?, last_hit = ? WHERE id = ?")
                .bind(i64::try_from(*count)?)
                .bind(last)
                .bind(rules::number(*rule)?)
                .execute(&mut *transaction)
                .await
                .context("can't count the hits of a rule")?;
        }
        transaction.commit().await.context("can't write to the journal")
    }

    /// Deletes entries that needn't be kept at `now`; says whether there are more of them.
    pub(crate) async fn prune(&mut self, retention: Retention, now: i64) -> Result<bool> {
        let wanted = "can't delete old entries of the journal";
        let mut transaction = self.begin("PRAGMA synchronous = NORMAL").await?;
        let many = sqlx::query(
            "DELETE FROM journal WHERE id IN (SELECT id FROM journal
                 WHERE id <= (SELECT max(id) FROM journal) - ? ORDER BY id LIMIT ?)",
        )
        .bind(retention.entries)
        .bind(PRUNE)
        .execute(&mut *transaction)
        .await
        .context(wanted)?
        .rows_affected();
        let mut old = 0;
        if let Some(age) = retention.age {
            // Entries are in the order of time but for steps of the clock: looking at the
            // oldest numbers only needs no index on the time.
            let limit = now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
            old = sqlx::query(
                "DELETE FROM journal WHERE time < ? AND id IN
                     (SELECT id FROM journal ORDER BY id LIMIT ?)",
            )
            .bind(limit)
            .bind(PRUNE)
            .execute(&mut *transaction)
            .await
            .context(wanted)?
            .rows_affected();
        }
        transaction.commit().await.context(wanted)?;
        Ok(many.max(old) >= u64::from(PRUNE))
    }
}

async fn insert(db: impl SqliteExecutor<'_>, entries: &[JournalEntry]) -> sqlx::Result<()> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO journal (time, verdict, source, rule, tgid, uid, comm, exe, operation,
             protocol, remote, local, cause, dropped) ",
    );
    query.push_values(entries, |mut row, entry| {
        row.push_bind(entry.time)
            .push_bind(entry.decision.verdict.to_string())
            .push_bind(source_word(entry.decision.source))
            .push_bind(entry.decision.rule.and_then(|rule| rules::number(rule).ok()))
            .push_bind(entry.tgid)
            .push_bind(entry.uid)
            .push_bind(&entry.comm)
            .push_bind(&entry.exe)
            .push_bind(entry.operation.word())
            .push_bind(entry.protocol.word())
            .push_bind(entry.remote.map(|address| address.to_string()))
            .push_bind(entry.local.map(|address| address.to_string()))
            .push_bind(entry.cause.map(Cause::word))
            .push_bind(i64::try_from(entry.dropped).unwrap_or(i64::MAX));
    });
    query.build().execute(db).await.map(drop)
}

fn source_word(source: Source) -> &'static str {
    match source {
        Source::Rule => "rule",
        Source::NoRule => "no-rule",
        Source::Learned => "learned",
        Source::WouldDeny => "would-deny",
        Source::WouldAsk => "would-ask",
        Source::Answer => "answer",
        Source::NoAnswer => "no-answer",
        Source::Kernel => "kernel",
    }
}

fn read(row: &SqliteRow) -> Result<JournalEntry> {
    let columns = Columns(row);
    let id: i64 = columns.number("id")?;
    read_columns(&columns, id)
        .with_context(|| format!("entry {id} of the journal in the database means nothing"))
}

fn read_columns(columns: &Columns<'_>, id: i64) -> Result<JournalEntry> {
    Ok(JournalEntry {
        id: Some(id),
        time: columns.number("time")?,
        decision: Decision {
            verdict: columns.word("verdict")?,
            source: columns.word("source")?,
            rule: columns.number_or_null("rule")?.map(RuleId),
        },
        tgid: columns.number("tgid")?,
        uid: columns.number("uid")?,
        comm: columns.string("comm")?,
        exe: columns.parsed_or_null("exe")?,
        operation: columns.word("operation")?,
        protocol: columns.word("protocol")?,
        remote: columns.parsed_or_null("remote")?,
        local: columns.parsed_or_null("local")?,
        cause: columns.word_or_null("cause")?,
        dropped: columns.number("dropped")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::empty;
    use super::*;
    use sqlx::{ConnectOptions, Connection};

    fn entry(time: i64, verdict: Verdict) -> JournalEntry {
        serde_json::from_value(serde_json::json!({
            "id": null, "time": time, "verdict": verdict, "source": "no-rule", "rule": null,
            "tgid": 7, "uid": 1000, "comm": "curl", "exe": "/usr/bin/curl",
            "operation": "connect", "protocol": "tcp",
            "remote": "[2001:db8::1]:443", "local": "0.0.0.0:0",
        }))
        .unwrap()
    }

    async fn filled(count: i64) -> (tempfile::TempDir, Store) {
        let (dir, store) = empty().await;
        let verdict = |time| {
            if time % 2 == 0 { Verdict::Deny } else { Verdict::Allow }
        };
        let entries: Vec<_> = (1..=count).map(|time| entry(time, verdict(time))).collect();
        store.writer().await.append(&entries, &RuleHits::new()).await.unwrap();
        (dir, store)
    }

    async fn times(store: &Store, query: LogQuery) -> Vec<i64> {
        store.log(query).await.unwrap().iter().map(|entry| entry.time).collect()
    }

    const ALL: LogQuery = LogQuery { limit: 10_000, before: None, verdict: None };

    #[tokio::test]
    async fn gives_the_newest_entries_oldest_first_in_pages() {
        let (_dir, store) = filled(200).await;
        assert_eq!(times(&store, LogQuery { limit: 2, ..ALL }).await, [199, 200]);
        let page = LogQuery { limit: 2, before: Some(199), ..ALL };
        assert_eq!(times(&store, page).await, [197, 198]);
        let denied = LogQuery { limit: 2, verdict: Some(Verdict::Deny), ..ALL };
        assert_eq!(times(&store, denied).await, [198, 200]);
    }

    #[tokio::test]
    async fn an_entry_comes_back_as_it_was_written() {
        let (_dir, store) = empty().await;
        let mut written = entry(5, Verdict::Deny);
        written.decision.source = Source::Rule;
        written.decision.rule = Some(RuleId(3));
        written.exe = None;
        written.cause = Some(Cause::SourceRoute);
        written.dropped = 12;
        store.writer().await.append(&[written.clone()], &RuleHits::new()).await.unwrap();
        written.id = Some(1);
        assert_eq!(store.log(ALL).await.unwrap(), [written]);
    }

    #[tokio::test]
    async fn an_entry_from_before_has_no_cause() {
        let (dir, store) = empty().await;
        store.close().await;
        let file = dir.path().join("snet.db");
        let mut old = super::super::options(&file).connect().await.unwrap();
        for statement in [
            "ALTER TABLE journal DROP COLUMN cause",
            "ALTER TABLE journal DROP COLUMN dropped",
            "DELETE FROM _sqlx_migrations WHERE version = 2",
            "INSERT INTO journal (time, verdict, source, tgid, uid, comm, operation, protocol)
                 VALUES (5, 'deny', 'no-rule', 7, 0, 'nc', 'connect', 'tcp')",
        ] {
            sqlx::query(statement).execute(&mut old).await.unwrap();
        }
        old.close().await.unwrap();
        let [entry] = &Store::open(&file).await.unwrap().log(ALL).await.unwrap()[..] else {
            panic!("one entry");
        };
        assert_eq!((entry.time, entry.cause, entry.dropped), (5, None, 0));
    }

    #[tokio::test]
    async fn keeps_no_more_than_so_many_and_none_that_is_older() {
        let (_dir, store) = filled(100).await;
        let many = Retention { entries: 50, age: None };
        assert!(!store.writer().await.prune(many, 100).await.unwrap());
        assert_eq!(times(&store, ALL).await, (51..=100).collect::<Vec<_>>());
        let old = Retention { entries: 50, age: Some(Duration::from_millis(10)) };
        store.writer().await.prune(old, 100).await.unwrap();
        assert_eq!(times(&store, ALL).await, (90..=100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn goes_on_once_a_full_disk_has_room_again() {
        let (_dir, store) = filled(200).await;
        let full = "PRAGMA max_page_count = 1";
        sqlx::query(full).execute(store.writer().await.raw()).await.unwrap();
        let many: Vec<_> = (0..1000).map(|time| entry(time, Verdict::Allow)).collect();
        let error = store.writer().await.append(&many, &RuleHits::new()).await.unwrap_err();
        assert!(format!("{error:#}").contains("full"), "{error:#}");
        let room = "PRAGMA max_page_count = 1000000";
        sqlx::query(room).execute(store.writer().await.raw()).await.unwrap();
        store.writer().await.append(&many, &RuleHits::new()).await.unwrap();
        assert_eq!(store.log(ALL).await.unwrap().len(), 1200);
    }

    #[tokio::test]
    async fn counts_hits_in_the_rule() {
        let (_dir, store) = empty().await;
        sqlx::query(
            "INSERT INTO rules (id, action, program, protocols, operations, created_by, created_at)
             VALUES (4, 'allow', 'any', 'any', 'any', 0, 0)",
        )
        .execute(store.writer().await.raw())
        .await
        .unwrap();
        for last in [10, 20] {
            let hits = RuleHits::from([(RuleId(4), (3, last)), (RuleId(99), (1, 1))]);
            store.writer().await.append(&[], &hits).await.unwrap();
        }
        let rule = store.rule(RuleId(4)).await.unwrap().unwrap();
        assert_eq!((rule.hits, rule.last_hit), (6, Some(20)));
    }
}
