// SPDX-License-Identifier: MIT OR Apache-2.0
//! `restore`: a backup in the place of the database.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::fcntl::OFlag;

use super::Session;
use crate::copying::{self, Which};
use crate::exit::Exit;
use crate::output::Span;

/// Where from.
#[derive(Args)]
#[command(after_help = "\
Examples:
  systemctl stop snetd
  snet-tool restore /root/snet.backup
  systemctl start snetd

The file is one of `snet-tool backup`, of this version or an earlier one, or a database that an
earlier restore has kept. It is looked at first: where it can't be the database, nothing is changed.
What was there before is kept beside the database, under the name that is printed.")]
pub(crate) struct Arguments {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    which: Which,
}

/// Puts it there.
pub(crate) fn run(arguments: &Arguments, session: &Session) -> Result<Exit> {
    let file = &arguments.file;
    let wanted = || format!("can't read {}", file.display());
    // What waits for a writer isn't waited for.
    let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(file);
    let opened = opened.with_context(wanted)?;
    if !opened.metadata().with_context(wanted)?.is_file() {
        bail!("{} is no backup: it isn't a regular file", file.display());
    }
    let which = &arguments.which;
    let done = copying::snetd("--restore", which, opened.into(), std::process::Stdio::null());
    let mut done = done.with_context(|| file.display().to_string())?;
    done.file.clone_from(file);
    let out = &session.out;
    if out.json {
        out.document(&done)?;
        return Ok(Exit::Success);
    }
    let text = format!("{} is restored: {}", done.database.display(), done.contents());
    out.line(&[Span::plain(text)])?;
    if let Some(before) = &done.before {
        let text = format!("what was there before is {}", before.display());
        out.line(&[Span::plain(text)])?;
    }
    out.note(if which.is_own() {
        "the next command starts snetd with it"
    } else {
        "it counts once snetd is started: `systemctl start snetd`"
    });
    Ok(Exit::Success)
}
