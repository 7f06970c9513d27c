// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tickets, in the kernel and of supervised programs: whose they are, and which of them outlive
//! a policy.
//!
//! Owns the comparison of what is kept with the policy in force. Must not change
//! the policy; `policy_control` says when it has changed.

use std::borrow::Cow;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use libsnet::client::{Client, Error};
use libsnet::control::TicketRecord;
use libsnet::policy::{Freshness, Identity, Names, Policy};
use libsnet::types::{Details, Exe, KeptTicket, ProgramOwner, Subject, TicketId, TicketOwner};
use nix::sys::stat::{major, minor};

use crate::decider::{Decider, LinkState};
use crate::details::{self, Sums};
use crate::processes;

/// What became of the tickets that a policy doesn't stand by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Revoked {
    /// How many are gone.
    pub(crate) count: u64,
    /// They couldn't be told apart, so that all went.
    pub(crate) all: bool,
}

/// Revokes every ticket that the policy, whose programs were just looked at, would not issue.
pub(crate) async fn revoke_all_but(
    policy: Arc<Policy>,
    decider: &Decider,
    sums: &Sums,
) -> Result<Revoked> {
    // Those that the decider keeps itself first: that can't fail.
    let supervised = decider.supervised_tickets().await?;
    let others = others(supervised, Arc::clone(&policy), decider, sums).await?;
    let own = decider.revoke_supervised(ids(&others)).await?;
    if !is_registered(decider) {
        // The kernel has none, or they are somebody else's until this daemon registers.
        return Ok(Revoked { count: own, all: false });
    }
    let client = Client::connect().await?;
    match revoke_others(&client, policy, decider, sums).await {
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

async fn revoke_others(
    client: &Client,
    policy: Arc<Policy>,
    decider: &Decider,
    sums: &Sums,
) -> Result<u64> {
    delete(client, others(client.tickets().await?, policy, decider, sums).await?).await
}

fn ids(tickets: &[KeptTicket]) -> Vec<TicketId> {
    tickets.iter().map(|kept| kept.ticket.id).collect()
}

/// Those of the tickets that the policy would not issue.
async fn others(
    kept: Vec<KeptTicket>,
    policy: Arc<Policy>,
    decider: &Decider,
    sums: &Sums,
) -> Result<Vec<KeptTicket>> {
    let kept = with_subjects(kept, decider).await?;
    let sums = sums.clone();
    let sorted = tokio::task::spawn_blocking(move || {
        let others = kept.into_iter().filter(|(kept, subject)| {
            let subject = subject.as_deref().map(|subject| looked_at(subject, &policy, &sums));
            !stands(kept, subject.as_deref(), &policy)
        });
        others.map(|(kept, _)| kept).collect::<Vec<KeptTicket>>()
    });
    Ok(sorted.await?)
}

/// The subject with what the policy is about, and the one that issued the ticket wasn't.
fn looked_at<'s>(subject: &'s Subject, policy: &Policy, sums: &Sums) -> Cow<'s, Subject> {
    let missing = policy.missing(subject);
    if !missing.details() {
        return Cow::Borrowed(subject);
    }
    let mut subject = subject.clone();
    subject.details.complete(details::look(&subject, missing, sums));
    Cow::Owned(subject)
}

/// Would the policy issue it? Looks at the file of a program ticket.
fn stands(kept: &KeptTicket, subject: Option<&Subject>, policy: &Policy) -> bool {
    match kept.owner {
        TicketOwner::Process(_) => {
            subject.is_some_and(|who| policy.still_issues(who, kept, Freshness::Fresh))
        }
        TicketOwner::Program(program) => {
            let names = names_of(Identity::from(&program), policy);
            policy.still_issues_to_program(kept, names)
        }
    }
}

/// A file that the policy knows under one name has no other if it has a single link. Where
/// root mounts it besides doesn't show, and isn't looked for.
pub(crate) fn names_of(file: Identity, policy: &Policy) -> Names {
    let &[path] = policy.paths_of(file).as_slice() else {
        return Names::Any;
    };
    match fs::metadata(path) {
        Ok(found) if (found.dev(), found.ino(), found.nlink()) == (file.device, file.inode, 1) => {
            Names::Known
        }
        _ => Names::Any,
    }
}

