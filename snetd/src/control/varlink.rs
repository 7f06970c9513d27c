// SPDX-License-Identifier: MIT OR Apache-2.0
//! Varlink's framing and messages: JSON objects with a NUL byte behind each.
//!
//! Owns what is a message, and which error answers a wrong one. Must not know who calls.

use std::io;
use std::time::Duration;

use libsnet::control::{Call, DESCRIPTION, ErrorReply, INTERFACE};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// From the first byte of a message to its last, and for a reader to take a whole reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// A call as it came, not yet understood.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    /// Interface and method.
    pub(super) method: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    /// The caller takes several replies.
    #[serde(default)]
    pub(super) more: bool,
    /// The caller takes no reply.
    #[serde(default)]
    pub(super) oneway: bool,
    /// The caller wants another protocol from here on.
    #[serde(default)]
    pub(super) upgrade: bool,
}

/// Reads one message without its NUL; nothing at the end of the stream.
///
/// # Errors
/// When the message is longer than `longest`, is cut off, or takes too long.
pub(super) async fn read_message(
    reader: &mut (impl AsyncBufRead + Unpin),
    longest: usize,
) -> io::Result<Option<Vec<u8>>> {
    // Waiting for a message to begin may take forever: only its rest is in a hurry.
    if reader.fill_buf().await?.is_empty() {
        return Ok(None);
    }
    timeout(PATIENCE, read_rest(reader, longest)).await?.map(Some)
}

async fn read_rest(
    reader: &mut (impl AsyncBufRead + Unpin),
    longest: usize,
) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let buffer = reader.fill_buf().await?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut parts = buffer.splitn(2, |byte| *byte == 0);
        let part = parts.next().unwrap_or_default();
        let ended = parts.next().is_some();
        message.extend_from_slice(part);
        let taken = part.len() + usize::from(ended);
        reader.consume(taken);
        if message.len() > longest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "message too long"));
        }
        if ended {
            return Ok(message);
        }
    }
}

/// Writes one message and its NUL. `patient` waits for a slow reader without end.
pub(super) async fn write_message(
    writer: &mut (impl AsyncWrite + Unpin),
    mut message: Vec<u8>,
    patient: bool,
) -> io::Result<()> {
    message.push(0);
    if patient {
        return writer.write_all(&message).await;
    }
    timeout(PATIENCE, writer.write_all(&message)).await?
}

/// A reply on the wire.
pub(super) fn encode_reply(parameters: &impl Serialize, continues: bool) -> io::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Envelope<'a, P> {
        parameters: &'a P,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        continues: bool,
    }
    Ok(serde_json::to_vec(&Envelope { parameters, continues })?)
}

/// An error on the wire.
pub(super) fn encode_error(error: &ErrorReply) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(error)?)
}

impl Request {
    /// The request in a message, or nothing when the message is no Varlink call at all.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        serde_json::from_slice(message).ok()
    }

    /// Name of the interface that the method belongs to.
    pub(super) fn interface(&self) -> &str {
        self.method.rsplit_once('.').map_or("", |(interface, _)| interface)
    }

    /// Is it the call behind which a connection speaks another protocol?
    pub(super) fn is_supervise(&self) -> bool {
        self.method.strip_prefix(INTERFACE) == Some(".Supervise")
    }

    /// The parameters, of which one that is null is the same as one that isn't there.
    pub(super) fn take_parameters(&mut self) -> Value {
        let mut parameters = Value::Object(self.parameters.take().unwrap_or_default());
        drop_nulls(&mut parameters);
        parameters
    }

    /// The call of `io.snet.Control` that this is.
    pub(super) fn into_call(mut self) -> Result<Call, ErrorReply> {
        let method = self.method.strip_prefix(INTERFACE).and_then(|rest| rest.strip_prefix('.'));
        if !method.is_some_and(is_described) {
            return Err(ErrorReply::MethodNotFound { method: self.method });
        }
        let parameters = self.take_parameters();
        read_parameters(json!({ "method": self.method, "parameters": parameters }))
    }
}

