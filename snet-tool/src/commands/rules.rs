// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rules`: lists, shows, deletes, enables and disables rules; all of them at once in
//! `rule_sets`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use libsnet::control::RuleRecord;
use libsnet::types::RuleId;

use super::rule_text::{end_text, program_text, rule_text};
use super::{Session, each, review, rule_sets, tickets_text, user_text};
use crate::client::{Changed, Client, ClientError};
use crate::exit::Exit;
use crate::output::{Span, Style, Table, action};
use crate::rule_file;

/// What to do; without anything: list.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool rules
  snet-tool rules show 3
  snet-tool rules disable 3 4
  snet-tool rules --json | jq 'select(.hits == 0)'")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// All rules, in the order in which they are asked
    #[command(after_help = "Example:\n  snet-tool rules list")]
    List,
    /// Everything about one rule
    #[command(after_help = "Example:\n  snet-tool rules show 3")]
    Show {
        /// Its number
        #[arg(value_name = "ID")]
        id: u64,
    },
    /// Delete rules
    #[command(after_help = "Example:\n  snet-tool rules delete 3 4")]
    Delete(Ids),
    /// Give rules effect again
    #[command(after_help = "Example:\n  snet-tool rules enable 3")]
    Enable(Ids),
    /// Keep rules, but without effect
    #[command(after_help = "Example:\n  snet-tool rules disable 3")]
    Disable(Ids),
    /// Write all rules as a file
    #[command(
        after_help = "Examples:\n  snet-tool rules export rules.toml\n  snet-tool rules export"
    )]
    Export {
        /// Where to; standard output when absent
        file: Option<PathBuf>,
    },
    /// Look for errors in a file of rules, and for rules that never decide; asks no snetd
    #[command(after_help = "Example:\n  snet-tool rules check rules.toml")]
    Check(rule_sets::File),
    /// What would applying a file change? Exit code 1 if anything
    #[command(after_help = "Example:\n  snet-tool rules diff rules.toml")]
    Diff(rule_sets::File),
    /// Put the rules of a file in the place of all, at once or not at all
    #[command(after_help = "\
Examples:
  snet-tool rules apply rules.toml
  snet-tool rules apply rules.toml --confirm 60s")]
    Apply(rule_sets::Apply),
    /// Add the rules of a file to those that are there, at once or not at all
    #[command(after_help = "Example:\n  snet-tool rules import rules.toml")]
    Import(rule_sets::File),
    /// What was learned (see learn), as rules to be accepted or dropped
    #[command(after_help = "\
Examples:
  snet-tool rules review
  snet-tool rules review accept 1 3
  snet-tool rules review accept --all --exact
  snet-tool rules review drop 2")]
    Review(review::Arguments),
    /// Let a change stand that was applied with --confirm
    #[command(after_help = "Example:\n  snet-tool rules confirm")]
    Confirm,
    /// Changes of all rules at once
    #[command(after_help = "Example:\n  snet-tool rules history")]
    History,
    /// Put the rules back as they were before a change of all of them
    #[command(after_help = "Examples:\n  snet-tool rules rollback\n  snet-tool rules rollback 3")]
    Rollback {
        /// Its number (see history); the last one when absent
        change: Option<i64>,
    },
}

#[derive(Args)]
struct Ids {
    /// Their numbers
    #[arg(value_name = "ID", required = true)]
    ids: Vec<u64>,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, session: &Session) -> anyhow::Result<Exit> {
    match arguments.command.unwrap_or(Command::List) {
        Command::List => list(session),
        Command::Show { id } => show(RuleId(id), session),
        Command::Delete(ids) => change(&ids, "delete", Client::delete_rule, session),
        Command::Enable(ids) => {
            change(&ids, "enable", |client, id| client.enable_rule(id, true), session)
        }
        Command::Disable(ids) => {
            change(&ids, "disable", |client, id| client.enable_rule(id, false), session)
        }
        Command::Export { file } => rule_sets::export(file.as_deref(), session),
        Command::Check(file) => rule_sets::check(&file, session),
        Command::Diff(file) => rule_sets::diff(&file, session),
        Command::Apply(arguments) => rule_sets::apply(&arguments, session),
        Command::Import(file) => rule_sets::import(&file, session),
        Command::Review(arguments) => review::run(&arguments, session),
        Command::Confirm => rule_sets::confirm(session),
        Command::History => rule_sets::history(session),
        Command::Rollback { change } => rule_sets::rollback(change, session),
    }
}

