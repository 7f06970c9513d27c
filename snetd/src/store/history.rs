// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes of all rules at once, and what the rules were before each of them.

use std::collections::HashMap;

use anyhow::{Context, Result};
use libsnet::control::{HistoryRecord, RuleRecord};
use libsnet::policy::RuleSpec;
use libsnet::types::RuleId;
use sqlx::sqlite::SqliteRow;

use super::Store;
use super::row::Columns;
use super::rules::{RuleTransaction, delete, insert};

/// The newest of them are kept.
const KEPT: i64 = 50;

/// A change of all rules at once.
#[derive(Debug, Clone)]
pub(crate) struct Replacement {
    /// The rules.
    pub(crate) rules: Vec<RuleSpec>,
    /// Those that aren't among them stay.
    pub(crate) keep_others: bool,
    /// `apply`, `import` or `rollback`.
    pub(crate) what: &'static str,
    /// User id of who made it.
    pub(crate) by: u32,
    /// When, in milliseconds since 1970.
    pub(crate) at: i64,
    /// Unless it is confirmed by then, it is undone.
    pub(crate) confirm_by: Option<i64>,
}

/// How many rules came, went and stayed, and the number of the change.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) id: i64,
    pub(crate) added: u64,
    pub(crate) removed: u64,
    pub(crate) kept: u64,
}

impl Store {
    /// The changes, newest first.
    pub(crate) async fn history(&self) -> Result<Vec<HistoryRecord>> {
        let query =
            "SELECT id, time, made_by, what, count, confirm_by FROM history ORDER BY id DESC";
        let rows = sqlx::query(query).fetch_all(&self.readers).await;
        let rows = rows.with_context(|| format!("can't read {}", self.file.display()))?;
        rows.iter().map(read).collect()
    }
}

impl RuleTransaction<'_> {
    /// Makes the change. A rule that says the same as one that is there is that one, with its
    /// number and its hits.
    pub(crate) async fn replace(&mut self, change: &Replacement) -> Result<Replaced> {
        let before = self.rules().await?;
        let mut replaced =
            Replaced { id: self.remember(change, &before).await?, ..Replaced::default() };
        let mut left: HashMap<String, Vec<RuleId>> = HashMap::new();
        for rule in &before {
            left.entry(words(&rule.spec)?).or_default().push(rule.id);
        }
        for spec in &change.rules {
            if left.get_mut(&words(spec)?).and_then(Vec::pop).is_some() {
                replaced.kept += 1;
            } else {
                insert(&mut *self.0, spec, change.by, change.at).await?;
                replaced.added += 1;
            }
        }
        for id in left.into_values().flatten() {
            if change.keep_others {
                replaced.kept += 1;
            } else {
                delete(&mut *self.0, id).await?;
                replaced.removed += 1;
            }
        }
        Ok(replaced)
    }

    async fn remember(&mut self, change: &Replacement, before: &[RuleRecord]) -> Result<i64> {
        let specs: Vec<&RuleSpec> = before.iter().map(|rule| &rule.spec).collect();
        let done = sqlx::query(
            "INSERT INTO history (time, made_by, what, count, rules, confirm_by)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(change.at)
        .bind(change.by)
        .bind(change.what)
        .bind(i64::try_from(specs.len())?)
        .bind(serde_json::to_string(&specs)?)
        .bind(change.confirm_by)
        .execute(&mut *self.0)
        .await
        .context("can't note the change in the database")?;
        let id = done.last_insert_rowid();
        let old = "DELETE FROM history WHERE id <= ?";
        sqlx::query(old).bind(id - KEPT).execute(&mut *self.0).await?;
        Ok(id)
    }

    /// The rules as they were before a change, by default before the last one; nothing when
    /// there is no such change.
    pub(crate) async fn before(&mut self, id: Option<i64>) -> Result<Option<Vec<RuleSpec>>> {
        let query =
            "SELECT rules FROM history WHERE id = coalesce(?, (SELECT max(id) FROM history))";
        let found: Option<String> =
            sqlx::query_scalar(query).bind(id).fetch_optional(&mut *self.0).await?;
        let parse = |text: String| serde_json::from_str(&text);
        found.map(parse).transpose().context("the history in the database means nothing")
    }

    /// The change that waits to be confirmed, and until when.
    pub(crate) async fn unconfirmed(&mut self) -> Result<Option<(i64, i64)>> {
        let query = "SELECT id, confirm_by FROM history WHERE confirm_by IS NOT NULL ORDER BY id";
        Ok(sqlx::query_as(query).fetch_optional(&mut *self.0).await?)
    }

    /// Lets what waits to be confirmed stand.
    pub(crate) async fn confirm(&mut self) -> Result<()> {
        let all = "UPDATE history SET confirm_by = NULL WHERE confirm_by IS NOT NULL";
        sqlx::query(all).execute(&mut *self.0).await?;
        Ok(())
    }
}

