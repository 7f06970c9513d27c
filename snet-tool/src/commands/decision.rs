// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a decision reads in one line: the same in `log` and in `watch`.

use libsnet::control::{JournalEntry, Source};

use super::Session;
use crate::output::{OutputError, Span, verdict};

/// Prints a decision.
pub(super) fn tell(entry: &JournalEntry, session: &Session) -> Result<(), OutputError> {
    if session.out.json {
        session.out.document(entry)
    } else {
        session.out.line(&line(entry, session))
    }
}

/// `2026-11-22 15:42:07.123  deny   curl[4711]  tcp connect to 192.0.2.1:443  rule 3  …`.
/// The user is a number: looking up its name may take the network, which would be another
/// decision to be watched.
fn line(entry: &JournalEntry, session: &Session) -> Vec<Span> {
    let reason = match (entry.decision.source, entry.decision.rule) {
        (_, Some(rule)) => format!("rule {rule}"),
        (Source::Rule, None) => "a rule".to_owned(),
        (Source::NoRule, None) => "no rule".to_owned(),
    };
    let exe = entry.exe.as_deref().unwrap_or("unknown program");
    vec![
        Span::dim(session.out.times.exact(entry.time)),
        Span::plain("  "),
        verdict(entry.decision.verdict).padded(7),
        Span::plain(format!("{}[{}]", entry.comm, entry.tgid)).padded(24),
        Span::plain("  "),
        Span::plain(call(entry)).padded(38),
        Span::plain("  "),
        Span::plain(reason).padded(9),
        Span::dim(format!("  uid {}  {exe}", entry.uid)),
    ]
}

fn call(entry: &JournalEntry) -> String {
    let call = format!("{} {}", entry.protocol, entry.operation);
    match (entry.remote, entry.local) {
        (Some(remote), _) => format!("{call} to {remote}"),
        (None, Some(local)) if local.port() != 0 => format!("{call} on {local}"),
        _ => call,
    }
}
