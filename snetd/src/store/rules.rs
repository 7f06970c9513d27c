// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules in the database: one row each, changed in transactions that may be taken back.

use anyhow::{Context, Result, anyhow};
use libsnet::control::RuleRecord;
use libsnet::policy::RuleSpec;
use libsnet::types::{RuleId, Scope};
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, SqliteExecutor, Transaction};

use super::row::Columns;
use super::{Store, Writer};

/// A change of one rule.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A new one.
    Add {
        /// What it says.
        spec: Box<RuleSpec>,
        /// User id of who made it.
        by: u32,
        /// When, in milliseconds since 1970.
        at: i64,
    },
    /// Gone for good.
    Delete(RuleId),
    /// In force or not.
    Enable(RuleId, bool),
}

/// A change that isn't stored until [`RuleTransaction::commit`]; dropped, it never was.
pub(crate) struct RuleTransaction<'a>(pub(super) Transaction<'a, Sqlite>);

impl Store {
    /// All rules, by number. Fails on the first row that means nothing and names the rule.
    pub(crate) async fn rules(&self) -> Result<Vec<RuleRecord>> {
        self.check_not_replaced()?;
        select_all(&self.readers)
            .await
            .with_context(|| format!("can't read the rules of {}", self.file.display()))
    }

    /// The rules that are over at `now`, in milliseconds since 1970, and those that a daemon
    /// before this one was given.
    pub(crate) async fn over(&self, now: i64) -> Result<Vec<RuleId>> {
        let over = "SELECT id FROM rules WHERE expires_at <= ? OR until_restart";
        let over: Vec<i64> = sqlx::query_scalar(over)
            .bind(now)
            .fetch_all(&self.readers)
            .await
            .with_context(|| format!("can't read the rules of {}", self.file.display()))?;
        over.into_iter().map(|id| Ok(RuleId(id.try_into()?))).collect()
    }

    /// One rule.
    pub(crate) async fn rule(&self, id: RuleId) -> Result<Option<RuleRecord>> {
        select(&self.readers, id)
            .await
            .with_context(|| format!("can't read a rule of {}", self.file.display()))
    }
}

impl Writer<'_> {
    /// Begins a change, whose commit will be synced to the disk.
    pub(crate) async fn begin_change(&mut self) -> Result<RuleTransaction<'_>> {
        self.begin("PRAGMA synchronous = FULL").await.map(RuleTransaction)
    }

    /// Deletes rules, all or none of them.
    pub(crate) async fn delete_rules(&mut self, ids: &[RuleId]) -> Result<()> {
        let mut transaction = self.begin_change().await?;
        for id in ids {
            delete(&mut *transaction.0, *id).await.context("can't delete a rule that is over")?;
        }
        transaction.commit().await
    }
}

impl RuleTransaction<'_> {
    /// Makes the change and gives the rule as it is now, or was before it was deleted;
    /// nothing when there is no such rule.
    pub(crate) async fn apply(&mut self, change: &Change) -> Result<Option<RuleRecord>> {
        match change {
            Change::Add { spec, by, at } => {
                let id = insert(&mut *self.0, spec, *by, *at).await?;
                select(&mut *self.0, id).await
            }
            Change::Delete(id) => {
                let rule = select(&mut *self.0, *id).await?;
                delete(&mut *self.0, *id).await?;
                Ok(rule)
            }
            Change::Enable(id, enabled) => {
                sqlx::query("UPDATE rules SET enabled = ? WHERE id = ?")
                    .bind(*enabled)
                    .bind(number(*id)?)
                    .execute(&mut *self.0)
                    .await?;
                select(&mut *self.0, *id).await
            }
        }
    }

    /// Deletes the rules that are over at `now`, in milliseconds since 1970.
    pub(crate) async fn end_rules(&mut self, now: i64) -> Result<()> {
        let done = sqlx::query("DELETE FROM rules WHERE expires_at <= ?").bind(now);
        let done = done.execute(&mut *self.0).await;
        done.map(drop).context("can't delete the rules that have ended")
    }

    /// All rules as they will be.
    pub(crate) async fn rules(&mut self) -> Result<Vec<RuleRecord>> {
        select_all(&mut *self.0).await
    }

    /// Stores the change. When this returns, it survives a power cut.
    pub(crate) async fn commit(self) -> Result<()> {
        self.0.commit().await.context("can't store the change in the database")
    }
}

