// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a rule reads in one line.

use libsnet::control::RuleRecord;

use super::user_text;
use crate::output::{Span, verdict};

/// `allow curl (/usr/bin/curl) tcp connect to 192.0.2.0/24 for user web, priority 10`.
pub(super) fn rule_text(record: &RuleRecord) -> Vec<Span> {
    let spec = &record.spec;
    let mut rest = format!(" {} {}", program_text(record), spec.scope);
    if let Some(uid) = spec.uid {
        rest.push_str(&format!(" for user {}", user_text(uid)));
    }
    if spec.priority != 0 {
        rest.push_str(&format!(", priority {}", spec.priority));
    }
    vec![verdict(spec.action), Span::plain(rest)]
}

/// The program as the rule names it, with the file that it means where that says more.
pub(super) fn program_text(record: &RuleRecord) -> String {
    let program = record.spec.program.to_string();
    match &record.resolved {
        Some(file) if *file != program => format!("{program} ({file})"),
        _ => program,
    }
}
