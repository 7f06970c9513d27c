// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tickets: what the kernel shall remember, and what it lists as remembered.
//!
//! Owns the mapping of a scope onto attributes: a condition that covers everything is left
//! out. Rule 0 is no rule, on the wire and here.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::attribute::{Key, Table, key};
use super::encode::{self, AttributeList};
use super::{DecodeError, EncodeError, Envelope};
use crate::types::{
    KeptTicket, PortRange, ProcessKey, ProcessOwner, ProgramOwner, RuleId, Scope, Ticket, TicketId,
    TicketOwner, TicketTarget,
};
use crate::uapi;

/// Decodes the attributes of a message of a `ticket-get` dump.
///
/// # Errors
/// A [`DecodeError`] that names the attribute.
pub fn decode(attributes: &[u8]) -> Result<KeptTicket, DecodeError> {
    let table = Table::new(attributes)?.nest(key!(main::TICKET))?;
    Ok(KeptTicket {
        ticket: decode_ticket(&table)?,
        owner: decode_owner(&table)?,
        origin: table.optional(key!(ticket::ORIGIN))?.map(TicketId),
        hits: table.required(key!(ticket::HITS))?,
        last_hit: table.optional(key!(ticket::LAST_HIT))?.map(Duration::from_millis),
    })
}

/// An executable stands in place of a process.
fn decode_owner(table: &Table<'_>) -> Result<TicketOwner, DecodeError> {
    if let Some(device) = table.optional(key!(ticket::EXE_DEVICE))? {
        return Ok(TicketOwner::Program(ProgramOwner {
            device,
            inode: table.required(key!(ticket::EXE_INODE))?,
            uid: table.optional(key!(ticket::UID))?,
        }));
    }
    Ok(TicketOwner::Process(ProcessOwner {
        process: ProcessKey {
            tgid: table.required(key!(ticket::TGID))?,
            start_time: table.required(key!(ticket::START_TIME))?,
            exec_id: table.required(key!(ticket::EXEC_ID))?,
        },
        uid: table.required(key!(ticket::UID))?,
        net_ns: table.required(key!(ticket::NET_NS))?,
        cgroup_id: table.required(key!(ticket::CGROUP_ID))?,
    }))
}

fn decode_ticket(table: &Table<'_>) -> Result<Ticket, DecodeError> {
    let rule = table.optional::<u64>(key!(ticket::RULE_ID))?;
    Ok(Ticket {
        id: TicketId(table.required(key!(ticket::ID))?),
        scope: Scope {
            operations: table.required(key!(ticket::OPERATIONS))?,
            protocols: table.required(key!(ticket::PROTOCOLS))?,
            number: table.optional(key!(ticket::NUMBER))?,
            remote: decode_network(table)?,
            remote_ports: decode_ports(
                table,
                key!(ticket::REMOTE_PORT_MIN),
                key!(ticket::REMOTE_PORT_MAX),
            )?,
            local_ports: decode_ports(
                table,
                key!(ticket::LOCAL_PORT_MIN),
                key!(ticket::LOCAL_PORT_MAX),
            )?,
        },
        verdict: table.required(key!(ticket::VERDICT))?,
        lifetime: table.optional(key!(ticket::LIFETIME))?.map(Duration::from_millis),
        rule: rule.filter(|id| *id != 0).map(RuleId),
        uses: table.optional(key!(ticket::USES))?,
        inherit: table.has(key!(ticket::INHERIT)),
    })
}

/// An address and its prefix need each other: one alone would be another scope. Bits behind the
/// prefix mean nothing.
fn decode_network(table: &Table<'_>) -> Result<Option<IpNet>, DecodeError> {
    let prefix_key = key!(ticket::REMOTE_PREFIX);
    let address = table.optional::<IpAddr>(key!(ticket::REMOTE_ADDR))?;
    let prefix = table.optional::<u8>(prefix_key)?;
    match (address, prefix) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(DecodeError::Missing(key!(ticket::REMOTE_ADDR).name)),
        (Some(_), None) => Err(DecodeError::Missing(prefix_key.name)),
        (Some(address), Some(prefix)) => {
            let network = IpNet::new(address, prefix).map_err(|_| prefix_key.unknown(prefix))?;
            Ok(Some(network.trunc()))
        }
    }
}

/// An end that isn't given is the end of all ports.
fn decode_ports(table: &Table<'_>, min: Key, max: Key) -> Result<PortRange, DecodeError> {
    let first = table.optional(min)?.unwrap_or(PortRange::ANY.min());
    let last = table.optional(max)?.unwrap_or(PortRange::ANY.max());
    PortRange::new(first, last).ok_or_else(|| max.unknown(last))
}