/// A rule's number as SQLite keeps it.
pub(super) fn number(id: RuleId) -> Result<i64> {
    i64::try_from(id.0).map_err(|_| anyhow!("{id} is no number of a rule"))
}

pub(super) async fn delete(db: impl SqliteExecutor<'_>, id: RuleId) -> Result<()> {
    sqlx::query("DELETE FROM rules WHERE id = ?").bind(number(id)?).execute(db).await?;
    Ok(())
}

pub(super) async fn insert(
    db: impl SqliteExecutor<'_>,
    spec: &RuleSpec,
    by: u32,
    at: i64,
) -> Result<RuleId> {
    let scope = &spec.scope;
    let done = sqlx::query(
        "INSERT INTO rules (action, program, uid, unit, container, command, parent, host, protocols,
             operations, number, remote, remote_ports, local_ports, priority, enabled, expires_at, until_restart, note,
             created_by, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(spec.action.to_string())
    .bind(spec.program.to_string())
    .bind(spec.uid)
    .bind(spec.unit.as_ref().map(ToString::to_string))
    .bind(spec.container.as_ref().map(ToString::to_string))
    .bind(spec.command.as_ref().map(ToString::to_string))
    .bind(spec.parent.as_ref().map(ToString::to_string))
    .bind(spec.host.as_ref().map(ToString::to_string))
    .bind(scope.protocols.to_string())
    .bind(scope.operations.to_string())
    .bind(scope.number)
    .bind(scope.remote.map(|net| net.to_string()))
    .bind(scope.remote_ports.to_string())
    .bind(scope.local_ports.to_string())
    .bind(spec.priority)
    .bind(spec.enabled)
    .bind(spec.expires_at)
    .bind(spec.until_restart)
    .bind(&spec.note)
    .bind(by)
    .bind(at)
    .execute(db)
    .await
    .context("can't add the rule to the database")?;
    Ok(RuleId(done.last_insert_rowid().try_into()?))
}

async fn select_all(db: impl SqliteExecutor<'_>) -> Result<Vec<RuleRecord>> {
    let rows = sqlx::query("SELECT * FROM rules ORDER BY id").fetch_all(db).await?;
    rows.iter().map(read).collect()
}

async fn select(db: impl SqliteExecutor<'_>, id: RuleId) -> Result<Option<RuleRecord>> {
    // No rule has a number that SQLite can't hold.
    let Ok(id) = number(id) else { return Ok(None) };
    let row = sqlx::query("SELECT * FROM rules WHERE id = ?").bind(id).fetch_optional(db).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &SqliteRow) -> Result<RuleRecord> {
    let columns = Columns(row);
    let id = RuleId(columns.number("id")?);
    let record = read_columns(&columns, id).and_then(|record| {
        record.spec.check()?;
        Ok(record)
    });
    record.with_context(|| {
        format!("rule {id} in the database means nothing: mend or delete it with sqlite3")
    })
}

fn read_columns(columns: &Columns<'_>, id: RuleId) -> Result<RuleRecord> {
    let scope = Scope {
        operations: columns.parsed("operations")?,
        protocols: columns.parsed("protocols")?,
        number: columns.number_or_null("number")?,
        remote: columns.parsed_or_null("remote")?,
        remote_ports: columns.parsed("remote_ports")?,
        local_ports: columns.parsed("local_ports")?,
    };
    let spec = RuleSpec {
        action: columns.word("action")?,
        program: columns.parsed("program")?,
        uid: columns.number_or_null("uid")?,
        unit: columns.parsed_or_null("unit")?,
        container: columns.parsed_or_null("container")?,
        command: columns.parsed_or_null("command")?,
        parent: columns.parsed_or_null("parent")?,
        host: columns.parsed_or_null("host")?,
        scope,
        priority: columns.number("priority")?,
        enabled: columns.number::<i64>("enabled")? != 0,
        expires_at: columns.number_or_null("expires_at")?,
        until_restart: columns.number::<i64>("until_restart")? != 0,
        note: columns.string("note")?,
    };
    Ok(RuleRecord {
        id,
        spec,
        created_by: columns.number("created_by")?,
        created_at: columns.number("created_at")?,
        hits: columns.number("hits")?,
        last_hit: columns.number_or_null("last_hit")?,
        resolved: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::empty;
    use super::*;

    fn spec(json: &str) -> RuleSpec {
        serde_json::from_str(json).unwrap()
    }

    const NARROW: &str = r#"{"action":"deny","program":"/usr/bin/curl","uid":1000,"unit":"nginx.service",
        "container":"web","command":"curl *","parent":"/usr/bin/*","priority":-5,
        "enabled":false,"note":"why","scope":{"operations":"connect","protocols":"tcp,udp",
        "number":6,"remote":"2001:db8::/32","remote_ports":"443","local_ports":"1-1023"}}"#;
    const WIDE: &str =
        r#"{"action":"allow","program":"any","scope":{"operations":"any","protocols":"any"}}"#;

    async fn make(store: &Store, change: Change) -> Option<RuleRecord> {
        let mut writer = store.writer().await;
        let mut transaction = writer.begin_change().await.unwrap();
        let rule = transaction.apply(&change).await.unwrap();
        transaction.commit().await.unwrap();
        rule
    }

    fn add(json: &str) -> Change {
        Change::Add { spec: Box::new(spec(json)), by: 0, at: 1_700_000_000_000 }
    }

    #[tokio::test]
    async fn a_rule_comes_back_as_it_was_added() {
        let (_dir, store) = empty().await;
        for json in [NARROW, WIDE] {
            let added = make(&store, add(json)).await.unwrap();
            assert_eq!(added.spec, spec(json));
            assert_eq!(store.rule(added.id).await.unwrap(), Some(added));
        }
        assert_eq!(store.rules().await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_change_that_is_dropped_never_was() {
        let (_dir, store) = empty().await;
        {
            let mut writer = store.writer().await;
            let mut transaction = writer.begin_change().await.unwrap();
            transaction.apply(&add(WIDE)).await.unwrap();
            assert_eq!(transaction.rules().await.unwrap().len(), 1);
        }
        assert_eq!(store.rules().await.unwrap(), []);
        assert!(make(&store, add(WIDE)).await.is_some());
    }

    /// As SQLite does by itself when the disk is full.
    #[tokio::test]
    async fn a_transaction_that_was_taken_back_behind_the_scenes_leaves_no_trace() {
        let (_dir, store) = empty().await;
        {
            let mut writer = store.writer().await;
            let mut transaction = writer.begin_change().await.unwrap();
            transaction.apply(&add(WIDE)).await.unwrap();
            sqlx::query("ROLLBACK").execute(&mut *transaction.0).await.unwrap();
        }
        assert!(make(&store, add(WIDE)).await.is_some());
        assert_eq!(store.rules().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn numbers_are_never_used_again() {
        let (_dir, store) = empty().await;
        let first = make(&store, add(WIDE)).await.unwrap();
        assert_eq!(make(&store, Change::Delete(first.id)).await, Some(first.clone()));
        assert_eq!(make(&store, Change::Delete(first.id)).await, None);
        assert!(make(&store, add(WIDE)).await.unwrap().id > first.id);
    }

    #[tokio::test]
    async fn enabling_gives_the_rule_as_it_is_now() {
        let (_dir, store) = empty().await;
        let rule = make(&store, add(NARROW)).await.unwrap();
        assert!(make(&store, Change::Enable(rule.id, true)).await.unwrap().spec.enabled);
        assert_eq!(make(&store, Change::Enable(RuleId(99), true)).await, None);
        assert_eq!(store.rule(RuleId(u64::MAX)).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_row_edited_into_nonsense_is_named() {
        let (_dir, store) = empty().await;
        let rule = make(&store, add(WIDE)).await.unwrap();
        for (statement, words) in [
            ("UPDATE rules SET protocols = 'tpc'", ["column protocols", "'tpc'"]),
            ("UPDATE rules SET protocols = 'tcp', action = 'permit'", ["column action", "permit"]),
            ("UPDATE rules SET action = 'deny', uid = -1", ["column uid", "-1"]),
            ("UPDATE rules SET uid = 0, unit = 'nginx'", ["column unit", "'nginx'"]),
            ("UPDATE rules SET unit = NULL, container = 'a b'", ["column container", "'a b'"]),
            ("UPDATE rules SET container = NULL, command = '['", ["column command", "'['"]),
            ("UPDATE rules SET command = NULL, parent = 'any'", ["parent", "'any'"]),
            ("UPDATE rules SET parent = NULL, host = '1.2'", ["column host", "'1.2'"]),
            ("UPDATE rules SET host = NULL, program = '/usr/../bin'", ["program", "plain"]),
        ] {
            sqlx::query(statement).execute(store.writer().await.raw()).await.unwrap();
            let error = format!("{:#}", store.rules().await.unwrap_err());
            assert!(error.contains(&format!("rule {}", rule.id)), "{error}");
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }
}
