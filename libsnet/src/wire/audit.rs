// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel tells the multicast group [`crate::uapi::MCGRP_AUDIT`].

use super::attribute::{Table, key};
use super::encode::{self, AttributeList};
use super::{DecodeError, EncodeError, Envelope, object, subject};
use crate::types::{AuditRecord, RuleId, TicketId};
use crate::uapi;

/// Decodes the attributes of an `audit` message.
///
/// # Errors
/// A [`DecodeError`] that names the attribute.
pub fn decode(attributes: &[u8]) -> Result<AuditRecord, DecodeError> {
    let table = Table::new(attributes)?;
    Ok(AuditRecord {
        time: table.required(key!(main::TIME))?,
        subject: subject::decode(&table.nest(key!(main::SUBJECT))?)?,
        object: object::decode(&table.nest(key!(main::OBJECT))?)?,
        verdict: table.required(key!(main::VERDICT))?,
        cause: table.required(key!(main::CAUSE))?,
        ticket: table.optional(key!(main::TICKET_ID))?.map(TicketId),
        rule: table.optional(key!(main::RULE_ID))?.map(RuleId),
        dropped: table.optional(key!(main::DROPPED))?.unwrap_or_default(),
    })
}

/// Encodes a record as the kernel does, for tests and simulated kernels.
///
/// # Errors
/// [`EncodeError::TooLong`] for a path or name that no attribute can hold.
pub fn encode(
    record: &AuditRecord,
    envelope: Envelope,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut list = AttributeList::default();
    list.nest(key!(main::SUBJECT), subject::encode(&record.subject)?)?;
    list.nest(key!(main::OBJECT), object::encode(&record.object)?)?;
    list.put(key!(main::VERDICT), record.verdict as u32)?;
    list.put(key!(main::CAUSE), record.cause as u32)?;
    list.put(key!(main::TIME), record.time)?;
    list.put_some(key!(main::TICKET_ID), record.ticket.map(|ticket| ticket.0))?;
    list.put_some(key!(main::RULE_ID), record.rule.map(|rule| rule.0))?;
    list.put_some(key!(main::DROPPED), (record.dropped > 0).then_some(record.dropped))?;
    encode::message(envelope, (uapi::cmd::AUDIT, uapi::FAMILY_VERSION), list, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{AttributeName, Messages};

    /// A message with a cause and a verdict of these numbers and nothing else.
    fn decoded(cause: u32, verdict: u32) -> DecodeError {
        let mut list = AttributeList::default();
        list.put(key!(main::TIME), 1u64).unwrap();
        list.put(key!(main::VERDICT), verdict).unwrap();
        list.put(key!(main::CAUSE), cause).unwrap();
        let mut bytes = Vec::new();
        let envelope = Envelope { family: 32, flags: 0, sequence: 0 };
        encode::message(envelope, (uapi::cmd::AUDIT, 1), list, &mut bytes).unwrap();
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        decode(message.genl().unwrap().attributes).unwrap_err()
    }

    #[test]
    fn a_record_without_a_subject_is_none() {
        let missing = DecodeError::Missing(AttributeName::new("main.SUBJECT"));
        assert_eq!(decoded(1, 2), missing);
    }
}
