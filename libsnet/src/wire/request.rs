// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything that is said to the kernel module.
//!
//! Owns the list of commands and what each carries. The sequence number and the family's
//! number come from the caller.

use std::time::Duration;

use super::attribute::key;
use super::encode::{self, AttributeList};
use super::{EncodeError, Envelope, settings, ticket};
use crate::types::{
    RequestId, RuleId, Settings, Ticket, TicketId, TicketTarget, Verdict, WatchSet,
};
use crate::uapi::{self, cmd};

/// A command with what it carries.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Become the decider; answered with [`settings::Registered`].
    Register,
    /// Stop being the decider.
    Unregister,
    /// Watch this and nothing else.
    WatchSet(&'a WatchSet),
    /// List what is watched; see [`settings::decode_watch`].
    WatchGet,
    /// Watch nothing.
    WatchFlush,
    /// Set what is given, leave the rest.
    PolicySet(&'a Settings),
    /// Tell the settings; see [`settings::decode`].
    PolicyGet,
    /// List the calls that are held; see [`super::event::decode`].
    RequestGet,
    /// Decide a held call.
    Verdict {
        /// The call.
        request: RequestId,
        /// The decision.
        verdict: Verdict,
        /// What to remember for the process.
        tickets: &'a [Ticket],
    },
    /// Give a held call more or less time, counted from now.
    Defer {
        /// The call.
        request: RequestId,
        /// The time; the kernel takes 1 ms to 10 min.
        deadline: Duration,
    },
    /// Remember something for running processes and for programs.
    TicketAdd(&'a [(TicketTarget, Ticket)]),
    /// Forget some tickets.
    TicketDelete(TicketSelector),
    /// List the tickets; see [`ticket::decode`].
    TicketGet,
    /// Forget all tickets.
    TicketFlush,
    /// Tell the counters; see [`settings::decode_stats`].
    StatsGet,
}

/// Which tickets to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketSelector {
    /// This one, and its inherited copies.
    Id(TicketId),
    /// All that a rule made.
    Rule(RuleId),
    /// All of the process with this id in the initial pid namespace.
    Process(u32),
}

impl Request<'_> {
    /// The command's number, of [`crate::uapi::cmd`].
    pub fn command(&self) -> u8 {
        match self {
            Self::Register => cmd::REGISTER,
            Self::Unregister => cmd::UNREGISTER,
            Self::WatchSet(_) => cmd::WATCH_SET,
            Self::WatchGet => cmd::WATCH_GET,
            Self::WatchFlush => cmd::WATCH_FLUSH,
            Self::PolicySet(_) => cmd::POLICY_SET,
            Self::PolicyGet => cmd::POLICY_GET,
            Self::RequestGet => cmd::REQUEST_GET,
            Self::Verdict { .. } => cmd::VERDICT,
            Self::Defer { .. } => cmd::DEFER,
            Self::TicketAdd(_) => cmd::TICKET_ADD,
            Self::TicketDelete(_) => cmd::TICKET_DEL,
            Self::TicketGet => cmd::TICKET_GET,
            Self::TicketFlush => cmd::TICKET_FLUSH,
            Self::StatsGet => cmd::STATS_GET,
        }
    }

    /// Is it answered by a list of messages that `NLMSG_DONE` ends?
    pub fn is_dump(&self) -> bool {
        matches!(self, Self::WatchGet | Self::RequestGet | Self::TicketGet)
    }

    /// The flags for a request whose end is to be told: by an acknowledgement, or of a dump
    /// by `NLMSG_DONE`.
    pub fn flags(&self) -> u16 {
        let end = if self.is_dump() { libc::NLM_F_DUMP } else { libc::NLM_F_ACK };
        (libc::NLM_F_REQUEST | end) as u16
    }

    /// Writes the message into `out`, whose old contents go and whose memory is used again.
    /// Durations are rounded up to milliseconds and cut to what fits; what the kernel doesn't
    /// take it refuses by name.
    ///
    /// # Errors
    /// [`EncodeError::TooManyTickets`] for more than [`uapi::MAX_TICKETS_PER_MESSAGE`].
    pub fn encode(&self, envelope: Envelope, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let attributes = self.attributes()?;
        encode::message(envelope, (self.command(), uapi::FAMILY_VERSION), attributes, out)
    }

    fn attributes(&self) -> Result<AttributeList, EncodeError> {
        let mut list = AttributeList::default();
        match *self {
            Self::WatchSet(watch) => return settings::encode_watch(watch),
            Self::PolicySet(settings) => return settings::encode(settings),
            Self::Verdict { request, verdict, tickets } => {
                list.put(key!(main::REQUEST_ID), request.0)?;
                list.put(key!(main::VERDICT), verdict as u32)?;
                put_tickets(&mut list, tickets.iter().map(ticket::encode_ticket))?;
            }
            Self::Defer { request, deadline } => {
                list.put(key!(main::REQUEST_ID), request.0)?;
                list.put(key!(main::DEADLINE), encode::milliseconds_u32(deadline))?;
            }
            Self::TicketAdd(tickets) => {
                let nests = tickets.iter().map(|(target, one)| ticket::encode_for(one, *target));
                put_tickets(&mut list, nests)?;
            }
            Self::TicketDelete(selector) => match selector {
                TicketSelector::Id(id) => list.put(key!(main::TICKET_ID), id.0)?,
                TicketSelector::Rule(rule) => list.put(key!(main::RULE_ID), rule.0)?,
                TicketSelector::Process(tgid) => list.put(key!(main::TGID), tgid)?,
            },
            Self::Register
            | Self::Unregister
            | Self::WatchGet
            | Self::WatchFlush
            | Self::PolicyGet
            | Self::RequestGet
            | Self::TicketGet
            | Self::TicketFlush
            | Self::StatsGet => {}
        }
        Ok(list)
    }
}

