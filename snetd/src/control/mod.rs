// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control socket: a small Varlink server.
//!
//! Owns the socket, who may connect and call, and the wire. Must not know rules, tickets or
//! the database: it hands each call that its caller may make to a [`Controller`].
//!
//! `socket` puts the socket in its place, `listener` accepts connections as far as there are
//! `places`, `session` serves one connection, `varlink` is the framing and the messages, `service` what Varlink asks of every service,
//! `role` who may call what, `parts` how a long list becomes several replies.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod listener;
mod parts;
mod places;
mod role;
mod service;
mod session;
mod socket;
mod varlink;

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use libsnet::control::{Call, ErrorReply, JournalEntry, Reply};
use tokio::sync::mpsc;

pub(crate) use listener::Listener;
pub(crate) use places::Bounds;
pub(crate) use role::Access;
pub(crate) use socket::lock;

/// What the wire needs of the daemon.
pub(crate) trait Controller: Send + Sync + 'static {
    /// Answers a call that its caller, the user `uid`, may make. Never gets `Watch`.
    fn call(&self, uid: u32, call: Call) -> impl Future<Output = Result<Reply, ErrorReply>> + Send;

    /// Begins a stream of decisions.
    fn watch(&self) -> Decisions;

    /// Takes over a connection whose peer asked to supervise programs, and answers it.
    fn supervise(&self, stream: UnixStream) -> impl Future<Output = io::Result<()>> + Send;
}

/// A stream of decisions: each with the number of those left out just before it.
pub(crate) type Decisions = mpsc::Receiver<(Arc<JournalEntry>, u64)>;
