// SPDX-License-Identifier: MIT OR Apache-2.0
//! `tickets`: lists and revokes what the kernel remembers.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use libsnet::control::{ErrorReply, TicketRecord};
use libsnet::types::TicketId;

use super::{Session, each, tickets_text, user_text};
use crate::client::{Client, ClientError, Revoked};
use crate::exit::Exit;
use crate::output::{Span, Table, duration, verdict};

/// What to do; without anything: list.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool tickets
  snet-tool tickets revoke 17
  snet-tool tickets revoke --process 4711")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// All tickets
    #[command(after_help = "Example:\n  snet-tool tickets list")]
    List,
    /// Revoke tickets: the next call is asked about again
    #[command(after_help = "\
Examples:
  snet-tool tickets revoke 17 18
  snet-tool tickets revoke --process 4711
  snet-tool tickets revoke --all")]
    Revoke(Which),
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Their numbers
    #[arg(value_name = "ID")]
    ids: Vec<u64>,
    /// Those of this process
    #[arg(long, value_name = "PID")]
    process: Option<u32>,
    /// All of them
    #[arg(long)]
    all: bool,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, session: &Session) -> anyhow::Result<Exit> {
    match arguments.command.unwrap_or(Command::List) {
        Command::List => list(session),
        Command::Revoke(Which { all: true, .. }) => revoke_many(None, session),
        Command::Revoke(Which { process: Some(tgid), .. }) => revoke_many(Some(tgid), session),
        Command::Revoke(Which { ids, .. }) => revoke_each(&ids, session),
    }
}

fn list(session: &Session) -> anyhow::Result<Exit> {
    let tickets = session.connect()?.tickets()?;
    let out = &session.out;
    if out.json {
        for ticket in &tickets {
            out.document(ticket)?;
        }
        return Ok(Exit::Success);
    }
    let header = &[
        "ID", "PROCESS", "PROGRAM", "USER", "VERDICT", "CALLS", "RULE", "EXPIRES", "HITS",
        "LAST HIT",
    ];
    out.table(&Table::new(header, tickets.iter().map(row).collect()))?;
    if tickets.is_empty() {
        out.note("no tickets");
    }
    Ok(Exit::Success)
}

fn row(ticket: &TicketRecord) -> Vec<Span> {
    let millis = |millis| duration(Duration::from_millis(millis));
    vec![
        Span::plain(ticket.id),
        process(ticket),
        Span::optional(ticket.exe.as_ref().or(ticket.file.as_ref())),
        ticket.uid.map_or_else(|| Span::dim("any"), |uid| Span::plain(user_text(uid))),
        verdict(ticket.verdict),
        Span::plain(&ticket.scope),
        Span::optional(ticket.rule),
        end(ticket),
        Span::plain(ticket.hits),
        ticket
            .last_hit
            .map_or_else(|| Span::dim("-"), |ago| Span::plain(format!("{} ago", millis(ago)))),
    ]
}

fn process(ticket: &TicketRecord) -> Span {
    match ticket.process {
        None => Span::dim("any"),
        Some(process) if ticket.inherited => Span::plain(format!("{} inherited", process.tgid)),
        Some(process) => Span::plain(process.tgid),
    }
}

/// When it ends by itself.
fn end(ticket: &TicketRecord) -> Span {
    let time =
        ticket.expires_in.map(|left| format!("in {}", duration(Duration::from_millis(left))));
    let calls = ticket.uses.map(|left| match left {
        1 => "after 1 call".to_owned(),
        left => format!("after {left} calls"),
    });
    match (time, calls, ticket.process) {
        (Some(time), Some(calls), _) => Span::plain(format!("{time}, {calls}")),
        (Some(end), None, _) | (None, Some(end), _) => Span::plain(end),
        (None, None, Some(_)) => Span::dim("with the process"),
        (None, None, None) => Span::dim("never"),
    }
}

/// Those of a process, or all.
fn revoke_many(tgid: Option<u32>, session: &Session) -> anyhow::Result<Exit> {
    let revoked = session.connect()?.revoke_tickets(None, tgid)?;
    tell(&revoked, &format!("revoked {}", tickets_text(revoked.revoked)), session)?;
    Ok(Exit::Success)
}

fn revoke_each(ids: &[u64], session: &Session) -> anyhow::Result<Exit> {
    let mut client = session.connect()?;
    each(ids, |id| {
        let revoked =
            revoke_one(&mut client, id).with_context(|| format!("can't revoke ticket {id}"))?;
        tell(&revoked, &format!("revoked ticket {id}"), session)
    })
}

fn revoke_one(client: &mut Client, id: u64) -> Result<Revoked, ClientError> {
    let revoked = client.revoke_tickets(Some(TicketId(id)), None)?;
    if revoked.revoked == 0 {
        return Err(ErrorReply::NotFound { kind: "ticket".to_owned(), id }.into());
    }
    Ok(revoked)
}

fn tell(revoked: &Revoked, text: &str, session: &Session) -> anyhow::Result<()> {
    if session.out.json {
        return Ok(session.out.document(revoked)?);
    }
    Ok(session.out.line(&[Span::plain(text)])?)
}
