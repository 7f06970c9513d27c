// SPDX-License-Identifier: MIT OR Apache-2.0
//! The decision itself: event in, verdict and ticket out. No I/O, no lock, no waiting.
//!
//! Owns the policy in force, the numbers of tickets, and what was issued to whom. Sending
//! the answer is `duty`'s.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use libsnet::control::{Decision, Source};
use libsnet::policy::{Freshness, Outcome, Policy, Reach};
use libsnet::types::{
    Event, Operation, RequestId, RuleId, Scope, Subject, Ticket, TicketId, Verdict,
};

use super::memory::{Issued, JustIssued, Seen};

/// What came of an event.
#[derive(Debug)]
#[must_use]
pub(super) enum Step {
    /// It is decided.
    Answer(Decision, Option<Ticket>),
    /// A person has to be asked, by this rule if it is one.
    Ask(Option<RuleId>),
    /// The file of the program may have been replaced: somebody has to look at it.
    LookAgain,
}

/// Decides events.
#[derive(Debug)]
pub(super) struct Engine {
    policy: Arc<Policy>,
    generation: u64,
    /// How long tickets count; `None` until their process exits.
    lifetime: Option<Duration>,
    next_ticket: u64,
    issued: Issued,
    just: JustIssued,
    seen: Seen,
}

impl Engine {
    /// An engine that remembers the subjects of so many tickets.
    pub(super) fn new(
        policy: Arc<Policy>,
        generation: u64,
        lifetime: Option<Duration>,
        tickets: usize,
    ) -> Self {
        Self {
            policy,
            generation,
            lifetime,
            next_ticket: first_ticket(),
            issued: Issued::with_room_for(tickets),
            just: JustIssued::default(),
            seen: Seen::default(),
        }
    }

    /// Replaces the policy, and gives the old one back for somebody with time to free it.
    /// Policies that were overtaken by a later one are given back as well.
    pub(super) fn adopt(&mut self, policy: Arc<Policy>, generation: u64) -> Arc<Policy> {
        if generation <= self.generation {
            return policy;
        }
        self.generation = generation;
        std::mem::replace(&mut self.policy, policy)
    }

    /// Gives new tickets this lifetime.
    pub(super) fn set_lifetime(&mut self, lifetime: Option<Duration>) {
        self.lifetime = lifetime;
    }

    /// Begins anew with a kernel module, in which these tickets live from before: numbers of
    /// requests start over, those of tickets go on above. Copies have numbers of the kernel's.
    pub(super) fn meet_kernel(&mut self, tickets: impl Iterator<Item = TicketId>) {
        let own = tickets.filter(|id| !id.is_copy());
        let highest = own.map(|id| id.0).max().unwrap_or(0);
        self.next_ticket = self.next_ticket.max(after(TicketId(highest)));
        self.just = JustIssued::default();
        self.seen = Seen::default();
    }

    /// Is this the first time that the request is seen?
    pub(super) fn first_sight(&mut self, request: RequestId) -> bool {
        self.seen.note(request)
    }

    /// Decides an event whose program was looked at when `looked_at` was the generation of
    /// the policy, if ever.
    pub(super) fn decide(&mut self, event: &Event, looked_at: Option<u64>, now: Instant) -> Step {
        // What was looked at for a policy that is gone says nothing about this one's table.
        let freshness = match looked_at {
            Some(generation) if generation == self.generation => Freshness::Fresh,
            _ => Freshness::Unsure,
        };
        match self.policy.decide(&event.subject, &event.object, freshness) {
            Outcome::Stale => Step::LookAgain,
            Outcome::Ask { rule } => Step::Ask(rule),
            Outcome::Decided { decision, ticket } => {
                let ticket = self.ticket(&event.subject, ticket, &decision, now);
                let left = decision.rule.and_then(|rule| self.policy.expires_at(rule)).map(left);
                let ticket = ticket.map(|ticket| Ticket {
                    lifetime: self.lifetime.into_iter().chain(left).min(),
                    ..ticket
                });
                // The kernel counts in milliseconds, and takes 0 for ever.
                let lives = |ticket: &Ticket| {
                    ticket.lifetime.is_none_or(|lifetime| lifetime.as_millis() > 0)
                };
                Step::Answer(decision, ticket.filter(lives))
            }
        }
    }

