// SPDX-License-Identifier: MIT OR Apache-2.0
//! What only the user's side knows of the program of a new rule: what its name means here.
//! What the file is (missing, a script, a link) the daemon says.

use libsnet::control::RuleRecord;
use libsnet::policy::Program;

use crate::program;

/// The path of a program that this user's search path finds and the daemon's doesn't.
///
/// The daemon names no file when it finds none, but also when it finds several, and for
/// disabled rules. So a program in one of the usual places keeps its name.
pub(super) fn path_out_of_reach(rule: &RuleRecord) -> Option<String> {
    match (&rule.spec.program, &rule.resolved) {
        (Program::Name(name), None) if rule.spec.enabled => program::find_unusual(name),
        _ => None,
    }
}

/// Says when the same name means another file for the user.
pub(super) fn other_file(rule: &RuleRecord) -> Option<String> {
    let Program::Name(name) = &rule.spec.program else {
        return None;
    };
    let mine = program::find(name)?;
    let theirs = std::fs::canonicalize(rule.resolved.as_ref()?).ok()?;
    (mine != theirs).then(|| {
        format!("{name} is {} for you; a rule for that file takes its path", mine.display())
    })
}
