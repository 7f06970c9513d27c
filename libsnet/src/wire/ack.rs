// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the kernel says that a request went well, or why not.
//!
//! Owns NLMSG_ERROR and NLMSG_DONE with the extended acknowledgement behind them. Sockets
//! must not set NETLINK_CAP_ACK, yet what it cuts off is found out by its flag.

use std::fmt;
use std::io;

use super::attribute::{Key, Table};
use super::frame::{Messages, behind, take};
use super::{DecodeError, Message};

const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;
const HEADER: usize = 16;

const TEXT: Key = Key::new(1, "ext-ack.MSG");
const OFFSET: Key = Key::new(2, "ext-ack.OFFS");
const MISSING: Key = Key::new(5, "ext-ack.MISS_TYPE");

/// The end of a request: [`Ack::errno`] 0 when it went well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ack {
    /// The error's number (`E*`), positive; 0 for none.
    pub errno: i32,
    /// What the kernel module says about it.
    pub message: Option<String>,
    /// Where in the request the attribute at fault begins, in bytes from the start of the
    /// message.
    pub offset: Option<u32>,
    /// The number of an attribute that the request lacks.
    pub missing: Option<u32>,
}

impl Ack {
    /// Reads an NLMSG_ERROR or NLMSG_DONE message; `None` for any other.
    ///
    /// # Errors
    /// [`DecodeError`] when it is cut short or its attributes make no sense.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, DecodeError> {
        if message.kind != ERROR && message.kind != DONE {
            return Ok(None);
        }
        let mut rest = message.payload;
        let code = i32::from_ne_bytes(take(&mut rest, "error number")?);
        let errno = if code < 0 { code.checked_neg().unwrap_or(i32::MAX) } else { 0 };
        if message.kind == ERROR {
            rest = behind_request(message, rest, errno)?;
        }
        if !message.has_flag(libc::NLM_F_ACK_TLVS) {
            return Ok(Some(Self { errno, ..Self::default() }));
        }
        let table = Table::new(rest)?;
        Ok(Some(Self {
            errno,
            message: table.optional(TEXT)?,
            offset: table.optional(OFFSET)?,
            missing: table.optional(MISSING)?,
        }))
    }
}

/// What follows the request that is quoted: whole when it failed, unless that was cut off,
/// and its header alone when it went well.
fn behind_request<'a>(
    message: &Message<'_>,
    quoted: &'a [u8],
    errno: i32,
) -> Result<&'a [u8], DecodeError> {
    let available = quoted.len();
    let truncated = DecodeError::Truncated { part: "quoted request", available };
    if errno == 0 || message.has_flag(libc::NLM_F_CAPPED) {
        return quoted.get(HEADER..).ok_or(truncated);
    }
    let mut messages = Messages::new(quoted);
    let request = messages.next().unwrap_or(Err(truncated))?;
    Ok(behind(quoted, HEADER + request.payload.len()))
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", io::Error::from_raw_os_error(self.errno))?;
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if let Some(missing) = self.missing {
            write!(f, " (attribute number {missing} is missing)")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " (at byte {offset} of the request)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(number: u16, payload: &[u8]) -> Vec<u8> {
        let length = 4 + payload.len() as u16;
        let mut bytes = [length.to_ne_bytes(), number.to_ne_bytes()].concat();
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// An error number, a quoted request with `quoted` bytes behind its header, and TLVs.
    fn payload(errno: i32, announced: u32, quoted: usize, tlvs: &[u8]) -> Vec<u8> {
        let mut bytes = [(-errno).to_ne_bytes(), announced.to_ne_bytes()].concat();
        bytes.resize(4 + 16 + quoted, 7);
        bytes.extend(tlvs);
        bytes
    }

    fn decode(kind: u16, flags: i32, payload: &[u8]) -> Result<Option<Ack>, DecodeError> {
        Ack::decode(&Message { kind, flags: flags as u16, sequence: 1, port: 2, payload })
    }

    fn extended() -> Vec<u8> {
        [attribute(1, b"deadline out of range\0"), attribute(2, &24u32.to_ne_bytes())].concat()
    }

    #[test]
    fn reads_the_extended_ack_behind_a_quoted_request() {
        // A request of 21 bytes is padded to 24.
        let bytes = payload(libc::EINVAL, 21, 8, &extended());
        let ack = decode(ERROR, libc::NLM_F_ACK_TLVS, &bytes).unwrap().unwrap();
        assert_eq!((ack.errno, ack.offset), (libc::EINVAL, Some(24)));
        assert_eq!(ack.message.as_deref(), Some("deadline out of range"));
        let text = ack.to_string();
        assert!(text.contains("deadline out of range (at byte 24"), "{text}");
    }

    #[test]
    fn reads_it_behind_a_header_that_was_cut_off_or_went_well() {
        let flags = libc::NLM_F_ACK_TLVS | libc::NLM_F_CAPPED;
        let bytes = payload(libc::EINVAL, 900, 0, &extended());
        assert_eq!(decode(ERROR, flags, &bytes).unwrap().unwrap().offset, Some(24));
        let bytes = payload(0, 900, 0, &extended());
        let ack = decode(ERROR, libc::NLM_F_ACK_TLVS, &bytes).unwrap().unwrap();
        assert_eq!((ack.errno, ack.offset), (0, Some(24)));
    }

    #[test]
    fn reads_the_end_of_a_dump() {
        let done = decode(DONE, libc::NLM_F_MULTI, &0i32.to_ne_bytes());
        assert_eq!(done, Ok(Some(Ack::default())));
        let bytes = [(-libc::ENOMEM).to_ne_bytes().to_vec(), extended()].concat();
        let flags = libc::NLM_F_MULTI | libc::NLM_F_ACK_TLVS;
        let ack = decode(DONE, flags, &bytes).unwrap().unwrap();
        assert_eq!((ack.errno, ack.offset), (libc::ENOMEM, Some(24)));
    }

    #[test]
    fn refuses_what_is_cut_short() {
        for bytes in [vec![], vec![0; 3], payload(libc::EINVAL, 21, 1, &[]), vec![0xff; 12]] {
            assert!(decode(ERROR, libc::NLM_F_ACK_TLVS, &bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(decode(0x20, 0, &[]), Ok(None));
    }

    #[test]
    fn the_smallest_error_number_is_no_overflow() {
        let ack = decode(DONE, 0, &i32::MIN.to_ne_bytes()).unwrap().unwrap();
        assert_eq!(ack.errno, i32::MAX);
    }
}