/// What a rule says.
fn words(spec: &RuleSpec) -> Result<String> {
    Ok(serde_json::to_string(spec)?)
}

fn read(row: &SqliteRow) -> Result<HistoryRecord> {
    let columns = Columns(row);
    Ok(HistoryRecord {
        id: columns.number("id")?,
        time: columns.number("time")?,
        made_by: columns.number("made_by")?,
        what: columns.string("what")?,
        rules: columns.number("count")?,
        confirm_by: columns.number_or_null("confirm_by")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::empty;
    use super::*;

    fn spec(program: &str) -> RuleSpec {
        serde_json::from_value(serde_json::json!({
            "action": "allow", "program": program,
            "scope": { "operations": "connect", "protocols": "tcp" },
        }))
        .unwrap()
    }

    fn change(programs: &[&str]) -> Replacement {
        let rules = programs.iter().map(|program| spec(program)).collect();
        Replacement { rules, keep_others: false, what: "apply", by: 7, at: 1, confirm_by: None }
    }

    async fn make(store: &Store, change: Replacement) -> Replaced {
        let mut writer = store.writer().await;
        let mut transaction = writer.begin_change().await.unwrap();
        let replaced = transaction.replace(&change).await.unwrap();
        transaction.commit().await.unwrap();
        replaced
    }

    #[tokio::test]
    async fn what_says_the_same_keeps_its_number() {
        let (_dir, store) = empty().await;
        make(&store, change(&["curl", "curl", "nc"])).await;
        let ids = |rules: Vec<RuleRecord>| -> Vec<(u64, String)> {
            rules.iter().map(|rule| (rule.id.0, rule.spec.program.to_string())).collect()
        };
        let replaced = make(&store, change(&["nc", "wget", "curl"])).await;
        assert_eq!(replaced, Replaced { id: 2, added: 1, removed: 1, kept: 2 });
        let left = ids(store.rules().await.unwrap());
        assert_eq!(left.len(), 3);
        assert!(left.contains(&(3, "nc".into())) && left.contains(&(4, "wget".into())), "{left:?}");
        let more = Replacement { keep_others: true, ..change(&["wget", "ssh"]) };
        assert_eq!(make(&store, more).await, Replaced { id: 3, added: 1, removed: 0, kept: 3 });
    }

    #[tokio::test]
    async fn each_change_says_what_was_before_it() {
        let (_dir, store) = empty().await;
        for programs in [&["curl"][..], &["nc", "wget"]] {
            make(&store, change(programs)).await;
        }
        let mut writer = store.writer().await;
        let mut transaction = writer.begin_change().await.unwrap();
        assert_eq!(transaction.before(None).await.unwrap(), Some(vec![spec("curl")]));
        assert_eq!(transaction.before(Some(1)).await.unwrap(), Some(vec![]));
        assert_eq!(transaction.before(Some(9)).await.unwrap(), None);
        drop(transaction);
        drop(writer);
        let told: Vec<_> =
            store.history().await.unwrap().iter().map(|one| (one.id, one.rules)).collect();
        assert_eq!(told, [(2, 1), (1, 0)]);
    }

    #[tokio::test]
    async fn the_history_is_bounded() {
        let (_dir, store) = empty().await;
        for _ in 0..KEPT + 3 {
            make(&store, change(&["curl"])).await;
        }
        let history = store.history().await.unwrap();
        assert_eq!((history.len() as i64, history.last().unwrap().id), (KEPT, 4));
    }

    #[tokio::test]
    async fn a_change_waits_until_it_is_confirmed() {
        let (_dir, store) = empty().await;
        make(&store, Replacement { confirm_by: Some(5), ..change(&["curl"]) }).await;
        let mut writer = store.writer().await;
        let mut transaction = writer.begin_change().await.unwrap();
        assert_eq!(transaction.unconfirmed().await.unwrap(), Some((1, 5)));
        transaction.confirm().await.unwrap();
        assert_eq!(transaction.unconfirmed().await.unwrap(), None);
    }
}
