// SPDX-License-Identifier: MIT OR Apache-2.0
//! From rules to a policy: the rules in the order in which they are asked, and an index
//! from executables to the rules that are about them.
//!
//! Owns the index and the walk along it; what the walk is for is in `decide` and `agree`.
//! The cost of a walk grows with the rules for any program and with those for the program
//! at hand, never with the others, and it allocates nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::iter::{Peekable, from_fn};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{
    Candidate, Cgroups, Freshness, Host, Hosts, Identity, Names, Pattern, Program, ProgramTable,
    Rule, RuleSpec, Wants,
};
use crate::types::{Fallbacks, Operation, RuleId, Subject, Verdict};

/// What happens to a call that no rule is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Unmatched {
    /// The fallback of its operation applies.
    #[default]
    Fallback,
    /// A person is asked.
    Ask,
}

/// Rules ready to decide. Replaced whole, never edited; a copy shares the rules.
#[derive(Debug, Clone)]
pub struct Policy {
    index: Arc<Index>,
    pub(super) host: Host,
    fallbacks: Fallbacks,
    unmatched: Unmatched,
    pub(super) cgroups: Arc<Cgroups>,
    pub(super) hosts: Arc<Hosts>,
    /// What its rules are about.
    pub(super) wants: Wants,
}

/// The rules, and where to find those for a subject.
#[derive(Debug, Default)]
struct Index {
    /// Enabled rules, first asked first, with their scopes as [`super::RuleSpec::effective_scope`]
    /// gives them.
    rules: Vec<Rule>,
    /// Those for any program, or for one that no file of the host tells, as indices into `rules`,
    /// ascending.
    for_any: Vec<usize>,
    /// Those for the program at a path, ascending.
    for_path: HashMap<PathBuf, Vec<Binding>>,
    /// The paths at which a file is known.
    for_file: HashMap<Identity, Vec<PathBuf>>,
    /// Those for the programs at paths that match, ascending. Those that were looked at are in
    /// `for_path` as well.
    for_pattern: Vec<(usize, Pattern)>,
    /// The paths of the programs that parents are, for rules that are about one.
    parents: HashMap<RuleId, Vec<PathBuf>>,
    /// When rules end that do.
    ends: HashMap<RuleId, i64>,
    /// Is there a rule that doesn't decide?
    modes: bool,
}

/// A rule that is about the program at a path.
#[derive(Debug, Clone)]
struct Binding {
    /// Index into the rules.
    rule: usize,
    /// The files that count there.
    identities: Vec<Identity>,
}

/// How a rule stands to a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is about the subject.
    Matches,
    /// The subject's executable is at a path of the rule's program, but isn't the file that
    /// was there: the file was replaced since, or the path means another one to the subject.
    /// Or one of its conditions is about something that wasn't looked up.
    Stale,
}

/// How a rule stands to the processes that run a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is about all of them.
    Always,
    /// About those that run it under one of its names.
    UnderSomeName,
    /// About some of those that do.
    Sometimes,
}

impl Index {
    fn bind(&mut self, rule: usize, spec: &RuleSpec, programs: &ProgramTable) {
        let program = &spec.program;
        if spec.container.is_some() {
            // A file of the host says nothing about it.
            self.for_any.push(rule);
            return;
        }
        if let Program::Pattern(pattern) = program {
            self.for_pattern.push((rule, pattern.clone()));
        }
        match (program, programs.get(program)) {
            (Program::Any | Program::Sha256(_), _) => self.for_any.push(rule),
            (_, Some(candidates)) => {
                for Candidate { path, identity } in candidates {
                    self.bind_path(rule, path, *identity);
                }
            }
            (Program::Path(path), None) => self.bind_path(rule, path, None),
            (Program::Name(_) | Program::Pattern(_), None) => {}
        }
    }

    fn know_files(&mut self) {
        for (path, bindings) in &self.for_path {
            let files: HashSet<Identity> =
                bindings.iter().flat_map(|binding| binding.identities.iter().copied()).collect();
            for file in files {
                self.for_file.entry(file).or_default().push(path.clone());
            }
        }
    }

