// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events: what the kernel sends to the decider, and lists as held.

use std::time::Duration;

use super::attribute::{Attributes, Key, Table, Value, key};
use super::encode::{self, AttributeList};
use super::{DecodeError, EncodeError, Envelope, object, subject};
use crate::types::{Event, RequestId};
use crate::uapi;

const REQUEST_ID: Key = key!(main::REQUEST_ID);

/// Decodes the attributes of an `event` message, or of a message of a `request-get` dump.
///
/// # Errors
/// A [`DecodeError`] that names the attribute. [`request_id`] may still tell which call waits.
pub fn decode(attributes: &[u8]) -> Result<Event, DecodeError> {
    let table = Table::new(attributes)?;
    let deadline = table.required::<u32>(key!(main::DEADLINE))?;
    Ok(Event {
        request: RequestId(table.required(REQUEST_ID)?),
        subject: subject::decode(&table.nest(key!(main::SUBJECT))?)?,
        object: object::decode(&table.nest(key!(main::OBJECT))?)?,
        deadline: Duration::from_millis(u64::from(deadline)),
    })
}

/// The number of the held call, from an event that can't be decoded as a whole.
pub fn request_id(attributes: &[u8]) -> Option<RequestId> {
    let found = Attributes::new(attributes).map_while(Result::ok);
    let id = found.filter(|attribute| attribute.number == REQUEST_ID.number).last()?;
    u64::read(REQUEST_ID, id.payload).ok().map(RequestId)
}

/// Encodes an event as the kernel does, for tests and simulated kernels. A deadline beyond 32
/// bits of milliseconds is cut to that; parts of a millisecond count as one.
///
/// # Errors
/// [`EncodeError::TooLong`] for a path or name that no attribute can hold.
pub fn encode(event: &Event, envelope: Envelope, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut list = AttributeList::default();
    list.put(REQUEST_ID, event.request.0)?;
    list.nest(key!(main::SUBJECT), subject::encode(&event.subject)?)?;
    list.nest(key!(main::OBJECT), object::encode(&event.object)?)?;
    list.put(key!(main::DEADLINE), encode::milliseconds_u32(event.deadline))?;
    encode::message(envelope, (uapi::cmd::EVENT, uapi::FAMILY_VERSION), list, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CallFlags, Details, Exe, Object, Operation, ProcessKey, Protocol, Subject};
    use crate::wire::{AttributeName, Genl, Messages};

    fn sample() -> Event {
        Event {
            request: RequestId(77),
            subject: Subject {
                process: ProcessKey { tgid: 10, start_time: 1 << 40, exec_id: 3 },
                tid: 11,
                uid: 1000,
                gid: 1001,
                login_uid: None,
                comm: String::new(),
                exe: Some(Exe { path: "/usr/bin/curl".into(), device: 2049, inode: 42 }),
                parent_tgid: 1,
                cgroup_id: 99,
                net_ns: 4026531840,
                mnt_ns: 4026531841,
                pid_ns: 4026531836,
                user_ns: 4026531837,
                details: Details::default(),
            },
            object: Object {
                operation: Operation::Connect,
                protocol: Protocol::Tcp,
                family: 10,
                kind: 1,
                number: 6,
                remote: Some("[2001:db8::1]:443".parse().unwrap()),
                local: Some("[::]:0".parse().unwrap()),
                flags: CallFlags::NONBLOCK,
            },
            deadline: Duration::from_millis(2000),
        }
    }

    fn attributes_of(bytes: &[u8]) -> Genl<'_> {
        Messages::new(bytes).next().unwrap().unwrap().genl().unwrap()
    }

    fn encoded(event: &Event) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(event, Envelope { family: 32, flags: 0, sequence: 0 }, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn comes_back_as_it_was_sent() {
        let bytes = encoded(&sample());
        let genl = attributes_of(&bytes);
        assert_eq!(genl.command, uapi::cmd::EVENT);
        assert_eq!(decode(genl.attributes), Ok(sample()));
    }

    #[test]
    fn a_login_uid_that_is_unset_and_an_unknown_exe_are_none() {
        let mut event = sample();
        event.subject.login_uid = Some(1000);
        event.subject.exe = None;
        let bytes = encoded(&event);
        assert_eq!(decode(attributes_of(&bytes).attributes), Ok(event));
    }

    #[test]
    fn an_event_that_cannot_be_decoded_still_tells_its_request() {
        let mut event = sample();
        event.subject.comm = "x".repeat(20);
        let mut bytes = encoded(&event);
        let at = bytes.windows(20).position(|window| window == [b'x'; 20]).unwrap();
        // The length of the attribute that holds the name: 3 bytes can't be.
        bytes[at - 4..at - 2].copy_from_slice(&3u16.to_ne_bytes());
        let attributes = attributes_of(&bytes).attributes;
        assert!(matches!(decode(attributes), Err(DecodeError::AttributeLength { .. })));
        assert_eq!(request_id(attributes), Some(RequestId(77)));
    }

    #[test]
    fn a_missing_nest_is_named() {
        let mut list = AttributeList::default();
        list.put(REQUEST_ID, 5u64).unwrap();
        list.put(key!(main::DEADLINE), 1u32).unwrap();
        let mut bytes = Vec::new();
        let envelope = Envelope { family: 32, flags: 0, sequence: 0 };
        encode::message(envelope, (uapi::cmd::EVENT, 1), list, &mut bytes).unwrap();
        let error = decode(attributes_of(&bytes).attributes).unwrap_err();
        assert_eq!(error, DecodeError::Missing(AttributeName::new("main.SUBJECT")));
    }
}