/// Encodes a ticket as the kernel lists it, for tests and simulated kernels.
///
/// # Errors
/// [`EncodeError::Encoder`], which no ticket is known to cause.
pub fn encode(kept: &KeptTicket, envelope: Envelope, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut inner = match kept.owner {
        TicketOwner::Process(owner) => {
            let target = TicketTarget::Process(owner.process);
            let mut inner = encode_for(&kept.ticket, target)?;
            inner.put(key!(ticket::UID), owner.uid)?;
            inner.put(key!(ticket::NET_NS), owner.net_ns)?;
            inner.put(key!(ticket::CGROUP_ID), owner.cgroup_id)?;
            inner
        }
        TicketOwner::Program(owner) => encode_for(&kept.ticket, TicketTarget::Program(owner))?,
    };
    inner.put_some(key!(ticket::ORIGIN), kept.origin.map(|origin| origin.0))?;
    inner.put(key!(ticket::HITS), kept.hits)?;
    inner.put_some(key!(ticket::LAST_HIT), kept.last_hit.map(encode::milliseconds))?;
    let mut list = AttributeList::default();
    list.nest(key!(main::TICKET), inner)?;
    encode::message(envelope, (uapi::cmd::TICKET_GET, uapi::FAMILY_VERSION), list, out)
}

/// A ticket and whom it is for. The start time goes with a process: its id comes again, and
/// then often with the same exec id, since a fork inherits it.
pub(super) fn encode_for(
    ticket: &Ticket,
    target: TicketTarget,
) -> Result<AttributeList, EncodeError> {
    let mut list = encode_ticket(ticket)?;
    match target {
        TicketTarget::Process(process) => {
            list.put(key!(ticket::TGID), process.tgid)?;
            list.put(key!(ticket::EXEC_ID), process.exec_id)?;
            list.put(key!(ticket::START_TIME), process.start_time)?;
        }
        TicketTarget::Program(program) => {
            list.put(key!(ticket::EXE_DEVICE), program.device)?;
            list.put(key!(ticket::EXE_INODE), program.inode)?;
            list.put_some(key!(ticket::UID), program.uid)?;
        }
    }
    Ok(list)
}

/// A ticket for the process whose call the verdict decides.
pub(super) fn encode_ticket(ticket: &Ticket) -> Result<AttributeList, EncodeError> {
    let scope = &ticket.scope;
    let mut list = AttributeList::default();
    list.put(key!(ticket::ID), ticket.id.0)?;
    list.put(key!(ticket::OPERATIONS), scope.operations.bits())?;
    list.put(key!(ticket::PROTOCOLS), scope.protocols.bits())?;
    list.put_some(key!(ticket::NUMBER), scope.number)?;
    if let Some(network) = scope.remote {
        // The network's address and not the one it was written with: the kernel refuses bits
        // behind the prefix.
        list.put_address(key!(ticket::REMOTE_ADDR), network.network())?;
        list.put(key!(ticket::REMOTE_PREFIX), network.prefix_len())?;
    }
    let remote = (key!(ticket::REMOTE_PORT_MIN), key!(ticket::REMOTE_PORT_MAX));
    encode_ports(&mut list, remote, scope.remote_ports)?;
    let local = (key!(ticket::LOCAL_PORT_MIN), key!(ticket::LOCAL_PORT_MAX));
    encode_ports(&mut list, local, scope.local_ports)?;
    list.put(key!(ticket::VERDICT), ticket.verdict as u32)?;
    list.put_some(key!(ticket::LIFETIME), ticket.lifetime.map(encode::milliseconds))?;
    list.put_some(key!(ticket::RULE_ID), ticket.rule.map(|rule| rule.0))?;
    list.put_some(key!(ticket::USES), ticket.uses)?;
    if ticket.inherit {
        list.put_flag(key!(ticket::INHERIT))?;
    }
    Ok(list)
}

