// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules of tickets as a pure model: who has which, which counts, which decides, and when
//! each ends. No clock, no process, no file: the caller says what time it is and what happened.
//!
//! snetd keeps the tickets of supervised programs in a [`TicketTable`]; the kernel module does
//! the same in C, and the VM scenario `tickets_follow_the_model` compares the two.
//!
//! A ticket counts for the calls of the [`Owner`] it was issued to, compared whole: the same
//! execution of the same process, user, namespaces, cgroup and executable. Of those that count
//! and cover a call the most specific one decides, on a tie one that denies, then the older one
//! ([`winner`]).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::policy::{Identity, winner};
use crate::types::{
    KeptTicket, Object, ProcessKey, ProcessOwner, Subject, Ticket, TicketId, TicketOwner, Verdict,
};

/// What a ticket is issued to, and what the caller must still be for it to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The execution of a program.
    pub process: ProcessKey,
    /// Effective user.
    pub uid: u32,
    /// What tells the network namespace of the socket from all others that ever were: its
    /// cookie, which unlike the inode is never used again.
    pub network: u64,
    /// The network namespace of the socket, for people.
    pub net_ns: u32,
    /// User namespace.
    pub user_ns: u32,
    /// Cgroup.
    pub cgroup_id: u64,
    /// The executable; who has none is decided by no ticket.
    pub exe: Option<Identity>,
}

impl Owner {
    /// Who makes a call on a socket in the network namespace with this cookie.
    pub fn of(subject: &Subject, network: u64) -> Self {
        Self {
            process: subject.process,
            uid: subject.uid,
            network,
            net_ns: subject.net_ns,
            user_ns: subject.user_ns,
            cgroup_id: subject.cgroup_id,
            exe: subject.exe.as_ref().map(Identity::from),
        }
    }

    fn matches(&self, caller: &Self) -> bool {
        self == caller && caller.exe.is_some()
    }
}

/// How many tickets may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// In all.
    pub total: usize,
    /// Of one process.
    pub per_process: usize,
}

/// Why tickets were not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// Numbers of live tickets are unique.
    #[error("a ticket has this number already")]
    DuplicateId,
    /// A bound would be passed.
    #[error("there are as many tickets as may be kept")]
    NoRoom,
}

/// What a ticket said of a call.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Which ticket.
    pub id: TicketId,
    /// What it says.
    pub verdict: Verdict,
}

/// Times are counted from boot.
#[derive(Debug, Clone)]
struct Entry {
    owner: Owner,
    ticket: Ticket,
    expires: Option<Duration>,
    uses_left: Option<u32>,
    /// The ticket that this is an inherited copy of.
    origin: Option<TicketId>,
    hits: u64,
    last_hit: Option<Duration>,
}

impl Entry {
    fn is_live(&self, now: Duration) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// A process by its number; which execution it is stands in its tickets.
type Place = u32;

/// Every ticket of every process.
#[derive(Debug)]
pub struct TicketTable {
    bounds: Bounds,
    entries: BTreeMap<TicketId, Entry>,
    /// In the order in which they were given.
    by_process: HashMap<Place, Vec<TicketId>>,
    next_copy: u64,
}

/// Copies have numbers of their own.
const COPIES: u64 = 1 << 63;

impl TicketTable {
    /// An empty table.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: BTreeMap::new(), by_process: HashMap::new(), next_copy: COPIES }
    }

