// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole database as bytes, and another file in the place of the database.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use sqlx::sqlite::{SqliteLockingMode, SqliteOwnedBuf};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::disk::{self, Matter};
use super::{Store, beside, open, options};

/// What a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Contents {
    pub(crate) rules: u64,
    /// Entries of the journal.
    pub(crate) entries: u64,
}

async fn contents(connection: &mut SqliteConnection) -> Result<Contents, sqlx::Error> {
    let count = "SELECT (SELECT count(*) FROM rules), (SELECT count(*) FROM journal)";
    let (rules, entries): (i64, i64) = sqlx::query_as(count).fetch_one(connection).await?;
    Ok(Contents { rules: rules.unsigned_abs(), entries: entries.unsigned_abs() })
}

/// A database as it was at one moment.
pub(crate) struct Image {
    bytes: SqliteOwnedBuf,
    pub(crate) contents: Contents,
}

/// Where the header of a database says that a log goes with it.
const LOGGED: std::ops::Range<usize> = 18..20;

impl Image {
    /// Of a file to which a daemon may be writing.
    pub(crate) async fn of(file: &Path) -> Result<Self> {
        let reading = match Matter::of(file) {
            Some(Matter::ReadOnly) => disk::reading(file)?,
            _ => options(file).read_only(true),
        };
        let none = || {
            format!("there is nothing in the database {}: snetd was never started", file.display())
        };
        if open::look(&reading).await.map_err(|why| unreadable(file, &why))?.is_none() {
            bail!(none());
        }
        let wanted = || format!("can't read the database {}", file.display());
        let mut connection = reading.connect().await.with_context(wanted)?;
        let mut moment = connection.begin().await.with_context(wanted)?;
        let contents = contents(&mut moment).await.with_context(wanted)?;
        let bytes = moment.serialize(None).await.with_context(wanted)?;
        // It only read: its end can fail, but not harm.
        let _ = moment.rollback().await;
        let _ = connection.close().await;
        Ok(Self { bytes, contents })
    }

    /// Writes it, as a file that is complete without a log, and says how long it is.
    pub(crate) fn write(&self, to: &mut impl Write) -> std::io::Result<u64> {
        let bytes: &[u8] = &self.bytes;
        let (Some(before), Some(after)) = (bytes.get(..LOGGED.start), bytes.get(LOGGED.end..))
        else {
            return Err(ErrorKind::UnexpectedEof.into());
        };
        for part in [before, &[1, 1], after] {
            to.write_all(part)?;
        }
        to.flush()?;
        Ok(bytes.len() as u64)
    }
}

fn unreadable(file: &Path, why: &str) -> anyhow::Error {
    anyhow!(
        "the database {0} can't be saved: {why}. To save what is readable of its rules and journal \
         try `sqlite3 {0} .recover | sqlite3 NEWFILE`",
        file.display()
    )
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// A database beside the one that it is to replace. Its file goes with this.
pub(crate) struct Candidate {
    path: PathBuf,
    pub(crate) store: Store,
    pub(crate) contents: Contents,
    pub(crate) bytes: u64,
}

/// What SQLite may leave beside a database.
const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Begins a database with `start`, and removes it where it doesn't come to be one.
pub(crate) async fn receive(file: &Path, start: &[u8], rest: impl Read) -> Result<Candidate> {
    open::prepare_directory(file)?;
    let path = beside(file, ".restoring");
    clear(&path)?;
    match make(&path, start, rest).await {
        Ok((store, contents, bytes)) => Ok(Candidate { path, store, contents, bytes }),
        Err(error) => {
            // Before what is there is removed, and with it the reason.
            let matter = Matter::of(file);
            let _ = clear(&path);
            Err(match matter {
                Some(matter) => {
                    let (told, advice) = (matter.told(file), matter.advice());
                    anyhow!("{told}: {advice}, then try again ({error:#})")
                }
                None => error,
            })
        }
    }
}

/// Also what was left by a restore that was killed.
fn clear(path: &Path) -> Result<()> {
    LOGS.iter().try_for_each(|log| remove(&beside(path, log)))?;
    remove(path)
}

/// A sound database of this version's schema.
async fn make(path: &Path, start: &[u8], mut rest: impl Read) -> Result<(Store, Contents, u64)> {
    let place = || format!("can't write {}", path.display());
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut new = new.with_context(place)?;
    new.write_all(start).with_context(place)?;
    let copied = std::io::copy(&mut rest, &mut new).context("can't copy it")?;
    new.sync_all().with_context(place)?;
    // Closed before SQLite opens the file: closing it later would drop SQLite's locks.
    drop(new);
    if open::look(&options(path).read_only(true)).await.map_err(|why| anyhow!(why))?.is_none() {
        bail!("there is nothing in it");
    }
    let store = Store::open(path).await?;
    let found = whole(&store).await?;
    Ok((store, found, start.len() as u64 + copied))
}

/// Also what a start doesn't look at for its length.
async fn whole(store: &Store) -> Result<Contents> {
    let mut writer = store.writer().await;
    let connection = writer.connection()?;
    let check = "PRAGMA integrity_check(1)";
    let found: String = sqlx::query_scalar(check).fetch_one(&mut *connection).await?;
    if found != "ok" {
        bail!("it is damaged ({})", found.replace('\n', " "));
    }
    Ok(contents(connection).await?)
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // Gone already, once it is the database.
        let _ = clear(&self.path);
    }
}

