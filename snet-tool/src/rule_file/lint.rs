// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is odd about a set of rules that are all right one by one.

use std::collections::HashMap;

use libsnet::policy::{Program, Rule, RuleSpec};
use libsnet::types::{RuleId, Scope};

use super::Entry;
use crate::program::is_usual;

/// Each as `line: what`, in the order of the file.
pub(crate) fn lints(entries: &[Entry]) -> Vec<String> {
    let mut rules: Vec<(usize, Rule)> = (1..)
        .zip(entries)
        .map(|(id, entry)| (entry.line, Rule { id: RuleId(id), spec: entry.spec.clone() }))
        .collect();
    let mut lints: Vec<(usize, String)> = Vec::new();
    for entry in entries.iter().filter(|entry| !exists(&entry.spec.program)) {
        let what = format!("program {} isn't there now", entry.spec.program);
        lints.push((entry.line, what));
    }
    rules.retain(|(_, rule)| rule.spec.enabled && rule.spec.action.decides());
    rules.sort_by(|(_, one), (_, other)| one.precedence(other));
    // Only rules for the same program, and those for all, can cover one.
    let mut before: HashMap<&Program, Vec<Covering>> = HashMap::new();
    for (at, (line, rule)) in rules.iter().enumerate() {
        let this =
            Covering { at, line: *line, spec: &rule.spec, scope: rule.spec.effective_scope() };
        let named = Some(&rule.spec.program).filter(|program| **program != Program::Any);
        let covering = std::iter::once(&Program::Any)
            .chain(named)
            .filter_map(|program| before.get(program)?.iter().find(|other| other.covers(&this)))
            .min_by_key(|other| other.at);
        if let Some(other) = covering {
            let what = match other.spec.action == rule.spec.action {
                true => "says the same first",
                false => "decides its calls first",
            };
            lints.push((*line, format!("never decides: the rule of line {} {what}", other.line)));
        }
        before.entry(&rule.spec.program).or_default().push(this);
    }
    lints.sort();
    lints.into_iter().map(|(line, what)| format!("{line}: {what}")).collect()
}

fn exists(program: &Program) -> bool {
    match program {
        Program::Any | Program::Pattern(_) | Program::Sha256(_) => true,
        Program::Path(path) => path.exists(),
        Program::Name(name) => is_usual(name),
    }
}

/// A rule that may decide the calls of a later one.
struct Covering<'a> {
    /// Its place in the order in which rules decide.
    at: usize,
    line: usize,
    spec: &'a RuleSpec,
    scope: Scope,
}

impl Covering<'_> {
    /// Is every call that the later rule, for the same program if this one names any, is about one of
    /// this rule's? Says no where it depends on what a program is.
    fn covers(&self, later: &Self) -> bool {
        let (one, other) = (self.spec, later.spec);
        let ends = one.expires_at.is_some() || one.until_restart;
        self.scope.contains(&later.scope)
            && (one.uid.is_none() || one.uid == other.uid)
            && (one.unit.is_none() || one.unit == other.unit)
            && (one.container == other.container
                || one.container.is_none() && one.program == Program::Any)
            && (one.command.is_none() || one.command == other.command)
            && (one.parent.is_none() || one.parent == other.parent)
            && (one.host.is_none() || one.host == other.host)
            && !ends
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn told(rules: &[&str]) -> Vec<String> {
        let rules: String = rules.iter().map(|rule| format!("[[rule]]\n{rule}\n")).collect();
        lints(&parse(&format!("version = 1\n{rules}")).unwrap())
    }

    const ALL: &str = "action = \"deny\"\nprogram = \"any\"\npriority = 9";

    #[test]
    fn a_rule_behind_one_that_covers_it_is_told() {
        let sh = "action = \"allow\"\nprogram = \"sh\"\nprotocol = \"tcp\"";
        assert_eq!(
            told(&[sh, ALL]),
            ["2: never decides: the rule of line 6 decides its calls first"]
        );
        assert_eq!(told(&[sh, sh]), ["6: never decides: the rule of line 2 says the same first"]);
        let low = ALL.replace("9", "-1");
        assert_eq!(told(&[sh, &low]), Vec::<String>::new(), "the narrower one goes first");
    }

    #[test]
    fn a_rule_that_ends_or_is_disabled_hides_nothing() {
        let sh = "action = \"allow\"\nprogram = \"sh\"";
        for more in [
            "until_restart = true",
            "enabled = false",
            "user = \"0\"",
            "unit = \"a.service\"",
            "container = \"web\"",
            "command = \"x *\"",
            "parent = \"cron\"",
            "to = \"a.org\"",
        ] {
            assert_eq!(told(&[sh, &format!("{ALL}\n{more}")]), Vec::<String>::new(), "{more}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let missing = "action = \"deny\"\nprogram = \"/no/such/program\"";
        assert_eq!(told(&[missing]), ["2: program /no/such/program isn't there now"]);
    }
}
