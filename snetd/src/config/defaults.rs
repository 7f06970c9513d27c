// SPDX-License-Identifier: MIT OR Apache-2.0
//! What holds for keys that the configuration doesn't name; the shipped `snetd.toml` says the
//! same.

use std::collections::BTreeMap;
use std::time::Duration;

use libsnet::types::{Operation, Protocol, Verdict};

use super::{
    AbsolutePath, Ask, Config, Control, Count, Fallback, Journal, KernelUse, Level, Lifetime,
    Period, Requests, SocketPath, Tickets,
};

impl Default for Config {
    fn default() -> Self {
        let protocols = |list: &[Protocol]| list.iter().copied().collect();
        Self {
            database: AbsolutePath::fixed("/var/lib/snet/snet.db"),
            kernel: KernelUse::Required,
            search_path: [
                "/usr/local/sbin",
                "/usr/local/bin",
                "/usr/sbin",
                "/usr/bin",
                "/sbin",
                "/bin",
            ]
            .map(AbsolutePath::fixed)
            .to_vec(),
            log_level: Level::default(),
            control: Control::default(),
            watch: BTreeMap::from([
                (Operation::Create, protocols(&[Protocol::Raw, Protocol::Packet, Protocol::Other])),
                (Operation::Bind, protocols(&[Protocol::Udp, Protocol::Udplite])),
                (Operation::Listen, protocols(&[Protocol::Tcp, Protocol::Mptcp, Protocol::Sctp])),
                (Operation::Accept, protocols(&[Protocol::Tcp, Protocol::Mptcp, Protocol::Sctp])),
                (
                    Operation::Connect,
                    protocols(&[
                        Protocol::Tcp,
                        Protocol::Mptcp,
                        Protocol::Sctp,
                        Protocol::Udp,
                        Protocol::Udplite,
                        Protocol::Icmp,
                    ]),
                ),
                (Operation::Send, protocols(&[Protocol::Udp, Protocol::Udplite, Protocol::Icmp])),
            ]),
            requests: Requests::default(),
            fallback: Fallback::default(),
            ask: Ask::default(),
            tickets: Tickets::default(),
            journal: Journal::default(),
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: SocketPath::fixed(libsnet::control::DEFAULT_SOCKET),
            group: "snet".to_owned(),
            connections: Count::fixed::<128>(),
            connections_per_user: Count::fixed::<32>(),
        }
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            deadline: Period::fixed(Duration::from_secs(2)),
            nonblock_deadline: Period::fixed(Duration::from_secs(2)),
            held: Count::fixed::<4096>(),
            held_per_process: Count::fixed::<64>(),
        }
    }
}

impl Default for Fallback {
    fn default() -> Self {
        Self {
            default: Verdict::Allow,
            create: None,
            bind: None,
            listen: None,
            connect: None,
            accept: None,
            send: None,
            recv: None,
        }
    }
}

impl Default for Ask {
    fn default() -> Self {
        Self { unmatched: false, timeout: Period::fixed(Duration::from_secs(60)) }
    }
}

impl Default for Tickets {
    fn default() -> Self {
        Self {
            lifetime: Lifetime::For(Duration::from_secs(60 * 60)),
            kept: Count::fixed::<65536>(),
            kept_per_process: Count::fixed::<256>(),
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            keep_entries: Count::fixed::<100_000>(),
            keep_for: Lifetime::For(Duration::from_secs(30 * 24 * 60 * 60)),
            queue: Count::fixed::<8192>(),
        }
    }
}
