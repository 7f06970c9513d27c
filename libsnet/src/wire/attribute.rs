// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the bytes behind a header to attributes, and from those to values.
//!
//! Owns the walk over attributes, the table that finds one by its number, and the check of
//! each value's length. Knows no attribute by itself: decoders name them with `key!`.

use std::net::IpAddr;

use super::frame::{behind, take};
use super::{AttributeName, DecodeError};
use crate::types::{Cause, Operation, Operations, Protocol, Protocols, Verdict};

const HEADER: usize = 4;
/// Without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
const NUMBER_MASK: u16 = 0x3fff;
/// More than any attribute set of the protocol has.
const SLOTS: usize = 32;

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its number, which means something only in its set; without flags.
    pub number: u16,
    /// What it holds.
    pub payload: &'a [u8],
}

/// The attributes of a message or a nest, in order. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`: [`super::Genl::attributes`], or the payload of a nest.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn read(&mut self) -> Result<Attribute<'a>, DecodeError> {
        let whole = std::mem::take(&mut self.rest);
        let mut header = whole;
        let length = u16::from_ne_bytes(take(&mut header, "attribute header")?);
        let kind = u16::from_ne_bytes(take(&mut header, "attribute header")?);
        let number = kind & NUMBER_MASK;
        let available = whole.len();
        let end = usize::from(length);
        let wrong = DecodeError::AttributeLength { number, length, available };
        let payload = whole.get(HEADER..end).ok_or(wrong)?;
        self.rest = behind(whole, end);
        Ok(Attribute { number, payload })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.read())
    }
}

/// An attribute that a decoder or encoder knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(super) number: u16,
    pub(super) name: AttributeName,
}

impl Key {
    /// Fails to compile, where it is used as `key!` does, for a number that has no slot.
    pub(crate) const fn new(number: u16, name: &'static str) -> Self {
        assert!((number as usize) < SLOTS, "raise SLOTS");
        Self { number, name: AttributeName::new(name) }
    }

    pub(super) fn unknown(self, value: impl Into<u64>) -> DecodeError {
        DecodeError::UnknownValue { attribute: self.name, value: value.into() }
    }

    pub(super) fn wrong_length(self, payload: &[u8]) -> DecodeError {
        DecodeError::WrongLength { attribute: self.name, length: payload.len() }
    }
}

/// The attribute that `kernel/snet.yaml` calls so: `key!(subject::START_TIME)`.
macro_rules! key {
    ($set:ident::$name:ident) => {
        const {
            $crate::wire::attribute::Key::new(
                $crate::uapi::attr::$set::$name,
                concat!(stringify!($set), ".", stringify!($name)),
            )
        }
    };
}
pub(super) use key;

/// The attributes of one message or nest by their number. Of an attribute that is there more
/// than once the last counts, as in the kernel.
pub(super) struct Table<'a>([Option<&'a [u8]>; SLOTS]);

impl<'a> Table<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut slots = [None; SLOTS];
        for attribute in Attributes::new(bytes) {
            let Attribute { number, payload } = attribute?;
            if let Some(slot) = slots.get_mut(usize::from(number)) {
                *slot = Some(payload);
            }
        }
        Ok(Self(slots))
    }

    pub(super) fn optional<V: Value<'a>>(&self, key: Key) -> Result<Option<V>, DecodeError> {
        let payload = self.0.get(usize::from(key.number)).copied().flatten();
        payload.map(|payload| V::read(key, payload)).transpose()
    }

    /// Is it there, whatever it holds?
    pub(super) fn has(&self, key: Key) -> bool {
        self.0.get(usize::from(key.number)).is_some_and(Option::is_some)
    }

    pub(super) fn required<V: Value<'a>>(&self, key: Key) -> Result<V, DecodeError> {
        self.optional(key)?.ok_or(DecodeError::Missing(key.name))
    }

    /// The table of a nest that must be there.
    pub(super) fn nest(&self, key: Key) -> Result<Self, DecodeError> {
        Self::new(self.required(key)?)
    }
}

/// The payloads of an attribute that may be there several times.
pub(super) fn repeated(bytes: &[u8], key: Key) -> impl Iterator<Item = Result<&[u8], DecodeError>> {
    Attributes::new(bytes).filter_map(move |attribute| match attribute {
        Ok(attribute) => (attribute.number == key.number).then_some(Ok(attribute.payload)),
        Err(error) => Some(Err(error)),
    })
}

/// A string attribute without the one NUL that ends it. An empty payload is an empty string,
/// and one that doesn't end in NUL is whole.
pub(super) fn text(payload: &[u8]) -> &[u8] {
    payload.strip_suffix(&[0]).unwrap_or(payload)
}

