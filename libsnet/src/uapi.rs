// SPDX-License-Identifier: MIT OR Apache-2.0
// Generated from kernel/snet.yaml by kernel/generate.py. Do not edit.
//! Numbers of the netlink protocol, as `kernel/snet.yaml` gives them.

/// Name of the generic netlink family.
pub const FAMILY_NAME: &str = "snet";
/// Version of the family.
pub const FAMILY_VERSION: u8 = 1;
/// Name of the multicast group `audit`.
pub const MCGRP_AUDIT: &str = "audit";
/// `abi-version`.
pub const ABI_VERSION: u32 = 1;
/// `max-tickets-per-message`.
pub const MAX_TICKETS_PER_MESSAGE: u32 = 16;

/// What a process attempts on a socket. Masks hold one bit per entry.
pub mod operation {
    /// `create`.
    pub const CREATE: u32 = 0;
    /// `bind`.
    pub const BIND: u32 = 1;
    /// `listen`.
    pub const LISTEN: u32 = 2;
    /// `connect`.
    pub const CONNECT: u32 = 3;
    /// `accept`.
    pub const ACCEPT: u32 = 4;
    /// `send`.
    pub const SEND: u32 = 5;
    /// `recv`.
    pub const RECV: u32 = 6;
}

/// The class of a socket, told by its family, type and protocol number. Masks hold
/// one bit per entry. A raw socket is `raw` whatever its protocol number.
pub mod protocol {
    /// `tcp`.
    pub const TCP: u32 = 0;
    /// `udp`.
    pub const UDP: u32 = 1;
    /// `udplite`.
    pub const UDPLITE: u32 = 2;
    /// `sctp`.
    pub const SCTP: u32 = 3;
    /// `mptcp`.
    pub const MPTCP: u32 = 4;
    /// `icmp`.
    pub const ICMP: u32 = 5;
    /// `raw`.
    pub const RAW: u32 = 6;
    /// `packet`.
    pub const PACKET: u32 = 7;
    /// `unix`.
    pub const UNIX: u32 = 8;
    /// `other`.
    pub const OTHER: u32 = 9;
}

/// Zero is never a verdict.
pub mod verdict {
    /// `allow`.
    pub const ALLOW: u32 = 1;
    /// `deny`.
    pub const DENY: u32 = 2;
}

/// How the call was made.
pub mod call_flag {
    /// O_NONBLOCK is set on the socket.
    pub const NONBLOCK: u32 = 1;
    /// A send with MSG_FASTOPEN, which begins a connection.
    pub const FASTOPEN: u32 = 2;
    /// The call came from an io_uring worker.
    pub const IO_URING: u32 = 4;
    /// The socket is locked while the call is held (SCTP's connectx and bindx): whoever
    /// wants it waits as well.
    pub const LOCKED: u32 = 8;
}

/// Why the kernel decided a call alone.
pub mod cause {
    /// A deny ticket.
    pub const TICKET: u32 = 1;
    /// No verdict came in time.
    pub const DEADLINE: u32 = 2;
    /// `no-decider`.
    pub const NO_DECIDER: u32 = 3;
    /// The decider went while the call was held.
    pub const DECIDER_GONE: u32 = 4;
    /// Three deadlines in a row had passed without a word of the decider.
    pub const STALLED: u32 = 5;
    /// Too many calls were held.
    pub const BOUNDS: u32 = 6;
    /// The event could not be delivered.
    pub const LOST: u32 = 7;
    /// The call would reach another host first than the one it names. Such calls are
    /// refused where connect or send is watched, and the setting of such routes, of which
    /// the object tells the socket as far as it is known, without an address.
    pub const SOURCE_ROUTE: u32 = 8;
}

