// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rules review`: what was learned, as rules to be accepted or dropped.

use clap::{Args, Subcommand};
use libsnet::control::{Decision, JournalEntry, ProposalRecord, Source};
use libsnet::types::Verdict;

use super::rule_sets::tell;
use super::{Session, user_text};
use crate::client::Client;
use crate::exit::{Exit, UsageError};
use crate::output::{Span, Table, action};
use crate::proposals::{Proposal, proposals};
use crate::replay::Rules;
use crate::rule_file::Entry;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// A rule for each address and port, instead of one for many
    #[arg(long, global = true)]
    exact: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Make the rules
    #[command(
        after_help = "Examples:\n  snet-tool rules review accept 1 3\n  snet-tool rules review accept --all"
    )]
    Accept(Which),
    /// Don't propose them again
    #[command(after_help = "Example:\n  snet-tool rules review drop 2")]
    Drop(Which),
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Their numbers in the list (with --exact: in that one)
    #[arg(value_name = "N")]
    numbers: Vec<usize>,
    /// All of them
    #[arg(long)]
    all: bool,
}

pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Exit> {
    let mut client = session.connect()?;
    let proposed = proposed(&mut client, arguments.exact)?;
    match &arguments.command {
        None => list(&proposed, session),
        Some(Command::Accept(which)) => {
            let rules = chosen(&proposed, which)?.iter().map(|one| one.rule.clone()).collect();
            tell(&client.replace_rules(rules, true, None)?, session)
        }
        Some(Command::Drop(which)) => {
            let chosen = chosen(&proposed, which)?;
            let calls = chosen.iter().flat_map(|one| one.calls.clone()).collect();
            let dropped = client.drop_proposals(calls)?;
            if session.out.json {
                session.out.document(&dropped)?;
            } else {
                let text = format!("dropped {} kinds of calls", dropped.dropped);
                session.out.line(&[Span::plain(text)])?;
            }
            Ok(Exit::Success)
        }
    }
}

/// What was learned and is decided by no rule yet.
fn proposed(client: &mut Client, exact: bool) -> anyhow::Result<Vec<Proposal>> {
    let rules = client.rules()?.into_iter();
    let rules: Vec<Entry> = rules.map(|rule| Entry { line: 1, spec: rule.spec }).collect();
    let mut calls = client.proposals()?;
    let callers = calls.iter().map(|call| call.exe.clone().into()).collect();
    let mut rules = Rules::new(&rules, Verdict::Allow, &callers);
    calls.retain(|call| rules.say(&entry(call)).is_some_and(|says| says.line.is_none()));
    Ok(proposals(&calls, exact))
}

/// The call as the journal has it.
fn entry(call: &ProposalRecord) -> JournalEntry {
    let decision = Decision { verdict: Verdict::Allow, source: Source::Learned, rule: None };
    JournalEntry {
        id: None,
        time: call.last,
        decision,
        tgid: 0,
        uid: call.uid,
        comm: String::new(),
        exe: Some(call.exe.clone()),
        operation: call.operation,
        protocol: call.protocol,
        remote: call.remote,
        local: call.local,
        cause: None,
        dropped: 0,
    }
}

fn chosen<'a>(proposed: &'a [Proposal], which: &Which) -> Result<Vec<&'a Proposal>, UsageError> {
    if which.all {
        return Ok(proposed.iter().collect());
    }
    let find = |number: &usize| {
        let found = number.checked_sub(1).and_then(|at| proposed.get(at));
        found.ok_or_else(|| UsageError(format!("nothing with number {number} is proposed")))
    };
    which.numbers.iter().map(find).collect()
}

fn list(proposed: &[Proposal], session: &Session) -> anyhow::Result<Exit> {
    let out = &session.out;
    if out.json {
        for proposal in proposed {
            out.document(&proposal.rule)?;
        }
        return Ok(Exit::Success);
    }
    let row = |(number, proposal): (usize, &Proposal)| {
        let rule = &proposal.rule;
        vec![
            Span::plain(number),
            action(rule.action),
            Span::plain(&rule.program),
            Span::plain(&rule.scope),
            Span::optional(rule.uid.map(user_text)),
            Span::plain(proposal.count()),
            Span::optional(
                proposal
                    .calls
                    .iter()
                    .map(|call| call.last)
                    .max()
                    .map(|last| out.times.moment(last)),
            ),
        ]
    };
    let rows = (1..).zip(proposed).map(row).collect();
    let header = &["N", "ACTION", "PROGRAM", "CALLS", "USER", "SEEN", "LAST"];
    out.table(&Table::new(header, rows))?;
    if proposed.is_empty() {
        out.note("nothing is proposed; snet-tool learn PROGRAM makes snetd learn");
    }
    Ok(Exit::Success)
}
