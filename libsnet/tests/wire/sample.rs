// SPDX-License-Identifier: MIT OR Apache-2.0
//! Arbitrary values of everything that has a place in a message.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use ipnet::IpNet;
use libsnet::types::{
    AuditRecord, CallFlags, Cause, Details, Event, Exe, KeptTicket, Limits, Object, Operation,
    Operations, PortRange, ProcessKey, ProcessOwner, ProgramOwner, Protocol, Protocols, RequestId,
    RuleId, Scope, Settings, Subject, Ticket, TicketId, TicketOwner, Verdict, WatchSet,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn operation() -> impl Strategy<Value = Operation> {
    select(Operation::ALL)
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(Protocol::ALL)
}

fn operations() -> impl Strategy<Value = Operations> {
    (0..=Operations::ANY.bits()).prop_filter_map("bit", Operations::from_bits)
}

fn protocols() -> impl Strategy<Value = Protocols> {
    (0..=Protocols::ANY.bits()).prop_filter_map("bit", Protocols::from_bits)
}

fn verdict() -> impl Strategy<Value = Verdict> {
    select(&[Verdict::Allow, Verdict::Deny][..])
}

fn milliseconds() -> impl Strategy<Value = Duration> {
    any::<u32>().prop_map(|number| Duration::from_millis(number.into()))
}

fn process() -> impl Strategy<Value = ProcessKey> {
    any::<(u32, u64, u64)>().prop_map(|(tgid, start_time, exec_id)| ProcessKey {
        tgid,
        start_time,
        exec_id,
    })
}

/// Paths are bytes: any but the NUL.
fn exe() -> impl Strategy<Value = Exe> {
    let path = prop::collection::vec(1..=u8::MAX, 0..64);
    (path, any::<u64>(), any::<u64>()).prop_map(|(path, device, inode)| {
        let path = OsString::from_vec(path).into();
        Exe { path, device, inode }
    })
}

fn subject() -> impl Strategy<Value = Subject> {
    let ids = any::<(u32, u32, u32, u32, u64)>();
    let namespaces = any::<(u32, u32, u32, u32)>();
    let login_uid = option::of(0..u32::MAX);
    (process(), ids, login_uid, "[^\0]{0,15}", option::of(exe()), namespaces).prop_map(
        |(process, ids, login_uid, comm, exe, namespaces)| {
            let (tid, uid, gid, parent_tgid, cgroup_id) = ids;
            let (net_ns, mnt_ns, pid_ns, user_ns) = namespaces;
            Subject {
                process,
                tid,
                uid,
                gid,
                login_uid,
                comm,
                exe,
                parent_tgid,
                cgroup_id,
                net_ns,
                mnt_ns,
                pid_ns,
                user_ns,
                details: Details::default(),
            }
        },
    )
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn object() -> impl Strategy<Value = Object> {
    let numbers = any::<(u16, u16, u16, u32)>();
    (operation(), protocol(), numbers, option::of(address()), option::of(address())).prop_map(
        |(operation, protocol, (family, kind, number, flags), remote, local)| Object {
            operation,
            protocol,
            family,
            kind,
            number,
            remote,
            local,
            flags: CallFlags(flags),
        },
    )
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), subject(), object(), milliseconds()).prop_map(
        |(request, subject, object, deadline)| Event {
            request: RequestId(request),
            subject,
            object,
            deadline,
        },
    )
}

pub(crate) fn audit_record() -> impl Strategy<Value = AuditRecord> {
    let ids =
        (option::of(any::<u64>().prop_map(TicketId)), option::of(any::<u64>().prop_map(RuleId)));
    let decision = (verdict(), select(Cause::ALL));
    (any::<(u64, u64)>(), subject(), object(), decision, ids).prop_map(
        |((time, dropped), subject, object, (verdict, cause), (ticket, rule))| AuditRecord {
            time,
            subject,
            object,
            verdict,
            cause,
            ticket,
            rule,
            dropped,
        },
    )
}

fn network() -> impl Strategy<Value = IpNet> {
    any::<(IpAddr, u8)>().prop_map(|(address, prefix)| {
        let longest = IpNet::from(address).prefix_len();
        IpNet::new(address, prefix % (longest + 1)).unwrap().trunc()
    })
}

