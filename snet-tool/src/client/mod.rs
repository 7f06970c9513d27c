// SPDX-License-Identifier: MIT OR Apache-2.0
//! Talks to snetd: sends calls over its control socket and reads the answers.
//!
//! Owns the connection, its timeouts and its errors; [`control`] has a method per call.

mod connect;
mod control;
mod frames;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod replies;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libsnet::control::{Call, ErrorReply, MAX_REPLY};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use control::Decisions;
use frames::{Frames, Next, Until};
pub(crate) use replies::{
    Answered, Changed, Confirmed, Decided, Dropped, Explained, Replaced, Revoked,
};

/// Why there is no answer, or none that was hoped for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "snetd isn't reachable: there is no socket {}; is snetd running? as root: snetd; \
         for this user alone: snet-tool run -- COMMAND",
        .0.display()
    )]
    NoSocket(PathBuf),
    #[error(
        "snetd isn't reachable: nothing answers on {}; is snetd running? as root: snetd; \
         for this user alone: snet-tool run -- COMMAND",
        .0.display()
    )]
    Refused(PathBuf),
    #[error("permission denied on {}: be root or a member of group snet", .0.display())]
    Forbidden(PathBuf),
    #[error("snetd isn't reachable: can't connect to {}", socket.display())]
    Connect { socket: PathBuf, source: io::Error },
    #[error(
        "snetd gave no answer on {} within {} s: is it stopped or overloaded?",
        socket.display(), after.as_secs_f32()
    )]
    Timeout { socket: PathBuf, after: Duration },
    #[error("snetd closed the connection on {} without an answer", .0.display())]
    Closed(PathBuf),
    #[error("the connection on {} broke", socket.display())]
    Broken { socket: PathBuf, source: io::Error },
    #[error("{0:#}")]
    OwnDaemon(anyhow::Error),
    #[error("nobody reads the output any more")]
    OutputClosed,
    #[error("the call is longer than the {MAX_REPLY} bytes that snetd reads: {0} bytes")]
    CallTooLong(usize),
    #[error("snetd's answer is longer than any answer may be")]
    ReplyTooLong,
    #[error("snetd answered {method} with something else; are snet-tool and snetd of one version?")]
    Malformed { method: String, source: serde_json::Error },
    #[error(transparent)]
    Daemon(#[from] ErrorReply),
    #[error("snetd answered {method} with {name} {parameters}")]
    UnknownError { method: String, name: String, parameters: serde_json::Value },
}

/// A connection to snetd.
pub(crate) struct Client {
    stream: UnixStream,
    frames: Frames,
    socket: PathBuf,
    timeout: Duration,
    method: String,
}

/// What is the same in all answers.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    continues: bool,
}

#[derive(Deserialize)]
struct Body<T> {
    parameters: T,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    parameters: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct CallMessage<'a> {
    #[serde(flatten)]
    call: &'a Call,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

impl Client {
    /// Connects. Calls, and everything up to the end of an answer, take `timeout` at most.
    pub(crate) fn connect(socket: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let stream = connect::connect(socket, timeout)?;
        Ok(Self {
            stream,
            frames: Frames::default(),
            socket: socket.to_owned(),
            timeout,
            method: String::new(),
        })
    }

    /// Sends a call and reads its one answer.
    fn call<T: DeserializeOwned>(&mut self, call: &Call) -> Result<T, ClientError> {
        self.send(call, false)?;
        let until = self.deadline();
        let (answer, _) = self.answer(until)?;
        Ok(answer)
    }

    /// Sends a call whose answer comes in parts, and reads all of them.
    fn parts<T: DeserializeOwned>(&mut self, call: &Call) -> Result<Vec<T>, ClientError> {
        self.send(call, true)?;
        let mut parts = Vec::new();
        loop {
            let until = self.deadline();
            let (part, continues) = self.answer(until)?;
            parts.push(part);
            if !continues {
                return Ok(parts);
            }
        }
    }

    fn deadline(&self) -> Until {
        Until::Deadline(Instant::now() + self.timeout)
    }

    fn send(&mut self, call: &Call, more: bool) -> Result<(), ClientError> {
        let message = serde_json::to_value(CallMessage { call, more })
            .map_err(|source| ClientError::Malformed { method: String::new(), source })?;
        let method = message.get("method").and_then(serde_json::Value::as_str);
        self.method = method.unwrap_or_default().to_owned();
        let mut bytes = message.to_string().into_bytes();
        if bytes.len() > MAX_REPLY {
            return Err(ClientError::CallTooLong(bytes.len()));
        }
        bytes.push(0);
        match self.stream.write_all(&bytes) {
            Ok(()) => Ok(()),
            // A daemon that refuses a connection answers and closes; the answer says more.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    /// The next answer, and whether more follow.
    fn answer<T: DeserializeOwned>(&mut self, until: Until) -> Result<(T, bool), ClientError> {
        let frame = match self.frames.next(&mut self.stream, until) {
            Ok(Next::Frame(frame)) => frame,
            Ok(Next::End) => return Err(ClientError::Closed(self.socket.clone())),
            Ok(Next::OutputClosed) => return Err(ClientError::OutputClosed),
            Err(error) => return Err(self.broken(error)),
        };
        read_answer(&self.method, &frame)
    }

    fn broken(&self, source: io::Error) -> ClientError {
        let socket = self.socket.clone();
        match source.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                ClientError::Timeout { socket, after: self.timeout }
            }
            io::ErrorKind::FileTooLarge => ClientError::ReplyTooLong,
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
                ClientError::Closed(socket)
            }
            _ => ClientError::Broken { socket, source },
        }
    }
}

/// The answer to a call of `method` that a message is, and whether more follow.
fn read_answer<T: DeserializeOwned>(method: &str, frame: &[u8]) -> Result<(T, bool), ClientError> {
    let malformed = |source| ClientError::Malformed { method: method.to_owned(), source };
    let head: Head = serde_json::from_slice(frame).map_err(malformed)?;
    match head.error {
        Some(name) => Err(error_reply(method, name, frame)),
        None => {
            let body: Body<T> = serde_json::from_slice(frame).map_err(malformed)?;
            Ok((body.parameters, head.continues))
        }
    }
}

fn error_reply(method: &str, name: String, frame: &[u8]) -> ClientError {
    let parameters = serde_json::from_slice::<ErrorBody>(frame)
        .map_or_else(|_| serde_json::Map::new(), |body| body.parameters);
    let reply = serde_json::json!({ "error": name, "parameters": parameters });
    match serde_json::from_value(reply) {
        Ok(reply) => ClientError::Daemon(reply),
        Err(_) => ClientError::UnknownError {
            method: method.to_owned(),
            name,
            parameters: parameters.into(),
        },
    }
}
