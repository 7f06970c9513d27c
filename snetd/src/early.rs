// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time before the daemon: tickets for programs, kept in a file beside the database, that
//! `snetd --early` gives to the module at boot, before there is a network.
//!
//! Only rules that say the same of every process that runs a file become such tickets. Files are
//! told by their paths: devices may have other numbers after a boot.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use libsnet::client::Client;
use libsnet::policy::{Identity, Policy, Program};
use libsnet::types::{
    KeptTicket, ProgramOwner, RuleId, Scope, Ticket, TicketId, TicketOwner, TicketTarget, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::compiled::Compiled;
use crate::config::Config;
use crate::policy_control::{PolicyControl, blocking};
use crate::tickets::names_of;

const VERSION: u32 = 1;
/// Tickets that are kept.
const MOST: usize = 4096;
/// Longest file, in bytes.
const LONGEST: u64 = 16 << 20;
/// Changes that follow each other this fast are written once.
const TOGETHER: Duration = Duration::from_millis(200);

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Early {
    version: u32,
    tickets: Vec<ProgramTicket>,
}

/// A ticket for whoever runs the file at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgramTicket {
    path: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    verdict: Verdict,
    scope: Scope,
    rule: RuleId,
}

/// Where the file is: beside the database.
fn place(config: &Config) -> PathBuf {
    config.database.as_path().with_file_name("early.json")
}

/// No tickets at the next boot, until a daemon has written them anew.
pub(crate) fn forget(config: &Config) -> Result<()> {
    let place = place(config);
    match fs::remove_file(&place) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("can't remove {}", place.display()))
        }
        _ => Ok(()),
    }
}

/// Keeps the file in step with the policy, as long as the daemon runs.
pub(crate) async fn keep(policy: Arc<PolicyControl>, config: Config) {
    let place = place(&config);
    let mut written: Option<Compiled> = None;
    loop {
        let current = policy.current().await;
        if written.is_none_or(|written| !written.has_programs_of(&current)) {
            let (place, current) = (place.clone(), current.clone());
            match blocking(move || write(&place, &tickets(&current))).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) | Err(error) => {
                    tracing::warn!("the tickets for the next boot weren't written: {error:#}");
                }
            }
        }
        written = Some(current);
        policy.changed().await;
        tokio::time::sleep(TOGETHER).await;
    }
}

/// The tickets that the policy stands by for all who run a file.
fn tickets(current: &Compiled) -> Vec<ProgramTicket> {
    let mut found = Vec::new();
    for rule in current.lasting_rules() {
        let spec = &rule.spec;
        let Some(verdict) = spec.action.verdict() else { continue };
        if !matches!(spec.program, Program::Name(_) | Program::Path(_)) {
            continue;
        }
        for (path, file) in current.files(&spec.program) {
            let ticket = ProgramTicket {
                path: path.to_owned(),
                uid: spec.uid,
                verdict,
                scope: spec.effective_scope(),
                rule: rule.id,
            };
            if found.len() < MOST && stands(&ticket, file, &current.policy) {
                found.push(ticket);
            }
        }
    }
    found
}

fn stands(ticket: &ProgramTicket, file: Identity, policy: &Policy) -> bool {
    let owner = ticket.owner(file);
    let kept = KeptTicket {
        ticket: ticket.numbered(1),
        owner: TicketOwner::Program(owner),
        origin: None,
        hits: 0,
        last_hit: None,
    };
    policy.still_issues_to_program(&kept, names_of(file, policy))
}

impl ProgramTicket {
    fn owner(&self, file: Identity) -> ProgramOwner {
        ProgramOwner { device: file.device, inode: file.inode, uid: self.uid }
    }

    fn numbered(&self, number: u64) -> Ticket {
        let ticket = Ticket::new(TicketId(number), self.scope.clone(), self.verdict);
        Ticket { rule: Some(self.rule), ..ticket }
    }
}

/// Replaces the file whole, or leaves it.
fn write(place: &Path, tickets: &[ProgramTicket]) -> Result<()> {
    let early = Early { version: VERSION, tickets: tickets.to_vec() };
    let text = serde_json::to_vec(&early)?;
    if fs::read(place).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let new = place.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, place)?;
    let directory = place.parent().context("the file has no directory")?;
    Ok(File::open(directory)?.sync_all()?)
}

fn read(place: &Path) -> Result<Vec<ProgramTicket>> {
    let file = match File::open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    if file.metadata()?.len() > LONGEST {
        bail!("it is longer than snetd writes it");
    }
    let early: Early = serde_json::from_reader(std::io::BufReader::new(file))?;
    if early.version != VERSION {
        bail!("version {}: this snetd knows version {VERSION}", early.version);
    }
    Ok(early.tickets)
}

/// Gives the module the settings, the tickets and then what to watch; the last of it first would
/// refuse programs that have a ticket. Says how many tickets there are.
pub(crate) async fn load(config: &Config) -> Result<usize> {
    let place = place(config);
    let tickets = read(&place).with_context(|| {
        format!("{}: no tickets are given (snetd writes it anew when it runs)", place.display())
    });
    let client = Client::connect().await?;
    client.set_settings(&config.settings()).await.context("the settings were refused")?;
    let (given, refused) = match tickets {
        Ok(tickets) => (give(&client, &tickets).await?, None),
        Err(error) => (0, Some(error)),
    };
    client.set_watch(&config.watch_set()).await.context("what to watch was refused")?;
    refused.map_or(Ok(given), Err)
}

async fn give(client: &Client, tickets: &[ProgramTicket]) -> Result<usize> {
    let files = tickets.iter().take(MOST).filter_map(|ticket| {
        let found = fs::metadata(&ticket.path).ok().filter(fs::Metadata::is_file)?;
        Some((ticket, Identity { device: found.dev(), inode: found.ino() }))
    });
    let targets: Vec<(TicketTarget, Ticket)> = (1..)
        .zip(files)
        .map(|(number, (ticket, file))| {
            (TicketTarget::Program(ticket.owner(file)), ticket.numbered(number))
        })
        .collect();
    for part in targets.chunks(64) {
        client.add_tickets(part).await.context("tickets were refused")?;
    }
    Ok(targets.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> ProgramTicket {
        ProgramTicket {
            path: "/usr/bin/curl".into(),
            uid: Some(7),
            verdict: Verdict::Allow,
            scope: Scope { operations: "connect".parse().unwrap(), ..Scope::ANY },
            rule: RuleId(3),
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("early.json");
        assert_eq!(read(&place).unwrap(), []);
        write(&place, &[ticket()]).unwrap();
        let first = fs::metadata(&place).unwrap();
        assert_eq!(first.mode() & 0o777, 0o600);
        assert_eq!(read(&place).unwrap(), [ticket()]);
        write(&place, &[ticket()]).unwrap();
        assert_eq!(fs::metadata(&place).unwrap().ino(), first.ino(), "it says the same");
        write(&place, &[]).unwrap();
        assert_eq!(read(&place).unwrap(), []);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_snetd_did_not_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("early.json");
        for text in ["", "{", "{\"version\":2,\"tickets\":[]}", "{\"version\":1,\"tickets\":[{}]}"]
        {
            fs::write(&place, text).unwrap();
            assert!(read(&place).is_err(), "{text}");
        }
        let file = OpenOptions::new().write(true).open(&place).unwrap();
        file.set_len(LONGEST + 1).unwrap();
        assert!(read(&place).unwrap_err().to_string().contains("longer"));
    }
}
