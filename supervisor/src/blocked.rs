// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that are made for somebody and wait in the kernel: ended when the one they are made for
//! is killed, or has a signal to handle first, as its own call would be.
//!
//! Owns the list of them and the thread that looks after it. A call of a few milliseconds is
//! never looked at.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

use crate::status::Status;
use crate::sys;

/// Between two looks, and how old a call must be to be looked at.
const LOOK: Duration = Duration::from_millis(10);
/// Calls looked at each time; with more, each has to wait for its turn.
const AT_ONCE: usize = 256;

/// Why a call has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Nobody waits for it any more.
    Gone,
    /// A signal waits, and it is certain that the thread itself will take it.
    Signal,
    /// A signal waits that another thread may take.
    SomebodysSignal,
}

#[derive(Debug)]
struct Entry {
    worker: u32,
    id: u64,
    tid: u32,
    since: Instant,
    why: AtomicU8,
}

/// The calls that wait.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    /// Protects only the list.
    entries: Mutex<Vec<Arc<Entry>>>,
    some: Condvar,
}

/// A call that waits, for as long as this lives.
pub(crate) struct Waiting<'a> {
    blocked: &'a Blocked,
    entry: Arc<Entry>,
}

impl Blocked {
    /// The calling thread is about to wait in a call that it makes for the thread `tid`, whose
    /// own call is held as `id`.
    pub(crate) fn enter(&self, id: u64, tid: u32) -> Waiting<'_> {
        let (worker, since) = (sys::own_tid(), Instant::now());
        let entry = Arc::new(Entry { worker, id, tid, since, why: AtomicU8::new(0) });
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(Arc::clone(&entry));
        if entries.len() == 1 {
            self.some.notify_one();
        }
        drop(entries);
        // Only in here: elsewhere it would end something that isn't to be ended. (Linux lets a
        // call return 0 whose SECCOMP_IOCTL_NOTIF_ADDFD was interrupted.)
        let _ = interrupt().thread_unblock();
        Waiting { blocked: self, entry }
    }

    /// Looks after them for ever.
    pub(crate) fn look_after(&self, listener: BorrowedFd<'_>) {
        let mut from = 0;
        loop {
            let entries = {
                let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
                let some = self.some.wait_while(entries, |entries| entries.is_empty());
                some.unwrap_or_else(PoisonError::into_inner).clone()
            };
            std::thread::sleep(LOOK);
            let count = entries.len();
            let start = if from < count { from } else { 0 };
            for entry in entries.iter().cycle().skip(start).take(count.min(AT_ONCE)) {
                if entry.since.elapsed() > LOOK / 2
                    && let Some(why) = why(listener, entry)
                {
                    self.interrupt(entry, why);
                }
            }
            from = start + AT_ONCE;
        }
    }
}

impl Blocked {
    /// Ends a wait, unless it has ended by itself meanwhile: its worker may be at another call.
    fn interrupt(&self, entry: &Arc<Entry>, why: Why) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.iter().any(|other| Arc::ptr_eq(other, entry)) {
            entry.why.store(why as u8 + 1, Ordering::Release);
            // Comes again until the worker has noticed: it may not have been waiting yet.
            sys::signal_thread(std::process::id(), entry.worker, sys::INTERRUPT);
        }
    }
}

/// The signal that ends a wait.
fn interrupt() -> SigSet {
    Signal::try_from(sys::INTERRUPT).into_iter().collect()
}

fn why(listener: BorrowedFd<'_>, entry: &Entry) -> Option<Why> {
    const KILL: u64 = 1 << (libc::SIGKILL - 1);
    let status = Status::read(entry.tid);
    // Only now is it known whose status that was.
    let (true, Ok(status)) = (sys::is_held(listener, entry.id), status) else {
        return Some(Why::Gone);
    };
    let all = status.own_signals | status.shared_signals;
    if all & KILL != 0 {
        Some(Why::Gone)
    } else if status.own_signals != 0 || (all != 0 && status.threads == 1) {
        Some(Why::Signal)
    } else if all != 0 {
        Some(Why::SomebodysSignal)
    } else {
        None
    }
}

impl Waiting<'_> {
    /// Why the call has to end, if it has.
    pub(crate) fn why(&self) -> Option<Why> {
        match self.entry.why.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Why::Gone),
            2 => Some(Why::Signal),
            _ => Some(Why::SomebodysSignal),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let _ = interrupt().thread_block();
        let mut entries = self.blocked.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|entry| !Arc::ptr_eq(entry, &self.entry));
    }
}
