// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that a person is asked about, until somebody answers or the time for it is over.
//!
//! Owns which calls are one question: those of one program and user that attempt the same.
//! Pure: what is told to the sources of the calls is `duty`'s.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use libsnet::control::{QuestionId, QuestionRecord};
use libsnet::types::{
    CallFlags, Event, Exe, Object, Operation, Protocol, RequestId, RuleId, Subject,
};

use super::source::is_supervised;

/// Questions at once, those of one user, and calls that wait for answers. Past each of them the
/// fallback applies.
const QUESTIONS: usize = 1024;
const QUESTIONS_OF_USER: usize = 256;
const CALLS: usize = 16384;

/// A call that waits for an answer.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Who attempts what. Its request means nothing once the call is over in the kernel.
    pub(super) event: Box<Event>,
    /// Until when its source holds it.
    pub(super) held_until: Instant,
}

impl Waiting {
    /// Is it still held, as far as can be told here?
    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.held_until > now
    }
}

/// What makes calls one question.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Matter {
    exe: Option<Exe>,
    uid: u32,
    namespaces: [u32; 3],
    operation: Operation,
    protocol: Protocol,
    number: u16,
    remote: Option<SocketAddr>,
    /// Where there is no peer.
    local: Option<SocketAddr>,
}

impl Matter {
    fn of(subject: &Subject, object: &Object) -> Self {
        Self {
            exe: subject.exe.clone(),
            uid: subject.uid,
            namespaces: [subject.net_ns, subject.mnt_ns, subject.user_ns],
            operation: object.operation,
            protocol: object.protocol,
            number: object.number,
            remote: object.remote,
            local: object.local.filter(|_| object.remote.is_none()),
        }
    }
}

/// A question that is open.
#[derive(Debug)]
pub(super) struct Question {
    matter: Matter,
    /// The rule that asks.
    pub(super) rule: Option<RuleId>,
    /// In milliseconds since 1970.
    asked_at: i64,
    until: Instant,
    /// The first one is who is shown.
    pub(super) calls: Vec<Waiting>,
}

/// All that are open.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: BTreeMap<QuestionId, Question>,
    last: u64,
}

/// When and for how long somebody is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Now.
    pub(super) now: Instant,
    /// Now, in milliseconds since 1970.
    pub(super) time: i64,
    /// How long a question stays open.
    pub(super) open_for: Duration,
    /// How long calls are held that nothing prolongs.
    pub(super) nonblock: Duration,
}

/// How long a call is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// For as long as its question is open.
    For(Duration),
    /// For as long as it would be held anyway: nothing prolongs that.
    Briefly,
}

impl Questions {
    /// Asks about a call, and says how long it shall be held; nothing when there are too many
    /// questions or calls.
    pub(super) fn ask(
        &mut self,
        event: Box<Event>,
        rule: Option<RuleId>,
        terms: Terms,
    ) -> Option<Held> {
        if self.open.values().map(|question| question.calls.len()).sum::<usize>() >= CALLS {
            return None;
        }
        let matter = Matter::of(&event.subject, &event.object);
        // Another rule may be about processes of another unit: they aren't answered together.
        let is_it = |question: &Question| question.matter == matter && question.rule == rule;
        let known = self.open.iter().find(|(_, question)| is_it(question));
        let id = match known {
            Some((id, _)) => *id,
            None if self.open.len() >= QUESTIONS => return None,
            None if self.of_user(matter.uid) >= QUESTIONS_OF_USER => return None,
            None => {
                self.last += 1;
                QuestionId(self.last)
            }
        };
        let question = self.open.entry(id).or_insert_with(|| Question {
            matter,
            rule,
            asked_at: terms.time,
            until: terms.now + terms.open_for,
            calls: Vec::new(),
        });
        let left = question.until.saturating_duration_since(terms.now);
        let nothing_prolongs = [CallFlags::NONBLOCK, CallFlags::IO_URING, CallFlags::LOCKED];
        let brief = nothing_prolongs.iter().any(|flag| event.object.flags.contains(*flag));
        let (until, held) = match brief {
            true => (left.min(terms.nonblock), Held::Briefly),
            false => (left, Held::For(left)),
        };
        question.calls.push(Waiting { event, held_until: terms.now + until });
        Some(held)
    }