/// Attribute types, a module for each attribute set.
pub mod attr {
    /// Who attempts, as the kernel saw it in the calling thread.
    pub mod subject {
        /// `pad`.
        pub const PAD: u16 = 1;
        /// Process id in the initial pid namespace.
        pub const TGID: u16 = 2;
        /// Thread id in the initial pid namespace.
        pub const TID: u16 = 3;
        /// Start of the process, nanoseconds since boot.
        pub const START_TIME: u16 = 4;
        /// Grows with every execve() of the process.
        pub const EXEC_ID: u16 = 5;
        /// Effective user id in the initial user namespace.
        pub const UID: u16 = 6;
        /// Effective group id in the initial user namespace.
        pub const GID: u16 = 7;
        /// Audit login uid; 4294967295 when unset.
        pub const LOGIN_UID: u16 = 8;
        /// `comm`.
        pub const COMM: u16 = 9;
        /// Path of the executable as d_path() prints it to the calling process, with
        /// " (deleted)" behind it when it is unlinked. Absent when it can't be told.
        pub const EXE: u16 = 10;
        /// Device of the executable as stat(2) shows it, in the kernel's huge encoding.
        pub const EXE_DEVICE: u16 = 11;
        /// `exe-inode`.
        pub const EXE_INODE: u16 = 12;
        /// `parent-tgid`.
        pub const PARENT_TGID: u16 = 13;
        /// Id of the cgroup in the default hierarchy; its inode number on a cgroup2 mount.
        pub const CGROUP_ID: u16 = 14;
        /// Inode of the network namespace of the socket.
        pub const NET_NS: u16 = 15;
        /// Inode of the mount namespace; 0 when it can't be told.
        pub const MNT_NS: u16 = 16;
        /// `pid-ns`.
        pub const PID_NS: u16 = 17;
        /// `user-ns`.
        pub const USER_NS: u16 = 18;
    }
    /// What is attempted.
    pub mod object {
        /// `operation`.
        pub const OPERATION: u16 = 1;
        /// `protocol`.
        pub const PROTOCOL: u16 = 2;
        /// Address family of the socket (AF_*).
        pub const FAMILY: u16 = 3;
        /// Type of the socket (SOCK_*).
        pub const TYPE: u16 = 4;
        /// Protocol number of the socket (IPPROTO_*, or ETH_P_* for packet sockets).
        pub const NUMBER: u16 = 5;
        /// 4 or 16 bytes, network order; absent when the call names no remote address.
        /// IPv4-mapped IPv6 addresses are given as IPv4, and the unspecified address as
        /// the local one that the kernel will use instead.
        pub const REMOTE_ADDR: u16 = 6;
        /// Host order.
        pub const REMOTE_PORT: u16 = 7;
        /// `local-addr`.
        pub const LOCAL_ADDR: u16 = 8;
        /// Host order; 0 when the socket has none yet.
        pub const LOCAL_PORT: u16 = 9;
        /// `flags`.
        pub const FLAGS: u16 = 10;
    }
    /// A verdict that the kernel remembers, and the calls it is for. A process ticket counts
    /// only while user id, user and network namespace, cgroup and executable are those it was
    /// issued for. A program ticket names an executable in place of a process, and counts for
    /// every process of the initial user namespace that runs it.
    pub mod ticket {
        /// `pad`.
        pub const PAD: u16 = 1;
        /// Chosen by the decider, not 0, unique among live tickets.
        pub const ID: u16 = 2;
        /// `tgid`.
        pub const TGID: u16 = 3;
        /// `exec-id`.
        pub const EXEC_ID: u16 = 4;
        /// Mask of operations, not 0.
        pub const OPERATIONS: u16 = 5;
        /// Mask of protocols, not 0.
        pub const PROTOCOLS: u16 = 6;
        /// Protocol number the socket must have; absent means any.
        pub const NUMBER: u16 = 7;
        /// 4 or 16 bytes, bits behind the prefix zero; absent means any, also none.
        pub const REMOTE_ADDR: u16 = 8;
        /// Length of the prefix in bits; goes with remote-addr.
        pub const REMOTE_PREFIX: u16 = 9;
        /// A range that isn't 0 to 65535 only covers calls that name a remote address.
        pub const REMOTE_PORT_MIN: u16 = 10;
        /// `remote-port-max`.
        pub const REMOTE_PORT_MAX: u16 = 11;
        /// `local-port-min`.
        pub const LOCAL_PORT_MIN: u16 = 12;
        /// `local-port-max`.
        pub const LOCAL_PORT_MAX: u16 = 13;
        /// `verdict`.
        pub const VERDICT: u16 = 14;
        /// Milliseconds, counted while the machine sleeps as well. In a dump what is left.
        /// Absent means as long as the process lives.
        pub const LIFETIME: u16 = 15;
        /// The rule behind the verdict, which the kernel only keeps; 0 or absent for none.
        pub const RULE_ID: u16 = 16;
        /// Calls decided by this ticket (dump only).
        pub const HITS: u16 = 17;
        /// Milliseconds since the last hit; absent before the first (dump only).
        pub const LAST_HIT: u16 = 18;
        /// Start of the process, nanoseconds since boot.
        pub const START_TIME: u16 = 19;
        /// User the ticket is for. Given only for program tickets, where absent means any; in a
        /// dump of a process ticket the user it was issued for.
        pub const UID: u16 = 20;
        /// Network namespace the ticket was issued for (dump only).
        pub const NET_NS: u16 = 21;
        /// Cgroup the ticket was issued for (dump only).
        pub const CGROUP_ID: u16 = 22;
        /// Calls it may still decide; absent for no limit. Not together with inherit.
        pub const USES: u16 = 23;
        /// Processes that the process forks get a copy each. For process tickets only, and for
        /// at most 256 of one process.
        pub const INHERIT: u16 = 24;
        /// Id of the ticket this one is an inherited copy of (dump only). Copies have ids of the
        /// kernel's, with the highest bit set; they are removed with their origin's id too.
        pub const ORIGIN: u16 = 25;
        /// Device of the executable as stat(2) shows it, in the kernel's huge encoding. It and
        /// exe-inode make a program ticket, which names no process.
        pub const EXE_DEVICE: u16 = 26;
        /// `exe-inode`.
        pub const EXE_INODE: u16 = 27;
    }
    /// One operation of the watch set.
    pub mod watch {
        /// `operation`.
        pub const OPERATION: u16 = 1;
        /// Mask of the protocols for which the operation is mediated; 0 for none.
        pub const PROTOCOLS: u16 = 2;
    }
    /// What applies to one operation when no verdict comes.
    pub mod fallback {
        /// `operation`.
        pub const OPERATION: u16 = 1;
        /// `verdict`.
        pub const VERDICT: u16 = 2;
    }
    /// Attributes of policy.
    pub mod policy {
        /// Milliseconds a call is held without a verdict.
        pub const DEADLINE: u16 = 1;
        /// The same for calls of flag nonblock, io-uring or locked; defer doesn't go beyond it.
        pub const NONBLOCK_DEADLINE: u16 = 2;
        /// `fallback`.
        pub const FALLBACK: u16 = 3;
        /// Calls held at once; past it the fallback applies.
        pub const MAX_REQUESTS: u16 = 4;
        /// `max-requests-per-process`.
        pub const MAX_REQUESTS_PER_PROCESS: u16 = 5;
        /// `max-tickets`.
        pub const MAX_TICKETS: u16 = 6;
        /// Of one process, or for one program.
        pub const MAX_TICKETS_PER_PROCESS: u16 = 7;
    }
    /// Counters since the module was loaded, and what is held now.
    pub mod stats {
        /// `pad`.
        pub const PAD: u16 = 1;
        /// Watched calls.
        pub const CALLS: u16 = 2;
        /// `ticket-allowed`.
        pub const TICKET_ALLOWED: u16 = 3;
        /// `ticket-denied`.
        pub const TICKET_DENIED: u16 = 4;
        /// Events sent to a decider.
        pub const EVENTS: u16 = 5;
        /// `verdict-allowed`.
        pub const VERDICT_ALLOWED: u16 = 6;
        /// `verdict-denied`.
        pub const VERDICT_DENIED: u16 = 7;
        /// Fallbacks because no verdict came in time.
        pub const FALLBACK_DEADLINE: u16 = 8;
        /// `fallback-no-decider`.
        pub const FALLBACK_NO_DECIDER: u16 = 9;
        /// Fallbacks because the decider went while the call was held.
        pub const FALLBACK_DECIDER_GONE: u16 = 10;
        /// Fallbacks at once, after three deadlines in a row without a word.
        pub const FALLBACK_STALLED: u16 = 11;
        /// Fallbacks because too many calls were held.
        pub const FALLBACK_BOUNDS: u16 = 12;
        /// Fallbacks because the event could not be delivered.
        pub const FALLBACK_LOST: u16 = 13;
        /// Held calls ended by a fatal signal.
        pub const KILLED: u16 = 14;
        /// Calls refused because of a source route.
        pub const REFUSED: u16 = 15;
        /// Audit messages that were not sent, for their rate or for want of room.
        pub const AUDIT_DROPPED: u16 = 16;
        /// Calls held now.
        pub const HELD: u16 = 17;
        /// Tickets now.
        pub const TICKETS: u16 = 18;
        /// Processes and programs that have tickets now.
        pub const OWNERS: u16 = 19;
        /// Process id of the registered decider; absent when there is none.
        pub const DECIDER: u16 = 20;
    }
    /// Top-level attributes of every message.
    pub mod main {
        /// `pad`.
        pub const PAD: u16 = 1;
        /// `abi-version`.
        pub const ABI_VERSION: u16 = 2;
        /// `request-id`.
        pub const REQUEST_ID: u16 = 3;
        /// `subject`.
        pub const SUBJECT: u16 = 4;
        /// `object`.
        pub const OBJECT: u16 = 5;
        /// Milliseconds until the fallback applies.
        pub const DEADLINE: u16 = 6;
        /// `verdict`.
        pub const VERDICT: u16 = 7;
        /// `ticket`.
        pub const TICKET: u16 = 8;
        /// `watch`.
        pub const WATCH: u16 = 9;
        /// `policy`.
        pub const POLICY: u16 = 10;
        /// `stats`.
        pub const STATS: u16 = 11;
        /// `ticket-id`.
        pub const TICKET_ID: u16 = 12;
        /// `rule-id`.
        pub const RULE_ID: u16 = 13;
        /// `tgid`.
        pub const TGID: u16 = 14;
        /// `cause`.
        pub const CAUSE: u16 = 15;
        /// Audit messages dropped since the one before this.
        pub const DROPPED: u16 = 16;
        /// When the call was decided, milliseconds since 1970 (UTC).
        pub const TIME: u16 = 17;
    }
}

