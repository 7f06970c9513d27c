// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `fuzz/` reaches of the client: framing, and what an answer means.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use libsnet::control::StatusReply;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::frames::{Frames, Next, Until};
use super::replies::{History, Journal, Proposals, Questions, Rule, Rules, Tickets};
use super::{
    Answered, Changed, ClientError, Confirmed, Decided, Dropped, Explained, Replaced, Revoked,
    read_answer,
};

/// What a message means as the answer to each kind of call: what was read, or what is told.
pub fn answers(frame: &[u8]) -> Vec<Result<Value, String>> {
    vec![
        read::<StatusReply>(frame, |status| json!(status)),
        read::<Rules>(frame, |reply| json!({ "rules": reply.rules })),
        read::<Rule>(frame, |reply| json!({ "rule": reply.rule })),
        read::<Changed>(frame, |changed| json!(changed)),
        read::<Replaced>(frame, |replaced| json!(replaced)),
        read::<Confirmed>(frame, |confirmed| json!(confirmed)),
        read::<History>(frame, |reply| json!({ "history": reply.history })),
        read::<Proposals>(frame, |reply| json!({ "proposals": reply.proposals })),
        read::<Dropped>(frame, |dropped| json!(dropped)),
        read::<Explained>(
            frame,
            |reply| json!({ "explanation": reply.explanation, "watched": reply.watched }),
        ),
        read::<Tickets>(frame, |reply| json!({ "tickets": reply.tickets })),
        read::<Revoked>(frame, |revoked| json!(revoked)),
        read::<Questions>(frame, |reply| json!({ "questions": reply.questions })),
        read::<Answered>(frame, |answered| json!(answered)),
        read::<Journal>(frame, |reply| json!({ "entries": reply.entries })),
        read::<Decided>(frame, |reply| json!({ "decided": reply.decided, "missed": reply.missed })),
    ]
}

fn read<T: DeserializeOwned>(frame: &[u8], told: fn(&T) -> Value) -> Result<Value, String> {
    let read = read_answer::<T>("io.snet.Control.Any", frame);
    read.map(|(reply, _)| told(&reply)).map_err(|error: ClientError| error.to_string())
}

/// The messages of a connection on which this came, and whether it ended behind one. What comes
/// must fit the buffer of a socket.
///
/// # Errors
/// Those of the socket itself.
pub fn frames(came: &[u8]) -> io::Result<(Vec<Vec<u8>>, bool)> {
    let (mut stream, mut daemon) = UnixStream::pair()?;
    daemon.set_nonblocking(true)?;
    daemon.write_all(came)?;
    daemon.shutdown(Shutdown::Both)?;
    let until = Until::Deadline(Instant::now() + Duration::from_secs(10));
    let (mut frames, mut messages) = (Frames::default(), Vec::new());
    loop {
        match frames.next(&mut stream, until) {
            Ok(Next::Frame(frame)) => messages.push(frame),
            Ok(Next::End | Next::OutputClosed) => return Ok((messages, true)),
            Err(_) => return Ok((messages, false)),
        }
    }
}