    fn of_user(&self, uid: u32) -> usize {
        self.open.values().filter(|question| question.matter.uid == uid).count()
    }

    /// Takes a question out, to answer it.
    pub(super) fn take(&mut self, id: QuestionId) -> Option<Question> {
        self.open.remove(&id)
    }

    /// The first call of a question, and the rule that asks.
    pub(super) fn matter(&self, id: QuestionId) -> Option<(Event, Option<RuleId>)> {
        let question = self.open.get(&id)?;
        question.calls.first().map(|call| ((*call.event).clone(), question.rule))
    }

    /// Takes those out whose time is over.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Question> {
        let over = |question: &Question| question.until <= now;
        let ids: Vec<QuestionId> =
            self.open.iter().filter(|(_, one)| over(one)).map(|(id, _)| *id).collect();
        ids.iter().filter_map(|id| self.open.remove(id)).collect()
    }

    /// When the next one's time is over.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.open.values().map(|question| question.until).min()
    }

    /// Takes the calls out that `keep` doesn't say a rule for, which may be another one than
    /// before; a question without calls is none.
    pub(super) fn sort_out(
        &mut self,
        mut keep: impl FnMut(&Event) -> Option<Option<RuleId>>,
    ) -> Vec<Waiting> {
        let mut out = Vec::new();
        for question in self.open.values_mut() {
            for call in std::mem::take(&mut question.calls) {
                match keep(&call.event) {
                    Some(rule) => {
                        question.rule = rule;
                        question.calls.push(call);
                    }
                    None => out.push(call),
                }
            }
        }
        self.open.retain(|_, question| !question.calls.is_empty());
        out
    }

    /// The kernel holds none of its calls any more, and their numbers mean others from now on.
    pub(super) fn kernel_is_gone(&mut self, now: Instant) {
        let calls = self.open.values_mut().flat_map(|question| &mut question.calls);
        for call in calls.filter(|call| !is_supervised(call.event.request)) {
            call.event.request = NO_REQUEST;
            call.held_until = call.held_until.min(now);
        }
    }

    /// All, oldest first.
    pub(super) fn list(&self, now: Instant) -> Vec<QuestionRecord> {
        let records = self.open.iter().filter_map(|(id, question)| record(*id, question, now));
        records.collect()
    }
}

/// A number that the kernel gives no request.
pub(super) const NO_REQUEST: RequestId = RequestId(u64::MAX >> 1);

fn record(id: QuestionId, question: &Question, now: Instant) -> Option<QuestionRecord> {
    let Event { subject, object, .. } = &*question.calls.first()?.event;
    let over = question.calls.iter().filter(|call| !call.is_held(now)).count();
    let left = question.until.saturating_duration_since(now);
    Some(QuestionRecord {
        id,
        rule: question.rule,
        asked_at: question.asked_at,
        expires_in: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        calls: question.calls.len() as u64,
        over: over as u64,
        tgid: subject.process.tgid,
        uid: subject.uid,
        comm: subject.comm.clone(),
        exe: subject.exe.as_ref().map(|exe| exe.path.to_string_lossy().into_owned()),
        operation: object.operation,
        protocol: object.protocol,
        remote: object.remote,
        local: object.local,
    })
}

#[cfg(test)]
mod tests {
    use super::super::engine::tests::event;
    use super::super::source::supervised_request;
    use super::*;

    fn terms(now: Instant) -> Terms {
        let (open_for, nonblock) = (Duration::from_secs(60), Duration::from_secs(2));
        Terms { now, time: 1000, open_for, nonblock }
    }

    fn ask(questions: &mut Questions, event: Event, now: Instant) -> Option<Held> {
        questions.ask(Box::new(event), Some(RuleId(1)), terms(now))
    }

