// SPDX-License-Identifier: MIT OR Apache-2.0
//! Connects to the control socket, and tells apart why that fails.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_socket, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::ClientError;

/// A connected stream whose writes take `timeout` at most.
pub(super) fn connect(path: &Path, timeout: Duration) -> Result<UnixStream, ClientError> {
    open(path, timeout).map_err(|errno| explain(errno, path, timeout))
}

/// The standard library has no way to set a timeout before it connects, and a daemon that
/// hangs with a full backlog blocks `connect` itself.
fn open(path: &Path, timeout: Duration) -> Result<UnixStream, Errno> {
    let address = UnixAddr::new(path)?;
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let millis = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::milliseconds(millis))?;
    connect_socket(fd.as_raw_fd(), &address)?;
    Ok(UnixStream::from(fd))
}

fn explain(errno: Errno, path: &Path, timeout: Duration) -> ClientError {
    let socket = path.to_owned();
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => ClientError::NoSocket(socket),
        Errno::ECONNREFUSED => ClientError::Refused(socket),
        Errno::EACCES | Errno::EPERM => ClientError::Forbidden(socket),
        Errno::EAGAIN => ClientError::Timeout { socket, after: timeout },
        errno => ClientError::Connect { socket, source: io::Error::from(errno) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    #[test]
    fn a_missing_socket_and_one_that_nobody_serves_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let second = Duration::from_secs(1);
        assert!(matches!(connect(&path, second), Err(ClientError::NoSocket(_))));
        drop(UnixListener::bind(&path).unwrap());
        assert!(matches!(connect(&path, second), Err(ClientError::Refused(_))));
    }

    #[test]
    fn a_full_backlog_ends_in_a_timeout() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let short = Duration::from_millis(50);
        let start = Instant::now();
        let mut held = Vec::new();
        let error = loop {
            match connect(&path, short) {
                Ok(stream) => held.push(stream),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_named() {
        let path = Path::new("/tmp").join("x".repeat(200));
        let error = connect(&path, Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("xxx"), "{error}");
    }
}
