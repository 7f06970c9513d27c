// SPDX-License-Identifier: MIT OR Apache-2.0
//! From attributes to a message, by neli.
//!
//! Owns what neli leaves to its caller: an attribute's length is 16 bits, and neli would cut
//! a longer one without a word.

use std::io::Cursor;
use std::net::IpAddr;
use std::time::Duration;

use neli::consts::nl::NlmF;
use neli::genl::{AttrTypeBuilder, GenlmsghdrBuilder, NlattrBuilder};
use neli::nl::{NlPayload, NlmsghdrBuilder};
use neli::types::{Buffer, GenlBuffer};
use neli::{Size, ToBytes};

use super::EncodeError;
use super::attribute::Key;

const LONGEST_PAYLOAD: usize = u16::MAX as usize - 4;

/// The netlink header of a message that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// `nlmsg_type`: the number of the family, from [`super::family`].
    pub family: u16,
    /// `nlmsg_flags` (`NLM_F_*`).
    pub flags: u16,
    /// `nlmsg_seq`: what the answer will carry.
    pub sequence: u32,
}

/// Attributes on their way into a message or a nest.
#[derive(Debug, Default)]
pub(super) struct AttributeList(GenlBuffer<u16, Buffer>);

impl AttributeList {
    pub(super) fn put(
        &mut self,
        key: Key,
        payload: impl Size + ToBytes,
    ) -> Result<(), EncodeError> {
        self.push(key, payload, false)
    }

    pub(super) fn put_some(
        &mut self,
        key: Key,
        payload: Option<impl Size + ToBytes>,
    ) -> Result<(), EncodeError> {
        payload.map_or(Ok(()), |payload| self.put(key, payload))
    }

    /// One that says something by being there.
    pub(super) fn put_flag(&mut self, key: Key) -> Result<(), EncodeError> {
        self.put(key, [0u8; 0].as_slice())
    }

    /// The bytes and the NUL that ends a string.
    pub(super) fn put_text(&mut self, key: Key, text: &[u8]) -> Result<(), EncodeError> {
        self.put(key, [text, &[0]].concat().as_slice())
    }

    pub(super) fn put_address(&mut self, key: Key, address: IpAddr) -> Result<(), EncodeError> {
        match address {
            IpAddr::V4(v4) => self.put(key, v4.octets()),
            IpAddr::V6(v6) => self.put(key, v6.octets()),
        }
    }

    pub(super) fn nest(&mut self, key: Key, inner: Self) -> Result<(), EncodeError> {
        self.push(key, inner.0, true)
    }

    fn push(
        &mut self,
        key: Key,
        payload: impl Size + ToBytes,
        nested: bool,
    ) -> Result<(), EncodeError> {
        let length = payload.unpadded_size();
        if length > LONGEST_PAYLOAD {
            return Err(EncodeError::TooLong { attribute: key.name, length });
        }
        let kind = AttrTypeBuilder::default().nla_type(key.number).nla_nested(nested);
        let kind = kind.build().map_err(refused)?;
        let attribute = NlattrBuilder::default().nla_type(kind).nla_payload(payload);
        self.0.push(attribute.build().map_err(refused)?);
        Ok(())
    }
}

/// Writes the message into `out`, whose old contents go and whose memory is used again.
pub(super) fn message(
    envelope: Envelope,
    (command, version): (u8, u8),
    attributes: AttributeList,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let genl = GenlmsghdrBuilder::<u8, u16>::default()
        .cmd(command)
        .version(version)
        .attrs(attributes.0)
        .build()
        .map_err(refused)?;
    let message = NlmsghdrBuilder::default()
        .nl_type(envelope.family)
        .nl_flags(NlmF::from(envelope.flags))
        .nl_seq(envelope.sequence)
        .nl_payload(NlPayload::Payload(genl))
        .build()
        .map_err(refused)?;
    out.clear();
    let mut cursor = Cursor::new(std::mem::take(out));
    let written = message.to_bytes(&mut cursor).map_err(refused);
    *out = cursor.into_inner();
    written
}

/// Milliseconds for a 32-bit attribute: rounded up, and cut to what fits. The kernel refuses
/// what is 0 or too long, and its refusal names the attribute.
pub(super) fn milliseconds_u32(duration: Duration) -> u32 {
    u32::try_from(milliseconds(duration)).unwrap_or(u32::MAX)
}

/// Milliseconds for a 64-bit attribute, rounded up: only a duration of nothing is 0.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn refused(error: impl std::fmt::Display) -> EncodeError {
    EncodeError::Encoder(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::attribute::{Table, key};
    use crate::wire::{AttributeName, Messages};

    #[test]
    fn a_payload_that_16_bits_cannot_measure_is_refused() {
        let mut list = AttributeList::default();
        let fits = vec![b'a'; LONGEST_PAYLOAD - 1];
        assert_eq!(list.put_text(key!(subject::EXE), &fits), Ok(()));
        let too_long = EncodeError::TooLong {
            attribute: AttributeName::new("subject.EXE"),
            length: LONGEST_PAYLOAD + 1,
        };
        assert_eq!(
            list.put_text(key!(subject::EXE), &[fits, vec![b'a'; 1]].concat()),
            Err(too_long)
        );
        let mut outer = AttributeList::default();
        let error = outer.nest(key!(main::SUBJECT), list).unwrap_err();
        assert!(matches!(error, EncodeError::TooLong { .. }), "{error}");
    }

    #[test]
    fn a_message_replaces_what_the_buffer_held_and_keeps_its_memory() {
        let mut out = vec![0xff; 4096];
        let envelope = Envelope { family: 0x21, flags: 1, sequence: 3 };
        let mut list = AttributeList::default();
        list.put_text(key!(subject::COMM), b"ab").unwrap();
        message(envelope, (7, 1), list, &mut out).unwrap();
        assert_eq!((out.len(), out.capacity()), (28, 4096));
        let found = Messages::new(&out).next().unwrap().unwrap();
        assert_eq!((found.kind, found.flags, found.sequence), (0x21, 1, 3));
        let genl = found.genl().unwrap();
        let table = Table::new(genl.attributes).unwrap();
        assert_eq!((genl.command, genl.version), (7, 1));
        assert_eq!(table.required::<&[u8]>(key!(subject::COMM)), Ok(&b"ab\0"[..]));
    }

    #[test]
    fn durations_round_up_and_are_cut_to_what_fits() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_micros(1500)), 2);
        assert_eq!(milliseconds(Duration::MAX), u64::MAX);
        assert_eq!(milliseconds_u32(Duration::MAX), u32::MAX);
    }
}