fn put_tickets(
    list: &mut AttributeList,
    nests: impl ExactSizeIterator<Item = Result<AttributeList, EncodeError>>,
) -> Result<(), EncodeError> {
    let count = nests.len();
    if count > uapi::MAX_TICKETS_PER_MESSAGE as usize {
        return Err(EncodeError::TooManyTickets(count));
    }
    for nest in nests {
        list.nest(key!(main::TICKET), nest?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ProcessKey, ProgramOwner, Scope};
    use crate::wire::attribute::{Table, repeated};
    use crate::wire::{Genl, Messages};

    fn ticket(id: u64) -> Ticket {
        Ticket::new(TicketId(id), Scope::ANY, Verdict::Allow)
    }

    fn encoded(request: Request<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let envelope = Envelope { family: 32, flags: request.flags(), sequence: 4 };
        request.encode(envelope, &mut bytes).unwrap();
        bytes
    }

    fn genl(bytes: &[u8]) -> Genl<'_> {
        Messages::new(bytes).next().unwrap().unwrap().genl().unwrap()
    }

    fn added(target: TicketTarget) -> Vec<u8> {
        encoded(Request::TicketAdd(&[(target, ticket(1))]))
    }

    /// The one ticket of a message.
    fn nest_of(bytes: &[u8]) -> Table<'_> {
        Table::new(genl(bytes).attributes).unwrap().nest(key!(main::TICKET)).unwrap()
    }

    #[test]
    fn a_verdict_carries_its_tickets_without_a_process() {
        let tickets = [ticket(1), ticket(2)];
        let (request, verdict) = (RequestId(7), Verdict::Deny);
        let bytes = encoded(Request::Verdict { request, verdict, tickets: &tickets });
        let genl = genl(&bytes);
        assert_eq!(genl.command, cmd::VERDICT);
        let table = Table::new(genl.attributes).unwrap();
        assert_eq!(table.required(key!(main::REQUEST_ID)), Ok(7u64));
        assert_eq!(table.required(key!(main::VERDICT)), Ok(Verdict::Deny));
        let nests: Vec<_> = repeated(genl.attributes, key!(main::TICKET)).collect();
        assert_eq!(nests.len(), 2);
        let first = Table::new(nests[0].clone().unwrap()).unwrap();
        assert_eq!(first.required(key!(ticket::ID)), Ok(1u64));
        assert_eq!(first.optional::<u32>(key!(ticket::TGID)), Ok(None));
    }

    #[test]
    fn a_ticket_for_a_running_process_names_its_execution() {
        let process = ProcessKey { tgid: 10, start_time: 11, exec_id: 12 };
        let bytes = added(TicketTarget::Process(process));
        let nest = nest_of(&bytes);
        assert_eq!(nest.required(key!(ticket::TGID)), Ok(10u32));
        assert_eq!(nest.required(key!(ticket::START_TIME)), Ok(11u64));
        assert_eq!(nest.required(key!(ticket::EXEC_ID)), Ok(12u64));
    }

    #[test]
    fn a_ticket_for_a_program_names_its_file_and_no_process() {
        let program = ProgramOwner { device: 1, inode: 2, uid: None };
        let bytes = added(TicketTarget::Program(program));
        let nest = nest_of(&bytes);
        assert_eq!(nest.required(key!(ticket::EXE_DEVICE)), Ok(1u64));
        assert_eq!(nest.required(key!(ticket::EXE_INODE)), Ok(2u64));
        for absent in [key!(ticket::TGID), key!(ticket::UID)] {
            assert!(!nest.has(absent), "{absent:?}");
        }
        let bytes = added(TicketTarget::Program(ProgramOwner { uid: Some(0), ..program }));
        assert_eq!(nest_of(&bytes).required(key!(ticket::UID)), Ok(0u32));
    }

    #[test]
    fn more_tickets_than_the_kernel_takes_are_refused() {
        let tickets = vec![ticket(1); 17];
        let (request, verdict) = (RequestId(7), Verdict::Allow);
        let request = Request::Verdict { request, verdict, tickets: &tickets };
        let envelope = Envelope { family: 32, flags: 0, sequence: 0 };
        let refused = request.encode(envelope, &mut Vec::new());
        assert_eq!(refused, Err(EncodeError::TooManyTickets(17)));
    }

    #[test]
    fn a_selector_sends_the_one_attribute_it_means() {
        for (selector, key) in [
            (TicketSelector::Id(TicketId(3)), key!(main::TICKET_ID)),
            (TicketSelector::Rule(RuleId(3)), key!(main::RULE_ID)),
        ] {
            let bytes = encoded(Request::TicketDelete(selector));
            assert_eq!(Table::new(genl(&bytes).attributes).unwrap().required(key), Ok(3u64));
            assert_eq!(genl(&bytes).attributes.len(), 12);
        }
    }

    #[test]
    fn dumps_ask_for_a_list_and_the_others_for_an_acknowledgement() {
        assert_eq!(Request::TicketGet.flags(), 0x301);
        assert_eq!(Request::StatsGet.flags(), 0x005);
        assert!(genl(&encoded(Request::Register)).attributes.is_empty());
    }

    /// Written by hand from `kernel/snet.yaml`, so that a mistake in both directions shows.
    #[test]
    #[cfg(target_endian = "little")]
    fn a_defer_is_these_bytes() {
        let (request, deadline) = (RequestId(0x0102_0304_0506_0708), Duration::from_secs(60));
        #[rustfmt::skip]
        let expected = [
            40, 0, 0, 0, 32, 0, 5, 0, 4, 0, 0, 0, 0, 0, 0, 0, // length, family, flags, seq, port
            11, 1, 0, 0, // command, version
            12, 0, 3, 0, 8, 7, 6, 5, 4, 3, 2, 1, // request-id
            8, 0, 6, 0, 0x60, 0xea, 0, 0, // deadline
        ];
        assert_eq!(encoded(Request::Defer { request, deadline }), expected);
    }
}
