// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tickets, in the kernel and of supervised programs: whose they are, and which of them outlive
//! a policy.
//!
//! Owns the comparison of what is kept with the policy in force. Must not change
//! the policy; `policy_control` says when it has changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use libsnet::client::{Client, Error};
use libsnet::control::TicketRecord;
use libsnet::policy::{Freshness, Policy};
use libsnet::types::{Exe, KeptTicket, Subject, TicketId};
use nix::unistd::{SysconfVar, sysconf};

use crate::decider::{Decider, LinkState};

/// What became of the tickets that a policy doesn't stand by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Revoked {
    /// How many are gone.
    pub(crate) count: u64,
    /// They couldn't be told apart, so that all went.
    pub(crate) all: bool,
}

/// Revokes every ticket that the policy, whose programs were just looked at, would not issue.
pub(crate) async fn revoke_all_but(policy: Arc<Policy>, decider: &Decider) -> Result<Revoked> {
    // Those that the decider keeps itself first: that can't fail.
    let supervised = decider.supervised_tickets().await?;
    let others = others(supervised, Arc::clone(&policy), decider).await?;
    let own = decider.revoke_supervised(others).await?;
    if !is_registered(decider) {
        // The kernel has none, or they are somebody else's until this daemon registers.
        return Ok(Revoked { count: own, all: false });
    }
    let client = Client::connect().await?;
    match revoke_others(&client, policy, decider).await {
        Ok(count) => Ok(Revoked { count: own + count, all: false }),
        // Too many is safe, too few is not.
        Err(error) => {
            tracing::warn!("sorting the tickets failed ({error:#}): all of them are revoked");
            let count = client.stats().await.map_or(0, |stats| stats.tickets.into());
            client.flush_tickets().await.context("revoking all tickets failed as well")?;
            Ok(Revoked { count: own + count, all: true })
        }
    }
}

fn is_registered(decider: &Decider) -> bool {
    matches!(*decider.state().borrow(), LinkState::Registered(_))
}

async fn revoke_others(client: &Client, policy: Arc<Policy>, decider: &Decider) -> Result<u64> {
    delete(client, others(client.tickets().await?, policy, decider).await?).await
}

/// Those of the tickets that the policy would not issue.
async fn others(
    kept: Vec<KeptTicket>,
    policy: Arc<Policy>,
    decider: &Decider,
) -> Result<Vec<TicketId>> {
    let kept = with_subjects(kept, decider).await?;
    let sorted = tokio::task::spawn_blocking(move || {
        let stands = |(ticket, subject): &(KeptTicket, Option<Arc<Subject>>)| {
            let subject = subject.as_deref();
            subject.is_some_and(|who| policy.still_issues(who, ticket, Freshness::Fresh))
        };
        let others = kept.into_iter().filter(|ticket| !stands(ticket));
        others.map(|(kept, _)| kept.ticket.id).collect()
    });
    Ok(sorted.await?)
}

/// Each ticket with the subject that it was issued to: as the decider remembers it, or else
/// as the process is now, if it is that process.
async fn with_subjects(
    kept: Vec<KeptTicket>,
    decider: &Decider,
) -> Result<Vec<(KeptTicket, Option<Arc<Subject>>)>> {
    let ids: Vec<TicketId> = kept.iter().map(|kept| kept.ticket.id).collect();
    let remembered = decider.subjects(&ids).await?;
    let found = tokio::task::spawn_blocking(move || {
        let pairs = kept.into_iter().zip(remembered);
        let whose = pairs.map(|(kept, subject)| {
            let subject = subject.or_else(|| establish(&kept, Path::new("/proc")).map(Arc::new));
            (kept, subject)
        });
        whose.collect()
    });
    Ok(found.await?)
}

async fn delete(client: &Client, tickets: Vec<TicketId>) -> Result<u64> {
    let mut deleted = 0;
    for ticket in tickets {
        match client.delete_ticket(ticket).await {
            Ok(()) => deleted += 1,
            // Its process has ended meanwhile.
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error).with_context(|| format!("revoking ticket {ticket}")),
        }
    }
    Ok(deleted)
}

/// Revokes the tickets with this number and of this process, as far as either is given.
/// Gives nothing when there was no ticket with the number.
pub(crate) async fn revoke(
    decider: &Decider,
    id: Option<TicketId>,
    tgid: Option<u32>,
) -> Result<Option<u64>> {
    let meant = |kept: &KeptTicket| {
        id.is_none_or(|id| kept.ticket.id == id)
            && tgid.is_none_or(|tgid| kept.process.tgid == tgid)
    };
    let meant = |kept: Vec<KeptTicket>| -> Vec<TicketId> {
        kept.iter().filter(|kept| meant(kept)).map(|kept| kept.ticket.id).collect()
    };
    let supervised = meant(decider.supervised_tickets().await?);
    let mut revoked = decider.revoke_supervised(supervised).await?;
    if let Some(client) = kernel(decider, revoked > 0).await? {
        let meant = meant(client.tickets().await?);
        if id.is_none() && tgid.is_none() {
            client.flush_tickets().await?;
            revoked += meant.len() as u64;
        } else {
            revoked += delete(&client, meant).await?;
        }
    }
    Ok((id.is_none() || revoked > 0).then_some(revoked))
}

