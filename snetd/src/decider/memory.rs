// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the decider remembers, within bounds that are set once: to whom tickets were issued,
//! and which requests were seen.

use std::collections::VecDeque;
use std::sync::Arc;

use libsnet::types::{RequestId, Subject, TicketId};

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
    fn a_request_is_new_until_its_place_is_taken_by_a_much_later_one() {
        let mut seen = Seen::default();
        assert!(seen.note(RequestId(0)));
        assert!(!seen.note(RequestId(0)));
        assert!(seen.note(RequestId(65536)));
        assert!(seen.note(RequestId(0)));
    }
}
