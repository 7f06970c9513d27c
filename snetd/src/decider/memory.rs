// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the decider remembers, within bounds that are set once: to whom tickets were issued,
//! which were issued just now, and which requests were seen.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libsnet::types::{RequestId, RuleId, Scope, Subject, TicketId};

/// Subjects by ticket, the oldest forgotten first. Numbers of tickets only grow, so that the
/// queue is sorted.
#[derive(Debug)]
pub(super) struct Issued {
    room: usize,
    entries: VecDeque<(TicketId, Arc<Subject>)>,
}

impl Issued {
    /// Room for the subjects of so many tickets.
    pub(super) fn with_room_for(room: usize) -> Self {
        Self { room, entries: VecDeque::with_capacity(room) }
    }

    /// Remembers to whom a ticket was issued.
    pub(super) fn push(&mut self, ticket: TicketId, subject: Arc<Subject>) {
        if self.entries.len() >= self.room {
            self.entries.pop_front();
        }
        self.entries.push_back((ticket, subject));
    }

    /// To whom it was issued, unless that was too many tickets ago.
    pub(super) fn get(&self, ticket: TicketId) -> Option<&Arc<Subject>> {
        let at = self.entries.binary_search_by_key(&ticket, |(id, _)| *id).ok()?;
        self.entries.get(at).map(|(_, subject)| subject)
    }
}

/// Tickets of the last moment. A program that makes many calls at once has asked about all of
/// them before the first ticket is there: one is enough for all.
///
/// Each has a place by its hash. What is pushed out, or taken for another one, costs a
/// ticket too many or too few, and changes no verdict.
#[derive(Debug)]
pub(super) struct JustIssued(Vec<Option<(u64, Instant)>>);

/// How long an event may have been on its way when a ticket is issued.
const JUST: Duration = Duration::from_secs(1);

impl Default for JustIssued {
    fn default() -> Self {
        Self(vec![None; 4096])
    }
}

impl JustIssued {
    fn key(subject: &Subject, scope: &Scope, rule: Option<RuleId>) -> u64 {
        let mut hasher = DefaultHasher::new();
        let owner = (subject.uid, subject.net_ns, subject.cgroup_id, subject.user_ns);
        (subject.process, owner, scope, rule).hash(&mut hasher);
        hasher.finish()
    }

    fn place(&self, key: u64) -> usize {
        usize::try_from(key % (self.0.len() as u64)).unwrap_or_default()
    }

    /// Notes a ticket.
    pub(super) fn note(
        &mut self,
        subject: &Subject,
        scope: &Scope,
        rule: Option<RuleId>,
        now: Instant,
    ) {
        let key = Self::key(subject, scope, rule);
        let place = self.place(key);
        if let Some(place) = self.0.get_mut(place) {
            *place = Some((key, now));
        }
    }

    /// Was such a ticket issued a moment ago?
    pub(super) fn has(
        &self,
        subject: &Subject,
        scope: &Scope,
        rule: Option<RuleId>,
        now: Instant,
    ) -> bool {
        let key = Self::key(subject, scope, rule);
        matches!(self.0.get(self.place(key)), Some(Some((noted, at)))
            if *noted == key && now.saturating_duration_since(*at) < JUST)
    }
}

/// The requests seen last. Their numbers follow each other, so that each has a place of its
/// own until as many others came.
#[derive(Debug)]
pub(super) struct Seen(Vec<RequestId>);

impl Default for Seen {
    /// As many as the kernel may hold.
    fn default() -> Self {
        Self(vec![RequestId(u64::MAX); 65536])
    }
}

impl Seen {
    /// Notes a request; is it new?
    pub(super) fn note(&mut self, request: RequestId) -> bool {
        let places = self.0.len() as u64;
        let place = usize::try_from(request.0 % places).unwrap_or_default();
        match self.0.get_mut(place) {
            Some(last) if *last == request => false,
            Some(last) => {
                *last = request;
                true
            }
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::tests::event;
    use super::*;

    #[test]
    fn subjects_are_remembered_for_so_many_tickets() {
        let mut issued = Issued::with_room_for(2);
        let subject = Arc::new(event(1, "/bin/x", 5).subject);
        for id in [10, 20, 30] {
            issued.push(TicketId(id), Arc::clone(&subject));
        }
        assert_eq!(issued.get(TicketId(10)), None);
        assert_eq!(issued.get(TicketId(20)), Some(&subject));
        assert_eq!(issued.get(TicketId(25)), None);
    }

    #[test]
    fn a_ticket_is_just_issued_for_its_subject_and_for_a_moment() {
        let mut just = JustIssued::default();
        let (subject, now) = (event(1, "/bin/x", 5).subject, Instant::now());
        let rule = Some(RuleId(1));
        just.note(&subject, &Scope::ANY, rule, now);
        assert!(just.has(&subject, &Scope::ANY, rule, now + JUST / 2));
        assert!(!just.has(&subject, &Scope::ANY, rule, now + JUST));
        assert!(!just.has(&subject, &Scope::ANY, None, now));
        let other = Subject { uid: 1, ..subject };
        assert!(!just.has(&other, &Scope::ANY, rule, now));
    }

    #[test]
    fn a_request_is_new_until_its_place_is_taken_by_a_much_later_one() {
        let mut seen = Seen::default();
        assert!(seen.note(RequestId(0)));
        assert!(!seen.note(RequestId(0)));
        assert!(seen.note(RequestId(65536)));
        assert!(seen.note(RequestId(0)));
    }
}
