// SPDX-License-Identifier: MIT OR Apache-2.0
//! The watch set, the settings (attribute set `policy`) and the counters.

use std::time::Duration;

use super::attribute::{Key, Table, key, repeated};
use super::encode::{self, AttributeList};
use super::{DecodeError, EncodeError};
use crate::types::{Limits, Operation, Protocols, Settings, Stats, WatchSet};

/// What the kernel answers to `register`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The version of the protocol that the module speaks; see [`crate::uapi::ABI_VERSION`].
    pub abi_version: u32,
    /// What is set in the kernel.
    pub settings: Settings,
}

/// Decodes the attributes of the answer to `register`. Of a module that speaks another
/// version only that version is read.
///
/// # Errors
/// A [`DecodeError`] that names the attribute.
pub fn decode_registered(attributes: &[u8]) -> Result<Registered, DecodeError> {
    let abi_version = Table::new(attributes)?.required(key!(main::ABI_VERSION))?;
    let same = abi_version == crate::uapi::ABI_VERSION;
    let settings = if same { decode(attributes)? } else { Settings::default() };
    Ok(Registered { abi_version, settings })
}

/// Decodes the attributes of the answer to `policy-get`.
///
/// # Errors
/// A [`DecodeError`] that names the attribute.
pub fn decode(attributes: &[u8]) -> Result<Settings, DecodeError> {
    let policy = Table::new(attributes)?.required::<&[u8]>(key!(main::POLICY))?;
    let table = Table::new(policy)?;
    let mut settings = Settings {
        deadline: decode_duration(&table, key!(policy::DEADLINE))?,
        nonblock_deadline: decode_duration(&table, key!(policy::NONBLOCK_DEADLINE))?,
        limits: Limits {
            requests: table.optional(key!(policy::MAX_REQUESTS))?,
            requests_per_process: table.optional(key!(policy::MAX_REQUESTS_PER_PROCESS))?,
            tickets: table.optional(key!(policy::MAX_TICKETS))?,
            tickets_per_process: table.optional(key!(policy::MAX_TICKETS_PER_PROCESS))?,
        },
        ..Settings::default()
    };
    for nest in repeated(policy, key!(policy::FALLBACK)) {
        let fallback = Table::new(nest?)?;
        let operation = fallback.required(key!(fallback::OPERATION))?;
        settings.fallbacks.insert(operation, fallback.required(key!(fallback::VERDICT))?);
    }
    Ok(settings)
}

fn decode_duration(table: &Table<'_>, key: Key) -> Result<Option<Duration>, DecodeError> {
    let milliseconds = table.optional::<u32>(key)?;
    Ok(milliseconds.map(|number| Duration::from_millis(u64::from(number))))
}

/// Only what is set is sent: the kernel leaves the rest as it is.
pub(super) fn encode(settings: &Settings) -> Result<AttributeList, EncodeError> {
    let limits = settings.limits;
    let mut policy = AttributeList::default();
    let deadline = settings.deadline.map(encode::milliseconds_u32);
    policy.put_some(key!(policy::DEADLINE), deadline)?;
    let nonblock = settings.nonblock_deadline.map(encode::milliseconds_u32);
    policy.put_some(key!(policy::NONBLOCK_DEADLINE), nonblock)?;
    for (operation, verdict) in &settings.fallbacks {
        let mut fallback = AttributeList::default();
        fallback.put(key!(fallback::OPERATION), *operation as u32)?;
        fallback.put(key!(fallback::VERDICT), *verdict as u32)?;
        policy.nest(key!(policy::FALLBACK), fallback)?;
    }
    policy.put_some(key!(policy::MAX_REQUESTS), limits.requests)?;
    policy.put_some(key!(policy::MAX_REQUESTS_PER_PROCESS), limits.requests_per_process)?;
    policy.put_some(key!(policy::MAX_TICKETS), limits.tickets)?;
    policy.put_some(key!(policy::MAX_TICKETS_PER_PROCESS), limits.tickets_per_process)?;
    let mut list = AttributeList::default();
    list.nest(key!(main::POLICY), policy)?;
    Ok(list)
}

/// Decodes the attributes of one message of a `watch-get` dump. Operations that nothing
/// watches are left out.
///
/// # Errors
/// A [`DecodeError`] that names the attribute.
pub fn decode_watch(attributes: &[u8]) -> Result<WatchSet, DecodeError> {
    let mut watch = WatchSet::new();
    for nest in repeated(attributes, key!(main::WATCH)) {
        let table = Table::new(nest?)?;
        let operation: Operation = table.required(key!(watch::OPERATION))?;
        let protocols: Protocols = table.required(key!(watch::PROTOCOLS))?;
        if !protocols.is_empty() {
            watch.insert(operation, protocols);
        }
    }
    Ok(watch)
}

