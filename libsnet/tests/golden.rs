// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages as a real kernel module sent them.
//!
//! `tests/golden/<what>-<which>.bin` is one datagram, written by `examples/capture.rs` on a
//! machine with the module loaded; `.txt` beside it is what it must be decoded to. The first
//! word says as what. Events and tickets are encoded again as well, and every attribute of
//! the result must be one that the kernel sent. What the kernel sent beyond that is in the
//! text, so that nothing is lost unseen.
//!
//! New captures: put the `.bin` files there, run this test with `SNET_BLESS=1`, and *read*
//! the texts that it writes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::fs;
use std::path::{Path, PathBuf};

use libsnet::uapi::attr::main::{OBJECT, SUBJECT, TICKET};
use libsnet::wire::{
    Ack, Attributes, DecodeError, EncodeError, Envelope, Genl, Message, Messages, event, family,
    settings, ticket,
};

/// What there must be a capture of.
const KINDS: [&str; 9] =
    ["error", "event", "family", "registered", "request", "settings", "stats", "ticket", "watch"];

/// Attributes by their path of numbers, pads left out.
type Leaves = BTreeMap<Vec<u16>, Vec<u8>>;

struct Capture {
    path: PathBuf,
    what: String,
    datagram: Vec<u8>,
}

fn captures() -> Vec<Capture> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let listed = fs::read_dir(&directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        listed.filter(|path| path.extension().is_some_and(|end| end == "bin")).collect();
    paths.sort();
    assert!(
        !paths.is_empty(),
        "no golden bytes in {}: run `capture DIRECTORY` (libsnet/examples/capture.rs) as root \
         where the kernel module is loaded, and copy what it writes",
        directory.display()
    );
    let capture = |path: PathBuf| {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let what = stem.split('-').next().unwrap().to_owned();
        let datagram = fs::read(&path).unwrap();
        Capture { path, what, datagram }
    };
    paths.into_iter().map(capture).collect()
}

fn shown<T: Debug>(decoded: Result<T, DecodeError>, path: &Path) -> String {
    format!("{:#?}", decoded.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// What a message says, as text.
fn describe(capture: &Capture, message: &Message<'_>) -> String {
    let path = &capture.path;
    if let Some(ack) = Ack::decode(message).unwrap_or_else(|error| panic!("{path:?}: {error}")) {
        return format!("type {} flags {:#x}\n{ack:#?}", message.kind, message.flags);
    }
    let Genl { command, version, attributes } = message.genl().unwrap();
    let said = match capture.what.as_str() {
        "event" | "request" => shown(event::decode(attributes), path),
        "ticket" => shown(ticket::decode(attributes), path),
        "watch" => shown(settings::decode_watch(attributes), path),
        "settings" => shown(settings::decode(attributes), path),
        "registered" => shown(settings::decode_registered(attributes), path),
        "stats" => shown(settings::decode_stats(attributes), path),
        "family" => shown(family::decode(attributes), path),
        other => panic!("{}: nothing is decoded as '{other}'", path.display()),
    };
    let mut text = format!("command {command} version {version} flags {:#x}\n", message.flags);
    text.push_str(&said);
    if let Some(again) = encoded_again(&capture.what, attributes).unwrap() {
        describe_rest(&leaves(attributes), &leaves(&again), path, &mut text);
    }
    text
}

/// The attributes that this library makes of what it decoded, where it can.
fn encoded_again(what: &str, attributes: &[u8]) -> Result<Option<Vec<u8>>, EncodeError> {
    let envelope = Envelope { family: 0x20, flags: 0, sequence: 0 };
    let mut bytes = Vec::new();
    match what {
        "event" | "request" => {
            let decoded = event::decode(attributes).unwrap();
            event::encode(&decoded, envelope, &mut bytes)?;
            assert_eq!(event::decode(attributes_of(&bytes)), Ok(decoded));
        }
        "ticket" => {
            let decoded = ticket::decode(attributes).unwrap();
            ticket::encode(&decoded, envelope, &mut bytes)?;
            assert_eq!(ticket::decode(attributes_of(&bytes)), Ok(decoded));
        }
        _ => return Ok(None),
    }
    Ok(Some(attributes_of(&bytes).to_vec()))
}

fn attributes_of(bytes: &[u8]) -> &[u8] {
    Messages::new(bytes).next().unwrap().unwrap().genl().unwrap().attributes
}

/// Order means nothing in netlink, and pads don't either.
fn leaves(attributes: &[u8]) -> Leaves {
    let mut found = Leaves::new();
    for attribute in Attributes::new(attributes).map(Result::unwrap) {
        if [SUBJECT, OBJECT, TICKET].contains(&attribute.number) {
            for inner in Attributes::new(attribute.payload).map(Result::unwrap) {
                found.insert(vec![attribute.number, inner.number], inner.payload.to_vec());
            }
        } else {
            found.insert(vec![attribute.number], attribute.payload.to_vec());
        }
    }
    found.retain(|path, payload| path.last() != Some(&1) || !payload.is_empty());
    found
}

fn describe_rest(sent: &Leaves, again: &Leaves, path: &Path, text: &mut String) {
    for (number, payload) in again {
        let theirs = sent.get(number);
        assert_eq!(theirs, Some(payload), "{}: attribute {number:?}", path.display());
    }
    for (number, payload) in sent.iter().filter(|(number, _)| !again.contains_key(*number)) {
        write!(text, "\nnot encoded again: attribute {number:?} = {payload:?}").unwrap();
    }
}

#[test]
fn each_kind_of_message_was_captured() {
    let captures = captures();
    for kind in KINDS {
        assert!(captures.iter().any(|capture| capture.what == kind), "no capture of '{kind}'");
    }
}

#[test]
fn captured_messages_mean_what_they_meant() {
    let bless = std::env::var_os("SNET_BLESS").is_some();
    for capture in captures() {
        let path = &capture.path;
        let mut text = String::new();
        for message in Messages::new(&capture.datagram) {
            let message = message.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            writeln!(text, "{}", describe(&capture, &message)).unwrap();
        }
        let expected = path.with_extension("txt");
        if bless {
            fs::write(&expected, &text).unwrap();
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_else(|error| {
            panic!("{}: {error}; SNET_BLESS=1 writes it", expected.display())
        });
        assert!(wanted == text, "{}: expected\n{wanted}\nfound\n{text}", path.display());
    }
}
