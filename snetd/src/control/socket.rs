// SPDX-License-Identifier: MIT OR Apache-2.0
//! Puts the control socket in its place: made so that nobody can reach it before its mode is
//! right, and held by one daemon at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use nix::fcntl::{Flock, FlockArg};
use tokio::net::UnixListener;

use super::role::Access;

/// How the directory is made: members of the group may pass.
const DIRECTORY_MODE: u32 = 0o750;

/// Makes the directory, or makes sure that nobody else can replace the socket in it.
pub(super) fn prepare_directory(directory: &Path, access: &Access) -> Result<()> {
    let wanted = || format!("can't make the directory {}", directory.display());
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent).with_context(wanted)?;
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(wanted);
        }
        _ => {}
    }
    let found = directory.metadata().with_context(wanted)?;
    let own = nix::unistd::geteuid().as_raw();
    if (found.uid() != own && found.uid() != 0) || found.mode() & 0o022 != 0 {
        bail!(
            "others can write to {}, where the control socket is to be: use a directory that \
             only root can write to",
            directory.display()
        );
    }
    // A directory that isn't as this daemon makes it is somebody else's to arrange.
    if let Some(group) = access.group()
        && found.mode() & 0o777 == DIRECTORY_MODE
        && found.gid() != group.as_raw()
    {
        chown(directory, None, Some(group.as_raw())).with_context(|| {
            format!("can't let the group of the control socket into {}", directory.display())
        })?;
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Takes the lock beside the socket, for as long as the daemon lives.
pub(crate) fn lock(socket: &Path) -> Result<Flock<File>> {
    let path = with_suffix(socket, ".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("can't open the lock {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            // For people only; the lock itself is what counts.
            let noted = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
            noted.with_context(|| format!("can't write to the lock {}", path.display()))?;
            Ok(lock)
        }
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            Err(anyhow!(
                "another snetd (process {}) serves {}: stop it first, or configure another \
                 socket and database",
                holder.trim(),
                socket.display()
            ))
        }
        Err((_, error)) => {
            Err(error).with_context(|| format!("can't take the lock {}", path.display()))
        }
    }
}

/// Binds where only this user can look, sets owner and mode, and only then moves the socket
/// to its place, over one that a dead daemon left.
pub(super) fn bind_in_private(
    path: &Path,
    directory: &Path,
    access: &Access,
) -> Result<UnixListener> {
    let private = directory.join(".snetd.new");
    // Left by a daemon that died in between; the lock says that nobody is at it now.
    match fs::remove_dir_all(&private) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("can't remove {}", private.display()));
        }
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&private)?;
    let hidden = private.join("s");
    let socket = UnixListener::bind(&hidden)?;
    let mode = match access.group() {
        Some(group) => {
            if fs::metadata(&hidden)?.gid() != group.as_raw() {
                chown(&hidden, None, Some(group.as_raw()))?;
            }
            0o660
        }
        None => 0o600,
    };
    fs::set_permissions(&hidden, Permissions::from_mode(mode))?;
    fs::rename(&hidden, path)?;
    fs::remove_dir(&private)?;
    Ok(socket)
}
