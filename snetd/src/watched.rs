// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the watch set means for rules: one for calls that nobody watches decides nothing.
//!
//! Pure. The watch set is the configuration's; the kernel is told it by the decider.

use libsnet::types::{Object, Operations, Protocols, Scope, WatchSet};

/// Is the call mediated at all?
pub(crate) fn is_watched(watch: &WatchSet, object: &Object) -> bool {
    watch.get(&object.operation).is_some_and(|protocols| protocols.has(object.protocol))
}

/// What who makes a rule for these calls should know: nothing when each operation and each
/// protocol that it names is watched at least in part.
pub(crate) fn note(watch: &WatchSet, scope: &Scope) -> Option<String> {
    let asked = |operation| watch.get(&operation).copied().unwrap_or_default();
    let protocols = scope.protocols.as_rule();
    let watched = scope.operations.iter().filter(|operation| asked(*operation).overlaps(protocols));
    let watched: Operations = watched.collect();
    if watched.is_empty() {
        return Some(format!(
            "no {scope} is watched: the rule decides nothing until [watch] in snetd's \
             configuration names such calls"
        ));
    }
    let seen = watched.iter().fold(Protocols::NONE, |seen, operation| seen.union(asked(operation)));
    let named = |whole: bool, text: String| (!whole).then_some(text);
    let operations = scope.operations.without(watched);
    let unseen: Protocols = scope
        .protocols
        .iter()
        .filter(|entry| !Protocols::from(*entry).as_rule().overlaps(seen))
        .collect();
    let parts: Vec<String> = [
        named(
            operations.is_empty() || scope.operations == Operations::ANY,
            format!("{} {operations}", scope.protocols),
        ),
        named(
            unseen.is_empty() || scope.protocols == Protocols::ANY,
            format!("{unseen} {}", scope.operations),
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| {
        format!(
            "not watched, so that the rule decides nothing there: {} (see [watch] in snetd's \
             configuration)",
            parts.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use libsnet::types::Operation;

    fn watch() -> WatchSet {
        WatchSet::from([
            (Operation::Connect, "tcp,udp".parse().unwrap()),
            (Operation::Bind, "udp".parse().unwrap()),
            (Operation::Listen, "mptcp".parse().unwrap()),
        ])
    }

    fn note_on(protocols: &str, operations: &str) -> String {
        let (operations, protocols) = (operations.parse().unwrap(), protocols.parse().unwrap());
        note(&watch(), &Scope { operations, protocols, ..Scope::ANY }).unwrap_or_default()
    }

    #[test]
    fn a_rule_for_watched_calls_needs_no_note() {
        for (protocols, operations) in
            [("tcp", "connect"), ("tcp,udp", "connect,bind"), ("any", "any"), ("any", "connect")]
        {
            assert_eq!(note_on(protocols, operations), "", "{protocols} {operations}");
        }
    }

    #[test]
    fn a_rule_for_tcp_is_watched_where_mptcp_is() {
        assert_eq!(note_on("tcp", "listen"), "");
    }

    #[test]
    fn a_rule_that_decides_nothing_is_told() {
        let note = note_on("tcp", "bind");
        assert!(note.starts_with("no tcp bind is watched"), "{note}");
        assert!(note_on("any", "send").contains("decides nothing"));
    }

    #[test]
    fn a_part_that_is_not_watched_is_named() {
        let note = note_on("tcp", "connect,bind,send");
        assert!(note.contains("there: tcp bind,send ("), "{note}");
        let note = note_on("tcp,sctp", "connect");
        assert!(note.contains("there: sctp connect ("), "{note}");
        assert!(note_on("unix,tcp", "any").contains("unix any"));
    }
}
