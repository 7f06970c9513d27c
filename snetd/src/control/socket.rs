// SPDX-License-Identifier: MIT OR Apache-2.0
//! Puts the control socket in its place: made so that nobody can reach it before its mode is
//! right, and held by one daemon at a time. Or judges the one that a service manager has made.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use nix::fcntl::{Flock, FlockArg};
use socket2::{Domain, SockRef, Type};
use tokio::net::UnixListener;

use super::role::Access;
use crate::config::SocketPath;

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
             only {} can write to",
            directory.display(),
            if own == 0 { "root" } else { "you" }
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

/// Takes the lock beside the socket, for as long as the daemon lives.
pub(super) fn lock(socket: &Path) -> Result<Flock<File>> {
    let path = socket.with_added_extension("lock");
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

/// Who may connect is who may call something.
fn mode(access: &Access) -> u32 {
    if access.group().is_some() { 0o660 } else { 0o600 }
}

/// Binds where only this user can look, sets owner and mode, and only then moves the socket
/// to its place, over one that a dead daemon left.
pub(super) fn bind_in_private(
    path: &Path,
    directory: &Path,
    access: &Access,
) -> Result<UnixListener> {
    let private = directory.join(SocketPath::PRIVATE);
    // Left by a daemon that died in between; the lock says that nobody is at it now.
    match fs::remove_dir_all(&private) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("can't remove {}", private.display()));
        }
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&private)?;
    let hidden = private.join(SocketPath::HIDDEN);
    let socket = UnixListener::bind(&hidden)?;
    if let Some(group) = access.group()
        && fs::metadata(&hidden)?.gid() != group.as_raw()
    {
        chown(&hidden, None, Some(group.as_raw()))?;
    }
    fs::set_permissions(&hidden, Permissions::from_mode(mode(access)))?;
    fs::rename(&hidden, path)?;
    fs::remove_dir(&private)?;
    Ok(socket)
}

/// The socket that the service manager passed. It must be the configured one: another would be
/// one that nobody finds, or that others than those configured reach.
pub(super) fn adopt(passed: OwnedFd, path: &Path, access: &Access) -> Result<UnixListener> {
    let refused = |why: String| {
        anyhow!(
            "what was passed by LISTEN_FDS isn't the control socket {}: {why}. Have [control] in \
             snetd's configuration and ListenStream= in its socket unit (`systemctl edit \
             snetd.socket`) name the same",
            path.display()
        )
    };
    let socket = SockRef::from(&passed);
    let found = (|| Ok((socket.domain()?, socket.r#type()?, socket.is_listener()?)))();
    match found {
        Ok((Domain::UNIX, Type::STREAM, true)) => {}
        Ok((Domain::UNIX, Type::STREAM, false)) => return Err(refused("it doesn't listen".into())),
        Ok(_) => return Err(refused("it is no Unix stream socket".into())),
        Err(error) => return Err(refused(std::io::Error::to_string(&error))),
    }
    let socket = net::UnixListener::from(passed);
    let place = socket.local_addr()?.as_pathname().map(Path::to_owned);
    // Other names of the same directory are as good.
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match place {
        Some(place) if real(&place) == real(path) => {}
        Some(place) => return Err(refused(format!("it is at {}", place.display()))),
        None => return Err(refused("it has no path".into())),
    }
    look_who_may_connect(path, access)?;
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from_std(socket)?)
}

/// Each call is judged by its caller anyway, so that a mode which isn't as configured harms nobody,
/// but those who should get through.
fn look_who_may_connect(path: &Path, access: &Access) -> Result<()> {
    let found = fs::metadata(path)
        .with_context(|| format!("can't look at the control socket {}", path.display()))?;
    let wanted = mode(access);
    let group = access.group().is_none_or(|group| found.gid() == group.as_raw());
    if found.mode() & 0o777 != wanted || !group {
        tracing::warn!(
            "the control socket {} was made for others than the group that is configured: set \
             SocketGroup= and SocketMode={wanted:04o} in its socket unit",
            path.display()
        );
    }
    Ok(())
}