impl Candidate {
    /// Makes it the database `file`, and says under which name what was there is kept. At every
    /// moment there is the one or the other.
    pub(crate) async fn put(self, file: &Path) -> Result<Option<PathBuf>> {
        self.store.close().await;
        // A log goes with the last connection, if all of it is in the database.
        if beside(&self.path, "-wal").exists() {
            bail!("{} can't be completed", self.path.display());
        }
        File::open(&self.path)?.sync_all()?;
        let former = Former::of(file).await?;
        fs::rename(&self.path, file)
            .with_context(|| format!("can't put the database in its place {}", file.display()))?;
        if let Some(directory) = file.parent() {
            File::open(directory)?.sync_all()?;
        }
        let Some(former) = former else { return Ok(None) };
        // Removes a log beside the database, if there is one: none may have begun yet.
        if let Some(lock) = former.lock {
            let _ = lock.close().await;
        }
        Ok(Some(former.kept))
    }
}

/// The database that was there, under a second name.
struct Former {
    kept: PathBuf,
    /// Keeps others from it. Nothing for a damaged one.
    lock: Option<SqliteConnection>,
}

impl Former {
    /// No log is beside `file` after this: it would be taken for the next database's.
    async fn of(file: &Path) -> Result<Option<Self>> {
        let found = file.symlink_metadata().ok();
        if found.as_ref().is_some_and(|found| !found.is_file()) {
            bail!("{} can't be replaced: it isn't a regular file", file.display());
        }
        let former = match found {
            Some(_) => Some(Self::keep(file).await?),
            None => None,
        };
        LOGS.iter().try_for_each(|log| remove(&beside(file, log)))?;
        Ok(former)
    }

    /// The log gets its name before SQLite looks at it, which removes one that makes no sense.
    async fn keep(file: &Path) -> Result<Self> {
        let kept = second_name(file)?;
        let mut logs = Vec::new();
        for log in LOGS {
            let (found, name) = (beside(file, log), beside(&kept, log));
            if found.metadata().is_ok_and(|found| found.len() > 0) {
                fs::hard_link(&found, &name)
                    .with_context(|| format!("can't keep {}", found.display()))?;
                logs.push(name);
            }
        }
        match Self::end_log(file).await {
            Ok(lock) => {
                logs.iter().try_for_each(|log| remove(log))?;
                Ok(Self { kept, lock: Some(lock) })
            }
            Err(error) => {
                let code = primary_code(&error);
                if matches!(code, Some(CORRUPT | NOT_A_DATABASE)) {
                    return Ok(Self { kept, lock: None });
                }
                logs.iter().chain([&kept]).try_for_each(|name| remove(name))?;
                match code {
                    Some(BUSY | LOCKED) => {
                        bail!("another process has the database {} open: end it", file.display())
                    }
                    _ => Err(error).with_context(|| format!("can't open {}", file.display())),
                }
            }
        }
    }

    /// Only where nobody else has it open, a daemon for one that doesn't know the lock of the
    /// directory.
    async fn end_log(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
        let alone = options(file).busy_timeout(PATIENCE).locking_mode(SqliteLockingMode::Exclusive);
        let mut connection = alone.connect().await?;
        // Not by another journal mode: that is written to the database, and being cut off leaves a
        // journal for which no daemon starts.
        for statement in ["PRAGMA wal_checkpoint(TRUNCATE)", "BEGIN EXCLUSIVE"] {
            if let Err(error) = sqlx::query(statement).execute(&mut connection).await {
                // To its end, which removes files.
                let _ = connection.close().await;
                return Err(error);
            }
        }
        Ok(connection)
    }
}

/// How long others may take to close a database.
const PATIENCE: Duration = Duration::from_millis(500);

/// Result codes of SQLite.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const CORRUPT: i32 = 11;
const NOT_A_DATABASE: i32 = 26;

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn second_name(file: &Path) -> Result<PathBuf> {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let name = format!(".before-restore-{}", time.replace(['-', ':'], ""));
    let mut kept = beside(file, &name);
    for more in 2..100 {
        match fs::hard_link(file, &kept) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                kept = beside(file, &format!("{name}-{more}"));
            }
            made => {
                made.with_context(|| format!("can't keep what was there as {}", kept.display()))?;
                return Ok(kept);
            }
        }
    }
    bail!("there are too many files like {}", kept.display())
}
