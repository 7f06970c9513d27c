// SPDX-License-Identifier: MIT OR Apache-2.0
//! A datagram of the kernel: every decoder on every message. What is decoded and can be sent
//! comes back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use libsnet::wire::{Ack, EncodeError, Envelope, Messages, Request};
use libsnet::wire::{audit, event, family, settings, ticket};

const ENVELOPE: Envelope = Envelope { family: 32, flags: 0, sequence: 1 };

fuzz_target!(|datagram: &[u8]| {
    let mut messages = Messages::new(datagram);
    let mut unread = messages.unread();
    while let Some(message) = messages.next() {
        assert!(messages.unread() < unread, "no way forward");
        unread = messages.unread();
        let Ok(message) = message else {
            assert_eq!(unread, 0, "goes on behind an error");
            continue;
        };
        if let Ok(Some(ack)) = Ack::decode(&message) {
            assert!(ack.errno >= 0);
            let _ = ack.to_string();
        }
        if let Ok(genl) = message.genl() {
            records(genl.attributes);
            numbers(genl.attributes);
            if let Ok(family) = family::decode(genl.attributes) {
                let _ = family::says_gone(genl, family.id);
            }
        }
    }
});

/// What the kernel sends by itself or lists, and simulated kernels encode.
fn records(attributes: &[u8]) {
    match event::decode(attributes) {
        Ok(event) => {
            assert_eq!(event::request_id(attributes), Some(event.request));
            again(|out| event::encode(&event, ENVELOPE, out), event::decode, &event);
        }
        Err(error) => {
            let _ = (error.to_string(), event::request_id(attributes));
        }
    }
    if let Ok(kept) = ticket::decode(attributes) {
        again(|out| ticket::encode(&kept, ENVELOPE, out), ticket::decode, &kept);
    }
    if let Ok(record) = audit::decode(attributes) {
        again(|out| audit::encode(&record, ENVELOPE, out), audit::decode, &record);
    }
}

/// What is set in the kernel, and counted.
fn numbers(attributes: &[u8]) {
    let _ = settings::decode_registered(attributes);
    let _ = settings::decode_stats(attributes);
    if let Ok(set) = settings::decode(attributes) {
        again(|out| Request::PolicySet(&set).encode(ENVELOPE, out), settings::decode, &set);
    }
    if let Ok(watch) = settings::decode_watch(attributes) {
        let send = |out: &mut _| Request::WatchSet(&watch).encode(ENVELOPE, out);
        again(send, settings::decode_watch, &watch);
    }
}

fn again<T: PartialEq + std::fmt::Debug, E: std::fmt::Debug>(
    encode: impl Fn(&mut Vec<u8>) -> Result<(), EncodeError>,
    decode: fn(&[u8]) -> Result<T, E>,
    value: &T,
) {
    let mut bytes = Vec::new();
    match encode(&mut bytes) {
        Ok(()) => {}
        // Bytes that were no UTF-8 grew.
        Err(EncodeError::TooLong { .. }) => return,
        Err(error) => panic!("{error}: {value:?}"),
    }
    let message = Messages::new(&bytes).next().expect("one message").expect("whole");
    let back = decode(message.genl().expect("generic netlink").attributes);
    assert_eq!(back.as_ref().expect("what was encoded"), value);
}
