// SPDX-License-Identifier: MIT OR Apache-2.0
//! A policy together with what it was made of.
//!
//! Owns how rules, programs and configuration become a policy. Looks at the file system, so
//! that it is made on a blocking thread.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use libsnet::control::RuleRecord;
use libsnet::policy::{
    Action, Candidate, Cgroups, Host, Policy, Program, ProgramTable, Rule, RuleSpec, Unmatched,
    Wants,
};
use libsnet::types::{Fallbacks, Operation, Operations, Protocol, RuleId, Scope, WatchSet};

use crate::config::Config;
use crate::{cgroups, resolve};

/// What a policy depends on beside the rules.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Inputs {
    /// Where names of programs are looked up.
    pub(crate) search_path: Vec<PathBuf>,
    /// What applies when no rule matches.
    pub(crate) fallbacks: Fallbacks,
    /// Is that asked about instead?
    pub(crate) unmatched: Unmatched,
    /// Where paths mean what they mean here.
    pub(crate) host: Host,
    /// What is mediated.
    pub(crate) watch: WatchSet,
}

impl Inputs {
    /// Those of a configuration.
    pub(crate) fn of(config: &Config) -> Result<Self> {
        let user_ns = std::fs::metadata("/proc/self/ns/user")
            .context("can't tell the user namespace: is /proc mounted?")?;
        // Device and inode tell the host's files from a container's; a mount namespace
        // doesn't, since a sandboxed service runs the host's files in one of its own.
        let host = Host { mnt_ns: None, user_ns: u32::try_from(user_ns.ino())? };
        let (search_path, fallbacks) = (config.search_path(), config.fallback.complete());
        let unmatched = if config.ask.unmatched { Unmatched::Ask } else { Unmatched::Fallback };
        Ok(Self { search_path, fallbacks, unmatched, host, watch: config.watch_set() })
    }

    /// The rule that goes with the watching of Unix sockets: without it `deny any` would keep
    /// root from ever taking that back, since a call on such a socket names no address.
    fn own_rule(&self) -> Option<Rule> {
        let operations: Operations = [Operation::Create, Operation::Connect].into_iter().collect();
        let watched = operations.iter().any(|operation| {
            self.watch.get(&operation).is_some_and(|protocols| protocols.has(Protocol::Unix))
        });
        watched.then(|| Rule {
            id: RuleId::BUILT_IN,
            spec: RuleSpec {
                uid: Some(0),
                priority: i32::MAX,
                ..RuleSpec::new(
                    Action::Allow,
                    Program::Name("snet-tool".to_owned()),
                    Scope { operations, protocols: Protocol::Unix.into(), ..Scope::ANY },
                )
            },
        })
    }
}

/// A policy and what it was made of.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    /// The policy.
    pub(crate) policy: Arc<Policy>,
    /// Grows with every policy.
    pub(crate) generation: u64,
    rules: Arc<Vec<Rule>>,
    table: ProgramTable,
    cgroups: Arc<Cgroups>,
    inputs: Arc<Inputs>,
}

impl Compiled {
    /// Looks at the programs of the rules and compiles. Blocks.
    pub(crate) fn new(records: Vec<RuleRecord>, inputs: Arc<Inputs>, generation: u64) -> Self {
        Self::knowing(&ProgramTable::new(), records, inputs, generation)
    }

    /// The same for other rules: what is known of patterns isn't to be found out again.
    pub(crate) fn followed_by(&self, records: Vec<RuleRecord>) -> Self {
        Self::knowing(&self.table, records, self.inputs(), self.generation + 1)
    }

    fn knowing(
        known: &ProgramTable,
        records: Vec<RuleRecord>,
        inputs: Arc<Inputs>,
        generation: u64,
    ) -> Self {
        let rules = records.into_iter().map(|record| Rule { id: record.id, spec: record.spec });
        let rules: Arc<Vec<Rule>> = Arc::new(rules.chain(inputs.own_rule()).collect());
        let table = resolve::table(&rules, &inputs.search_path, known);
        let cgroups = cgroups_for(&rules);
        Self::with_tables(rules, table, cgroups, inputs, generation)
    }

