// SPDX-License-Identifier: MIT OR Apache-2.0
//! The database: rules and journal in one SQLite file.
//!
//! Owns every SQL statement. Must not know what a rule means beyond its columns, nor be
//! called from the decision path. `open` decides whether a file may be touched at all,
//! `rules` and `journal` hand out records of [`libsnet::control`].
//!
//! Statements are checked when they run, not by `sqlx::query!`: that would need either a
//! database at build time or generated files kept in step by hand, while each of these few
//! statements is run by a test against the migrated schema on every `cargo test`.
//!
//! One connection writes. It commits rules with `synchronous = FULL`, since a rule that was
//! acknowledged must survive a power cut, and journal batches with `NORMAL`, which costs no
//! `fsync` per batch and may lose the last seconds of the journal, never consistency.

mod history;
mod journal;
mod open;
mod proposals;
mod row;
mod rules;

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};
use tokio::sync::{Mutex, MutexGuard};

pub(crate) use history::{Replaced, Replacement};
pub(crate) use journal::{LogQuery, Retention, RuleHits};
pub(crate) use rules::{Change, RuleTransaction};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// The database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    file: Arc<PathBuf>,
    /// Which file was opened.
    identity: Identity,
    /// Held for a whole transaction, so that transactions never overlap. Empty once closed.
    writer: Arc<Mutex<Option<SqliteConnection>>>,
    readers: SqlitePool,
}

/// Device and inode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    fn of(file: &Path) -> std::io::Result<Self> {
        file.metadata().map(|found| Self(found.dev(), found.ino()))
    }
}

/// How long a statement waits for another process that holds the database.
const BUSY: Duration = Duration::from_secs(5);

/// Readers at once; each is a thread of SQLite's.
const READERS: u32 = 4;

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .disable_statement_logging()
}

fn writing(file: &Path) -> SqliteConnectOptions {
    options(file).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
}

impl Store {
    /// Opens the database, making it when it is missing and refusing, without touching it,
    /// any file that isn't a sound database of this or an earlier version.
    pub(crate) async fn open(file: &Path) -> Result<Self> {
        open::prepare(file).await?;
        let wanted = format!("can't open the database {} for writing", file.display());
        let mut writer = writing(file).connect().await.context(wanted)?;
        MIGRATIONS.run(&mut writer).await.with_context(|| {
            format!("can't bring the database {} to this version's schema", file.display())
        })?;
        let identity = Identity::of(file)
            .with_context(|| format!("can't look at the database {}", file.display()))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY)
            .connect_lazy_with(options(file).read_only(true));
        let writer = Arc::new(Mutex::new(Some(writer)));
        Ok(Self { file: Arc::new(file.to_owned()), identity, writer, readers })
    }

    /// The connection that writes, for one transaction.
    pub(crate) async fn writer(&self) -> Writer<'_> {
        let connection = self.writer.lock().await;
        Writer { file: &self.file, identity: self.identity, connection }
    }

    /// Waits for what is being written and closes the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        let Some(writer) = self.writer.lock().await.take() else {
            return;
        };
        if let Err(error) = writer.close().await {
            tracing::warn!("database {}: closing failed: {error}", self.file.display());
        }
    }
}

/// The connection that writes.
pub(crate) struct Writer<'a> {
    file: &'a Path,
    identity: Identity,
    connection: MutexGuard<'a, Option<SqliteConnection>>,
}

impl Writer<'_> {
    /// SQLite goes on with a file that was deleted: what it writes there is lost at the next
    /// start.
    fn check_still_there(&self) -> Result<()> {
        let file = self.file.display();
        let what = match Identity::of(self.file) {
            Ok(found) if found == self.identity => return Ok(()),
            Ok(_) => "replaced",
            Err(error) if error.kind() == ErrorKind::NotFound => "deleted",
            Err(error) => bail!("can't look at the database {file}: {error}"),
        };
        bail!(
            "the database {file} was {what} while snetd ran, so that nothing can be stored: put \
             the file back, or restart snetd to go on with what is there"
        )
    }

    async fn begin(&mut self, synchronous: &'static str) -> Result<Transaction<'_, Sqlite>> {
        self.check_still_there()?;
        let place = || format!("can't write to the database {}", self.file.display());
        let connection = self.connection.as_mut().context("snetd is stopping")?;
        let ready = sqlx::query(synchronous).execute(&mut *connection).await;
        // On a full disk SQLite takes a transaction back by itself, and sqlx goes on believing
        // in it: such a connection never begins another one.
        if ready.is_err() || connection.is_in_transaction() {
            *connection = writing(self.file).connect().await.with_context(place)?;
            sqlx::query(synchronous).execute(&mut *connection).await.with_context(place)?;
        }
        // IMMEDIATE: a transaction that reads first and finds the file busy only when it
        // writes would fail at once instead of waiting.
        connection.begin_with("BEGIN IMMEDIATE").await.with_context(place)
    }

    /// For tests that look behind the statements.
    #[cfg(test)]
    fn raw(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().unwrap()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An empty store in a directory that goes with the guard.
    pub(crate) async fn empty() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("snet.db")).await.unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn opens_again_what_it_made() {
        let (dir, store) = empty().await;
        store.close().await;
        Store::open(&dir.path().join("snet.db")).await.unwrap();
    }

    #[tokio::test]
    async fn rules_are_synced_to_the_disk_and_the_journal_is_not() {
        let (_dir, store) = empty().await;
        let mut writer = store.writer().await;
        drop(writer.begin_change().await.unwrap());
        let level = "SELECT synchronous FROM pragma_synchronous";
        let full: i64 = sqlx::query_scalar(level).fetch_one(writer.raw()).await.unwrap();
        writer.append(&[], &RuleHits::new()).await.unwrap();
        let normal: i64 = sqlx::query_scalar(level).fetch_one(writer.raw()).await.unwrap();
        assert_eq!((full, normal), (2, 1));
    }
    #[tokio::test]
    async fn nothing_is_written_to_a_file_that_is_gone() {
        let (dir, store) = empty().await;
        let (file, aside) = (dir.path().join("snet.db"), dir.path().join("aside"));
        std::fs::rename(&file, &aside).unwrap();
        let refusal = || async {
            let mut writer = store.writer().await;
            let begun = writer.begin_change().await.map(drop);
            begun.map_or_else(|error| error.to_string(), |()| String::new())
        };
        assert!(refusal().await.contains("was deleted while snetd ran"));
        std::fs::write(&file, "another").unwrap();
        assert!(refusal().await.contains("was replaced while snetd ran"));
        std::fs::rename(&aside, &file).unwrap();
        assert_eq!(refusal().await, "");
    }
}