    fn bind_path(&mut self, rule: usize, path: &Path, identity: Option<Identity>) {
        let bindings = self.for_path.entry(path.to_owned()).or_default();
        match bindings.last_mut().filter(|last| last.rule == rule) {
            Some(last) => last.identities.extend(identity),
            None => bindings.push(Binding { rule, identities: identity.into_iter().collect() }),
        }
    }
}

impl Policy {
    /// The policy of these rules. Disabled rules are dropped; a program that the table
    /// doesn't know is one that doesn't exist yet. An operation without a fallback is
    /// allowed.
    pub fn compile(
        mut rules: Vec<Rule>,
        programs: &ProgramTable,
        host: Host,
        fallbacks: Fallbacks,
    ) -> Self {
        rules.retain(|rule| rule.spec.enabled);
        rules.sort_by(Rule::precedence);
        for rule in &mut rules {
            rule.spec.scope = rule.spec.effective_scope();
        }
        let mut index = Index {
            modes: rules.iter().any(|rule| !rule.spec.action.decides()),
            ends: rules.iter().filter_map(|rule| Some((rule.id, rule.spec.expires_at?))).collect(),
            ..Index::default()
        };
        for (place, rule) in rules.iter().enumerate() {
            index.bind(place, &rule.spec, programs);
            if let Some(parent) = &rule.spec.parent {
                index.parents.insert(rule.id, paths(parent, programs));
            }
        }
        index.know_files();
        let wants = Wants::of(&rules);
        index.rules = rules;
        Self {
            index: Arc::new(index),
            host,
            fallbacks,
            unmatched: Unmatched::default(),
            cgroups: Arc::default(),
            hosts: Arc::default(),
            wants,
        }
    }

    /// The same with another answer to calls that no rule is about.
    pub fn with_unmatched(self, unmatched: Unmatched) -> Self {
        Self { unmatched, ..self }
    }

    /// The same with the cgroups of now; until then there are none, and no process is of a unit.
    pub fn with_cgroups(self, cgroups: Arc<Cgroups>) -> Self {
        Self { cgroups, ..self }
    }

    /// The same with the names of addresses of now; until then no address stands for a host.
    pub fn with_hosts(self, hosts: Arc<Hosts>) -> Self {
        Self { hosts, ..self }
    }

    /// The paths at which the parent may be that the rule is about.
    pub(super) fn parent_paths(&self, rule: RuleId) -> &[PathBuf] {
        self.index.parents.get(&rule).map_or(&[], Vec::as_slice)
    }

    /// The rules that are about the subject, or may be, in the order in which they are
    /// asked. With a fresh table none is stale: what differs then is another file.
    pub(super) fn asked(
        &self,
        subject: &Subject,
        freshness: Freshness,
    ) -> impl Iterator<Item = (&Rule, Standing)> {
        let exe = self.host.exe(subject);
        let identity = exe.map(Identity::from);
        let bound =
            exe.and_then(|exe| self.index.for_path.get(&exe.path)).map_or(&[][..], Vec::as_slice);
        let own = bound.iter().map(move |binding| {
            let known = identity.is_some_and(|identity| binding.identities.contains(&identity));
            (binding.rule, if known { Standing::Matches } else { Standing::Stale })
        });
        // What was never looked at may be a program of the host.
        let patterns = self.index.for_pattern.iter().filter(move |(rule, pattern)| {
            exe.is_some_and(|exe| pattern.matches(&exe.path))
                && !bound.iter().any(|binding| binding.rule == *rule)
        });
        let patterns = patterns.map(|(rule, _)| (*rule, Standing::Stale));
        let own = merge(own.peekable(), patterns.peekable());
        let any = self.index.for_any.iter().map(|rule| (*rule, Standing::Matches));
        let uid = subject.uid;
        merge(own.peekable(), any.peekable())
            .filter(move |(_, standing)| {
                *standing == Standing::Matches || freshness == Freshness::Unsure
            })
            .filter_map(|(index, standing)| Some((self.index.rules.get(index)?, standing)))
            .filter(move |(rule, _)| rule.spec.uid.is_none_or(|wanted| wanted == uid))
            .filter_map(move |(rule, standing)| {
                let beside = self.conditions(rule, subject, freshness)?;
                Some((rule, if beside == Standing::Stale { beside } else { standing }))
            })
    }

