// SPDX-License-Identifier: MIT OR Apache-2.0
//! The listening socket: accepts connections within bounds.
//!
//! Hands each connection to a [`Session`]; must not read from it. How the socket comes to
//! its place is `socket`'s.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use libsnet::control::ErrorReply;
use nix::fcntl::Flock;
use tokio::net::{UnixListener, UnixStream};

use super::Controller;
use super::places::{Bounds, Places};
use super::role::{Access, Peer};
use super::session::Session;
use super::socket::{adopt, bind_in_private, lock, prepare_directory};
use super::varlink::encode_error;

/// The control socket. Its file goes when this is dropped, unless it is the service manager's.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixListener,
    /// The file that goes.
    own: Option<PathBuf>,
    access: Arc<Access>,
    bounds: Bounds,
    /// Tells other daemons that this one lives.
    _lock: Flock<File>,
}

impl Listener {
    /// Makes the socket. Fails when another daemon serves it.
    pub(crate) fn bind(path: &Path, access: Access, bounds: Bounds) -> Result<Self> {
        let directory = directory_of(path)?;
        prepare_directory(directory, &access)?;
        let lock = lock(path)?;
        let socket = bind_in_private(path, directory, &access)
            .with_context(|| format!("can't make the control socket {}", path.display()))?;
        let own = Some(path.to_owned());
        Ok(Self { socket, own, access: Arc::new(access), bounds, _lock: lock })
    }

    /// Takes the socket that the service manager has made at this path, and whose file it keeps.
    /// Fails when it is another one, or another daemon serves it.
    pub(crate) fn adopt(
        passed: OwnedFd,
        path: &Path,
        access: Access,
        bounds: Bounds,
    ) -> Result<Self> {
        prepare_directory(directory_of(path)?, &access)?;
        let lock = lock(path)?;
        let socket = adopt(passed, path, &access)?;
        Ok(Self { socket, own: None, access: Arc::new(access), bounds, _lock: lock })
    }

    /// Accepts connections for ever.
    pub(crate) async fn serve<C: Controller>(&self, controller: Arc<C>) {
        let places = Arc::new(Places::default());
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => self.begin(stream, &controller, &places),
                Err(error) => {
                    tracing::warn!("accepting a control connection failed: {error}");
                    // Out of file descriptors, say: trying again at once would only spin.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    fn begin<C: Controller>(&self, stream: UnixStream, controller: &Arc<C>, places: &Arc<Places>) {
        let peer = match stream.peer_cred() {
            Ok(credentials) => Peer {
                uid: credentials.uid(),
                gid: credentials.gid(),
                supervised: self.access.supervisors.hold(credentials.pid()),
            },
            Err(error) => {
                tracing::warn!("a control connection without credentials is refused: {error}");
                return;
            }
        };
        let Some(place) = Places::take(places, peer.uid, self.bounds) else {
            refuse(&stream, peer.uid, self.bounds);
            return;
        };
        let session = Session::new(stream, peer, Arc::clone(&self.access), Arc::clone(controller));
        tokio::spawn(async move {
            session.run().await;
            drop(place);
        });
    }
}

fn directory_of(path: &Path) -> Result<&Path> {
    path.parent().with_context(|| format!("{} names no socket", path.display()))
}

/// Answers the call that the peer will have sent, or is about to.
fn refuse(stream: &UnixStream, uid: u32, bounds: Bounds) {
    let most = if uid == 0 { bounds.total } else { bounds.per_user.min(bounds.total) };
    let reason = format!(
        "too many connections to the control socket ([control] in snetd's configuration lets \
         user {uid} have {most}): close some, or try later"
    );
    let error = ErrorReply::Failed { reason };
    if let Ok(mut message) = encode_error(&error) {
        message.push(0);
        // A new socket has room for it; a peer that is gone already needs no answer.
        let _ = stream.try_write(&message);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(path) = &self.own else { return };
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let path = path.display();
                tracing::warn!("can't remove the control socket {path}: {error}");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    const BOUNDS: Bounds = Bounds { total: 3, per_user: 2 };

    fn bind(path: &Path) -> Result<Listener> {
        Listener::bind(path, Access::of_group(""), BOUNDS)
    }

    #[tokio::test]
    async fn the_socket_and_its_directory_are_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/snetd.sock");
        let listener = bind(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o750);
        assert_eq!(mode(&path), 0o600);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_second_daemon_is_refused_and_the_first_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snetd.sock");
        let first = bind(&path).unwrap();
        let error = bind(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        UnixStream::connect(&path).await.unwrap();
        drop(first);
        bind(&path).unwrap();
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_daemon_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snetd.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        fs::create_dir(dir.path().join(".snetd.new")).unwrap();
        let _listener = bind(&path).unwrap();
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_directory_where_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
        let error = bind(&dir.path().join("snetd.sock")).unwrap_err().to_string();
        assert!(error.contains("others can write"), "{error}");
    }
}
