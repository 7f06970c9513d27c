// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a rule reads in one line.

use libsnet::control::RuleRecord;

use super::user_text;
use crate::output::{Span, Times, action};
use crate::rule_file;

/// `allow curl (/usr/bin/curl) tcp connect to 192.0.2.0/24 for user web, priority 10`.
pub(super) fn rule_text(record: &RuleRecord, times: &Times) -> Vec<Span> {
    let spec = &record.spec;
    let mut rest = format!(" {} {}", program_text(record), spec.scope);
    if let Some(uid) = spec.uid {
        rest.push_str(&format!(" for user {}", user_text(uid)));
    }
    rest.push_str(&rule_file::conditions(spec));
    if spec.priority != 0 {
        rest.push_str(&format!(", priority {}", spec.priority));
    }
    if let Some(end) = end_text(record, times) {
        rest.push_str(&format!(", until {end}"));
    }
    vec![action(spec.action), Span::plain(rest)]
}

/// When the rule ends, if it does.
pub(super) fn end_text(record: &RuleRecord, times: &Times) -> Option<String> {
    let restart = record.spec.until_restart.then(|| "restart".to_owned());
    record.spec.expires_at.map(|end| times.moment(end)).or(restart)
}

/// The program as the rule names it, with the file that it means where that says more.
pub(super) fn program_text(record: &RuleRecord) -> String {
    let program = record.spec.program.to_string();
    match &record.resolved {
        Some(file) if *file != program => format!("{program} ({file})"),
        _ => program,
    }
}
