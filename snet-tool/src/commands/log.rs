// SPDX-License-Identifier: MIT OR Apache-2.0
//! `log`: decisions of the past.

use clap::Args;
use libsnet::control::JournalEntry;
use libsnet::types::Verdict;

use super::{Session, decision, watch};
use crate::client::{Client, ClientError};
use crate::exit::Exit;

/// The daemon gives no more at a time.
const PAGE: u32 = 10_000;

/// Which.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool log -n 20 --verdict deny
  snet-tool log --follow
  snet-tool log --export > events.json
  snet-tool log -n 1000 --json | jq -r .exe | sort | uniq -c")]
pub(crate) struct Arguments {
    /// So many of the newest decisions
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 50)]
    lines: u32,
    /// Only these: allow or deny
    #[arg(long, value_name = "VERDICT", value_parser = verdict)]
    verdict: Option<Verdict>,
    /// All that are kept, in JSON, a line each: for `replay`
    #[arg(long, conflicts_with_all = ["follow", "lines"])]
    export: bool,
    /// Each with its number, for test --event
    #[arg(long, conflicts_with = "follow")]
    numbers: bool,
    /// Go on with the decisions as they are made, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

/// `allow` or `deny`.
pub(super) fn verdict(text: &str) -> Result<Verdict, String> {
    match text {
        "allow" => Ok(Verdict::Allow),
        "deny" => Ok(Verdict::Deny),
        _ => Err(format!("unknown verdict '{text}': expected allow or deny")),
    }
}

/// Prints them, the oldest first.
pub(crate) fn run(arguments: Arguments, session: &Session) -> anyhow::Result<Exit> {
    let Arguments { lines, verdict, follow, export, numbers } = arguments;
    if export {
        for entry in read(&mut session.connect()?, u32::MAX, verdict)? {
            session.out.document(&entry)?;
        }
        return Ok(Exit::Success);
    }
    // Watching begins before the journal is read, so that nothing falls in between.
    let live = if follow { Some(watch::begin(session)?) } else { None };
    let entries = read(&mut session.connect()?, lines, verdict)?;
    for entry in &entries {
        decision::tell(entry, numbers, session)?;
    }
    match live {
        None if entries.is_empty() && !session.out.json => session.out.note("no decisions"),
        None => {}
        Some(decisions) => watch::go_on(decisions, verdict, &entries, session)?,
    }
    Ok(Exit::Success)
}

/// The newest `lines` entries, oldest first, in as many pages as it takes.
fn read(
    client: &mut Client,
    lines: u32,
    verdict: Option<Verdict>,
) -> Result<Vec<JournalEntry>, ClientError> {
    let mut newest_first = Vec::new();
    let mut before = None;
    let mut left = lines;
    while left > 0 {
        let page = client.log(left.min(PAGE), before, verdict)?;
        before = page.first().and_then(|entry| entry.id);
        left = left.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
        newest_first.extend(page.into_iter().rev());
        if before.is_none() {
            break;
        }
    }
    newest_first.reverse();
    Ok(newest_first)
}