/// What a payload can be read as.
pub(super) trait Value<'a>: Sized {
    /// Fails when `payload` hasn't the length of this type or a value of it.
    fn read(key: Key, payload: &'a [u8]) -> Result<Self, DecodeError>;
}

impl<'a> Value<'a> for &'a [u8] {
    fn read(_: Key, payload: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(payload)
    }
}

/// Bytes that aren't UTF-8 become U+FFFD.
impl Value<'_> for String {
    fn read(_: Key, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::from_utf8_lossy(text(payload)).into_owned())
    }
}

macro_rules! integers {
    ($($integer:ty),+) => { $(
        impl Value<'_> for $integer {
            fn read(key: Key, payload: &[u8]) -> Result<Self, DecodeError> {
                let bytes = payload.try_into().map_err(|_| key.wrong_length(payload))?;
                Ok(Self::from_ne_bytes(bytes))
            }
        }
    )+ };
}
integers!(u8, u16, u32, u64);

macro_rules! numbered {
    ($($kind:ident :: $from:ident),+ $(,)?) => { $(
        impl Value<'_> for $kind {
            fn read(key: Key, payload: &[u8]) -> Result<Self, DecodeError> {
                let number = u32::read(key, payload)?;
                $kind::$from(number).ok_or_else(|| key.unknown(number))
            }
        }
    )+ };
}
numbered! {
    Operation::from_number, Protocol::from_number, Verdict::from_number,
    Cause::from_number,     Operations::from_bits, Protocols::from_bits,
}

/// Network order; the length tells the family.
impl Value<'_> for IpAddr {
    fn read(key: Key, payload: &[u8]) -> Result<Self, DecodeError> {
        let v4 = <[u8; 4]>::try_from(payload).map(Self::from);
        let v6 = || <[u8; 16]>::try_from(payload).map(Self::from);
        v4.or_else(|_| v6()).map_err(|_| key.wrong_length(payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(length: u16, kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(payload);
        bytes
    }

    const TGID: Key = Key::new(crate::uapi::attr::subject::TGID, "subject.TGID");

    #[test]
    fn flags_are_no_part_of_the_number_and_padding_none_of_the_payload() {
        let bytes = [attribute(5, 0x8003, &[1, 0, 0, 0]), attribute(6, 0x4004, &[2, 3])].concat();
        let found: Vec<_> = Attributes::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(found[0], Attribute { number: 3, payload: &[1] });
        assert_eq!(found[1], Attribute { number: 4, payload: &[2, 3] });
    }

    #[test]
    fn refuses_lengths_that_lie() {
        for length in [0, 3, 9, u16::MAX] {
            let bytes = attribute(length, 1, &[0; 4]);
            let wrong = DecodeError::AttributeLength { number: 1, length, available: 8 };
            assert_eq!(Attributes::new(&bytes).next(), Some(Err(wrong.clone())));
            assert_eq!(Table::new(&bytes).err(), Some(wrong));
        }
        let cut = [attribute(4, 1, &[]), vec![0; 3]].concat();
        assert!(Attributes::new(&cut).any(|attribute| attribute.is_err()));
    }

    #[test]
    fn an_integer_must_have_its_own_length() {
        for payload in [&[1u8, 0][..], &[1, 0, 0, 0, 0, 0, 0, 0], &[]] {
            let bytes = attribute(4 + payload.len() as u16, TGID.number, payload);
            let error = Table::new(&bytes).unwrap().required::<u32>(TGID).unwrap_err();
            assert_eq!(error, TGID.wrong_length(payload));
        }
    }

    #[test]
    fn strings_lose_their_nul_and_nothing_else() {
        assert_eq!(text(b"curl\0"), b"curl");
        assert_eq!(text(b"curl"), b"curl");
        assert_eq!(text(b"a\0\0"), b"a\0");
        assert_eq!(text(b""), b"");
    }

    #[test]
    fn skips_pads_and_unknown_numbers_and_takes_the_last_of_two() {
        let bytes = [
            attribute(4, 1, &[]),
            attribute(8, 4000, &[9; 4]),
            attribute(8, TGID.number, &1u32.to_ne_bytes()),
            attribute(8, TGID.number, &2u32.to_ne_bytes()),
        ]
        .concat();
        assert_eq!(Table::new(&bytes).unwrap().required::<u32>(TGID), Ok(2));
    }

    #[test]
    fn an_address_has_4_or_16_bytes() {
        assert_eq!(IpAddr::read(TGID, &[127, 0, 0, 1]), Ok([127, 0, 0, 1].into()));
        assert!(IpAddr::read(TGID, &[0; 16]).unwrap().is_ipv6());
        assert_eq!(IpAddr::read(TGID, &[0; 5]), Err(TGID.wrong_length(&[0; 5])));
    }
}
