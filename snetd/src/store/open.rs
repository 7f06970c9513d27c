// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides whether a file may become, or already is, snetd's database.
//!
//! Looks through a read-only connection, so that a file that is refused stays byte for byte
//! as it was: it may be all that is left of somebody's rules.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{MIGRATIONS, options};

/// `PRAGMA application_id` of the first migration.
const APPLICATION_ID: i64 = 0x736e_6574;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Makes an empty file when there is none; otherwise says whether this one may be used.
pub(super) async fn prepare(file: &Path) -> Result<()> {
    prepare_directory(file)?;
    if file.metadata().is_ok_and(|found| !found.is_file()) {
        bail!("{} can't be the database: it isn't a regular file", file.display());
    }
    match File::open(file) {
        Ok(mut found) => {
            let mut start = Vec::new();
            let read = Read::by_ref(&mut found).take(16).read_to_end(&mut start);
            read.with_context(|| format!("can't read the database {}", file.display()))?;
            // Closed before SQLite opens the file: closing it later would drop SQLite's locks.
            drop(found);
            if !start.is_empty() {
                if start != MAGIC {
                    bail!(refusal(file, "it isn't a SQLite database"));
                }
                inspect(file).await?;
            }
            restrict(file)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)
            .map(drop)
            .with_context(|| format!("can't make the database {}", file.display())),
        Err(error) => {
            Err(error).with_context(|| format!("can't open the database {}", file.display()))
        }
    }
}

/// The directory must keep others from replacing the file in it.
pub(super) fn prepare_directory(file: &Path) -> Result<()> {
    let Some(directory) = file.parent() else { bail!("{} names no file", file.display()) };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(|| {
        format!("can't make the directory {} for the database", directory.display())
    })?;
    let found = directory
        .metadata()
        .with_context(|| format!("can't look at the directory {}", directory.display()))?;
    let own = nix::unistd::geteuid().as_raw();
    if (found.uid() != own && found.uid() != 0) || found.mode() & 0o022 != 0 {
        bail!(
            "others can write to {}, where the database is: make it yours alone with \
             `chown root: {0} && chmod 700 {0}`",
            directory.display()
        );
    }
    Ok(())
}

/// Only the daemon's user may read what programs do on the network.
fn restrict(file: &Path) -> Result<()> {
    let mode = |path: &Path| path.metadata().map(|found| found.mode() & 0o777);
    let wanted = || {
        format!(
            "can't set the mode of the database {0} to 0600: if it is another user's, make it \
             snetd's own with `chown --reference=$(dirname {0}) {0}`",
            file.display()
        )
    };
    if mode(file).with_context(wanted)? != 0o600 {
        std::fs::set_permissions(file, Permissions::from_mode(0o600)).with_context(wanted)?;
        tracing::warn!("the mode of the database {} was not 0600: mended", file.display());
    }
    Ok(())
}

fn refusal(file: &Path, why: &str) -> String {
    format!(
        "the database {0} is refused and left as it is: {why}. To start without its rules move \
         it away; to save what is readable try `sqlite3 {0} .recover | sqlite3 NEWFILE`",
        file.display()
    )
}

async fn inspect(file: &Path) -> Result<()> {
    inspect_by(file, &options(file).read_only(true)).await.map(drop)
}

/// Says whether this file can be used as it is, where nothing can be written.
pub(super) async fn inspect_current(file: &Path, reading: &SqliteConnectOptions) -> Result<()> {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
    if inspect_by(file, reading).await? != newest {
        bail!(
            "the database {} is of an earlier version, and can't be brought to this one's schema",
            file.display()
        );
    }
    Ok(())
}

/// The version of the schema of a sound file.
async fn inspect_by(file: &Path, reading: &SqliteConnectOptions) -> Result<Option<i64>> {
    match look(reading).await {
        Ok(version) => Ok(version),
        Err(why) => bail!(refusal(file, &why)),
    }
}

