// SPDX-License-Identifier: MIT OR Apache-2.0
//! Talking to the kernel module.
//!
//! Owns sockets, sequence numbers and the matching of answers to questions. Owns no policy:
//! what to decide is the caller's.
//!
//! Three sockets, because netlink has one queue per socket and a queue that is full drops:
//!
//! * [`Decider`] gets events, and nothing else.
//! * [`Verdicts`] answers them. The kernel acts on a verdict before `send` returns, so there
//!   is nothing to wait for, and no runtime is needed.
//! * [`Client`] asks for everything else, one question after another.
//!
//! A fourth, [`Audit`], hears what the kernel decided alone; any process with the capability
//! may, and none has to.
//!
//! # What a decider must do
//! 1. [`Decider::register`], then [`Client::set_watch`]: until then nothing is held.
//! 2. Answer each [`Decider::next_event`] before its deadline.
//! 3. On [`Error::Overrun`]: [`Client::requests`] again, and answer what isn't known yet.
//!    Events may have been lost before that error, and none after it.
//! 4. On [`Error::Undecodable`]: answer by the number in it, or let the fallback apply.
//! 5. On [`Error::NotLoaded`]: the module is gone. Connect and register anew once it is back.
//!
//! Everything needs `CAP_NET_ADMIN` in the initial user and network namespace. [`Client`]
//! and [`Decider`] need a tokio runtime with I/O and time enabled.

mod audit;
mod channel;
mod commands;
mod connection;
mod decider;
mod delivery;
mod disabled;
mod error;
mod exchange;
mod notice;
mod verdicts;

pub use audit::Audit;
pub use commands::Client;
pub use connection::resolve;
pub use decider::{Decider, Options};
pub use delivery::Delivery;
pub use disabled::{disabled_by_command_line, disabled_by_modprobe};
pub use error::Error;
pub use verdicts::Verdicts;
