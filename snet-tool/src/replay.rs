// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the rules of a file would have said of calls that were decided before. Pure, but for a
//! look at where names of programs lead on this machine.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use libsnet::control::{JournalEntry, Source};
use libsnet::policy::{
    Candidate, Freshness, Host, Identity, Outcome, Policy, Program, ProgramTable, Rule,
};
use libsnet::types::{Cause, Exe, Fallbacks, Operation, RuleId, Subject, Verdict};

use crate::call::object_of;
use crate::program::usual_places;
use crate::rule_file::Entry;

/// Everything is on the host, and what is at a path was there then.
const HOST: Host = Host { mnt_ns: None, user_ns: 0 };

/// Rules that calls are held against.
pub(crate) struct Rules {
    policy: Policy,
    lines: HashMap<RuleId, usize>,
    files: Files,
}

/// What the rules say of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Says {
    /// `None`: a person would be asked.
    pub(crate) verdict: Option<Verdict>,
    /// The line of the rule; `None` when there is none.
    pub(crate) line: Option<usize>,
}

/// Paths have the numbers of files, so that a path is one file.
#[derive(Default)]
struct Files(HashMap<PathBuf, u64>);

impl Files {
    fn identity(&mut self, path: &Path) -> Identity {
        let next = self.0.len() as u64 + 1;
        let inode = *self.0.entry(path.to_owned()).or_insert(next);
        Identity { device: 1, inode }
    }

    /// Of a pattern: those among the programs that made calls.
    fn candidates(&mut self, program: &Program, callers: &BTreeSet<PathBuf>) -> Vec<Candidate> {
        let paths = match program {
            Program::Any | Program::Sha256(_) => Vec::new(),
            Program::Pattern(pattern) => {
                callers.iter().filter(|path| pattern.matches(path)).cloned().collect()
            }
            Program::Path(path) => vec![path.clone()],
            Program::Name(name) => usual_places(name).collect(),
        };
        let real = paths.into_iter().map(|path| path.canonicalize().unwrap_or(path));
        let candidate = |path: PathBuf| {
            let identity = Some(self.identity(&path));
            Candidate { path, identity }
        };
        real.map(candidate).collect()
    }
}

impl Rules {
    /// Those of a file, and the verdict on what none of them is about. `callers`: paths of the
    /// programs whose calls are held against them.
    pub(crate) fn new(entries: &[Entry], fallback: Verdict, callers: &BTreeSet<PathBuf>) -> Self {
        let numbered = (1..).map(RuleId).zip(entries);
        let lines = numbered.clone().map(|(id, entry)| (id, entry.line)).collect();
        let rules: Vec<Rule> =
            numbered.map(|(id, entry)| Rule { id, spec: entry.spec.clone() }).collect();
        let (mut files, mut table) = (Files::default(), ProgramTable::new());
        for program in ProgramTable::wanted(&rules) {
            table.set(program.clone(), files.candidates(program, callers));
        }
        let fallbacks: Fallbacks = Operation::ALL.iter().map(|one| (*one, fallback)).collect();
        Self { policy: Policy::compile(rules, &table, HOST, fallbacks), lines, files }
    }

    /// What they say of a call that was decided; nothing of one that nobody decided by rules.
    pub(crate) fn say(&mut self, entry: &JournalEntry) -> Option<Says> {
        let by_rules = matches!(entry.cause, None | Some(Cause::Ticket));
        if !by_rules || entry.decision.source == Source::NoAnswer {
            return None;
        }
        let subject = self.subject(entry);
        let says = match self.policy.decide(&subject, &object_of(entry), Freshness::Fresh) {
            Outcome::Ask { rule } => (None, rule),
            // What was the fallback then is one still.
            Outcome::Decided { decision, .. }
                if decision.rule.is_none() && entry.decision.source == Source::NoRule =>
            {
                (Some(entry.decision.verdict), None)
            }
            Outcome::Decided { decision, .. } => (Some(decision.verdict), decision.rule),
            Outcome::Stale => return None,
        };
        let (verdict, rule) = says;
        Some(Says { verdict, line: rule.and_then(|rule| self.lines.get(&rule).copied()) })
    }

    fn subject(&mut self, entry: &JournalEntry) -> Subject {
        let exe = entry.exe.as_ref().map(|path| {
            let path = PathBuf::from(path);
            let Identity { device, inode } = self.files.identity(&path);
            Exe { path, device, inode }
        });
        Subject::imagined(exe, entry.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule_file::parse;

    fn rules(text: &str) -> Rules {
        let entries = parse(&format!("version = 1\n{text}")).unwrap();
        Rules::new(&entries, Verdict::Deny, &["/no/such/sh".into()].into())
    }

    fn entry(source: &str, exe: &str) -> JournalEntry {
        serde_json::from_value(serde_json::json!({
            "id": 1, "time": 1, "verdict": "allow", "source": source, "rule": null, "tgid": 7,
            "uid": 0, "comm": "x", "exe": exe, "operation": "connect", "protocol": "tcp",
            "remote": "10.0.0.1:443", "local": "0.0.0.0:0",
        }))
        .unwrap()
    }

    const SH: &str = "[[rule]]\naction = \"deny\"\nprogram = \"/no/such/sh\"\n";

    #[test]
    fn a_rule_says_of_a_call_what_it_would_have_said() {
        let says = |entry: &JournalEntry| rules(SH).say(entry);
        let denied = Says { verdict: Some(Verdict::Deny), line: Some(2) };
        assert_eq!(says(&entry("rule", "/no/such/sh")), Some(denied));
        let by_fallback = |verdict| Some(Says { verdict: Some(verdict), line: None });
        assert_eq!(says(&entry("rule", "/no/such/bash")), by_fallback(Verdict::Deny));
        assert_eq!(says(&entry("no-rule", "/no/such/bash")), by_fallback(Verdict::Allow));
        let asks = rules(&SH.replace("deny", "ask")).say(&entry("rule", "/no/such/sh"));
        assert_eq!(asks, Some(Says { verdict: None, line: Some(2) }));
    }

    #[test]
    fn a_pattern_is_about_the_programs_that_made_calls() {
        let mut rules = rules(&SH.replace("/no/such/sh", "/no/*/sh"));
        let says = rules.say(&entry("rule", "/no/such/sh"));
        assert_eq!(says, Some(Says { verdict: Some(Verdict::Deny), line: Some(2) }));
    }

    #[test]
    fn what_nobody_decided_by_rules_is_left_out() {
        let mut late = entry("kernel", "/no/such/sh");
        late.cause = Some(Cause::Deadline);
        assert_eq!(rules(SH).say(&late), None);
        late.cause = Some(Cause::Ticket);
        assert!(rules(SH).say(&late).is_some());
        assert_eq!(rules(SH).say(&entry("no-answer", "/no/such/sh")), None);
    }
}
