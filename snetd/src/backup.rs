// SPDX-License-Identifier: MIT OR Apache-2.0
//! `snetd --backup FILE` and `snetd --restore FILE`: the database as one file, and back. Run by
//! snet-tool, beside a daemon or without one.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, Uid, setegid, seteuid, setgroups};
use serde::Serialize;

use crate::config::Config;
use crate::control;
use crate::early;
use crate::store::copy::{self, Contents};

/// Largest file that is taken for a backup, in bytes: it is read into memory.
const LARGEST: u64 = 2 << 30;

/// What was done, as one line of JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    file: PathBuf,
    #[serde(flatten)]
    contents: Contents,
    bytes: u64,
    /// Where the database is that was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<PathBuf>,
}

/// Writes the database to a new file, or over an old one with `force`.
pub(crate) async fn backup(config: &Config, file: &Path, force: bool) -> Result<Done> {
    let database = config.database.as_path();
    if same(file, database) {
        bail!("{} is the database itself: name another file", file.display());
    }
    if !force && file.symlink_metadata().is_ok() {
        bail!("{} exists: name another file, or say --force", file.display());
    }
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let place = || format!("can't write to {}", file.display());
    // Of mode 0600, and gone when this fails.
    let mut new = tempfile::NamedTempFile::new_in(directory).with_context(place)?;
    let (bytes, contents) = {
        let _owner = Owner::of(database)?;
        copy::image(database).await?
    };
    new.write_all(&bytes).and_then(|()| new.as_file().sync_all()).with_context(place)?;
    if force {
        new.persist(file).map(drop).map_err(|error| error.error).with_context(place)?;
    } else {
        new.persist_noclobber(file).map(drop).map_err(|error| error.error).with_context(place)?;
    }
    File::open(directory).and_then(|directory| directory.sync_all()).with_context(place)?;
    Ok(Done { file: file.to_owned(), contents, bytes: bytes.len() as u64, before: None })
}

/// Puts a backup in the place of the database, whose daemon must not run.
pub(crate) async fn restore(config: &Config, file: &Path) -> Result<Done> {
    let database = config.database.as_path();
    if same(file, database) {
        bail!("{} is the database itself", file.display());
    }
    let bytes = read(file)?;
    let _owner = Owner::of(database)?;
    // Held to the end. Where there is no place for the socket, there is no daemon.
    let _lock = match config.control.socket.as_path() {
        socket if socket.parent().is_some_and(Path::exists) => {
            Some(control::lock(socket).context("a database can't be replaced under its daemon")?)
        }
        _ => None,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let suffix = format!(".before-restore-{}", now.as_millis());
    let (contents, before) = copy::replace(database, &bytes, &suffix).await.with_context(|| {
        format!("{} can't be restored, and nothing was changed", file.display())
    })?;
    // They would say until the daemon's start what the rules of before said.
    early::forget(config)?;
    Ok(Done { file: database.to_owned(), contents, bytes: bytes.len() as u64, before })
}

fn read(file: &Path) -> Result<Vec<u8>> {
    let wanted = || format!("can't read {}", file.display());
    let mut found = File::open(file).with_context(wanted)?;
    let about = found.metadata().with_context(wanted)?;
    if !about.is_file() {
        bail!("{} isn't a regular file", file.display());
    }
    if about.len() > LARGEST {
        bail!("{} is too large for a backup", file.display());
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut found).take(LARGEST).read_to_end(&mut bytes).with_context(wanted)?;
    Ok(bytes)
}

fn same(one: &Path, other: &Path) -> bool {
    match (one.metadata(), other.metadata()) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// While this lives, root has no more rights than the owner of the database's directory: what
/// somebody who got into the daemon left there leads nowhere else.
struct Owner {
    switched: bool,
}

impl Owner {
    fn of(database: &Path) -> Result<Self> {
        let Some(directory) = database.parent() else {
            bail!("{} names no file", database.display())
        };
        let about = match fs::metadata(directory) {
            Ok(about) => about,
            Err(error) if error.kind() == ErrorKind::NotFound => bail!(
                "there is no database {}: snetd makes it when it is started",
                database.display()
            ),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("can't look at {}", directory.display()));
            }
        };
        let switched = Uid::effective().is_root() && about.uid() != 0;
        if switched {
            setgroups(&[]).context("can't leave root's groups")?;
            setegid(Gid::from_raw(about.gid())).context("can't become the database's group")?;
            seteuid(Uid::from_raw(about.uid())).context("can't become the database's owner")?;
        }
        Ok(Self { switched })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.switched {
            // The real user is root still, so that this can't fail; if it did, less is allowed.
            let _ = seteuid(Uid::from_raw(0));
            let _ = setegid(Gid::from_raw(0));
        }
    }
}