fn list(session: &Session) -> anyhow::Result<Exit> {
    let rules = session.connect()?.rules()?;
    let out = &session.out;
    if out.json {
        for rule in &rules {
            out.document(rule)?;
        }
        return Ok(Exit::Success);
    }
    let rows = rules.iter().map(|rule| row(rule, session)).collect();
    let header =
        &["ID", "ACTION", "PROGRAM", "CALLS", "USER", "PRIO", "ENDS", "HITS", "LAST HIT", "NOTE"];
    out.table(&Table::new(header, rows))?;
    if rules.is_empty() {
        out.note("no rules; snet-tool allow --help shows how to make one");
    }
    Ok(Exit::Success)
}

fn row(rule: &RuleRecord, session: &Session) -> Vec<Span> {
    let spec = &rule.spec;
    let action = match spec.enabled {
        true => action(spec.action),
        false => Span::dim(format!("{} (disabled)", spec.action)),
    };
    let note = Some(&spec.note).filter(|note| !note.is_empty());
    vec![
        Span::plain(rule.id),
        action,
        Span::plain(callers_text(rule)),
        Span::plain(&spec.scope),
        Span::optional(spec.uid.map(user_text)),
        Span::plain(spec.priority),
        Span::optional(end_text(rule, &session.out.times)),
        Span::plain(rule.hits),
        Span::optional(rule.last_hit.map(|time| session.out.times.moment(time))),
        Span::optional(note),
    ]
}

/// The program, and which of its processes, which few rules say.
fn callers_text(rule: &RuleRecord) -> String {
    format!("{}{}", program_text(rule), rule_file::conditions(&rule.spec))
}

fn show(id: RuleId, session: &Session) -> anyhow::Result<Exit> {
    let rule = session.connect()?.rule(id)?;
    let out = &session.out;
    if out.json {
        out.document(&rule)?;
        return Ok(Exit::Success);
    }
    let spec = &rule.spec;
    let moment = |time| out.times.moment(time);
    let or =
        |value: Option<String>, otherwise: &str| Span::plain(value.unwrap_or(otherwise.into()));
    let fields = [
        ("rule", Span::plain(rule.id)),
        ("action", action(spec.action)),
        ("enabled", Span::plain(if spec.enabled { "yes" } else { "no" })),
        ("program", Span::plain(program_text(&rule))),
        ("calls", Span::plain(&spec.scope)),
        ("user", or(spec.uid.map(user_text), "any")),
        ("unit", or(spec.unit.as_ref().map(ToString::to_string), "any")),
    ];
    let some = [
        ("host", spec.host.as_ref().map(ToString::to_string)),
        ("container", spec.container.as_ref().map(ToString::to_string)),
        ("command", spec.command.as_ref().map(ToString::to_string)),
        ("parent", spec.parent.as_ref().map(ToString::to_string)),
    ];
    let some = some.into_iter().filter_map(|(name, value)| Some((name, Span::plain(value?))));
    let about = [
        ("priority", Span::plain(spec.priority)),
        ("ends", or(end_text(&rule, &out.times), "never")),
        ("hits", Span::plain(rule.hits)),
        ("last hit", or(rule.last_hit.map(moment), "never")),
        ("made", Span::plain(moment(rule.created_at))),
        ("made by", Span::plain(user_text(rule.created_by))),
        ("note", Span::plain(&spec.note)),
    ];
    for (name, value) in fields.into_iter().chain(some).chain(about) {
        out.line(&[Span::new(name, Style::Bold).padded(10), value])?;
    }
    Ok(Exit::Success)
}

/// Changes one rule after the other, all on one connection. `verb` ends in an e.
fn change(
    ids: &Ids,
    verb: &str,
    act: impl Fn(&mut Client, RuleId) -> Result<Changed, ClientError>,
    session: &Session,
) -> anyhow::Result<Exit> {
    let mut client = session.connect()?;
    each(&ids.ids, |id| {
        let changed =
            act(&mut client, RuleId(id)).with_context(|| format!("can't {verb} rule {id}"))?;
        tell(&changed, verb, session)
    })
}

fn tell(changed: &Changed, verb: &str, session: &Session) -> anyhow::Result<()> {
    let out = &session.out;
    if out.json {
        return Ok(out.document(changed)?);
    }
    let mut line = vec![Span::plain(format!("rule {} {verb}d: ", changed.changed.id))];
    line.extend(rule_text(&changed.changed, &out.times));
    if changed.revoked > 0 {
        line.push(Span::plain(format!("; revoked {}", tickets_text(changed.revoked))));
    }
    out.line(&line)?;
    for note in &changed.notes {
        out.note(note);
    }
    Ok(())
}
