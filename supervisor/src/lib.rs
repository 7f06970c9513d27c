// SPDX-License-Identifier: MIT OR Apache-2.0
//! The second source of events: holds the socket calls of a command and of all that it starts,
//! by seccomp user notification, and asks snetd about them. Needs no module and no root.
//!
//! Owns mechanism only, as the kernel module does: who calls what, and making the call or
//! refusing it. What is decided, and which tickets there are, is snetd's.
//!
//! Three processes: `front` is the one that the shell knows, `supervise` the supervisor,
//! `command` becomes the command. In the supervisor, `filter` says which calls are held,
//! `calls`, `messages` and `receives` what becomes of each, from `processes` (who), `object` (what) and
//! `memory` (copies of what a call points at); `daemon` asks, `perform` makes calls with the
//! caller's rights and `blocked` ends those that wait too long. `sys` has all that is unsafe.
#![deny(unsafe_code)]

mod blocked;
mod calls;
mod channel;
mod command;
#[cfg(test)]
mod continued;
mod daemon;
mod filter;
mod front;
mod memory;
mod messages;
mod object;
mod perform;
mod processes;
mod receives;
mod status;
mod supervise;
mod sys;
mod unix;

pub use daemon::Connection;
pub use front::{Ended, Launch, end_by, run};
