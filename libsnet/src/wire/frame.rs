// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a datagram to its messages.
//!
//! Owns the two headers. Every length is checked here against the bytes that are there; what
//! is handed on are slices of the datagram.

use super::DecodeError;

const MESSAGE_HEADER: usize = 16;

/// One netlink message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// `nlmsg_type`: the number of the family, or below 16 a message about messages.
    pub kind: u16,
    /// `nlmsg_flags` (`NLM_F_*`).
    pub flags: u16,
    /// `nlmsg_seq`: that of the request it answers, 0 for an event.
    pub sequence: u32,
    /// `nlmsg_pid`: the port of the socket that asked.
    pub port: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// A generic netlink message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Genl<'a> {
    /// The command, a number of the family.
    pub command: u8,
    /// Version of the family.
    pub version: u8,
    /// The attributes.
    pub attributes: &'a [u8],
}

impl<'a> Message<'a> {
    /// Is this flag (`NLM_F_*`) set?
    pub fn has_flag(&self, flag: libc::c_int) -> bool {
        libc::c_int::from(self.flags) & flag != 0
    }

    /// The payload read as that of a generic netlink family.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it has less than 4 bytes.
    pub fn genl(&self) -> Result<Genl<'a>, DecodeError> {
        let mut rest = self.payload;
        let [command, version, _, _] = take(&mut rest, "generic netlink header")?;
        Ok(Genl { command, version, attributes: rest })
    }
}

/// The messages of a datagram, in order. Ends after the first error: what follows a wrong
/// length can't be found.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// The messages in `datagram`.
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    /// How many bytes have not been read yet.
    pub fn unread(&self) -> usize {
        self.rest.len()
    }

    fn read(&mut self) -> Result<Message<'a>, DecodeError> {
        let available = self.rest.len();
        let whole = std::mem::take(&mut self.rest);
        let mut header = whole;
        let length = u32::from_ne_bytes(take(&mut header, "netlink header")?);
        let wrong = DecodeError::MessageLength { length, available };
        let kind = u16::from_ne_bytes(take(&mut header, "netlink header")?);
        let flags = u16::from_ne_bytes(take(&mut header, "netlink header")?);
        let sequence = u32::from_ne_bytes(take(&mut header, "netlink header")?);
        let port = u32::from_ne_bytes(take(&mut header, "netlink header")?);
        let end = usize::try_from(length).unwrap_or(usize::MAX);
        let payload = whole.get(MESSAGE_HEADER..end).ok_or(wrong)?;
        self.rest = behind(whole, end);
        Ok(Message { kind, flags, sequence, port, payload })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.read())
    }
}

/// The first `N` bytes of `rest`, which is moved behind them.
pub(super) fn take<const N: usize>(
    rest: &mut &[u8],
    part: &'static str,
) -> Result<[u8; N], DecodeError> {
    let truncated = DecodeError::Truncated { part, available: rest.len() };
    let (head, tail) = rest.split_first_chunk().ok_or(truncated)?;
    *rest = tail;
    Ok(*head)
}

/// What follows the first `length` bytes and their padding; the last part needs no padding.
pub(super) fn behind(whole: &[u8], length: usize) -> &[u8] {
    whole.get(length.next_multiple_of(4)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([0x20u16.to_ne_bytes(), 2u16.to_ne_bytes()].concat());
        bytes.extend([7u32.to_ne_bytes(), 9u32.to_ne_bytes()].concat());
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn reads_messages_behind_each_other_with_their_padding() {
        let bytes = [message(17, &[5, 0, 0, 0]), message(20, &[1, 2, 3, 4])].concat();
        let found: Vec<_> = Messages::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(found[0].payload, [5]);
        assert_eq!((found[1].kind, found[1].sequence, found[1].port), (0x20, 7, 9));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn the_last_message_needs_no_padding() {
        assert_eq!(Messages::new(&message(17, &[5])).next().unwrap().unwrap().payload, [5]);
    }

    #[test]
    fn refuses_lengths_that_lie_and_stops_there() {
        for length in [0, 3, 15, 21, u32::MAX] {
            let bytes = message(length, &[0; 4]);
            let mut messages = Messages::new(&bytes);
            let wrong = DecodeError::MessageLength { length, available: 20 };
            assert_eq!(messages.next(), Some(Err(wrong)));
            assert_eq!(messages.next(), None);
        }
    }

    #[test]
    fn refuses_a_header_that_is_cut_short() {
        for length in 1..MESSAGE_HEADER {
            let bytes = &message(16, &[])[..length];
            let error = Messages::new(bytes).next().unwrap().unwrap_err();
            assert!(matches!(error, DecodeError::Truncated { .. }), "{error}");
        }
        let bytes = message(19, &[1, 1, 0]);
        assert!(Messages::new(&bytes).next().unwrap().unwrap().genl().is_err());
    }
}