/// Commands.
pub mod cmd {
    /// Become the decider. Events go to the socket that sent this, until it closes, or the
    /// process sends unregister, ends or executes a program, also if another one still has
    /// the socket open. Only the same process may answer them.
    pub const REGISTER: u8 = 1;
    /// Stop being the decider; held calls get the fallback at once, as when its socket closes
    /// or its process ends. Those that were deferred stay for as long as a deadline, so that
    /// the next decider finds them with request-get.
    pub const UNREGISTER: u8 = 2;
    /// Replace the watch set of each operation that is named.
    pub const WATCH_SET: u8 = 3;
    /// One message per operation.
    pub const WATCH_GET: u8 = 4;
    /// Watch nothing.
    pub const WATCH_FLUSH: u8 = 5;
    /// Set the deadlines, fallbacks and bounds that are named; the others stay.
    pub const POLICY_SET: u8 = 6;
    /// `policy-get`.
    pub const POLICY_GET: u8 = 7;
    /// A held call, unicast to the decider.
    pub const EVENT: u8 = 8;
    /// All calls still held, in the form of events.
    pub const REQUEST_GET: u8 = 9;
    /// Decide a held call, and keep the tickets that are given with it: for the process
    /// that asked, so they name none. EEXIST, ENOSPC and ESRCH say that the verdict counts
    /// but that no ticket was kept; ENOENT that the call isn't held any more.
    pub const VERDICT: u8 = 10;
    /// Give one held call a new deadline, counted from now. ENOENT when it isn't held any more.
    /// A call of flag nonblock, io-uring or locked is never held longer than the
    /// nonblock-deadline that was in force when it began: EINVAL, and its deadline stays.
    pub const DEFER: u8 = 11;
    /// Give tickets to running processes, named by tgid, start-time and exec-id, or to
    /// programs, named by exe-device and exe-inode. ESRCH when there is no such process, ESTALE
    /// when it is another one or runs another program now.
    pub const TICKET_ADD: u8 = 12;
    /// Remove a ticket and its copies by its id, or all tickets of a rule or of a process: one
    /// of these is named. ENOENT when there was none.
    pub const TICKET_DEL: u8 = 13;
    /// One message per ticket.
    pub const TICKET_GET: u8 = 14;
    /// Remove all tickets.
    pub const TICKET_FLUSH: u8 = 15;
    /// `stats-get`.
    pub const STATS_GET: u8 = 16;
    /// What the kernel decided alone, to whoever listens to the group of this name. The
    /// ticket's id and its rule go with cause `ticket`.
    pub const AUDIT: u8 = 17;
}