/// Every operation is sent, since the kernel leaves those alone that aren't named.
pub(super) fn encode_watch(watch: &WatchSet) -> Result<AttributeList, EncodeError> {
    let mut list = AttributeList::default();
    for operation in Operation::ALL {
        let protocols = watch.get(operation).copied().unwrap_or(Protocols::NONE);
        let mut one = AttributeList::default();
        one.put(key!(watch::OPERATION), *operation as u32)?;
        one.put(key!(watch::PROTOCOLS), protocols.bits())?;
        list.nest(key!(main::WATCH), one)?;
    }
    Ok(list)
}

/// Decodes the attributes of the answer to `stats-get`.
///
/// # Errors
/// A [`DecodeError`] that names the attribute.
pub fn decode_stats(attributes: &[u8]) -> Result<Stats, DecodeError> {
    let table = Table::new(attributes)?.nest(key!(main::STATS))?;
    Ok(Stats {
        calls: table.required(key!(stats::CALLS))?,
        ticket_allowed: table.required(key!(stats::TICKET_ALLOWED))?,
        ticket_denied: table.required(key!(stats::TICKET_DENIED))?,
        events: table.required(key!(stats::EVENTS))?,
        verdict_allowed: table.required(key!(stats::VERDICT_ALLOWED))?,
        verdict_denied: table.required(key!(stats::VERDICT_DENIED))?,
        fallback_deadline: table.required(key!(stats::FALLBACK_DEADLINE))?,
        fallback_no_decider: table.required(key!(stats::FALLBACK_NO_DECIDER))?,
        fallback_decider_gone: table.required(key!(stats::FALLBACK_DECIDER_GONE))?,
        fallback_stalled: table.required(key!(stats::FALLBACK_STALLED))?,
        fallback_bounds: table.required(key!(stats::FALLBACK_BOUNDS))?,
        fallback_lost: table.required(key!(stats::FALLBACK_LOST))?,
        killed: table.required(key!(stats::KILLED))?,
        refused: table.required(key!(stats::REFUSED))?,
        audit_dropped: table.required(key!(stats::AUDIT_DROPPED))?,
        held: table.required(key!(stats::HELD))?,
        tickets: table.required(key!(stats::TICKETS))?,
        owners: table.required(key!(stats::OWNERS))?,
        decider: table.optional(key!(stats::DECIDER))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Protocol, Verdict};
    use crate::wire::{Envelope, Messages};

    /// The bytes of the attributes in `list`.
    fn bytes_of(list: AttributeList) -> Vec<u8> {
        let mut bytes = Vec::new();
        let envelope = Envelope { family: 32, flags: 0, sequence: 0 };
        encode::message(envelope, (1, 1), list, &mut bytes).unwrap();
        Messages::new(&bytes).next().unwrap().unwrap().genl().unwrap().attributes.to_vec()
    }

    fn sample() -> Settings {
        Settings {
            deadline: Some(Duration::from_secs(2)),
            nonblock_deadline: Some(Duration::from_millis(1)),
            fallbacks: [(Operation::Bind, Verdict::Allow), (Operation::Connect, Verdict::Deny)]
                .into(),
            limits: Limits { requests: Some(1), tickets: Some(3), ..Limits::default() },
        }
    }

    #[test]
    fn settings_come_back_as_they_were_sent() {
        assert_eq!(decode(&bytes_of(encode(&sample()).unwrap())), Ok(sample()));
        let nothing = Settings::default();
        assert_eq!(decode(&bytes_of(encode(&nothing).unwrap())), Ok(nothing));
    }

    #[test]
    fn the_whole_watch_set_is_sent_and_what_nothing_watches_is_left_out_again() {
        let watch: WatchSet = [(Operation::Connect, Protocol::Tcp.into())].into();
        let bytes = bytes_of(encode_watch(&watch).unwrap());
        let sent = repeated(&bytes, key!(main::WATCH)).count();
        assert_eq!(sent, Operation::ALL.len());
        assert_eq!(decode_watch(&bytes), Ok(watch));
    }

    #[test]
    fn of_another_abi_only_the_version_is_read() {
        let mut list = AttributeList::default();
        list.put(key!(main::ABI_VERSION), 2u32).unwrap();
        list.put(key!(main::POLICY), [1u8, 2, 3]).unwrap();
        let registered = decode_registered(&bytes_of(list)).unwrap();
        assert_eq!(registered, Registered { abi_version: 2, settings: Settings::default() });
    }

    #[test]
    fn a_counter_that_is_missing_or_has_another_length_is_named() {
        let mut stats = AttributeList::default();
        stats.put(key!(stats::CALLS), 5u64).unwrap();
        stats.put(key!(stats::TICKET_ALLOWED), 5u32).unwrap();
        let mut list = AttributeList::default();
        list.nest(key!(main::STATS), stats).unwrap();
        let error = decode_stats(&bytes_of(list)).unwrap_err();
        assert_eq!(error.to_string(), "attribute stats.ticket-allowed can't have 4 bytes");
    }
}
