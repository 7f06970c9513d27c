// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must hold for every message: no bytes make a decoder panic, and what is encoded comes
//! back as it was.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod sample;

use libsnet::types::{AuditRecord, Event, KeptTicket, WatchSet};
use libsnet::wire::{
    Ack, Attributes, Envelope, Genl, Messages, Request, audit, event, family, settings, ticket,
};
use proptest::prelude::*;

const ENVELOPE: Envelope = Envelope { family: 0x21, flags: 0, sequence: 0 };

/// Runs every decoder over attributes that may be anything.
fn decode_attributes(attributes: &[u8]) {
    let _ = event::decode(attributes);
    let _ = event::request_id(attributes);
    let _ = audit::decode(attributes);
    let _ = ticket::decode(attributes);
    let _ = settings::decode(attributes);
    let _ = settings::decode_registered(attributes);
    let _ = settings::decode_watch(attributes);
    let _ = settings::decode_stats(attributes);
    let _ = family::decode(attributes);
    let _ = family::says_gone(Genl { command: 2, version: 1, attributes }, 0x21);
    assert!(Attributes::new(attributes).count() <= attributes.len() / 4 + 1);
}

/// Runs every decoder over a datagram that may be anything.
fn decode_datagram(datagram: &[u8]) {
    assert!(Messages::new(datagram).count() <= datagram.len() / 16 + 1);
    for message in Messages::new(datagram).map_while(Result::ok) {
        if let Ok(Some(ack)) = Ack::decode(&message) {
            assert!(ack.errno >= 0 && !ack.to_string().is_empty());
        }
        if let Ok(genl) = message.genl() {
            decode_attributes(genl.attributes);
        }
    }
    decode_attributes(datagram);
}

fn encoded_event(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    event::encode(event, ENVELOPE, &mut bytes).unwrap();
    bytes
}

fn encoded_record(record: &AuditRecord) -> Vec<u8> {
    let mut bytes = Vec::new();
    audit::encode(record, ENVELOPE, &mut bytes).unwrap();
    bytes
}

fn encoded_ticket(kept: &KeptTicket) -> Vec<u8> {
    let mut bytes = Vec::new();
    ticket::encode(kept, ENVELOPE, &mut bytes).unwrap();
    bytes
}

fn encoded_request(request: Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    request.encode(ENVELOPE, &mut bytes).unwrap();
    bytes
}

fn attributes_of(bytes: &[u8]) -> &[u8] {
    Messages::new(bytes).next().unwrap().unwrap().genl().unwrap().attributes
}

/// A message of any kind as it ought to be.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        sample::event().prop_map(|event| encoded_event(&event)),
        sample::audit_record().prop_map(|record| encoded_record(&record)),
        sample::kept_ticket().prop_map(|kept| encoded_ticket(&kept)),
        sample::settings().prop_map(|set| encoded_request(Request::PolicySet(&set))),
        sample::watch_set().prop_map(|watch| encoded_request(Request::WatchSet(&watch))),
        sample::refusal(),
    ]
}

/// What goes wrong with a message: bytes change, mostly those that are lengths, and the end
/// is missing.
fn spoil(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, bool, u8)], keep: f64) -> Vec<u8> {
    for (at, is_length, value) in changes {
        let at = at.index(bytes.len());
        let at = if *is_length { at / 4 * 4 } else { at };
        bytes[at] = *value;
    }
    let keep = (bytes.len() as f64 * keep) as usize;
    bytes.truncate(keep);
    bytes
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        decode_datagram(&bytes);
    }

    #[test]
    fn no_spoilt_message_makes_a_decoder_panic(
        message in any_message(),
        changes in prop::collection::vec(any::<(prop::sample::Index, bool, u8)>(), 0..8),
        keep in prop_oneof![Just(1.0), 0.0..1.0f64],
    ) {
        decode_datagram(&spoil(message, &changes, keep));
    }

    #[test]
    fn messages_in_one_datagram_stay_apart(
        messages in prop::collection::vec(any_message(), 1..5),
    ) {
        let datagram = messages.concat();
        let found: Vec<_> = Messages::new(&datagram).map(Result::unwrap).collect();
        prop_assert_eq!(found.len(), messages.len());
        for (found, sent) in found.iter().zip(&messages) {
            prop_assert_eq!(found.payload, &sent[16..]);
        }
    }

    #[test]
    fn an_event_comes_back_as_it_was_sent(event in sample::event()) {
        let bytes = encoded_event(&event);
        prop_assert_eq!(event::request_id(attributes_of(&bytes)), Some(event.request));
        prop_assert_eq!(event::decode(attributes_of(&bytes)), Ok(event));
    }

    #[test]
    fn an_audit_record_comes_back_as_it_was_sent(record in sample::audit_record()) {
        let bytes = encoded_record(&record);
        prop_assert_eq!(audit::decode(attributes_of(&bytes)), Ok(record));
    }

    #[test]
    fn a_ticket_comes_back_as_it_was_sent(kept in sample::kept_ticket()) {
        let bytes = encoded_ticket(&kept);
        prop_assert_eq!(ticket::decode(attributes_of(&bytes)), Ok(kept));
    }

    #[test]
    fn settings_come_back_as_they_were_sent(set in sample::settings()) {
        let bytes = encoded_request(Request::PolicySet(&set));
        prop_assert_eq!(settings::decode(attributes_of(&bytes)), Ok(set));
    }

    #[test]
    fn a_watch_set_comes_back_as_it_was_sent(watch in sample::watch_set()) {
        let bytes = encoded_request(Request::WatchSet(&watch));
        prop_assert_eq!(settings::decode_watch(attributes_of(&bytes)), Ok(watch));
    }

    #[test]
    fn an_attribute_of_tomorrow_changes_nothing(
        event in sample::event(),
        number in 64u16..0x3fff,
        payload in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut attributes = attributes_of(&encoded_event(&event)).to_vec();
        attributes.extend((4 + payload.len() as u16).to_ne_bytes());
        attributes.extend(number.to_ne_bytes());
        attributes.extend(payload);
        prop_assert_eq!(event::decode(&attributes), Ok(event));
    }
}

/// What was not there must not come from a default.
#[test]
fn nothing_decodes_to_an_error_and_not_to_zeros() {
    assert!(event::decode(&[]).is_err());
    assert!(audit::decode(&[]).is_err());
    assert!(ticket::decode(&[]).is_err());
    assert!(settings::decode(&[]).is_err());
    assert!(settings::decode_registered(&[]).is_err());
    assert!(settings::decode_stats(&[]).is_err());
    assert!(family::decode(&[]).is_err());
    assert_eq!(settings::decode_watch(&[]), Ok(WatchSet::new()));
}
