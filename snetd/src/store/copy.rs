// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole database as bytes, and bytes in the place of the database.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use nix::fcntl::OFlag;
use serde::Serialize;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::disk::{self, Matter};
use super::{Store, open, options, writing};

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

/// The database as it is at one moment, also while a daemon writes to it.
pub(crate) async fn image(file: &Path) -> Result<(Vec<u8>, Contents)> {
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        bail!("there is no database {}: snetd makes it when it is started", file.display());
    }
    let reading = match Matter::of(file) {
        Some(Matter::ReadOnly) => disk::reading(file)?,
        _ => options(file).read_only(true),
    };
    let broken = |why: String| anyhow!("the database {} can't be saved: {why}", file.display());
    if open::look(&reading).await.map_err(broken)?.is_none() {
        bail!("the database {} is empty: start snetd once", file.display());
    }
    let wanted = || format!("can't read the database {}", file.display());
    let mut connection = reading.connect().await.with_context(wanted)?;
    let mut moment = connection.begin().await.with_context(wanted)?;
    let found = contents(&mut moment).await.with_context(wanted)?;
    let bytes = moment.serialize(None).await.with_context(wanted)?.to_vec();
    // It only read: its end can fail, but not harm.
    let _ = moment.rollback().await;
    let _ = connection.close().await;
    Ok((bytes, found))
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes `bytes` the database, if they are one that this version can use, and keeps what was
/// there under a name with `suffix`, if anything was. Nobody else may use the database. At every
/// moment there is either the old one or the new one.
pub(crate) async fn replace(
    file: &Path,
    bytes: &[u8],
    suffix: &str,
) -> Result<(Contents, Option<PathBuf>)> {
    open::prepare_directory(file)?;
    let new = beside(file, ".restoring");
    remove_all(&new)?;
    let found = match make(&new, bytes).await {
        Ok(found) => found,
        Err(error) => {
            let _ = remove_all(&new);
            return Err(error);
        }
    };
    let aside = set_aside(file, suffix).await?;
    fs::rename(&new, file)
        .with_context(|| format!("can't put the database into its place {}", file.display()))?;
    if let Some(directory) = file.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok((found, aside))
}

/// A sound database of this version's schema.
async fn make(new: &Path, bytes: &[u8]) -> Result<Contents> {
    let place = || format!("can't write {}", new.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(new)
        .with_context(place)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(place)?;
    // Closed before SQLite opens the file: closing it later would drop SQLite's locks.
    drop(file);
    match open::look(&options(new).read_only(true)).await {
        Ok(Some(_)) => {}
        Ok(None) => bail!("it has no rules of snet"),
        Err(why) => bail!(why),
    }
    let store = Store::open(new).await?;
    let found = whole(&store).await.with_context(place);
    store.close().await;
    let found = found?;
    // The log that goes with a database goes with its last connection.
    if beside(new, "-wal").exists() {
        bail!("{} can't be completed", new.display());
    }
    File::open(new)?.sync_all().with_context(place)?;
    Ok(found)
}

/// What there is, all rules of which can be read.
async fn whole(store: &Store) -> Result<Contents> {
    store.rules().await?;
    Ok(contents(store.writer().await.connection()?).await?)
}

/// A second name for the database of now, and the end of the log beside it: that must not be
/// found beside another database.
async fn set_aside(file: &Path, suffix: &str) -> Result<Option<PathBuf>> {
    // Ends the log, where the database is sound.
    if let Ok(connection) = writing(file).connect().await {
        let _ = connection.close().await;
    }
    let aside = beside(file, suffix);
    let kept = match fs::hard_link(file, &aside) {
        Ok(()) => Some(aside.clone()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error)
                .with_context(|| format!("can't keep what was there as {}", aside.display()));
        }
    };
    for part in ["-wal", "-shm"] {
        let (log, aside) = (beside(file, part), beside(&aside, part));
        if kept.is_some() && log.metadata().is_ok_and(|found| found.len() > 0) {
            let _ = fs::hard_link(&log, aside);
        }
        remove(&log)?;
    }
    Ok(kept)
}

/// With what belongs to it.
fn remove_all(database: &Path) -> Result<()> {
    remove(database)?;
    remove(&beside(database, "-wal"))?;
    remove(&beside(database, "-shm"))
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::MIGRATIONS;
    use super::super::tests::empty;
    use super::*;

    /// A database as the version with so many migrations made it.
    async fn of_version(directory: &Path, migrations: usize) -> Vec<u8> {
        let file = directory.join("old.db");
        fs::write(&file, "").unwrap();
        let mut earlier = sqlx::migrate::Migrator::DEFAULT;
        earlier.migrations = MIGRATIONS.iter().take(migrations).cloned().collect();
        let mut connection = writing(&file).connect().await.unwrap();
        earlier.run(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        fs::read(file).unwrap()
    }

    #[tokio::test]
    async fn an_earlier_schema_is_brought_to_this_one() {
        let (dir, store) = empty().await;
        store.close().await;
        let old = of_version(dir.path(), 3).await;
        let file = dir.path().join("snet.db");
        let (found, before) = replace(&file, &old, ".before").await.unwrap();
        assert_eq!((found.rules, before), (0, Some(dir.path().join("snet.db.before"))));
        Store::open(&file).await.unwrap();
    }

    #[tokio::test]
    async fn a_newer_schema_is_refused_and_changes_nothing() {
        let (dir, store) = empty().await;
        store.close().await;
        let file = dir.path().join("snet.db");
        let bytes = fs::read(&file).unwrap();
        let mut connection = writing(&file).connect().await.unwrap();
        let newer = "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1";
        sqlx::query(newer).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let newer = fs::read(&file).unwrap();
        fs::write(&file, &bytes).unwrap();
        let error = replace(&file, &newer, ".before").await.unwrap_err().to_string();
        assert!(error.contains("newer snetd"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), bytes);
        assert!(!dir.path().join("snet.db.before").exists());
    }

    /// The log of another database would be taken for a part of this one.
    #[tokio::test]
    async fn the_log_of_the_old_database_is_not_left_to_the_new_one() {
        let (dir, store) = empty().await;
        let file = dir.path().join("snet.db");
        let (new, _) = image(&file).await.unwrap();
        let mut writer = store.writer().await;
        let change = sqlx::query("CREATE TABLE another (one TEXT)");
        change.execute(writer.connection().unwrap()).await.unwrap();
        assert!(beside(&file, "-wal").metadata().unwrap().len() > 0);
        // As after a crash: nobody has it open, and the log is there.
        let crashed = dir.path().join("crashed.db");
        fs::copy(&file, &crashed).unwrap();
        fs::copy(beside(&file, "-wal"), beside(&crashed, "-wal")).unwrap();
        fs::write(&crashed, "damaged, so that its log can't be ended").unwrap();
        replace(&crashed, &new, ".before").await.unwrap();
        assert!(!beside(&crashed, "-wal").exists());
        Store::open(&crashed).await.unwrap();
    }
}
