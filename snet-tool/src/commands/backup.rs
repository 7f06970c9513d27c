// SPDX-License-Identifier: MIT OR Apache-2.0
//! `backup` and `restore`: the database as one file, and back. Done by snetd's program, which owns
//! the database, in a process of its own: with a daemon or without one.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Session, count_text};
use crate::exit::Exit;
use crate::output::Span;
use crate::user_daemon;

/// Where to.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool backup /root/snet-$(date +%F).db
  snet-tool restore /root/snet-2026-11-27.db

It has the rules with their numbers and history, and the journal: all that snetd keeps, but for its
configuration in /etc/snet. A daemon may run meanwhile. `rules export` writes the rules alone, as text.")]
pub(crate) struct BackupArguments {
    /// A file that doesn't exist yet
    file: PathBuf,
    /// Write over a file that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    whose: Whose,
}

/// Where from.
#[derive(Args)]
#[command(after_help = "\
Example:
  systemctl stop snetd
  snet-tool restore /root/snet-2026-11-27.db
  systemctl start snetd

The daemon must not run. A file that isn't a sound backup, or is a newer snetd's, changes nothing;
otherwise what was there is kept beside the database, and its name is said.")]
pub(crate) struct RestoreArguments {
    /// A file that `backup` wrote
    file: PathBuf,
    #[command(flatten)]
    whose: Whose,
}

/// Which database.
#[derive(Args)]
struct Whose {
    /// That of this user's own daemon, which `snet-tool run` starts
    #[arg(long)]
    user: bool,
    /// Of the snetd that has this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What snetd says that it did.
#[derive(Debug, Deserialize, Serialize)]
struct Done {
    file: PathBuf,
    rules: u64,
    entries: u64,
    bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<PathBuf>,
}

impl Done {
    fn text(&self) -> String {
        let rules = count_text(self.rules, "rule", "rules");
        let entries = count_text(self.entries, "entry", "entries");
        format!("{}: {rules}, {entries} of the journal", self.file.display())
    }
}

/// Writes the database to a file.
pub(crate) fn backup(arguments: &BackupArguments, session: &Session) -> anyhow::Result<Exit> {
    let mut snetd = command(&arguments.whose)?;
    snetd.arg("--backup").arg(&arguments.file);
    if arguments.force {
        snetd.arg("--force");
    }
    let Some(done) = run(&mut snetd, session)? else { return Ok(Exit::Success) };
    session.out.line(&[Span::plain(format!("{}, {} bytes", done.text(), done.bytes))])?;
    Ok(Exit::Success)
}

/// Puts such a file in the place of the database.
pub(crate) fn restore(arguments: &RestoreArguments, session: &Session) -> anyhow::Result<Exit> {
    let mut snetd = command(&arguments.whose)?;
    snetd.arg("--restore").arg(&arguments.file);
    let Some(done) = run(&mut snetd, session)? else { return Ok(Exit::Success) };
    session.out.line(&[Span::plain(done.text())])?;
    if let Some(before) = &done.before {
        session.out.note(&format!("what was there before is {}", before.display()));
    }
    Ok(Exit::Success)
}

fn command(whose: &Whose) -> anyhow::Result<Command> {
    let mut snetd = Command::new(user_daemon::program()?);
    if whose.user {
        snetd.arg("--user");
    }
    if let Some(config) = &whose.config {
        snetd.arg("--config").arg(config);
    }
    Ok(snetd)
}

/// Runs it to its end; what is wrong it says itself. Nothing where its answer is already told.
fn run(snetd: &mut Command, session: &Session) -> anyhow::Result<Option<Done>> {
    let program = snetd.get_program().to_owned();
    let ran = snetd.stdin(Stdio::null()).output();
    let ran = ran.with_context(|| format!("can't run {}", program.display()))?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        let said = said.trim().trim_start_matches("snetd: ");
        bail!("{}", if said.is_empty() { ran.status.to_string() } else { said.to_owned() });
    }
    let done: Done = serde_json::from_slice(&ran.stdout)
        .with_context(|| format!("{} doesn't say what it did", program.display()))?;
    if session.out.json {
        session.out.document(&done)?;
        return Ok(None);
    }
    Ok(Some(done))
}