    fn with_tables(
        rules: Arc<Vec<Rule>>,
        table: ProgramTable,
        cgroups: Arc<Cgroups>,
        inputs: Arc<Inputs>,
        generation: u64,
    ) -> Self {
        let fallbacks = inputs.fallbacks.clone();
        let policy = Policy::compile(Vec::clone(&rules), &table, inputs.host, fallbacks)
            .with_unmatched(inputs.unmatched)
            .with_cgroups(Arc::clone(&cgroups));
        Self { policy: Arc::new(policy), generation, rules, table, cgroups, inputs }
    }

    /// The same rules with the programs as they are now, or nothing when none has changed.
    /// Blocks.
    pub(crate) fn refreshed(&self) -> Option<Self> {
        let table = resolve::table(&self.rules, &self.inputs.search_path, &self.table);
        let changed = table != self.table;
        changed.then(|| self.followed_by_tables(table, cgroups_for(&self.rules)))
    }

    /// The same without some rules, or nothing when it has none of them.
    pub(crate) fn without(&self, over: &[RuleId]) -> Option<Self> {
        let left = self.rules.iter().filter(|rule| !over.contains(&rule.id));
        let left: Arc<Vec<Rule>> = Arc::new(left.cloned().collect());
        let (table, cgroups, inputs) = (self.table.clone(), self.cgroups.clone(), self.inputs());
        (left.len() < self.rules.len())
            .then(|| Self::with_tables(left, table, cgroups, inputs, self.generation + 1))
    }

    fn followed_by_tables(&self, table: ProgramTable, cgroups: Arc<Cgroups>) -> Self {
        let (rules, inputs) = (Arc::clone(&self.rules), Arc::clone(&self.inputs));
        Self::with_tables(rules, table, cgroups, inputs, self.generation + 1)
    }

    /// The programs that may be the file at this path, and what is known of each.
    pub(crate) fn programs_at(&self, path: &Path) -> Vec<(Program, Vec<Candidate>)> {
        let known = |program: &Program| self.table.get(program).unwrap_or_default().to_vec();
        self.table.at(path).map(|program| (program.clone(), known(program))).collect()
    }

    /// The same rules with some programs as they were found, and the cgroups if those were looked
    /// at, or nothing when none of them has changed. Takes as long as compiling, but doesn't look
    /// at files.
    pub(crate) fn with_found(
        &self,
        found: Vec<(Program, Vec<Candidate>)>,
        cgroups: Option<Cgroups>,
    ) -> Option<Self> {
        let mut table = self.table.clone();
        let cgroups = cgroups.filter(|cgroups| *cgroups != *self.cgroups);
        let mut changed = cgroups.is_some();
        for (program, candidates) in found {
            // A program that no rule names any more isn't missed.
            let known = table.get(&program).is_some();
            changed |= known && table.set(program, candidates);
        }
        let cgroups = cgroups.map_or_else(|| Arc::clone(&self.cgroups), Arc::new);
        changed.then(|| self.followed_by_tables(table, cgroups))
    }

    /// Beside the rules.
    pub(crate) fn inputs(&self) -> Arc<Inputs> {
        Arc::clone(&self.inputs)
    }

    /// Rules of the database, enabled or not.
    pub(crate) fn rules(&self) -> usize {
        self.rules.iter().filter(|rule| rule.id != RuleId::BUILT_IN).count()
    }

    /// The file that the program of a rule means, when it means a single existing one.
    pub(crate) fn resolved(&self, program: &Program) -> Option<String> {
        let candidates = self.table.get(program)?;
        let mut files = candidates.iter().filter(|candidate| candidate.identity.is_some());
        match (files.next(), files.next()) {
            (Some(file), None) => Some(file.path.to_string_lossy().into_owned()),
            _ => None,
        }
    }
}

/// The cgroups of now, where rules are about some of them.
fn cgroups_for(rules: &[Rule]) -> Arc<Cgroups> {
    let wanted = Wants::of(rules).cgroups;
    Arc::new(if wanted { cgroups::all() } else { Cgroups::default() })
}
