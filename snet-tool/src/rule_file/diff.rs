// SPDX-License-Identifier: MIT OR Apache-2.0
//! What differs between two sets of rules.

use libsnet::policy::RuleSpec;

/// Rules that are in one set only.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference<'a> {
    pub(crate) removed: Vec<&'a RuleSpec>,
    pub(crate) added: Vec<&'a RuleSpec>,
}

impl Difference<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// From `before` to `after`; the order within a set means nothing, how often a rule is there does.
pub(crate) fn difference<'a>(before: &'a [RuleSpec], after: &'a [RuleSpec]) -> Difference<'a> {
    let mut removed: Vec<&RuleSpec> = before.iter().collect();
    let mut added = Vec::new();
    for spec in after {
        match removed.iter().position(|other| *other == spec) {
            Some(at) => drop(removed.remove(at)),
            None => added.push(spec),
        }
    }
    Difference { removed, added }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn rules(programs: &[&str]) -> Vec<RuleSpec> {
        let rule =
            |program: &&str| format!("[[rule]]\naction = \"deny\"\nprogram = \"{program}\"\n");
        let text: String = programs.iter().map(rule).collect();
        let entries = parse(&format!("version = 1\n{text}")).unwrap();
        entries.into_iter().map(|entry| entry.spec).collect()
    }

    #[test]
    fn only_what_is_in_one_set_differs() {
        let (before, after) = (rules(&["a", "b", "b"]), rules(&["b", "c", "a"]));
        let difference = difference(&before, &after);
        let names = |specs: &[&RuleSpec]| -> Vec<String> {
            specs.iter().map(|spec| spec.program.to_string()).collect()
        };
        assert_eq!(
            (names(&difference.removed), names(&difference.added)),
            (vec!["b".into()], vec!["c".into()])
        );
        assert!(super::difference(&before, &before).is_empty());
    }
}
