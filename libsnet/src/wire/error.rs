// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why bytes are no message, or a value can't become one.

use std::fmt::{self, Write};

/// Name of an attribute as the protocol spec writes it: `subject.start-time`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttributeName(&'static str);

impl AttributeName {
    /// `name` is written as in [`crate::uapi::attr`]: `subject.START_TIME`.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self(name)
    }
}

impl fmt::Display for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '_' => f.write_char('-'),
            other => f.write_char(other.to_ascii_lowercase()),
        })
    }
}

impl fmt::Debug for AttributeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes that are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A header, or what must follow it, doesn't fit into the bytes that are there.
    #[error("{part} cut short: only {available} bytes")]
    Truncated {
        /// What was being read.
        part: &'static str,
        /// How many bytes there were for it.
        available: usize,
    },
    /// `nlmsg_len` is below 16 or beyond the end of the datagram.
    #[error("a message says that it has {length} bytes where {available} are left")]
    MessageLength {
        /// `nlmsg_len`.
        length: u32,
        /// Bytes left, the message's header included.
        available: usize,
    },
    /// `nla_len` is below 4 or beyond the end of what holds the attribute.
    #[error("attribute number {number} says that it has {length} bytes where {available} are left")]
    AttributeLength {
        /// The attribute's number, which means something only in its set.
        number: u16,
        /// `nla_len`.
        length: u16,
        /// Bytes left, the attribute's header included.
        available: usize,
    },
    /// A message of another family than the one that was asked.
    #[error("unexpected message type {kind}")]
    UnexpectedKind {
        /// `nlmsg_type`.
        kind: u16,
    },
    /// An attribute that the message can't do without isn't there.
    #[error("attribute {0} is missing")]
    Missing(AttributeName),
    /// An attribute has another length than its type.
    #[error("attribute {attribute} can't have {length} bytes")]
    WrongLength {
        /// The attribute.
        attribute: AttributeName,
        /// Length of its payload in bytes.
        length: usize,
    },
    /// An attribute has a value that means nothing to this version.
    #[error("attribute {attribute} has the value {value}, which means nothing here")]
    UnknownValue {
        /// The attribute.
        attribute: AttributeName,
        /// Its value.
        value: u64,
    },
}

/// A value that has no place in a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The payload is longer than an attribute can be.
    #[error("attribute {attribute} can't hold {length} bytes")]
    TooLong {
        /// The attribute.
        attribute: AttributeName,
        /// Length of the payload in bytes.
        length: usize,
    },
    /// More than [`crate::uapi::MAX_TICKETS_PER_MESSAGE`] tickets at once.
    #[error("{0} tickets in one message: the kernel takes {max}", max = crate::uapi::MAX_TICKETS_PER_MESSAGE)]
    TooManyTickets(usize),
    /// neli refused.
    #[error("encoding failed: {0}")]
    Encoder(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_named_as_in_the_spec() {
        let error = DecodeError::Missing(AttributeName::new("subject.START_TIME"));
        assert_eq!(error.to_string(), "attribute subject.start-time is missing");
    }
}