    #[test]
    fn identical_calls_of_a_program_are_one_question() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let mut other_process = event(2, "/bin/x", 5);
        other_process.subject.process.tgid = 8;
        let mut other_place = event(3, "/bin/x", 5);
        other_place.object.remote = Some("192.0.2.1:80".parse().unwrap());
        for event in [event(1, "/bin/x", 5), other_process, other_place, event(4, "/bin/y", 6)] {
            let held = ask(&mut questions, event, now);
            assert_eq!(held, Some(Held::For(Duration::from_secs(60))));
        }
        let shown = |record: QuestionRecord| (record.id.0, record.calls, record.tgid);
        let all: Vec<_> = questions.list(now).into_iter().map(shown).collect();
        assert_eq!(all, [(1, 2, 7), (2, 1, 7), (3, 1, 7)]);
        assert_eq!(questions.take(QuestionId(1)).unwrap().calls.len(), 2);
        assert!(questions.take(QuestionId(1)).is_none());
    }

    #[test]
    fn a_call_is_held_for_as_long_as_its_question_is_open() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        ask(&mut questions, event(1, "/bin/x", 5), now);
        let later = now + Duration::from_secs(50);
        let left = ask(&mut questions, event(2, "/bin/x", 5), later);
        assert_eq!(left, Some(Held::For(Duration::from_secs(10))));
        assert_eq!(questions.next_end(), Some(now + Duration::from_secs(60)));
        assert!(questions.expired(later).is_empty());
        let expired = questions.expired(now + Duration::from_secs(60));
        assert_eq!(expired.iter().map(|question| question.calls.len()).sum::<usize>(), 2);
        assert_eq!(questions.next_end(), None);
    }

    #[test]
    fn a_call_that_does_not_wait_is_over_soon_and_its_question_stays() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let mut nonblock = event(1, "/bin/x", 5);
        nonblock.object.flags = CallFlags::NONBLOCK;
        assert_eq!(ask(&mut questions, nonblock, now), Some(Held::Briefly));
        let over = |at| questions.list(at).first().map(|record| record.over);
        assert_eq!(over(now), Some(0));
        assert_eq!(over(now + Duration::from_secs(3)), Some(1));
    }

    #[test]
    fn questions_are_bounded() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        let of_user = |uid, inode| {
            let mut event = event(inode, "/bin/x", inode);
            event.subject.uid = uid;
            event
        };
        for number in 0..QUESTIONS_OF_USER as u64 {
            assert!(ask(&mut questions, of_user(0, number), now).is_some());
        }
        assert_eq!(ask(&mut questions, of_user(0, 9999), now), None);
        assert!(ask(&mut questions, of_user(1, 9999), now).is_some(), "another user");
        for _ in questions.list(now).len()..CALLS {
            assert!(ask(&mut questions, of_user(0, 0), now).is_some());
        }
        assert_eq!(ask(&mut questions, of_user(0, 0), now), None);
    }

    #[test]
    fn what_is_not_asked_any_more_is_taken_out() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        for inode in [5, 6] {
            ask(&mut questions, event(inode, "/bin/x", inode), now);
        }
        let inode = |event: &Event| event.subject.exe.as_ref().map(|exe| exe.inode);
        let out = questions.sort_out(|event| (inode(event) == Some(5)).then_some(Some(RuleId(9))));
        assert_eq!(out.iter().map(|call| call.event.request.0).collect::<Vec<_>>(), [6]);
        let left = questions.list(now);
        assert_eq!(
            left.iter().map(|one| (one.id.0, one.rule)).collect::<Vec<_>>(),
            [(1, Some(RuleId(9)))]
        );
    }

    #[test]
    fn numbers_of_a_kernel_that_is_gone_are_forgotten() {
        let (mut questions, now) = (Questions::default(), Instant::now());
        ask(&mut questions, event(1, "/bin/x", 5), now);
        let mut supervised = event(1, "/bin/x", 5);
        supervised.request = supervised_request(1);
        ask(&mut questions, supervised, now);
        questions.kernel_is_gone(now);
        let question = questions.take(QuestionId(1)).unwrap();
        let requests: Vec<_> = question.calls.iter().map(|call| call.event.request).collect();
        assert_eq!(requests, [NO_REQUEST, supervised_request(1)]);
        assert_eq!(question.calls.iter().filter(|call| call.is_held(now)).count(), 1);
    }
}