    /// A person's answer about a call: the decision, and the ticket that goes with it until the
    /// process ends, if one is wanted.
    pub(super) fn answer(
        &mut self,
        event: &Event,
        verdict: Verdict,
        reach: Reach,
        with_ticket: bool,
        now: Instant,
    ) -> (Decision, Option<Ticket>) {
        let answered = self.policy.answer(&event.subject, &event.object, verdict, reach);
        let rule = answered.as_ref().and_then(|answered| answered.rule);
        let decision = Decision { verdict, source: Source::Answer, rule };
        let scope = answered.and_then(|answered| answered.ticket).filter(|_| with_ticket);
        // The policy tells the tickets of answers by their having no rule.
        let by_nobody = Decision { rule: None, ..decision.clone() };
        let ticket = self.ticket(&event.subject, scope, &by_nobody, now);
        (decision, ticket)
    }

    /// What applies to an operation when nobody decides.
    pub(super) fn fallback(&self, operation: Operation) -> Verdict {
        self.policy.fallback(operation)
    }

    /// A ticket for ever, unless such a one was issued just now.
    fn ticket(
        &mut self,
        subject: &Subject,
        scope: Option<Scope>,
        decision: &Decision,
        now: Instant,
    ) -> Option<Ticket> {
        let scope = scope.filter(|scope| !self.just.has(subject, scope, decision.rule, now))?;
        let ticket = Ticket::new(self.take_ticket_id(), scope, decision.verdict);
        Some(Ticket { rule: decision.rule, ..ticket })
    }

    /// Remembers to whom a ticket was issued that the kernel keeps now.
    pub(super) fn remember(&mut self, ticket: &Ticket, subject: &Arc<Subject>, now: Instant) {
        self.just.note(subject, &ticket.scope, ticket.rule, now);
        self.issued.push(ticket.id, Arc::clone(subject));
    }

    /// To whom it was issued, unless that was too many tickets ago.
    pub(super) fn subject_of(&self, ticket: TicketId) -> Option<Arc<Subject>> {
        self.issued.get(ticket).cloned()
    }

    fn take_ticket_id(&mut self) -> TicketId {
        let id = TicketId(self.next_ticket);
        self.next_ticket = after(id);
        id
    }
}

/// The time from now until then, in milliseconds since 1970; none when that is over.
fn left(until: i64) -> Duration {
    let until = Duration::from_millis(u64::try_from(until).unwrap_or(0));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    until.saturating_sub(now)
}

/// The number that follows, of those that a decider may choose.
fn after(ticket: TicketId) -> u64 {
    let next = TicketId(ticket.0.saturating_add(1));
    if next.is_copy() { 1 } else { next.0 }
}

