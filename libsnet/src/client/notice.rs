// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a message that nobody asked for says.
//!
//! Pure: bytes in, meaning out.

use super::Error;
use crate::types::Event;
use crate::uapi::cmd;
use crate::wire::family::{self, CONTROLLER};
use crate::wire::{Message, event};

/// A message on the event socket.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation for each event")]
pub(super) enum Notice {
    /// A call is held; or one is and the message can't be understood.
    Held(Result<Event, Error>),
    /// The module is unloaded.
    Gone,
    /// Of no concern here: another family came or went.
    Other,
}

impl Notice {
    /// Reads a message to the decider of the family with this number.
    pub(super) fn read(message: &Message<'_>, family: u16) -> Self {
        let Ok(genl) = message.genl() else {
            return Self::Other;
        };
        if message.kind == CONTROLLER && family::says_gone(genl, family) {
            return Self::Gone;
        }
        if message.kind != family || genl.command != cmd::EVENT {
            return Self::Other;
        }
        Self::Held(event::decode(genl.attributes).map_err(|source| Error::Undecodable {
            request: event::request_id(genl.attributes),
            source,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::RequestId;
    use crate::wire::DecodeError;

    const FAMILY: u16 = 0x21;

    fn read(kind: u16, command: u8, attributes: &[u8]) -> Notice {
        let payload = [&[command, 1, 0, 0], attributes].concat();
        Notice::read(&Message { kind, flags: 0, sequence: 0, port: 0, payload: &payload }, FAMILY)
    }

    #[test]
    fn an_event_that_cannot_be_understood_keeps_its_number() {
        let request_id = [12u16.to_ne_bytes(), crate::uapi::attr::main::REQUEST_ID.to_ne_bytes()];
        let attributes = [request_id.concat(), 7u64.to_ne_bytes().to_vec()].concat();
        let Notice::Held(Err(Error::Undecodable { request, source })) =
            read(FAMILY, cmd::EVENT, &attributes)
        else {
            panic!("decoded");
        };
        assert_eq!(request, Some(RequestId(7)));
        assert!(matches!(source, DecodeError::Missing(_)));
        let nothing = read(FAMILY, cmd::EVENT, &[]);
        assert!(matches!(nothing, Notice::Held(Err(Error::Undecodable { request: None, .. }))));
    }

    #[test]
    fn other_messages_are_of_no_concern() {
        assert!(matches!(read(FAMILY, cmd::STATS_GET, &[]), Notice::Other));
        assert!(matches!(read(FAMILY + 1, cmd::EVENT, &[]), Notice::Other));
        assert!(matches!(read(CONTROLLER, 2, &[]), Notice::Other));
        let cut = Message { kind: FAMILY, flags: 0, sequence: 0, port: 0, payload: &[8] };
        assert!(matches!(Notice::read(&cut, FAMILY), Notice::Other));
    }
}
