// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control socket as a service manager passes it: it is there before the daemon, and callers
//! wait in it while the daemon starts again.
//!
//! Owns the protocol of `sd_listen_fds(3)`, and all of the daemon that is unsafe. Whether it is
//! the right socket is `control`'s to say.

use std::os::fd::{FromRawFd, OwnedFd};

use anyhow::{Context, Result, bail};

/// The socket that was passed to this process, closed when it executes anything. Nothing tells
/// of it in the environment afterwards.
///
/// # Safety
/// There is no other thread, and no descriptor was opened yet.
pub(crate) unsafe fn take() -> Result<Option<OwnedFd>> {
    // SAFETY: nobody reads the environment meanwhile, as there is no other thread.
    let passed = unsafe { sd_notify::listen_fds_with_names_and_unset_env() };
    let mut passed = passed.context("LISTEN_FDS tells of what isn't there")?;
    let (Some((socket, _)), count) = (passed.next(), passed.len() + 1) else { return Ok(None) };
    if count > 1 {
        bail!("{count} sockets were passed by LISTEN_FDS: the control socket is the only one");
    }
    // SAFETY: it is open, as it could be marked to be closed, and nobody else's, as this process
    // has opened nothing.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(socket) }))
}
