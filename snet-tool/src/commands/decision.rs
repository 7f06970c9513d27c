// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a decision reads in one line: the same in `log` and in `watch`.

use std::net::SocketAddr;

use libsnet::control::{JournalEntry, Source};
use libsnet::types::{Cause, Operation, Protocol};

use super::Session;
use crate::output::{OutputError, Span, verdict};

/// Prints a decision, with its number in front if that is wanted.
pub(super) fn tell(
    entry: &JournalEntry,
    numbered: bool,
    session: &Session,
) -> Result<(), OutputError> {
    if session.out.json {
        return session.out.document(entry);
    }
    if entry.dropped > 0 {
        let text = format!("{} decisions of the kernel aren't known: too many", entry.dropped);
        session.out.line(&[Span::dim(text)])?;
    }
    let mut spans = line(entry, session);
    if let Some(number) = entry.id.filter(|_| numbered) {
        spans.insert(0, Span::plain(number).padded(8));
    }
    session.out.line(&spans)
}

/// `2026-11-22 15:42:07.123  deny   curl[4711]  tcp connect to 192.0.2.1:443  rule 3  …`.
/// The user is a number: looking up its name may take the network, which would be another
/// decision to be watched.
fn line(entry: &JournalEntry, session: &Session) -> Vec<Span> {
    let exe = entry.exe.as_deref().unwrap_or("unknown program");
    vec![
        Span::dim(session.out.times.exact(entry.time)),
        Span::plain("  "),
        verdict(entry.decision.verdict).padded(7),
        Span::plain(format!("{}[{}]", entry.comm, entry.tgid)).padded(24),
        Span::plain("  "),
        Span::plain(call(entry)).padded(38),
        Span::plain("  "),
        Span::plain(reason(entry)).padded(9),
        Span::dim(format!("  uid {}  {exe}", entry.uid)),
    ]
}

pub(super) fn reason(entry: &JournalEntry) -> String {
    let fallback = |why: &str| format!("fallback ({why})");
    match (entry.cause, entry.decision.rule) {
        (Some(Cause::Ticket), Some(rule)) => format!("ticket of rule {rule}"),
        (Some(Cause::Ticket), None) => "ticket".to_owned(),
        (Some(Cause::SourceRoute), _) => "source route".to_owned(),
        (Some(cause), _) => fallback(fallback_cause(cause)),
        (None, Some(rule)) => match entry.decision.source {
            Source::Answer => format!("answer (rule {rule})"),
            Source::NoAnswer => format!("no answer (rule {rule})"),
            Source::WouldDeny => format!("would deny (rule {rule})"),
            Source::WouldAsk => format!("would ask (rule {rule})"),
            _ => format!("rule {rule}"),
        },
        (None, None) => match entry.decision.source {
            Source::Answer => "answer".to_owned(),
            Source::NoAnswer => "no answer".to_owned(),
            Source::Learned => "learned".to_owned(),
            Source::WouldDeny => "would deny (no rule)".to_owned(),
            Source::WouldAsk => "would ask (no rule)".to_owned(),
            Source::Rule => "a rule".to_owned(),
            Source::NoRule => "no rule".to_owned(),
            Source::Kernel => "the kernel".to_owned(),
        },
    }
}

/// Why the fallback applied: the same words in `status`.
pub(super) fn fallback_cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Deadline => "no verdict in time",
        Cause::NoDecider => "no decider",
        Cause::DeciderGone => "the decider went",
        Cause::Stalled => "the decider stalled",
        Cause::Bounds => "too many held",
        Cause::Lost => "event lost",
        other => other.word(),
    }
}

pub(super) fn call(entry: &JournalEntry) -> String {
    call_text(entry.protocol, entry.operation, entry.remote, entry.local)
}

/// Where the peer is, seen from the program.
pub(super) fn toward(operation: Operation) -> &'static str {
    match operation {
        Operation::Accept | Operation::Recv => "from",
        _ => "to",
    }
}

/// `tcp connect to 192.0.2.1:443`, `tcp accept from 192.0.2.1:50000`, `udp bind on 0.0.0.0:53`.
pub(super) fn call_text(
    protocol: Protocol,
    operation: Operation,
    remote: Option<SocketAddr>,
    local: Option<SocketAddr>,
) -> String {
    let call = format!("{protocol} {operation}");
    match (remote, local) {
        (Some(remote), _) => format!("{call} {} {remote}", toward(operation)),
        (None, Some(local)) if local.port() != 0 => format!("{call} on {local}"),
        _ => call,
    }
}