/// Where numbers of tickets begin: grows from one start to the next, leaves room for a
/// million tickets for each second between, and is exact in JSON.
fn first_ticket() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (now.as_secs() << 20).max(1)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use libsnet::policy::{Candidate, Host, Identity, Program, ProgramTable, Rule};
    use libsnet::types::{Details, Exe, Fallbacks, ProcessKey, RuleId, Verdict};

    const HOST: Host = Host { mnt_ns: None, user_ns: 1 };

    pub(crate) fn event(request: u64, exe: &str, inode: u64) -> Event {
        Event {
            request: RequestId(request),
            subject: Subject {
                process: ProcessKey { tgid: 7, start_time: 1, exec_id: 1 },
                tid: 7,
                uid: 0,
                gid: 0,
                login_uid: None,
                comm: "x".into(),
                exe: Some(Exe { path: exe.into(), device: 1, inode }),
                parent_tgid: 1,
                cgroup_id: 1,
                net_ns: 1,
                mnt_ns: 1,
                pid_ns: 1,
                user_ns: 1,
                details: Details::default(),
            },
            object: serde_json::from_value(serde_json::json!({
                "operation": "connect", "protocol": "tcp", "family": 2, "kind": 1, "number": 6,
                "remote": "192.0.2.1:443", "local": "0.0.0.0:0", "flags": 0,
            }))
            .unwrap(),
            deadline: Duration::from_secs(2),
        }
    }

    /// Denies the program at /bin/x, which is the file with this inode.
    fn policy(inode: u64) -> Arc<Policy> {
        let program: Program = "/bin/x".parse().unwrap();
        let rule = Rule {
            id: RuleId(1),
            spec: serde_json::from_value(serde_json::json!({
                "action": "deny", "program": "/bin/x",
                "scope": { "operations": "connect", "protocols": "tcp" },
            }))
            .unwrap(),
        };
        let mut table = ProgramTable::new();
        let identity = Some(Identity { device: 1, inode });
        table.set(program, vec![Candidate { path: "/bin/x".into(), identity }]);
        Arc::new(Policy::compile(vec![rule], &table, HOST, Fallbacks::new()))
    }

    fn engine(inode: u64) -> Engine {
        Engine::new(policy(inode), 1, Some(Duration::from_secs(60)), 2)
    }

    fn verdict(step: Step) -> Verdict {
        match step {
            Step::Answer(decision, _) => decision.verdict,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rule_gives_a_ticket_and_the_fallback_does_not() {
        let mut engine = engine(5);
        let Step::Answer(decision, Some(ticket)) =
            engine.decide(&event(1, "/bin/x", 5), None, Instant::now())
        else {
            panic!("no ticket");
        };
        assert_eq!((decision.verdict, ticket.verdict), (Verdict::Deny, Verdict::Deny));
        assert_eq!(ticket.lifetime, Some(Duration::from_secs(60)));
        assert_eq!(ticket.rule, Some(RuleId(1)));
        assert!(matches!(
            engine.decide(&event(2, "/bin/y", 5), None, Instant::now()),
            Step::Answer(decision, None) if decision.verdict == Verdict::Allow
        ));
    }

    #[test]
    fn calls_made_at_once_get_one_ticket() {
        let mut engine = engine(5);
        let (event, now) = (event(1, "/bin/x", 5), Instant::now());
        let ticket = |step| match step {
            Step::Answer(_, ticket) => ticket,
            other => panic!("{other:?}"),
        };
        let first = ticket(engine.decide(&event, None, now)).unwrap();
        // The kernel had no room for it.
        assert!(ticket(engine.decide(&event, None, now)).is_some());
        engine.remember(&first, &Arc::new(event.subject.clone()), now);
        assert_eq!(engine.subject_of(first.id).as_deref(), Some(&event.subject));
        assert_eq!(ticket(engine.decide(&event, None, now)), None);
        let later = now + Duration::from_secs(2);
        assert!(ticket(engine.decide(&event, None, later)).is_some());
    }

    #[test]
    fn a_replaced_file_is_looked_at_before_it_is_decided() {
        let mut engine = engine(5);
        let event = event(1, "/bin/x", 6);
        assert!(matches!(engine.decide(&event, None, Instant::now()), Step::LookAgain));
        // Looked at, and the file there is another one still: a chroot, say.
        assert_eq!(verdict(engine.decide(&event, Some(1), Instant::now())), Verdict::Allow);
        // Looked at for a policy that isn't in force.
        assert!(matches!(engine.decide(&event, Some(2), Instant::now()), Step::LookAgain));
        engine.adopt(policy(6), 2);
        assert_eq!(verdict(engine.decide(&event, Some(2), Instant::now())), Verdict::Deny);
    }

    #[test]
    fn an_overtaken_policy_is_given_back() {
        let mut engine = engine(5);
        let late = policy(6);
        assert!(Arc::ptr_eq(&engine.adopt(Arc::clone(&late), 1), &late));
        assert!(!Arc::ptr_eq(&engine.adopt(Arc::clone(&late), 2), &late));
    }

    #[test]
    fn numbers_of_tickets_never_come_again() {
        let mut engine = engine(5);
        let first = engine.next_ticket;
        assert!(first > 1 << 50 && first < 1 << 53);
        engine.meet_kernel([TicketId(first + 10), TicketId(3)].into_iter());
        assert_eq!(engine.take_ticket_id(), TicketId(first + 11));
        let copy = TicketId(1 << 63 | 7);
        engine.meet_kernel([copy].into_iter());
        assert_eq!(engine.take_ticket_id(), TicketId(first + 12));
    }

    #[test]
    fn numbers_of_tickets_end_below_those_of_the_kernel() {
        let mut engine = engine(5);
        let last = TicketId((1 << 63) - 2);
        engine.meet_kernel([last].into_iter());
        assert_eq!(engine.take_ticket_id(), TicketId(last.0 + 1));
        assert_eq!(engine.take_ticket_id(), TicketId(1));
    }

    #[test]
    fn a_request_is_new_once_until_the_module_is_another_one() {
        let mut engine = engine(5);
        assert!(engine.first_sight(RequestId(0)));
        assert!(!engine.first_sight(RequestId(0)));
        assert!(engine.first_sight(RequestId(1)));
        engine.meet_kernel(std::iter::empty());
        assert!(engine.first_sight(RequestId(1)));
    }
}