fn ports() -> impl Strategy<Value = PortRange> {
    any::<(u16, u16)>().prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap())
}

fn scope() -> impl Strategy<Value = Scope> {
    let number = option::of(any::<u16>());
    (operations(), protocols(), number, option::of(network()), ports(), ports()).prop_map(
        |(operations, protocols, number, remote, remote_ports, local_ports)| Scope {
            operations,
            protocols,
            number,
            remote,
            remote_ports,
            local_ports,
        },
    )
}

fn ticket() -> impl Strategy<Value = Ticket> {
    let rule = option::of((1..=u64::MAX).prop_map(RuleId));
    let limits = (option::of(any::<u32>()), any::<bool>());
    (any::<u64>(), scope(), verdict(), option::of(milliseconds()), rule, limits).prop_map(
        |(id, scope, verdict, lifetime, rule, (uses, inherit))| Ticket {
            id: TicketId(id),
            scope,
            verdict,
            lifetime,
            rule,
            uses,
            inherit,
        },
    )
}

fn owner() -> impl Strategy<Value = TicketOwner> {
    let processes =
        (process(), any::<(u32, u32, u64)>()).prop_map(|(process, (uid, net_ns, cgroup_id))| {
            TicketOwner::Process(ProcessOwner { process, uid, net_ns, cgroup_id })
        });
    let programs = any::<(u64, u64, Option<u32>)>()
        .prop_map(|(device, inode, uid)| TicketOwner::Program(ProgramOwner { device, inode, uid }));
    prop_oneof![processes, programs]
}

pub(crate) fn kept_ticket() -> impl Strategy<Value = KeptTicket> {
    let origin = option::of(any::<u64>().prop_map(TicketId));
    (ticket(), owner(), origin, any::<u64>(), option::of(milliseconds())).prop_map(
        |(ticket, owner, origin, hits, last_hit)| KeptTicket {
            ticket,
            owner,
            origin,
            hits,
            last_hit,
        },
    )
}

pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let fallbacks = prop::collection::btree_map(operation(), verdict(), 0..7);
    let limits = any::<(Option<u32>, Option<u32>, Option<u32>, Option<u32>)>();
    (option::of(milliseconds()), option::of(milliseconds()), fallbacks, limits).prop_map(
        |(deadline, nonblock_deadline, fallbacks, limits)| {
            let (requests, requests_per_process, tickets, tickets_per_process) = limits;
            let limits = Limits { requests, requests_per_process, tickets, tickets_per_process };
            Settings { deadline, nonblock_deadline, fallbacks, limits }
        },
    )
}

pub(crate) fn watch_set() -> impl Strategy<Value = WatchSet> {
    let some = protocols().prop_filter("none is left out", |protocols| !protocols.is_empty());
    prop::collection::btree_map(operation(), some, 0..7)
}

/// A refusal with an extended acknowledgement, as the kernel writes one.
pub(crate) fn refusal() -> impl Strategy<Value = Vec<u8>> {
    let kind = select(&[2u16, 3][..]);
    let quoted = prop::collection::vec(any::<u8>(), 0..24);
    (kind, any::<u16>(), -4095..=0i32, quoted, "[^\0]{0,40}").prop_map(
        |(kind, flags, code, quoted, text)| {
            let mut tail = code.to_ne_bytes().to_vec();
            tail.extend((16 + quoted.len() as u32).to_ne_bytes());
            tail.extend([0; 12]);
            tail.extend(&quoted);
            tail.resize(tail.len().next_multiple_of(4), 0);
            tail.extend((5 + text.len() as u16).to_ne_bytes());
            tail.extend(1u16.to_ne_bytes());
            tail.extend(text.as_bytes());
            tail.push(0);
            tail.resize(tail.len().next_multiple_of(4), 0);
            let length = 16 + tail.len() as u32;
            let mut bytes = [length.to_ne_bytes().to_vec(), kind.to_ne_bytes().to_vec()].concat();
            bytes.extend(flags.to_ne_bytes());
            bytes.extend([0; 8]);
            bytes.extend(tail);
            bytes
        },
    )
}