/// Each ticket of a process with the subject that it was issued to: as the decider remembers
/// it, or else as the process is now, if it is that process.
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

/// Deletes the tickets; those that end meanwhile aren't counted. Copies go first, since they
/// go with what they are copies of.
async fn delete(client: &Client, mut tickets: Vec<KeptTicket>) -> Result<u64> {
    tickets.sort_by_key(|kept| kept.origin.is_none());
    let mut deleted = 0;
    for kept in tickets {
        let ticket = kept.ticket.id;
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
    let meant = |kept: Vec<KeptTicket>| -> Vec<KeptTicket> {
        kept.into_iter().filter(|kept| is_meant(kept, id, tgid)).collect()
    };
    let supervised = meant(decider.supervised_tickets().await?);
    let mut revoked = decider.revoke_supervised(ids(&supervised)).await?;
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

fn is_meant(kept: &KeptTicket, id: Option<TicketId>, tgid: Option<u32>) -> bool {
    let process = kept.owner.process();
    id.is_none_or(|id| shown_id(kept) == id)
        && tgid.is_none_or(|tgid| process.is_some_and(|process| process.tgid == tgid))
}

/// The number that people see: the kernel's own for copies are beyond what JSON can tell.
fn shown_id(kept: &KeptTicket) -> TicketId {
    kept.origin.unwrap_or(kept.ticket.id)
}

/// All tickets, for people.
pub(crate) async fn list(policy: Arc<Policy>, decider: &Decider) -> Result<Vec<TicketRecord>> {
    let mut kept = decider.supervised_tickets().await?;
    if let Some(client) = kernel(decider, !kept.is_empty()).await? {
        kept.extend(client.tickets().await?);
    }
    let kept = with_subjects(kept, decider).await?;
    Ok(kept.into_iter().map(|(kept, subject)| record(kept, subject.as_deref(), &policy)).collect())
}

fn record(kept: KeptTicket, subject: Option<&Subject>, policy: &Policy) -> TicketRecord {
    let milliseconds =
        |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let exe = match &kept.owner {
        TicketOwner::Process(_) => {
            subject.and_then(|subject| subject.exe.as_ref()).map(|exe| exe.path.as_path())
        }
        TicketOwner::Program(program) => policy.paths_of(Identity::from(program)).first().copied(),
    };
    let (uid, file) = match &kept.owner {
        TicketOwner::Process(process) => (Some(process.uid), None),
        TicketOwner::Program(program) => (program.uid, Some(describe_file(program))),
    };
    TicketRecord {
        id: shown_id(&kept),
        inherited: kept.origin.is_some(),
        process: kept.owner.process(),
        exe: exe.map(|path| path.to_string_lossy().into_owned()),
        file,
        uid,
        verdict: kept.ticket.verdict,
        scope: kept.ticket.scope,
        rule: kept.ticket.rule,
        expires_in: kept.ticket.lifetime.map(milliseconds),
        uses: kept.ticket.uses,
        hits: kept.hits,
        last_hit: kept.last_hit.map(milliseconds),
    }
}

fn describe_file(program: &ProgramOwner) -> String {
    let (device, inode) = (program.device, program.inode);
    format!("{}:{} {inode}", major(device), minor(device))
}

/// The subject of a ticket that this daemon didn't issue, from the process as it is now.
/// Nothing when that is another process by now; should it execute another program while it
/// is looked at, the kernel drops the ticket by itself.
fn establish(kept: &KeptTicket, proc: &Path) -> Option<Subject> {
    let TicketOwner::Process(owner) = kept.owner else {
        return None;
    };
    let process = proc.join(owner.process.tgid.to_string());
    if !processes::is(&process, &owner.process) {
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
        process: owner.process,
        tid: owner.process.tgid,
        uid: owner.uid,
        gid: 0,
        login_uid: None,
        comm: String::new(),
        exe: Some(Exe { path, device: file.dev(), inode: file.ino() }),
        parent_tgid: 0,
        cgroup_id: owner.cgroup_id,
        net_ns: owner.net_ns,
        mnt_ns: namespace("mnt")?,
        pid_ns: namespace("pid")?,
        user_ns: namespace("user")?,
        details: Details::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use libsnet::policy::{Candidate, Host, ProgramTable, Rule};
    use libsnet::types::{Fallbacks, ProcessKey, ProcessOwner, RuleId, Scope, Ticket, Verdict};

    fn kept(tgid: u32, start_time: u64) -> KeptTicket {
        KeptTicket {
            ticket: Ticket {
                lifetime: Some(std::time::Duration::from_millis(1500)),
                ..Ticket::new(TicketId(9), Scope::ANY, Verdict::Allow)
            },
            owner: TicketOwner::Process(ProcessOwner {
                process: ProcessKey { tgid, start_time, exec_id: 1 },
                uid: 1000,
                net_ns: 5,
                cgroup_id: 6,
            }),
            origin: None,
            hits: 2,
            last_hit: None,
        }
    }

    fn own_start() -> u64 {
        processes::start_ticks(Path::new("/proc/self")).unwrap() * 10_000_000
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

    /// Rule 1 allows the program at this path any call.
    fn policy(path: &Path) -> Policy {
        let rule = Rule {
            id: RuleId(1),
            spec: serde_json::from_value(serde_json::json!({
                "action": "allow", "program": path,
                "scope": { "operations": "any", "protocols": "any" },
            }))
            .unwrap(),
        };
        let mut table = ProgramTable::new();
        let identity = fs::metadata(path).ok().map(|file| identity_of(&file));
        let found = Candidate { path: path.to_owned(), identity };
        table.set(rule.spec.program.clone(), vec![found]);
        let host = Host { mnt_ns: None, user_ns: 1 };
        Policy::compile(vec![rule], &table, host, Fallbacks::new())
    }

    fn identity_of(file: &fs::Metadata) -> Identity {
        Identity { device: file.dev(), inode: file.ino() }
    }

    /// For the file at this path, by rule 1.
    fn for_program(path: &Path) -> KeptTicket {
        let Identity { device, inode } = identity_of(&fs::metadata(path).unwrap());
        let mut kept = kept(1, 0);
        kept.ticket.rule = Some(RuleId(1));
        kept.owner = TicketOwner::Program(ProgramOwner { device, inode, uid: None });
        kept
    }

    #[test]
    fn a_program_ticket_stands_while_its_file_has_one_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("program");
        fs::write(&path, "").unwrap();
        let (policy, kept) = (policy(&path), for_program(&path));
        assert!(stands(&kept, None, &policy));
        fs::hard_link(&path, path.with_extension("link")).unwrap();
        assert!(!stands(&kept, None, &policy));
        fs::remove_file(path.with_extension("link")).unwrap();
        assert!(stands(&kept, None, &policy));
        fs::write(path.with_extension("new"), "").unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
        assert!(!stands(&kept, None, &policy), "replaced since the policy looked");
    }

    #[test]
    fn an_inherited_copy_goes_by_the_number_of_its_origin() {
        let mut copy = kept(7, 0);
        copy.ticket.id = TicketId(1 << 63 | 1);
        copy.origin = Some(TicketId(9));
        assert!(is_meant(&copy, Some(TicketId(9)), None));
        assert!(is_meant(&copy, Some(TicketId(9)), Some(7)));
        assert!(!is_meant(&copy, Some(TicketId(9)), Some(8)));
        assert!(!is_meant(&copy, Some(copy.ticket.id), None));
        let record = record(copy, None, &policy(Path::new("/nonexistent")));
        assert_eq!((record.id, record.inherited), (TicketId(9), true));
    }

    #[test]
    fn a_program_ticket_is_of_no_process_and_shows_its_file() {
        let exe = std::env::current_exe().unwrap();
        let kept = for_program(&exe);
        assert!(!is_meant(&kept, None, Some(1)));
        let record = record(kept, None, &policy(&exe));
        assert_eq!((record.process, record.uid), (None, None));
        assert_eq!(record.exe.as_deref(), exe.to_str());
        let stat = fs::metadata(&exe).unwrap();
        let file = format!("{}:{} {}", major(stat.dev()), minor(stat.dev()), stat.ino());
        assert_eq!(record.file, Some(file));
    }

    #[test]
    fn a_record_tells_times_in_milliseconds() {
        let record = record(kept(1, 0), None, &policy(Path::new("/nonexistent")));
        assert_eq!((record.expires_in, record.last_hit, record.exe), (Some(1500), None, None));
    }
}
