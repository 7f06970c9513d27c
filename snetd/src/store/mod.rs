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

mod copy;
mod disk;
mod history;
mod journal;
mod open;
mod place;
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

pub(crate) use copy::{Contents, Image, receive};
use disk::Matter;
pub(crate) use history::{Replaced, Replacement};
pub(crate) use journal::{LogQuery, Retention, RuleHits};
pub(crate) use open::{is_header, prepare_directory};
pub(crate) use place::Place;
pub(crate) use rules::{Change, RuleTransaction};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// The database.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    file: Arc<PathBuf>,
    /// Which file was opened.
    identity: Identity,
    /// Held for a whole transaction, so that transactions never overlap.
    writer: Arc<Mutex<Held>>,
    readers: SqlitePool,
    /// Why nothing could be written when it was opened.
    matter: Option<Matter>,
}

/// The connection that writes.
#[derive(Debug)]
struct Held {
    /// Empty once closed, and where nothing can be written.
    connection: Option<SqliteConnection>,
    /// It couldn't begin: SQLite remembers that a file was read-only when it was opened.
    failed: bool,
}

/// Device and inode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    fn of(file: &Path) -> std::io::Result<Self> {
        file.metadata().map(|found| Self(found.dev(), found.ino()))
    }

    /// SQLite goes on with a file that was deleted: what it writes there is lost at the next
    /// start.
    fn check_still_there(self, path: &Path) -> Result<()> {
        let file = path.display();
        let what = match Self::of(path) {
            Ok(found) if found == self => return Ok(()),
            Ok(_) => "replaced",
            Err(error) if error.kind() == ErrorKind::NotFound => "deleted",
            Err(error) => bail!("can't look at the database {file}: {error}"),
        };
        bail!(
            "the database {file} was {what} while snetd ran, so that nothing can be stored: put \
             the file back, or restart snetd to go on with what is there"
        )
    }
}

/// How long a statement waits for another process that holds the database.
const BUSY: Duration = Duration::from_secs(5);

/// Readers at once; each is a thread of SQLite's.
const READERS: u32 = 4;

/// The file that SQLite, or a restore, has beside the database: its name with this behind it.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

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
    /// any file that isn't a sound database of this or an earlier version. Where nothing can be
    /// written, what is there is read, and nothing is stored.
    pub(crate) async fn open(file: &Path) -> Result<Self> {
        if Matter::of(file) == Some(Matter::ReadOnly) {
            return Self::open_unwritable(file, Matter::ReadOnly).await;
        }
        open::prepare(file).await?;
        match (Self::open_writable(file).await, Matter::of(file)) {
            (Err(_), Some(matter)) => Self::open_unwritable(file, matter).await,
            (opened, _) => opened,
        }
    }

    async fn open_writable(file: &Path) -> Result<Self> {
        let wanted = format!("can't open the database {} for writing", file.display());
        let mut writer = writing(file).connect().await.context(wanted)?;
        MIGRATIONS.run(&mut writer).await.with_context(|| {
            format!("can't bring the database {} to this version's schema", file.display())
        })?;
        Self::with(file, Some(writer), options(file).read_only(true), None)
    }

    async fn open_unwritable(file: &Path, matter: Matter) -> Result<Self> {
        let told = || format!("{}: {}", matter.told(file), matter.advice());
        let reading = disk::reading(file).with_context(told)?;
        open::inspect_current(file, &reading).await.with_context(told)?;
        tracing::error!(
            "{}: snetd decides by the rules that are there, and stores neither changes nor the \
             journal",
            told()
        );
        Self::with(file, None, reading, Some(matter))
    }

    fn with(
        file: &Path,
        connection: Option<SqliteConnection>,
        reading: SqliteConnectOptions,
        matter: Option<Matter>,
    ) -> Result<Self> {
        let identity = Identity::of(file)
            .with_context(|| format!("can't look at the database {}", file.display()))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY)
            .connect_lazy_with(reading);
        let writer = Arc::new(Mutex::new(Held { connection, failed: false }));
        Ok(Self { file: Arc::new(file.to_owned()), identity, writer, readers, matter })
    }

    /// The connection that writes, for one transaction.
    pub(crate) async fn writer(&self) -> Writer<'_> {
        Writer { store: self, held: self.writer.lock().await }
    }

    /// Rules of another file than the one that was opened are nobody's here. The one that was
    /// opened can be read after it was deleted, too.
    fn check_not_replaced(&self) -> Result<()> {
        if self.file.exists() { self.identity.check_still_there(&self.file) } else { Ok(()) }
    }

    /// Waits for what is being written and closes the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        let Some(writer) = self.writer.lock().await.connection.take() else {
            return;
        };
        if let Err(error) = writer.close().await {
            tracing::warn!("database {}: closing failed: {error}", self.file.display());
        }
    }
}

/// The connection that writes.
pub(crate) struct Writer<'a> {
    store: &'a Store,
    held: MutexGuard<'a, Held>,
}

impl Writer<'_> {
    async fn begin(&mut self, synchronous: &'static str) -> Result<Transaction<'_, Sqlite>> {
        let Store { file, identity, matter, .. } = self.store;
        if let Some(matter) = matter {
            bail!(
                "nothing is stored, for when snetd was started {}: {}, then restart snetd",
                matter.told(file),
                matter.advice()
            );
        }
        identity.check_still_there(file)?;
        let place = || format!("can't write to the database {}", file.display());
        let Held { connection, failed } = &mut *self.held;
        let connection = connection.as_mut().context("snetd is stopping")?;
        let ready = sqlx::query(synchronous).execute(&mut *connection).await;
        // On a full disk SQLite takes a transaction back by itself, and sqlx goes on believing
        // in it: such a connection never begins another one.
        if *failed || ready.is_err() || connection.is_in_transaction() {
            *connection = writing(file).connect().await.with_context(place)?;
            sqlx::query(synchronous).execute(&mut *connection).await.with_context(place)?;
            *failed = false;
        }
        // IMMEDIATE: a transaction that reads first and finds the file busy only when it
        // writes would fail at once instead of waiting.
        let begun = connection.begin_with("BEGIN IMMEDIATE").await;
        begun.inspect_err(|_| *failed = true).with_context(place)
    }

    /// For what looks behind the statements.
    fn connection(&mut self) -> Result<&mut SqliteConnection> {
        self.held.connection.as_mut().context("nothing can be written to the database")
    }

    /// The same for tests.
    #[cfg(test)]
    fn raw(&mut self) -> &mut SqliteConnection {
        self.connection().unwrap()
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
