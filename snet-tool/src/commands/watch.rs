// SPDX-License-Identifier: MIT OR Apache-2.0
//! `watch`: decisions as they are made.

use std::collections::VecDeque;
use std::thread;

use anyhow::Context;
use clap::Args;
use libsnet::control::JournalEntry;
use libsnet::types::Verdict;
use nix::sys::signal::{SigSet, Signal};

use super::{Session, decision, log};
use crate::client::Decisions;
use crate::exit::Exit;

/// Which.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool watch
  snet-tool watch --verdict deny
  snet-tool watch --json | jq -r .exe

Calls that a ticket allows in the kernel are not seen. Ctrl-C ends it.")]
pub(crate) struct Arguments {
    /// Only these: allow or deny
    #[arg(long, value_name = "VERDICT", value_parser = log::verdict)]
    verdict: Option<Verdict>,
}

/// Prints them until Ctrl-C, or until nobody reads them any more.
pub(crate) fn run(arguments: Arguments, session: &Session) -> anyhow::Result<Exit> {
    let decisions = begin(session)?;
    go_on(decisions, arguments.verdict, &[], session)?;
    Ok(Exit::Success)
}

/// Begins to watch. Asks for the status first: a stream without decisions and a daemon that
/// hangs look the same.
pub(super) fn begin(session: &Session) -> anyhow::Result<Decisions> {
    let mut client = session.connect()?;
    if client.status()?.kernel.is_none() {
        session.out.note("the kernel module isn't there: nothing is mediated");
    }
    end_on_interrupt()?;
    Ok(client.watch()?)
}

/// Ctrl-C is how this command ends, so it ends in success. A thread, because the main one may
/// hang in a write to a pipe that nobody empties.
fn end_on_interrupt() -> anyhow::Result<()> {
    let mut interrupt = SigSet::empty();
    interrupt.add(Signal::SIGINT);
    interrupt.thread_block().context("can't block SIGINT")?;
    thread::Builder::new()
        .spawn(move || {
            if interrupt.wait().is_ok() {
                std::process::exit(i32::from(Exit::Success as u8));
            }
        })
        .context("can't start a thread")?;
    Ok(())
}

/// Prints decisions as they come, without those among `known`, which were read from the
/// journal after the stream had begun.
pub(super) fn go_on(
    decisions: Decisions,
    verdict: Option<Verdict>,
    known: &[JournalEntry],
    session: &Session,
) -> anyhow::Result<()> {
    let mut known: VecDeque<JournalEntry> =
        known.iter().cloned().map(|entry| JournalEntry { id: None, ..entry }).collect();
    for decided in decisions {
        let decided = decided?;
        if decided.missed > 0 {
            session.out.note(&format!("{} decisions left out: too many at once", decided.missed));
        }
        let entry = decided.decided;
        if is_known(&mut known, &entry) || verdict.is_some_and(|it| it != entry.decision.verdict) {
            continue;
        }
        decision::tell(&entry, false, session)?;
    }
    Ok(())
}

/// Is it one of the known ones? Each counts once. The older ones go: they won't come again.
fn is_known(known: &mut VecDeque<JournalEntry>, entry: &JournalEntry) -> bool {
    while known.front().is_some_and(|oldest| oldest.time < entry.time) {
        known.pop_front();
    }
    match known.iter().position(|other| JournalEntry { id: None, ..entry.clone() } == *other) {
        Some(at) => known.remove(at).is_some(),
        None => false,
    }
}