    /// The rules that are about processes of the host that run a file, whoever's they are,
    /// in the order in which they are asked.
    pub(super) fn about_file(
        &self,
        file: Identity,
        names: Names,
    ) -> impl Iterator<Item = (&Rule, Reach)> {
        let known_paths = self.paths_of(file);
        let paths = known_paths.len();
        // In another mount namespace than the host's its names mean nothing.
        let known = names == Names::Known && self.host.mnt_ns.is_none();
        let reach_of = move |rule: &Rule, count: usize| {
            if rule.spec.program == Program::Any || rule.spec.container.is_some() {
                return Some(Reach::Always);
            }
            match count {
                0 => match &rule.spec.program {
                    // It may be about the file under a name that it was never seen by.
                    Program::Pattern(pattern)
                        if !known || known_paths.iter().any(|path| pattern.matches(path)) =>
                    {
                        Some(Reach::UnderSomeName)
                    }
                    Program::Sha256(_) => Some(Reach::UnderSomeName),
                    _ => None,
                },
                count if known && count == paths => Some(Reach::Always),
                _ => Some(Reach::UnderSomeName),
            }
        };
        // How many of its paths each rule knows it by.
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        let patterns = self.index.for_pattern.iter().map(|(rule, _)| rule);
        counts.extend(self.index.for_any.iter().chain(patterns).map(|rule| (*rule, 0)));
        let bindings = self.index.for_file.get(&file).into_iter().flatten();
        let bindings = bindings.filter_map(|path| self.index.for_path.get(path)).flatten();
        for binding in bindings.filter(|binding| binding.identities.contains(&file)) {
            *counts.entry(binding.rule).or_default() += 1;
        }
        counts.into_iter().filter_map(move |(index, count)| {
            let rule = self.index.rules.get(index)?;
            let reach = reach_of(rule, count)?;
            Some((rule, if rule.spec.has_conditions() { Reach::Sometimes } else { reach }))
        })
    }

    /// The paths at which rules know this file.
    pub fn paths_of(&self, file: Identity) -> Vec<&Path> {
        self.index.for_file.get(&file).into_iter().flatten().map(PathBuf::as_path).collect()
    }

    /// When the rule ends, in milliseconds since 1970; `None` means never. No ticket of it may
    /// live longer.
    pub fn expires_at(&self, rule: RuleId) -> Option<i64> {
        self.index.ends.get(&rule).copied()
    }

    /// The rules that end, and when, in milliseconds since 1970.
    pub fn ends(&self) -> impl Iterator<Item = (RuleId, i64)> {
        self.index.ends.iter().map(|(rule, end)| (*rule, *end))
    }

    /// Is there a rule that applies wherever it stands?
    pub(super) fn has_modes(&self) -> bool {
        self.index.modes
    }

    /// What happens to a call that no rule is about.
    pub(super) fn unmatched(&self) -> Unmatched {
        self.unmatched
    }

    /// What applies when no rule decides.
    pub fn fallback(&self, operation: Operation) -> Verdict {
        self.fallbacks.get(&operation).copied().unwrap_or(Verdict::Allow)
    }
}

/// The paths at which a program may be.
fn paths(program: &Program, programs: &ProgramTable) -> Vec<PathBuf> {
    match (program, programs.get(program)) {
        (_, Some(candidates)) => {
            candidates.iter().map(|candidate| candidate.path.clone()).collect()
        }
        (Program::Path(path), None) => vec![path.clone()],
        (_, None) => Vec::new(),
    }
}

/// Two ascending walks as one.
fn merge<A, B>(
    mut left: Peekable<A>,
    mut right: Peekable<B>,
) -> impl Iterator<Item = (usize, Standing)>
where
    A: Iterator<Item = (usize, Standing)>,
    B: Iterator<Item = (usize, Standing)>,
{
    from_fn(move || match (left.peek(), right.peek()) {
        (Some((mine, _)), Some((theirs, _))) if theirs < mine => right.next(),
        (Some(_), _) => left.next(),
        (None, _) => right.next(),
    })
}
