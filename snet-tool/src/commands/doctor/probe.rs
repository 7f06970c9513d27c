// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long a verdict takes: attempts a call that is held as any other.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};

/// How a call of this process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) allowed: bool,
    /// Until it did.
    pub(super) after: Duration,
}

/// Connects a UDP socket to this machine's port for what is to be discarded, which sends nothing.
/// It doesn't block, so that no person is waited for; the kernel bounds it by `nonblock_deadline`.
pub(super) fn attempt() -> nix::Result<Probe> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let began = Instant::now();
    let ended = socket(AddressFamily::Inet, SockType::Datagram, flags, None)
        .and_then(|socket| connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 9)));
    let after = began.elapsed();
    match ended {
        Ok(()) => Ok(Probe { allowed: true, after }),
        Err(Errno::EACCES) => Ok(Probe { allowed: false, after }),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_held_it_goes_on_at_once() {
        let probe = attempt().unwrap();
        assert!(probe.allowed && probe.after < Duration::from_secs(10), "{probe:?}");
    }
}
