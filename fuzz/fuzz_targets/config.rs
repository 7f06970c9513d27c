// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemon's configuration. What it sets is sent to the kernel as the same settings; an error
//! has its place in the file.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use libsnet::wire::{Envelope, Messages, Request, settings};

fuzz_target!(|text: &str| {
    match snetd::fuzzing::config(text, Path::new("snetd.toml")) {
        Ok((watch, set)) => {
            let sent = send(&Request::PolicySet(&set));
            assert_eq!(settings::decode(attributes(&sent)), Ok(set));
            let watched = watch.into_iter().filter(|(_, protocols)| !protocols.is_empty());
            let watched = watched.collect();
            let sent = send(&Request::WatchSet(&watched));
            assert_eq!(settings::decode_watch(attributes(&sent)), Ok(watched));
        }
        Err(error) => {
            let placed = error.strip_prefix("snetd.toml:").expect("the file's name");
            snet_fuzz::assert_place(placed, text);
        }
    }
});

fn send(request: &Request<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let envelope = Envelope { family: 32, flags: request.flags(), sequence: 1 };
    request.encode(envelope, &mut bytes).expect("a message");
    bytes
}

fn attributes(message: &[u8]) -> &[u8] {
    let message = Messages::new(message).next().expect("one message").expect("whole");
    message.genl().expect("generic netlink").attributes
}