fn encode_ports(
    list: &mut AttributeList,
    (min, max): (Key, Key),
    ports: PortRange,
) -> Result<(), EncodeError> {
    if ports.is_any() {
        return Ok(());
    }
    list.put(min, ports.min())?;
    list.put(max, ports.max())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Operations, Protocol, Verdict};
    use crate::wire::Messages;

    fn sample(scope: Scope) -> KeptTicket {
        KeptTicket {
            ticket: Ticket {
                lifetime: Some(Duration::from_millis(1500)),
                rule: Some(RuleId(9)),
                ..Ticket::new(TicketId(5), scope, Verdict::Deny)
            },
            owner: TicketOwner::Process(ProcessOwner {
                process: ProcessKey { tgid: 10, start_time: 11, exec_id: 12 },
                uid: 1000,
                net_ns: 4026531840,
                cgroup_id: 77,
            }),
            origin: None,
            hits: 3,
            last_hit: Some(Duration::from_millis(20)),
        }
    }

    fn narrow() -> Scope {
        Scope {
            operations: Operations::OUT,
            protocols: Protocol::Tcp.into(),
            number: Some(6),
            remote: Some("10.0.0.0/8".parse().unwrap()),
            remote_ports: PortRange::new(443, 8443).unwrap(),
            local_ports: PortRange::new(0, 1023).unwrap(),
        }
    }

    fn back(kept: &KeptTicket) -> Result<KeptTicket, DecodeError> {
        let mut bytes = Vec::new();
        let envelope = Envelope { family: 32, flags: 0, sequence: 0 };
        encode(kept, envelope, &mut bytes).unwrap();
        decode(Messages::new(&bytes).next().unwrap().unwrap().genl().unwrap().attributes)
    }

    fn decoded(list: AttributeList) -> Result<Ticket, DecodeError> {
        let mut bytes = Vec::new();
        let envelope = Envelope { family: 32, flags: 0, sequence: 0 };
        encode::message(envelope, (1, 1), list, &mut bytes).unwrap();
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        decode_ticket(&Table::new(message.genl().unwrap().attributes).unwrap())
    }

    #[test]
    fn comes_back_as_it_was_sent() {
        assert_eq!(back(&sample(narrow())), Ok(sample(narrow())));
        let v6 = Scope { remote: Some("2001:db8::/33".parse().unwrap()), ..narrow() };
        assert_eq!(back(&sample(v6.clone())), Ok(sample(v6)));
    }

    #[test]
    fn limits_and_inheritance_come_back() {
        let mut kept = sample(narrow());
        kept.ticket.uses = Some(3);
        assert_eq!(back(&kept), Ok(kept.clone()));
        kept.ticket = Ticket { uses: None, inherit: true, id: TicketId(1 << 63), ..kept.ticket };
        kept.origin = Some(TicketId(5));
        assert!(kept.ticket.id.is_copy());
        assert_eq!(back(&kept), Ok(kept));
    }

    #[test]
    fn a_program_stands_in_place_of_a_process() {
        for uid in [None, Some(0)] {
            let owner = TicketOwner::Program(ProgramOwner { device: 0x801, inode: 7, uid });
            let kept = KeptTicket { owner, ..sample(narrow()) };
            assert_eq!(back(&kept), Ok(kept));
        }
    }

    #[test]
    fn a_program_without_its_inode_is_refused() {
        let mut list = encode_ticket(&sample(Scope::ANY).ticket).unwrap();
        list.put(key!(ticket::EXE_DEVICE), 1u64).unwrap();
        list.put(key!(ticket::HITS), 0u64).unwrap();
        let mut outer = AttributeList::default();
        outer.nest(key!(main::TICKET), list).unwrap();
        let mut bytes = Vec::new();
        let envelope = Envelope { family: 32, flags: 0, sequence: 0 };
        encode::message(envelope, (1, 1), outer, &mut bytes).unwrap();
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        let missing = DecodeError::Missing(key!(ticket::EXE_INODE).name);
        assert_eq!(decode(message.genl().unwrap().attributes), Err(missing));
    }

    #[test]
    fn conditions_that_cover_everything_are_left_out() {
        let mut kept = sample(Scope::ANY);
        kept.ticket.lifetime = None;
        kept.ticket.rule = None;
        kept.last_hit = None;
        assert_eq!(back(&kept), Ok(kept));
    }

    #[test]
    fn bits_behind_the_prefix_are_not_sent() {
        let mut kept = sample(narrow());
        kept.ticket.scope.remote = Some("10.1.2.3/8".parse().unwrap());
        assert_eq!(back(&kept), Ok(sample(narrow())));
    }

    #[test]
    fn bits_behind_the_prefix_are_not_received() {
        let mut list = encode_ticket(&sample(Scope::ANY).ticket).unwrap();
        list.put_address(key!(ticket::REMOTE_ADDR), [10, 1, 2, 3].into()).unwrap();
        list.put(key!(ticket::REMOTE_PREFIX), 8u8).unwrap();
        assert_eq!(decoded(list).unwrap().scope.remote, narrow().remote);
    }

    #[test]
    fn half_a_network_and_an_impossible_prefix_are_refused() {
        let mut list = encode_ticket(&sample(Scope::ANY).ticket).unwrap();
        list.put(key!(ticket::REMOTE_PREFIX), 8u8).unwrap();
        let missing = DecodeError::Missing(key!(ticket::REMOTE_ADDR).name);
        assert_eq!(decoded(list), Err(missing));
        let mut list = encode_ticket(&sample(Scope::ANY).ticket).unwrap();
        list.put_address(key!(ticket::REMOTE_ADDR), [10, 0, 0, 0].into()).unwrap();
        list.put(key!(ticket::REMOTE_PREFIX), 33u8).unwrap();
        assert_eq!(decoded(list), Err(key!(ticket::REMOTE_PREFIX).unknown(33u8)));
    }

    #[test]
    fn rule_0_is_no_rule_and_half_a_port_range_is_open() {
        let mut list = encode_ticket(&sample(Scope::ANY).ticket).unwrap();
        list.put(key!(ticket::RULE_ID), 0u64).unwrap();
        list.put(key!(ticket::REMOTE_PORT_MIN), 1024u16).unwrap();
        let ticket = decoded(list).unwrap();
        assert_eq!(ticket.rule, None);
        assert_eq!(Some(ticket.scope.remote_ports), PortRange::new(1024, u16::MAX));
    }

    #[test]
    fn a_port_range_that_is_empty_is_refused() {
        let mut list = encode_ticket(&sample(narrow()).ticket).unwrap();
        list.put(key!(ticket::REMOTE_PORT_MAX), 80u16).unwrap();
        assert_eq!(decoded(list), Err(key!(ticket::REMOTE_PORT_MAX).unknown(80u16)));
    }
}