/// The version of the schema, or why the file can't be used.
pub(super) async fn look(reading: &SqliteConnectOptions) -> Result<Option<i64>, String> {
    let damaged = |error: sqlx::Error| format!("reading it failed ({error})");
    let mut connection = reading.connect().await.map_err(damaged)?;
    let found = examine(&mut connection).await;
    // The connection only read: closing it can fail, but not harm.
    let _ = connection.close().await;
    match found {
        Ok(Examined::Sound(version)) => Ok(version),
        Ok(Examined::Refused(why)) => Err(why),
        Err(error) => Err(damaged(error)),
    }
}

enum Examined {
    /// The version of its schema, if it has one.
    Sound(Option<i64>),
    /// Why the file can't be used.
    Refused(String),
}

async fn examine(connection: &mut SqliteConnection) -> Result<Examined, sqlx::Error> {
    let check: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await?;
    if check != "ok" {
        let why = format!("it is damaged ({})", check.replace('\n', " "));
        return Ok(Examined::Refused(why));
    }
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .fetch_all(&mut *connection)
            .await?;
    let migrated = tables.iter().any(|table| table == "_sqlx_migrations");
    // A first start that was cut off leaves at most the empty table of migrations.
    if application == 0 && tables.len() == usize::from(migrated) {
        return Ok(Examined::Sound(None));
    }
    if application != APPLICATION_ID || !migrated {
        return Ok(Examined::Refused("it is the database of another program".to_owned()));
    }
    let version: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await?;
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
    if version > newest {
        let why = "it was made by a newer snetd: install that version again, or use another file";
        return Ok(Examined::Refused(why.to_owned()));
    }
    Ok(Examined::Sound(version))
}

#[cfg(test)]
mod tests {
    use super::super::{Store, tests::empty};
    use super::*;

    async fn refused_untouched(file: &Path, word: &str) {
        let before = std::fs::read(file).unwrap();
        let error = Store::open(file).await.unwrap_err().to_string();
        assert!(error.contains(word) && error.contains(file.to_str().unwrap()), "{error}");
        assert_eq!(std::fs::read(file).unwrap(), before);
    }

    async fn alter(file: &Path, statement: &'static str) {
        let mut connection = options(file).connect().await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn refuses_a_file_that_is_no_database() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("snet.db");
        std::fs::write(&file, "[rules]\nall = allow\n").unwrap();
        refused_untouched(&file, "isn't a SQLite database").await;
        std::fs::write(&file, "SQL").unwrap();
        refused_untouched(&file, "isn't a SQLite database").await;
    }

    #[tokio::test]
    async fn refuses_a_damaged_database() {
        let (dir, store) = empty().await;
        store.close().await;
        let file = dir.path().join("snet.db");
        let mut bytes = std::fs::read(&file).unwrap();
        for page in bytes.chunks_mut(4096).skip(1) {
            page[..64].fill(0xa5);
        }
        std::fs::write(&file, bytes).unwrap();
        refused_untouched(&file, "left as it is").await;
        std::fs::write(&file, [MAGIC.as_slice(), &[0xff; 200]].concat()).unwrap();
        refused_untouched(&file, "left as it is").await;
    }

    #[tokio::test]
    async fn refuses_the_database_of_another_program() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("snet.db");
        std::fs::write(&file, "").unwrap();
        alter(&file, "CREATE TABLE bookmarks (url TEXT)").await;
        refused_untouched(&file, "another program").await;
    }

    #[tokio::test]
    async fn refuses_a_newer_schema() {
        let (dir, store) = empty().await;
        store.close().await;
        let file = dir.path().join("snet.db");
        alter(&file, "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1").await;
        refused_untouched(&file, "newer snetd").await;
    }

    #[tokio::test]
    async fn makes_file_and_directory_for_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("lib/snet/snet.db");
        Store::open(&file).await.unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    }

    #[tokio::test]
    async fn finishes_a_first_start_that_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("snet.db");
        std::fs::write(&file, "").unwrap();
        alter(&file, "PRAGMA journal_mode = WAL").await;
        Store::open(&file).await.unwrap();
    }

    #[tokio::test]
    async fn refuses_a_directory_where_others_may_write() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        let error = Store::open(&dir.path().join("snet.db")).await.unwrap_err().to_string();
        assert!(error.contains("others can write"), "{error}");
    }
}