    /// Keeps so many from now on; those that are there stay.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// How many there are, expired ones that nobody looked at since among them.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Decides a call, when a ticket does.
    pub fn decide(&mut self, caller: &Owner, object: &Object, now: Duration) -> Option<Hit> {
        let ids = self.by_process.get(&caller.process.tgid)?;
        let counting = ids.iter().filter_map(|id| self.entries.get(id)).filter(|entry| {
            entry.owner.matches(caller) && entry.is_live(now) && entry.uses_left != Some(0)
        });
        let id = winner(counting.map(|entry| &entry.ticket), object)?.id;
        let entry = self.entries.get_mut(&id)?;
        entry.hits += 1;
        entry.last_hit = Some(now);
        let hit = Hit { id, verdict: entry.ticket.verdict };
        if let Some(left) = &mut entry.uses_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.remove(id);
            }
        }
        Some(hit)
    }

    /// Keeps tickets for a process: all of them or, on an error, none. Tickets of an earlier
    /// execution in the same process, or of an earlier process with its number, go.
    ///
    /// # Errors
    /// When a number is in use, or a bound would be passed.
    pub fn install(
        &mut self,
        owner: Owner,
        tickets: Vec<Ticket>,
        now: Duration,
    ) -> Result<(), InstallError> {
        self.drop_other_executions(owner.process);
        for (at, ticket) in tickets.iter().enumerate() {
            let id = ticket.id;
            let before = tickets.iter().take(at).any(|other| other.id == id);
            if before || self.entries.get(&id).is_some_and(|entry| entry.is_live(now)) {
                return Err(InstallError::DuplicateId);
            }
        }
        if !self.makes_room(owner.process.tgid, tickets.len(), now) {
            return Err(InstallError::NoRoom);
        }
        for ticket in tickets {
            self.remove(ticket.id);
            let expires = ticket.lifetime.map(|lifetime| now.saturating_add(lifetime));
            let entry = Entry {
                owner,
                expires,
                uses_left: ticket.uses,
                ticket,
                origin: None,
                hits: 0,
                last_hit: None,
            };
            self.insert(entry);
        }
        Ok(())
    }

    /// `parent` has forked `child`: the child gets copies of what is to be inherited, or of
    /// nothing when there is no room for all, since a wide ticket without a narrower one would
    /// decide otherwise than both. It has the parent's executable, user, namespaces and cgroup.
    pub fn forked(&mut self, parent: ProcessKey, child: ProcessKey, now: Duration) {
        let ids = self.by_process.get(&parent.tgid).cloned().unwrap_or_default();
        let entries = ids.iter().filter_map(|id| self.entries.get(id));
        let goes = |entry: &&Entry| {
            entry.ticket.inherit && entry.owner.process == parent && entry.is_live(now)
        };
        let inherited: Vec<Entry> = entries.filter(goes).cloned().collect();
        if !self.makes_room(child.tgid, inherited.len(), now) {
            return;
        }
        for mut copy in inherited {
            copy.owner.process = child;
            copy.origin = Some(copy.origin.unwrap_or(copy.ticket.id));
            copy.ticket.id = TicketId(self.next_copy);
            (copy.hits, copy.last_hit) = (0, None);
            self.next_copy += 1;
            self.insert(copy);
        }
    }

    /// The process has executed a program: this is it now. Tickets of before go.
    pub fn executed(&mut self, process: ProcessKey) {
        self.drop_other_executions(process);
    }

    /// The process has ended, whatever it executed last.
    pub fn ended(&mut self, tgid: u32) {
        for id in self.by_process.remove(&tgid).unwrap_or_default() {
            self.entries.remove(&id);
        }
    }

    /// Takes a ticket back, with its inherited copies. `false` when there is none.
    pub fn revoke(&mut self, id: TicketId) -> bool {
        let copies: Vec<TicketId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.origin == Some(id))
            .map(|(id, _)| *id)
            .collect();
        let found = self.remove(id) || !copies.is_empty();
        for copy in copies {
            self.remove(copy);
        }
        found
    }

    /// Forgets what has expired.
    pub fn expire(&mut self, now: Duration) {
        let expired: Vec<TicketId> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.is_live(now))
            .map(|(id, _)| *id)
            .collect();
        for id in expired {
            self.remove(id);
        }
    }

    /// The live tickets, by number.
    pub fn list(&self, now: Duration) -> impl Iterator<Item = KeptTicket> {
        self.entries.values().filter(move |entry| entry.is_live(now)).map(move |entry| KeptTicket {
            ticket: Ticket {
                lifetime: entry.expires.map(|expires| expires.saturating_sub(now)),
                uses: entry.uses_left,
                ..entry.ticket.clone()
            },
            owner: TicketOwner::Process(ProcessOwner {
                process: entry.owner.process,
                uid: entry.owner.uid,
                net_ns: entry.owner.net_ns,
                cgroup_id: entry.owner.cgroup_id,
            }),
            origin: entry.origin,
            hits: entry.hits,
            last_hit: entry.last_hit.map(|at| now.saturating_sub(at)),
        })
    }

    fn has_room(&self, tgid: Place, more: usize) -> bool {
        let own = self.by_process.get(&tgid).map_or(0, Vec::len);
        self.entries.len() + more <= self.bounds.total && own + more <= self.bounds.per_process
    }

    /// Is there room, at the latest when what has expired is gone?
    fn makes_room(&mut self, tgid: Place, more: usize, now: Duration) -> bool {
        if self.has_room(tgid, more) {
            return true;
        }
        self.expire(now);
        self.has_room(tgid, more)
    }

    fn insert(&mut self, entry: Entry) {
        let id = entry.ticket.id;
        self.by_process.entry(entry.owner.process.tgid).or_default().push(id);
        self.entries.insert(id, entry);
    }

    fn remove(&mut self, id: TicketId) -> bool {
        let Some(entry) = self.entries.remove(&id) else {
            return false;
        };
        let tgid = entry.owner.process.tgid;
        if let Some(ids) = self.by_process.get_mut(&tgid) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_process.remove(&tgid);
            }
        }
        true
    }

    fn drop_other_executions(&mut self, process: ProcessKey) {
        let ids = self.by_process.get(&process.tgid).cloned().unwrap_or_default();
        for id in ids {
            if self.entries.get(&id).is_some_and(|entry| entry.owner.process != process) {
                self.remove(id);
            }
        }
    }
}
