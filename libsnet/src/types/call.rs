// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is attempted, and the event that tells of it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Operation, Protocol, Subject};
use crate::uapi;

/// How a call was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallFlags(pub u32);

impl CallFlags {
    /// The socket is non-blocking.
    pub const NONBLOCK: Self = Self(uapi::call_flag::NONBLOCK);
    /// A send that begins a connection.
    pub const FASTOPEN: Self = Self(uapi::call_flag::FASTOPEN);
    /// The call came from an io_uring worker.
    pub const IO_URING: Self = Self(uapi::call_flag::IO_URING);

    /// The socket is locked while the call is held (SCTP's `connectx` and `bindx`).
    pub const LOCKED: Self = Self(uapi::call_flag::LOCKED);

    /// Are all of `other`'s flags set?
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What is attempted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Object {
    /// The operation.
    pub operation: Operation,
    /// The class of the socket.
    pub protocol: Protocol,
    /// Address family of the socket (`AF_*`).
    pub family: u16,
    /// Type of the socket (`SOCK_*`).
    pub kind: u16,
    /// Protocol number of the socket.
    pub number: u16,
    /// The peer, when the call names one. The kernel gives IPv4-mapped addresses as IPv4
    /// and the unspecified address as the local one that it stands for.
    pub remote: Option<SocketAddr>,
    /// The own address, with port 0 while the socket has none; `None` for families
    /// without addresses.
    pub local: Option<SocketAddr>,
    /// How the call was made.
    pub flags: CallFlags,
}

impl Object {
    /// The own port, 0 when there is none yet.
    pub fn local_port(&self) -> u16 {
        self.local.map_or(0, |local| local.port())
    }
}

/// Number of a held call, never used twice while the module is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A held call that waits for a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Names the call in the verdict.
    pub request: RequestId,
    /// Who.
    pub subject: Subject,
    /// What.
    pub object: Object,
    /// How long the kernel waits before the fallback applies.
    pub deadline: Duration,
}
