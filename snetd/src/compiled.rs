// SPDX-License-Identifier: MIT OR Apache-2.0
//! A policy together with what it was made of.
//!
//! Owns how rules, programs and configuration become a policy. Looks at the file system, so
//! that it is made on a blocking thread.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use libsnet::control::RuleRecord;
use libsnet::policy::{
    Action, Candidate, Cgroups, Host, HostPattern, Hosts, Identity, Policy, Program, ProgramTable,
    Rule, RuleSpec, Unmatched, Wants,
};
use libsnet::types::{Fallbacks, Operation, Operations, Protocol, RuleId, Scope, WatchSet};

use crate::config::Config;
use crate::names::Names;
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
    table: Arc<ProgramTable>,
    cgroups: Arc<Cgroups>,
    names: Names,
    /// Which hosts the rules name.
    meant: Arc<[HostPattern]>,
    hosts: Arc<Hosts>,
    inputs: Arc<Inputs>,
}

impl Compiled {
    /// Looks at the programs of the rules and compiles. Blocks.
    pub(crate) fn new(
        records: Vec<RuleRecord>,
        inputs: Arc<Inputs>,
        names: Names,
        generation: u64,
    ) -> Self {
        Self::knowing(&ProgramTable::new(), records, inputs, names, generation)
    }

    /// The same for other rules: what is known of patterns isn't to be found out again.
    pub(crate) fn followed_by(&self, records: Vec<RuleRecord>) -> Self {
        let (inputs, names) = (self.inputs(), self.names.clone());
        Self::knowing(&self.table, records, inputs, names, self.generation + 1)
    }

    fn knowing(
        known: &ProgramTable,
        records: Vec<RuleRecord>,
        inputs: Arc<Inputs>,
        names: Names,
        generation: u64,
    ) -> Self {
        let rules = records.into_iter().map(|record| Rule { id: record.id, spec: record.spec });
        let rules: Arc<Vec<Rule>> = Arc::new(rules.chain(inputs.own_rule()).collect());
        let table = resolve::table(&rules, &inputs.search_path, known);
        let cgroups = cgroups_for(&rules);
        Self::with_tables(rules, table, cgroups, inputs, names, generation)
    }

    fn with_tables(
        rules: Arc<Vec<Rule>>,
        table: ProgramTable,
        cgroups: Arc<Cgroups>,
        inputs: Arc<Inputs>,
        names: Names,
        generation: u64,
    ) -> Self {
        let named = rules.iter().filter(|rule| rule.spec.enabled);
        let meant: BTreeSet<&HostPattern> =
            named.filter_map(|rule| rule.spec.host.as_ref()).collect();
        let meant: Arc<[HostPattern]> = meant.into_iter().cloned().collect();
        let hosts = Arc::new(names.hosts(&meant).0);
        let fallbacks = inputs.fallbacks.clone();
        let policy = Policy::compile(Vec::clone(&rules), &table, inputs.host, fallbacks)
            .with_unmatched(inputs.unmatched)
            .with_cgroups(Arc::clone(&cgroups))
            .with_hosts(Arc::clone(&hosts));
        let (policy, table) = (Arc::new(policy), Arc::new(table));
        Self { policy, generation, rules, table, cgroups, names, meant, hosts, inputs }
    }

    /// Which hosts the rules name.
    pub(crate) fn hosts_meant(&self) -> Arc<[HostPattern]> {
        Arc::clone(&self.meant)
    }

    /// The same with the addresses that hosts have now, if they are others; and when the first of
    /// those ends.
    pub(crate) fn with_names_of_now(&self) -> (Option<Self>, Option<Instant>) {
        let (hosts, end) = self.names.hosts(&self.meant);
        let changed = (hosts != *self.hosts).then(|| {
            let hosts = Arc::new(hosts);
            let policy = Policy::clone(&self.policy).with_hosts(Arc::clone(&hosts));
            let generation = self.generation + 1;
            Self { policy: Arc::new(policy), generation, hosts, ..self.clone() }
        });
        (changed, end)
    }

    /// The same rules with the programs as they are now, or nothing when none has changed.
    /// Blocks.
    pub(crate) fn refreshed(&self) -> Option<Self> {
        let table = resolve::table(&self.rules, &self.inputs.search_path, &self.table);
        let changed = table != *self.table;
        changed.then(|| self.followed_by_tables(table, cgroups_for(&self.rules)))
    }

    /// The same without some rules, or nothing when it has none of them.
    pub(crate) fn without(&self, over: &[RuleId]) -> Option<Self> {
        let left = self.rules.iter().filter(|rule| !over.contains(&rule.id));
        let left: Arc<Vec<Rule>> = Arc::new(left.cloned().collect());
        let table = ProgramTable::clone(&self.table);
        let (cgroups, inputs, names) = (self.cgroups.clone(), self.inputs(), self.names.clone());
        (left.len() < self.rules.len())
            .then(|| Self::with_tables(left, table, cgroups, inputs, names, self.generation + 1))
    }

    fn followed_by_tables(&self, table: ProgramTable, cgroups: Arc<Cgroups>) -> Self {
        let (rules, inputs) = (Arc::clone(&self.rules), Arc::clone(&self.inputs));
        let names = self.names.clone();
        Self::with_tables(rules, table, cgroups, inputs, names, self.generation + 1)
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
        let mut table = ProgramTable::clone(&self.table);
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

    /// Has it the same rules, and the same files for their programs?
    pub(crate) fn has_programs_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rules, &other.rules) && self.table == other.table
    }

    /// Enabled rules that don't end, and are about all processes of a program.
    pub(crate) fn lasting_rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|Rule { id, spec }| {
            let ends = spec.expires_at.is_some() || spec.until_restart;
            spec.enabled && !ends && *id != RuleId::BUILT_IN
        })
    }

    /// The files that a program is.
    pub(crate) fn files(&self, program: &Program) -> impl Iterator<Item = (&Path, Identity)> {
        let known = self.table.get(program).unwrap_or_default().iter();
        known.filter_map(|found| Some((found.path.as_path(), found.identity?)))
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
