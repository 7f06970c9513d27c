// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file system of the database: what is the matter with it, in words that say what to do, and
//! how to read a database where nothing can be written.

use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::statvfs::statvfs;
use nix::sys::time::TimeSpec;
use sqlx::sqlite::SqliteConnectOptions;

use super::{Store, beside, options};

/// With less than this SQLite can't even begin to write.
const NO_SPACE: u64 = 64 * 1024;

/// Why nothing can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matter {
    ReadOnly,
    Full,
}

impl Matter {
    /// Of the file system on which this is.
    pub(super) fn of(file: &Path) -> Option<Self> {
        let directory = file.parent()?;
        // The flags don't tell of a file system that ext4 has given up. The file itself may not
        // be opened for a try: closing it would drop SQLite's locks.
        let (now, same) = (TimeSpec::UTIME_NOW, TimeSpec::UTIME_OMIT);
        let tried = utimensat(AT_FDCWD, directory, &now, &same, UtimensatFlags::FollowSymlink);
        if tried == Err(Errno::EROFS) {
            return Some(Self::ReadOnly);
        }
        let found = statvfs(directory).ok()?;
        let left = found.blocks_available().saturating_mul(found.fragment_size());
        (left < NO_SPACE).then_some(Self::Full)
    }

    /// In words.
    pub(super) fn told(self, file: &Path) -> String {
        let place = file.display();
        match self {
            Self::ReadOnly => format!("the file system of the database {place} is read-only"),
            Self::Full => format!("no space is left on the file system of the database {place}"),
        }
    }

    /// What to do about it.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::ReadOnly => "see `dmesg` for the reason, and make it writable",
            Self::Full => "free some",
        }
    }
}

impl Store {
    /// Tells an error of the database, and before it what the disk has to do with it.
    pub(crate) fn explain(&self, error: &anyhow::Error) -> String {
        let of_database = error.chain().any(|cause| cause.is::<sqlx::Error>());
        match of_database.then(|| Matter::of(&self.file)).flatten() {
            Some(matter) => {
                let (told, advice) = (matter.told(&self.file), matter.advice());
                format!("{told}: {advice}, then try again ({error:#})")
            }
            None => format!("{error:#}"),
        }
    }
}

/// How to read a database where nothing can be written.
pub(super) fn reading(file: &Path) -> Result<SqliteConnectOptions> {
    if !file.metadata().is_ok_and(|found| found.len() > 0) {
        bail!("there is no database {}, and none can be made", file.display());
    }
    let reading = options(file).read_only(true);
    if beside(file, "-wal").metadata().is_ok_and(|log| log.len() > 0) {
        beside(file, "-shm").metadata().with_context(|| {
            let file = file.display();
            format!("the last changes in {file}-wal can't be read without writing {file}-shm")
        })?;
        return Ok(reading);
    }
    // Without that log SQLite would make one.
    Ok(reading.immutable(true))
}
