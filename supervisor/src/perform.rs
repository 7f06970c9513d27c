// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes a call for somebody: with that somebody's rights and no more, and so that it ends when
//! that somebody's own call would.

use std::io;

use crate::blocked::{Blocked, Waiting, Why};
use crate::object::Socket;
use crate::status::Status;
use crate::sys::{self, Credentials, ERESTARTSYS, End};

const CAP_SETGID: u64 = 1 << 6;
const CAP_SETUID: u64 = 1 << 7;

/// Who the supervisor is.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) credentials: Credentials,
    pub(crate) user_ns: u32,
}

/// For whom a call is made.
pub(crate) struct Caller<'a> {
    /// Its held call.
    pub(crate) id: u64,
    pub(crate) tid: u32,
    pub(crate) status: &'a Status,
    pub(crate) user_ns: u32,
}

impl Own {
    /// Is the caller in a user namespace of its own? There it may have rights that mean
    /// nothing outside, and the supervisor, whose user owns that namespace, would have all.
    pub(crate) fn is_foreign(&self, caller: &Caller<'_>) -> bool {
        caller.user_ns != self.user_ns
    }

    /// Does `work` with the caller's rights.
    pub(crate) fn act_as<T: Send>(
        &self,
        caller: &Caller<'_>,
        needs_umask: bool,
        work: impl FnOnce() -> Result<T, End> + Send,
    ) -> Result<T, End> {
        let (own, theirs) = (&self.credentials, &caller.status.credentials);
        let foreign = self.is_foreign(caller);
        let also_ids = (own.uid, own.gid, &own.groups) != (theirs.uid, theirs.gid, &theirs.groups);
        let same = !also_ids && !foreign && own.capabilities == theirs.capabilities;
        if same && !(needs_umask && own.umask != theirs.umask) {
            return work();
        }
        let may = own.capabilities & (CAP_SETGID | CAP_SETUID) == CAP_SETGID | CAP_SETUID;
        if also_ids && !may {
            return Err(End::Fails(libc::EACCES));
        }
        let capabilities = if foreign { 0 } else { theirs.capabilities & own.capabilities };
        let who = Credentials { capabilities, ..theirs.clone() };
        // What it becomes goes with the thread.
        let done = std::thread::scope(|scope| {
            let acting = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || {
                sys::become_for_good(&who, also_ids).map_err(|error| fails(&error))?;
                work()
            });
            acting.map_err(|error| fails(&error))?.join().map_err(|_| End::Fails(libc::EIO))
        });
        done?
    }
}

/// Enough for what a worker does, and little enough for ten thousand of them.
pub(crate) const STACK: usize = 128 * 1024;

/// A call that fails as another one did.
pub(crate) fn fails(error: &io::Error) -> End {
    End::Fails(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Makes a call that may wait, until it is done or the caller has something else to do.
pub(crate) fn wait_for<T>(
    blocked: &Blocked,
    caller: &Caller<'_>,
    socket: &Socket,
    timeout_option: i32,
    mut call: impl FnMut() -> io::Result<T>,
) -> Result<T, End> {
    let waiting = blocked.enter(caller.id, caller.tid);
    loop {
        match call() {
            Ok(value) => return Ok(value),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {
                if let Some(end) = interrupted(&waiting, socket, timeout_option) {
                    return Err(end);
                }
            }
            Err(error) => return Err(fails(&error)),
        }
    }
}

/// How the caller's own call would end now. With a timeout, and where it isn't certain that a
/// signal comes, it isn't made again by itself.
fn interrupted(waiting: &Waiting<'_>, socket: &Socket, timeout_option: i32) -> Option<End> {
    let timeout = || sys::socket_option::<[i64; 2]>(socket.as_fd(), timeout_option);
    match waiting.why()? {
        Why::Gone | Why::SomebodysSignal => Some(End::Fails(libc::EINTR)),
        Why::Signal if timeout().is_ok_and(|timeout| timeout != [0, 0]) => {
            Some(End::Fails(libc::EINTR))
        }
        Why::Signal => Some(End::Fails(ERESTARTSYS)),
    }
}