/// Is it a method of the description? What isn't described isn't offered.
fn is_described(method: &str) -> bool {
    DESCRIPTION.lines().any(|line| {
        let rest = line.strip_prefix("method ").and_then(|rest| rest.strip_prefix(method));
        rest.is_some_and(|rest| rest.starts_with('('))
    })
}

/// Reads typed parameters; the error names the one that is wrong.
pub(super) fn read_parameters<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, ErrorReply> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let path = path.strip_prefix("parameters").unwrap_or(&path);
        let path = path.trim_start_matches('.');
        let why = error.inner();
        let parameter = if path.is_empty() { why.to_string() } else { format!("{path}: {why}") };
        ErrorReply::InvalidParameter { parameter }
    })
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(message: &str) -> Result<Call, ErrorReply> {
        Request::parse(message.as_bytes()).unwrap().into_call()
    }

    fn invalid(message: &str) -> String {
        match call(message) {
            Err(ErrorReply::InvalidParameter { parameter }) => parameter,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parameters_may_be_absent_or_null() {
        assert_eq!(call(r#"{"method":"io.snet.Control.Status"}"#), Ok(Call::Status {}));
        let revoke = Ok(Call::RevokeTickets { id: None, tgid: Some(7) });
        let message =
            r#"{"method":"io.snet.Control.RevokeTickets","parameters":{"id":null,"tgid":7}}"#;
        assert_eq!(call(message), revoke);
        let message = r#"{"method":"io.snet.Control.AddRule","parameters":{"rule":{
            "action":"deny","program":"nc","priority":null,"enabled":null,"note":null,
            "scope":{"operations":"any","protocols":"any","remote_ports":null}}}}"#;
        assert!(call(message).is_ok());
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        let missing = invalid(r#"{"method":"io.snet.Control.ShowRule","parameters":{}}"#);
        assert!(missing.contains("`id`"), "{missing}");
        let kind = invalid(r#"{"method":"io.snet.Control.ShowRule","parameters":{"id":"x"}}"#);
        assert!(kind.starts_with("id: "), "{kind}");
        let unknown = invalid(r#"{"method":"io.snet.Control.Status","parameters":{"x":1}}"#);
        assert!(unknown.contains("`x`"), "{unknown}");
        let deep = invalid(
            r#"{"method":"io.snet.Control.AddRule","parameters":{"rule":{"action":"deny",
               "program":"nc","scope":{"operations":"connect","protocols":"tpc"}}}}"#,
        );
        assert!(deep.starts_with("rule.scope.protocols: ") && deep.contains("'tpc'"), "{deep}");
    }

    #[test]
    fn an_unknown_method_is_named() {
        for method in ["io.snet.Control.Explode", "io.snet.Control.", "io.snet.Control.Statu"] {
            let message = json!({ "method": method }).to_string();
            assert_eq!(call(&message), Err(ErrorReply::MethodNotFound { method: method.into() }));
        }
    }

    #[test]
    fn what_is_no_call_is_no_request() {
        for message in ["", "[]", "{}", "{\"method\":1}", "{\"method\":\"a.b\",\"parameters\":[]}"]
        {
            assert!(Request::parse(message.as_bytes()).is_none(), "{message}");
        }
    }

    #[tokio::test]
    async fn messages_are_told_apart_by_their_nul() {
        let mut input = &b"one\0two\0cut"[..];
        assert_eq!(read_message(&mut input, 100).await.unwrap(), Some(b"one".to_vec()));
        assert_eq!(read_message(&mut input, 100).await.unwrap(), Some(b"two".to_vec()));
        assert_eq!(
            read_message(&mut input, 100).await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(read_message(&mut &b""[..], 100).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_message_may_be_so_long_and_no_longer() {
        let mut message = vec![b' '; 100];
        message.push(0);
        assert!(read_message(&mut message.as_slice(), 100).await.is_ok());
        message.insert(0, b' ');
        assert!(read_message(&mut message.as_slice(), 100).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_never_ends_is_given_up() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"{").await.unwrap();
        let error = read_message(&mut tokio::io::BufReader::new(server), 100).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
