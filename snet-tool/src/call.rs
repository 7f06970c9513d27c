// SPDX-License-Identifier: MIT OR Apache-2.0
//! A call as the kernel would tell of it, from what a person or the journal says.

use libsnet::control::JournalEntry;
use libsnet::types::{CallFlags, Object, Protocol};

/// The numbers by which a program asks for a socket of a class.
pub(crate) struct SocketKind {
    pub(crate) family: u16,
    pub(crate) kind: u16,
    pub(crate) number: u16,
}

impl SocketKind {
    pub(crate) fn of(protocol: Protocol, v6: bool) -> Self {
        const UNIX: u16 = 1;
        const PACKET: u16 = 17;
        const STREAM: u16 = 1;
        const DATAGRAM: u16 = 2;
        const RAW: u16 = 3;
        let inet = if v6 { 10 } else { 2 };
        let (family, kind, number) = match protocol {
            Protocol::Tcp => (inet, STREAM, 6),
            Protocol::Udp => (inet, DATAGRAM, 17),
            Protocol::Udplite => (inet, DATAGRAM, 136),
            Protocol::Sctp => (inet, STREAM, 132),
            Protocol::Mptcp => (inet, STREAM, 262),
            Protocol::Icmp => (inet, DATAGRAM, if v6 { 58 } else { 1 }),
            Protocol::Raw | Protocol::Other => (inet, RAW, 255),
            // ETH_P_ALL
            Protocol::Packet => (PACKET, RAW, 3),
            Protocol::Unix => (UNIX, STREAM, 0),
        };
        Self { family, kind, number }
    }
}

/// The call of a journal entry, which doesn't say a protocol number of its own.
pub(crate) fn object_of(entry: &JournalEntry) -> Object {
    let v6 = entry.remote.or(entry.local).is_some_and(|address| address.is_ipv6());
    let SocketKind { family, kind, number } = SocketKind::of(entry.protocol, v6);
    Object {
        operation: entry.operation,
        protocol: entry.protocol,
        family,
        kind,
        number,
        remote: entry.remote,
        local: entry.local,
        flags: CallFlags::default(),
    }
}
