// SPDX-License-Identifier: MIT OR Apache-2.0
//! `replay`: which decisions of the past would other rules change?

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use libsnet::control::JournalEntry;
use libsnet::policy::Action;
use libsnet::types::Verdict;
use serde::Serialize;

use super::decision::{call, reason};
use super::{Session, log, rule_sets};
use crate::exit::Exit;
use crate::output::{Span, action, verdict};
use crate::replay::{Rules, Says};

/// The decisions and the rules.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool log --export > events.json
  snet-tool replay events.json --rules rules.toml

Asks no snetd. The exit code is 1 when a decision would change.")]
pub(crate) struct Arguments {
    /// What `log --export` wrote; - for standard input
    #[arg(value_name = "EVENTS")]
    events: PathBuf,
    /// The rules to try, as a file
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,
    /// What applies to calls that a rule decided then, and none would now: allow or deny
    #[arg(long, value_name = "VERDICT", default_value = "allow", value_parser = log::verdict)]
    fallback: Verdict,
}

/// A decision that would change, in JSON.
#[derive(Serialize)]
struct Change<'a> {
    was: &'a JournalEntry,
    /// allow, deny or ask.
    would_be: Action,
    /// Line of the rule in the file.
    line: Option<usize>,
}

/// Tells each decision that would change.
pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Exit> {
    let candidate = rule_sets::read(&arguments.rules)?;
    if candidate.iter().any(|entry| entry.spec.has_conditions()) {
        session.out.note(
            "the journal doesn't tell units, containers, command lines, parents and sums: rules \
             about them are taken to match nothing",
        );
    }
    let entries: Vec<JournalEntry> = events(&arguments.events)?.collect::<anyhow::Result<_>>()?;
    let callers = entries.iter().filter_map(|entry| entry.exe.as_ref().map(PathBuf::from));
    let mut rules = Rules::new(&candidate, arguments.fallback, &callers.collect());
    let (mut decisions, mut changes) = (0u64, 0u64);
    for entry in entries {
        let Some(says) = rules.say(&entry) else { continue };
        decisions += 1;
        if says.verdict != Some(entry.decision.verdict) {
            changes += 1;
            tell(&entry, says, session)?;
        }
    }
    if !session.out.json {
        let text = format!("{changes} of {decisions} decisions would change");
        session.out.line(&[Span::plain(text)])?;
    }
    Ok(if changes == 0 { Exit::Success } else { Exit::Failure })
}

fn events(file: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<JournalEntry>>> {
    let place = format!("{}", file.display());
    let reader: Box<dyn BufRead> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        let open = File::open(file).with_context(|| format!("can't read {place}"))?;
        Box::new(BufReader::new(open))
    };
    let numbered = (1..).zip(reader.lines());
    Ok(numbered.map(move |(number, line): (u64, _)| {
        let line = line.with_context(|| format!("can't read {place}"))?;
        serde_json::from_str(&line)
            .with_context(|| format!("{place}:{number}: no entry of `snet-tool log --export`"))
    }))
}

fn tell(entry: &JournalEntry, says: Says, session: &Session) -> anyhow::Result<()> {
    let out = &session.out;
    let would_be = says.verdict.map_or(Action::Ask, Action::from);
    if out.json {
        return Ok(out.document(&Change { was: entry, would_be, line: says.line })?);
    }
    let by = says.line.map_or_else(|| "no rule".to_owned(), |line| format!("line {line}"));
    Ok(out.line(&[
        Span::dim(out.times.exact(entry.time)),
        Span::plain(format!("  {}[{}]  {}: ", entry.comm, entry.tgid, call(entry))),
        verdict(entry.decision.verdict),
        Span::plain(format!(" ({}) would be ", reason(entry))),
        action(would_be),
        Span::plain(format!(" ({by})")),
    ])?)
}
