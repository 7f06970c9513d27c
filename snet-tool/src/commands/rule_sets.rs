// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rules export`, `import`, `check`, `diff`, `apply`, `confirm`, `history`, `rollback`: all rules
//! at once.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use libsnet::policy::RuleSpec;

use super::{Session, tickets_text, user_text};
use crate::client::Replaced;
use crate::exit::Exit;
use crate::output::{Span, Style, Table, now};
use crate::rule_file::{self, Entry};
use crate::words;

#[derive(Args)]
pub(super) struct File {
    /// A file of rules (TOML); - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Args)]
pub(super) struct Apply {
    #[command(flatten)]
    file: File,
    /// Undo it after this time (1s to 24h) unless `rules confirm` is run: nobody is locked out
    #[arg(long, value_name = "TIME", value_parser = confirmation)]
    confirm: Option<Duration>,
}

fn confirmation(text: &str) -> Result<Duration, String> {
    match words::lifetime(text) {
        Ok(words::Lifetime::For(time)) if time <= Duration::from_secs(24 * 3600) => Ok(time),
        _ => Err("expected a time from 1s to 24h".to_owned()),
    }
}

pub(super) fn export(file: Option<&Path>, session: &Session) -> anyhow::Result<Exit> {
    let rules = session.connect()?.rules()?;
    let text = rule_file::write(rules.iter().map(|rule| &rule.spec))?;
    match file {
        None => session.out.raw(text.as_bytes())?,
        Some(file) => {
            let place = || format!("can't write {}", file.display());
            std::fs::write(file, text).with_context(place)?;
        }
    }
    Ok(Exit::Success)
}

/// The rules of a file; every error in it is told.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<Entry>> {
    let place = || format!("can't read {}", file.display());
    let text = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).with_context(place)?;
        text
    } else {
        std::fs::read_to_string(file).with_context(place)?
    };
    rule_file::parse(&text).map_err(|errors| {
        let lines: Vec<String> =
            errors.iter().map(|error| format!("{}:{error}", file.display())).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}

fn specs(entries: Vec<Entry>) -> Vec<RuleSpec> {
    entries.into_iter().map(|entry| entry.spec).collect()
}

/// Errors end it; what is only odd is told.
pub(super) fn check(file: &File, session: &Session) -> anyhow::Result<Exit> {
    let entries = read(&file.file)?;
    let lints = rule_file::lints(&entries);
    for lint in &lints {
        session.out.note(&format!("{}:{lint}", file.file.display()));
    }
    let told = match lints.len() {
        0 => "no errors".to_owned(),
        1 => "no errors, 1 note".to_owned(),
        count => format!("no errors, {count} notes"),
    };
    let rules = entries.len();
    session.out.line(&[Span::plain(format!("{}: {rules} rules, {told}", file.file.display()))])?;
    Ok(Exit::Success)
}

/// As diff(1): 0 when nothing differs, else 1.
pub(super) fn diff(file: &File, session: &Session) -> anyhow::Result<Exit> {
    let after = specs(read(&file.file)?);
    let before: Vec<RuleSpec> =
        session.connect()?.rules()?.into_iter().map(|rule| rule.spec).collect();
    let difference = rule_file::difference(&before, &after);
    let sides = [("-", Style::Bad, &difference.removed), ("+", Style::Good, &difference.added)];
    for (sign, style, rules) in sides {
        for spec in rules {
            session.out.line(&[Span::new(format!("{sign} {}", rule_file::line(spec)), style)])?;
        }
    }
    Ok(if difference.is_empty() { Exit::Success } else { Exit::Failure })
}

pub(super) fn apply(arguments: &Apply, session: &Session) -> anyhow::Result<Exit> {
    let rules = specs(read(&arguments.file.file)?);
    let replaced = session.connect()?.replace_rules(rules, false, arguments.confirm)?;
    tell(&replaced, session)
}

pub(super) fn import(file: &File, session: &Session) -> anyhow::Result<Exit> {
    let rules = specs(read(&file.file)?);
    if rules.is_empty() {
        bail!("{}: there are no rules in it", file.file.display());
    }
    let replaced = session.connect()?.replace_rules(rules, true, None)?;
    tell(&replaced, session)
}

pub(super) fn rollback(change: Option<i64>, session: &Session) -> anyhow::Result<Exit> {
    let replaced = session.connect()?.roll_back(change)?;
    tell(&replaced, session)
}

pub(super) fn confirm(session: &Session) -> anyhow::Result<Exit> {
    let confirmed = session.connect()?.confirm_rules()?;
    if session.out.json {
        session.out.document(&confirmed)?;
    } else {
        session.out.line(&[Span::plain(format!("change {} stands", confirmed.confirmed))])?;
    }
    Ok(Exit::Success)
}

pub(super) fn history(session: &Session) -> anyhow::Result<Exit> {
    let history = session.connect()?.history()?;
    let out = &session.out;
    if out.json {
        for change in &history {
            out.document(change)?;
        }
        return Ok(Exit::Success);
    }
    let rows = history.iter().map(|change| {
        let waits = change.confirm_by.map(|end| format!("by {}", out.times.moment(end)));
        vec![
            Span::plain(change.id),
            Span::plain(out.times.moment(change.time)),
            Span::plain(&change.what),
            Span::plain(user_text(change.made_by)),
            Span::plain(change.rules),
            Span::optional(waits),
        ]
    });
    let header = &["CHANGE", "TIME", "WHAT", "BY", "RULES BEFORE", "TO BE CONFIRMED"];
    out.table(&Table::new(header, rows.collect()))?;
    if history.is_empty() {
        out.note("all rules were never changed at once");
    }
    Ok(Exit::Success)
}

pub(super) fn tell(replaced: &Replaced, session: &Session) -> anyhow::Result<Exit> {
    let out = &session.out;
    if out.json {
        out.document(replaced)?;
        return Ok(Exit::Success);
    }
    let Replaced { change, added, removed, kept, revoked, .. } = replaced;
    let mut text = format!("change {change}: {added} rules added, {removed} removed, {kept} kept");
    if *revoked > 0 {
        text.push_str(&format!("; revoked {}", tickets_text(*revoked)));
    }
    out.line(&[Span::plain(text)])?;
    if let Some(end) = replaced.confirm_by {
        let left = u64::try_from(end.saturating_sub(now())).unwrap_or_default();
        let left = crate::output::duration(Duration::from_millis(left));
        let text = format!("undone in {left} unless `snet-tool rules confirm` is run");
        out.line(&[Span::new(text, Style::Bold)])?;
    }
    for note in &replaced.notes {
        out.note(note);
    }
    Ok(Exit::Success)
}
