// SPDX-License-Identifier: MIT OR Apache-2.0
//! `backup`: the whole database as one file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::Session;
use crate::copying::{self, Which};
use crate::exit::Exit;
use crate::output::Span;

/// Where to.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool backup /root/snet.backup
  snet-tool backup --force \"/mnt/usb/snet-$(date +%A)\"
  snet-tool backup --user ~/snet.backup       # root's own, of `snet-tool run`

The file is an SQLite database with all rules, their history, and the journal, as they are at one
moment; snetd may run, and needn't. It tells what programs did on the network: only its owner may
read it. The configuration isn't in it.")]
pub(crate) struct Arguments {
    /// The file to make
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    which: Which,
}

/// Makes it.
pub(crate) fn run(arguments: &Arguments, session: &Session) -> Result<Exit> {
    let file = &arguments.file;
    let place = || format!("can't write {}", file.display());
    if file.is_dir() {
        bail!("{} is a directory: name a file in it", file.display());
    }
    if file.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        bail!("{} is no ordinary file: name another", file.display());
    }
    let (directory, name) = parts(file)?;
    let (new, written) = Partial::beside(&directory, &name).with_context(place)?;
    let output = Stdio::from(written.try_clone()?);
    let mut done = copying::snetd("--backup", &arguments.which, Stdio::null(), output)?;
    written.sync_all().with_context(place)?;
    if is_part_of(&directory, &name, &done.database) {
        bail!("{} is the database itself: name another file", file.display());
    }
    new.publish(file, arguments.force)?;
    File::open(&directory).and_then(|directory| directory.sync_all()).with_context(place)?;
    done.file.clone_from(file);
    if session.out.json {
        session.out.document(&done)?;
    } else {
        let text = format!("{}: {}, {}", file.display(), done.contents(), size(done.bytes));
        session.out.line(&[Span::plain(text)])?;
    }
    Ok(Exit::Success)
}

/// The directory, as it is reached without links, and the name in it.
fn parts(file: &Path) -> Result<(PathBuf, OsString)> {
    let Some(name) = file.file_name() else { bail!("{} names no file", file.display()) };
    let directory = match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let found = directory.canonicalize().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            anyhow::anyhow!("there is no directory {}: make it first", directory.display())
        }
        _ => anyhow::anyhow!("can't get at the directory {}: {error}", directory.display()),
    })?;
    Ok((found, name.to_owned()))
}

/// Would it take the place of the database, or of what SQLite keeps beside that?
fn is_part_of(directory: &Path, name: &OsString, database: &Path) -> bool {
    let same = |found: PathBuf| {
        let identity = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino())).ok();
        let file = directory.join(name);
        file == found || identity(&file).is_some_and(|file| identity(&found) == Some(file))
    };
    ["", "-wal", "-shm", "-journal"].into_iter().any(|end| {
        let mut part = database.as_os_str().to_owned();
        part.push(end);
        same(part.into())
    })
}

/// A file that isn't whole yet. It goes with this.
struct Partial(PathBuf);

impl Partial {
    fn beside(directory: &Path, name: &OsString) -> std::io::Result<(Self, File)> {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", std::process::id()));
        let path = directory.join(hidden);
        // Not through a link that somebody left there.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((Self(path), file))
    }

    fn publish(&self, file: &Path, force: bool) -> Result<()> {
        let place = || format!("can't write {}", file.display());
        let exists = || format!("{} exists: name another file, or say --force", file.display());
        if force {
            return fs::rename(&self.0, file).with_context(place);
        }
        let flags = RenameFlags::RENAME_NOREPLACE;
        match renameat2(AT_FDCWD, &self.0, AT_FDCWD, file, flags) {
            Ok(()) => Ok(()),
            Err(Errno::EEXIST) => bail!(exists()),
            // Some file systems of others can't say so.
            Err(Errno::EINVAL) if file.symlink_metadata().is_ok() => bail!(exists()),
            Err(Errno::EINVAL) => fs::rename(&self.0, file).with_context(place),
            Err(error) => Err(error).with_context(place),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already, once it has its name.
        let _ = fs::remove_file(&self.0);
    }
}

/// `340 kB`, `1.2 MB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded() {
        assert_eq!(
            [0, 1, 999_999, 1_000_000, 12_345_678].map(size),
            ["0 kB", "1 kB", "1000 kB", "1.0 MB", "12.3 MB"]
        );
    }

    #[test]
    fn the_database_is_known_by_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().canonicalize().unwrap();
        let database = directory.join("snet.db");
        fs::write(&database, "x").unwrap();
        fs::hard_link(&database, directory.join("hard")).unwrap();
        std::os::unix::fs::symlink(&database, directory.join("soft")).unwrap();
        let is_part = |name: &str| is_part_of(&directory, &name.into(), &database);
        assert_eq!(
            ["snet.db", "snet.db-wal", "snet.db-shm", "snet.db-journal", "hard", "soft"]
                .map(is_part),
            [true; 6]
        );
        assert!(!is_part("other"));
    }

    #[test]
    fn nothing_is_replaced_without_force_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (directory, name) = parts(&dir.path().join("a")).unwrap();
        let file = dir.path().join("a");
        fs::write(&file, "before").unwrap();
        let (new, _) = Partial::beside(&directory, &name).unwrap();
        let refused = new.publish(&file, false).unwrap_err().to_string();
        assert!(refused.contains("exists: name another file, or say --force"), "{refused}");
        drop(new);
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        let (new, _) = Partial::beside(&directory, &name).unwrap();
        new.publish(&file, true).unwrap();
        drop(new);
        assert_eq!(fs::read_to_string(&file).unwrap(), "");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }
}
