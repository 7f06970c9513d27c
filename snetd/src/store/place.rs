// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who is at a database: daemons share the directory, a restore has it alone. A lock of the
//! directory leaves no file behind, and stays where the database is replaced.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Held as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    _lock: Flock<File>,
}

impl Place {
    /// For a daemon. Nothing where there is no directory yet, and so nothing to restore over; nor
    /// on a file system without locks.
    pub(crate) fn shared(file: &Path) -> Result<Option<Self>> {
        let found = match File::open(directory(file)?) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| wanted(file)),
        };
        match Flock::lock(found, FlockArg::LockSharedNonblock) {
            Ok(lock) => Ok(Some(Self { _lock: lock })),
            Err((_, Errno::EWOULDBLOCK)) => {
                bail!("the database {} is being restored: wait for the end of that", file.display())
            }
            Err(_) => Ok(None),
        }
    }

    /// For a restore. Nothing while a daemon is there.
    pub(crate) fn alone(file: &Path) -> Result<Option<Self>> {
        let found = File::open(directory(file)?).with_context(|| wanted(file))?;
        match Flock::lock(found, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Self { _lock: lock })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, error)) => Err(error).with_context(|| wanted(file)),
        }
    }
}

fn directory(file: &Path) -> Result<&Path> {
    file.parent().with_context(|| format!("{} names no file", file.display()))
}

fn wanted(file: &Path) -> String {
    format!("can't lock the directory of the database {}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_share_a_place_and_a_restore_has_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("snet.db");
        let daemons =
            [Place::shared(&file).unwrap().unwrap(), Place::shared(&file).unwrap().unwrap()];
        assert!(Place::alone(&file).unwrap().is_none());
        drop(daemons);
        let restore = Place::alone(&file).unwrap().unwrap();
        assert!(Place::alone(&file).unwrap().is_none(), "another restore");
        let refused = Place::shared(&file).unwrap_err().to_string();
        assert!(refused.contains("is being restored"), "{refused}");
        drop(restore);
        assert!(Place::shared(&file).unwrap().is_some());
    }

    #[test]
    fn a_first_start_has_no_place_yet() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Place::shared(&dir.path().join("lib/snet.db")).unwrap().is_none());
    }
}