/// The kernel module, unless this daemon has nothing to do with it. When there is something to
/// say without it, its absence is no error.
async fn kernel(decider: &Decider, dispensable: bool) -> Result<Option<Client>> {
    if *decider.state().borrow() == LinkState::Off {
        return Ok(None);
    }
    match Client::connect().await {
        Err(Error::NotLoaded { .. }) if dispensable => Ok(None),
        connected => Ok(Some(connected?)),
    }
}

/// All tickets, for people.
pub(crate) async fn list(decider: &Decider) -> Result<Vec<TicketRecord>> {
    let mut kept = decider.supervised_tickets().await?;
    if let Some(client) = kernel(decider, !kept.is_empty()).await? {
        kept.extend(client.tickets().await?);
    }
    let kept = with_subjects(kept, decider).await?;
    Ok(kept.into_iter().map(|(kept, subject)| record(kept, subject.as_deref())).collect())
}

fn record(kept: KeptTicket, subject: Option<&Subject>) -> TicketRecord {
    let milliseconds =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let exe = subject.and_then(|subject| subject.exe.as_ref());
    TicketRecord {
        id: kept.ticket.id,
        process: kept.process,
        exe: exe.map(|exe| exe.path.to_string_lossy().into_owned()),
        uid: kept.uid,
        verdict: kept.ticket.verdict,
        scope: kept.ticket.scope,
        rule: kept.ticket.rule,
        expires_in: kept.ticket.lifetime.map(milliseconds),
        hits: kept.hits,
        last_hit: kept.last_hit.map(milliseconds),
    }
}

/// The subject of a ticket that this daemon didn't issue, from the process as it is now.
/// Nothing when that is another process by now; should it execute another program while it
/// is looked at, the kernel drops the ticket by itself.
fn establish(kept: &KeptTicket, proc: &Path) -> Option<Subject> {
    let process = proc.join(kept.process.tgid.to_string());
    if start_ticks(&process)? != to_ticks(kept.process.start_time)? {
        return None;
    }
    let exe = process.join("exe");
    let file = fs::metadata(&exe).ok()?;
    let path = fs::read_link(&exe).ok()?;
    let namespace = |name: &str| {
        let inode = fs::metadata(process.join("ns").join(name)).ok()?.ino();
        u32::try_from(inode).ok()
    };
    Some(Subject {
        process: kept.process,
        tid: kept.process.tgid,
        uid: kept.uid,
        gid: 0,
        login_uid: None,
        comm: String::new(),
        exe: Some(Exe { path, device: file.dev(), inode: file.ino() }),
        parent_tgid: 0,
        cgroup_id: kept.cgroup_id,
        net_ns: kept.net_ns,
        mnt_ns: namespace("mnt")?,
        pid_ns: namespace("pid")?,
        user_ns: namespace("user")?,
    })
}

/// Start of a process as /proc tells it, in clock ticks since boot.
fn start_ticks(process: &Path) -> Option<u64> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    // The name in parentheses may hold anything, also parentheses and spaces.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

fn to_ticks(nanoseconds: u64) -> Option<u64> {
    let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    nanoseconds.checked_div(1_000_000_000_u64.checked_div(per_second)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use libsnet::types::{ProcessKey, Scope, Ticket, Verdict};

    fn kept(tgid: u32, start_time: u64) -> KeptTicket {
        KeptTicket {
            ticket: Ticket {
                id: TicketId(9),
                scope: Scope::ANY,
                verdict: Verdict::Allow,
                lifetime: Some(std::time::Duration::from_millis(1500)),
                rule: None,
            },
            process: ProcessKey { tgid, start_time, exec_id: 1 },
            uid: 1000,
            net_ns: 5,
            cgroup_id: 6,
            hits: 2,
            last_hit: None,
        }
    }

    fn own_start() -> u64 {
        start_ticks(Path::new("/proc/self")).unwrap() * 10_000_000
    }

    #[test]
    fn the_subject_of_a_running_process_is_established() {
        let kept = kept(std::process::id(), own_start() + 9_999_999);
        let subject = establish(&kept, Path::new("/proc")).unwrap();
        let exe = std::env::current_exe().unwrap();
        let stat = fs::metadata(&exe).unwrap();
        let found = subject.exe.unwrap();
        assert_eq!((found.path, found.device, found.inode), (exe, stat.dev(), stat.ino()));
        assert_eq!((subject.uid, subject.net_ns, subject.cgroup_id), (1000, 5, 6));
    }

    #[test]
    fn another_process_with_the_same_number_is_not_taken_for_it() {
        let other = kept(std::process::id(), own_start() + 10_000_000);
        assert_eq!(establish(&other, Path::new("/proc")), None);
        assert_eq!(establish(&kept(u32::MAX, 0), Path::new("/proc")), None);
    }

    #[test]
    fn a_record_tells_times_in_milliseconds() {
        let record = record(kept(1, 0), None);
        assert_eq!((record.expires_in, record.last_hit, record.exe), (Some(1500), None, None));
    }
}
