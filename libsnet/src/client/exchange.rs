// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which message answers which request.
//!
//! Owns one request from its sequence number to its end. Pure: bytes come from a
//! [`super::channel::Channel`], and from a test.

use super::Error;
use crate::wire::{Ack, DecodeError, Genl, Message};

const DONE: u16 = libc::NLMSG_DONE as u16;
const OVERRUN: u16 = libc::NLMSG_OVERRUN as u16;
/// Below are messages about messages.
const FIRST_FAMILY: u16 = libc::NLMSG_MIN_TYPE as u16;

/// A request that was sent and isn't through.
#[derive(Debug)]
pub(super) struct Exchange {
    family: u16,
    sequence: u32,
    interrupted: bool,
}

/// What a message is to an exchange.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// A part of the answer.
    Part(Genl<'a>),
    /// The request is through, and was not refused.
    End(Completeness),
    /// No message of this exchange.
    Foreign,
}

/// Was a list the same from its beginning to its end?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    Whole,
    Interrupted,
}

impl Exchange {
    pub(super) fn new(family: u16, sequence: u32) -> Self {
        Self { family, sequence, interrupted: false }
    }

    /// Reads the next message of the socket that the request was sent on. An error ends the
    /// exchange.
    pub(super) fn read<'a>(&mut self, message: &Message<'a>) -> Result<Reply<'a>, Error> {
        if message.sequence != self.sequence {
            return Ok(Reply::Foreign);
        }
        self.interrupted |= message.has_flag(libc::NLM_F_DUMP_INTR) && self.is_list(message);
        if let Some(ack) = Ack::decode(message)? {
            return self.end(ack);
        }
        match message.kind {
            kind if kind == self.family => Ok(Reply::Part(message.genl()?)),
            OVERRUN => Err(Error::NoAnswer),
            kind if kind < FIRST_FAMILY => Ok(Reply::Foreign),
            kind => Err(DecodeError::UnexpectedKind { kind }.into()),
        }
    }

    /// The flag has another meaning in messages that are no part of a list.
    fn is_list(&self, message: &Message<'_>) -> bool {
        message.kind == DONE || message.kind == self.family
    }

    fn end<'a>(&self, ack: Ack) -> Result<Reply<'a>, Error> {
        if ack.errno != 0 {
            return Err(Error::from_refusal(ack));
        }
        let interrupted = self.interrupted;
        Ok(Reply::End(if interrupted { Completeness::Interrupted } else { Completeness::Whole }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: u16 = 0x21;
    const ERROR: u16 = libc::NLMSG_ERROR as u16;

    fn message(kind: u16, sequence: u32, flags: i32, payload: &[u8]) -> Message<'_> {
        Message { kind, flags: flags as u16, sequence, port: 1, payload }
    }

    /// An acknowledgement quotes the header of the request.
    fn acknowledged(errno: i32) -> Vec<u8> {
        [(-errno).to_ne_bytes(), 16u32.to_ne_bytes(), [0; 4], [0; 4], [0; 4]].concat()
    }

    fn exchange() -> Exchange {
        Exchange::new(FAMILY, 5)
    }

    #[test]
    fn a_part_and_then_an_acknowledgement() {
        let mut exchange = exchange();
        let part = exchange.read(&message(FAMILY, 5, 0, &[7, 1, 0, 0])).unwrap();
        assert_eq!(part, Reply::Part(Genl { command: 7, version: 1, attributes: &[] }));
        let well = acknowledged(0);
        let end = exchange.read(&message(ERROR, 5, 0, &well)).unwrap();
        assert_eq!(end, Reply::End(Completeness::Whole));
    }

    #[test]
    fn answers_to_other_requests_and_events_are_foreign() {
        for sequence in [0, 4, 6] {
            let refused = acknowledged(libc::EINVAL);
            let stale = exchange().read(&message(ERROR, sequence, 0, &refused)).unwrap();
            assert_eq!(stale, Reply::Foreign);
            let event = exchange().read(&message(FAMILY, sequence, 0, &[])).unwrap();
            assert_eq!(event, Reply::Foreign);
        }
        assert_eq!(exchange().read(&message(1, 5, 0, &[])).unwrap(), Reply::Foreign);
    }

    #[test]
    fn a_refusal_is_an_error() {
        let bytes = acknowledged(libc::EPERM);
        let error = exchange().read(&message(ERROR, 5, 0, &bytes)).unwrap_err();
        assert!(matches!(error, Error::NotPermitted(_)), "{error}");
    }

    #[test]
    fn the_end_of_a_list_carries_an_error_number_too() {
        let failed = (-libc::ENOMEM).to_ne_bytes();
        let error = exchange().read(&message(DONE, 5, libc::NLM_F_MULTI, &failed)).unwrap_err();
        assert!(matches!(error, Error::Refused(ack) if ack.errno == libc::ENOMEM));
    }

    #[test]
    fn a_list_that_changed_on_any_page_is_interrupted() {
        let interrupted = libc::NLM_F_MULTI | libc::NLM_F_DUMP_INTR;
        for (first, last) in [(interrupted, libc::NLM_F_MULTI), (libc::NLM_F_MULTI, interrupted)] {
            let mut exchange = exchange();
            exchange.read(&message(FAMILY, 5, first, &[0; 4])).unwrap();
            let end = exchange.read(&message(DONE, 5, last, &[0; 4])).unwrap();
            assert_eq!(end, Reply::End(Completeness::Interrupted));
        }
    }

    #[test]
    fn what_cannot_be_an_answer_is_an_error_and_not_a_wait() {
        let error = exchange().read(&message(0x22, 5, 0, &[0; 4])).unwrap_err();
        assert!(matches!(error, Error::Decode(DecodeError::UnexpectedKind { kind: 0x22 })));
        assert!(exchange().read(&message(FAMILY, 5, 0, &[0; 3])).is_err());
        assert!(matches!(exchange().read(&message(OVERRUN, 5, 0, &[])), Err(Error::NoAnswer)));
    }
}
