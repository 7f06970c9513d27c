// SPDX-License-Identifier: MIT OR Apache-2.0
//! `open`: the way out when rules keep somebody from working.

use clap::Args;
use libsnet::policy::{Action, Program, RuleSpec};
use libsnet::types::Scope;

use super::Session;
use crate::exit::Exit;
use crate::output::Span;
use crate::words::{self, Lifetime};

/// For how long.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool open 10m
  snet-tool log                   # what would have been denied meanwhile

Rules, their order and their numbers stay as they are. Calls that get no verdict in time have the
fallback still.")]
pub(crate) struct Arguments {
    /// A time like 10m; it can be ended before (`rules delete`)
    #[arg(value_name = "TIME", value_parser = words::rule_lifetime)]
    lifetime: Lifetime,
}

/// Makes a rule that observes everything.
pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Exit> {
    let (expires_at, until_restart) = arguments.lifetime.of_rule();
    let rule = RuleSpec {
        expires_at,
        until_restart,
        note: "opened".to_owned(),
        ..RuleSpec::new(Action::Observe, Program::Any, Scope::ANY)
    };
    let added = session.connect()?.add_rule(rule)?;
    let out = &session.out;
    if out.json {
        out.document(&added)?;
        return Ok(Exit::Success);
    }
    let id = added.changed.id;
    let end = super::rule_text::end_text(&added.changed, &out.times);
    let end = end.map_or_else(|| "for ever".to_owned(), |end| format!("until {end}"));
    out.line(&[Span::plain(format!(
        "nothing is denied {end}; `snet-tool rules delete {id}` ends it"
    ))])?;
    for note in &added.notes {
        out.note(note);
    }
    Ok(Exit::Success)
}
