// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which rules are over.
//!
//! Owns what the daemon knows of the time beside the wall clock, so that setting that clock back
//! gives no rule more time than it was made for. Must not know the database: who deletes the
//! rules says so. A clock that is set forward ends rules at once.

use std::collections::{BTreeSet, HashMap};

use libsnet::control::RuleRecord;
use libsnet::types::RuleId;
use nix::time::{ClockId, clock_gettime};

use crate::journal::now;

/// A moment by both clocks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since 1970. May be set.
    pub(crate) wall: i64,
    /// Since the machine was started, with the time that it slept. Only goes on.
    pub(crate) boot: i64,
}

impl Moment {
    /// This one.
    pub(crate) fn now() -> Self {
        Self { wall: now(), boot: since_boot() }
    }

    /// How long something may still last that was to last from one time of the wall clock to
    /// another: no longer than that, even if the clock is before both now.
    pub(crate) fn left(self, from: i64, to: i64) -> i64 {
        to.saturating_sub(self.wall.max(from)).max(0)
    }
}

/// Milliseconds since the machine was started.
pub(crate) fn since_boot() -> i64 {
    // Linux has this clock since 2.6.39: it can't fail.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        time.tv_sec().saturating_mul(1000).saturating_add(time.tv_nsec() / 1_000_000)
    })
}

/// What is known of the rules that end.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// Their end by the wall clock, and by the other one at the latest.
    known: HashMap<RuleId, Moment>,
    /// Those that are over, until they are deleted.
    over: BTreeSet<RuleId>,
}

impl Ends {
    /// Is its end known?
    pub(crate) fn knows(&self, id: RuleId, end: i64) -> bool {
        self.known.get(&id).is_some_and(|known| known.wall == end)
    }

    /// A rule that was made at one time of the wall clock and ends at another.
    pub(crate) fn learn(&mut self, id: RuleId, made: i64, end: i64, now: Moment) {
        let latest = now.boot.saturating_add(now.left(made, end));
        self.known.insert(id, Moment { wall: end, boot: latest });
    }

    /// Those that are over by now and aren't deleted.
    pub(crate) fn over(&mut self, now: Moment) -> Vec<RuleId> {
        let over = |end: &Moment| end.wall <= now.wall || end.boot <= now.boot;
        let ids = self.known.iter().filter(|(_, end)| over(end)).map(|(id, _)| *id);
        self.over.extend(ids);
        self.over.iter().copied().collect()
    }

    /// Those were over before this daemon had begun, and aren't deleted.
    pub(crate) fn were_over(&mut self, ids: &[RuleId]) {
        self.over.extend(ids);
    }

    /// Leaves out the rules that are over.
    pub(crate) fn without(&self, mut rules: Vec<RuleRecord>) -> Vec<RuleRecord> {
        rules.retain(|rule| !self.over.contains(&rule.id));
        rules
    }

    /// Only these rules are left that end.
    pub(crate) fn keep(&mut self, left: impl Fn(RuleId) -> bool) {
        self.known.retain(|id, _| left(*id));
    }

    /// They are gone for good.
    pub(crate) fn deleted(&mut self, ids: &[RuleId]) {
        self.over.retain(|id| !ids.contains(id));
        self.known.retain(|id, _| !ids.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    /// When the rule is made.
    const MADE: Moment = Moment { wall: 100 * DAY, boot: HOUR };

    fn later(wall: i64, boot: i64) -> Moment {
        Moment { wall: MADE.wall + wall, boot: MADE.boot + boot }
    }

    /// One rule for an hour, known since a moment.
    fn hour(known: Moment) -> Ends {
        let mut ends = Ends::default();
        ends.learn(RuleId(1), MADE.wall, MADE.wall + HOUR, known);
        ends
    }

    fn is_over(ends: &mut Ends, at: Moment) -> bool {
        !ends.over(at).is_empty()
    }

    #[test]
    fn a_rule_ends_at_its_time() {
        let mut ends = hour(MADE);
        assert!(!is_over(&mut ends, later(HOUR - 1, HOUR - 1)));
        assert!(is_over(&mut ends, later(HOUR, HOUR)));
    }

    #[test]
    fn a_clock_set_forward_ends_it_and_one_set_back_gives_it_no_more_time() {
        assert!(is_over(&mut hour(MADE), later(DAY, 1)));
        let mut ends = hour(MADE);
        assert!(!is_over(&mut ends, later(-DAY, HOUR - 1)));
        assert!(is_over(&mut ends, later(-DAY, HOUR)));
    }

    #[test]
    fn a_daemon_that_begins_with_a_clock_set_back_gives_it_its_hour_once_more() {
        let begun = later(-DAY, 10);
        let mut ends = hour(begun);
        assert!(!is_over(&mut ends, Moment { boot: begun.boot + HOUR - 1, ..begun }));
        assert!(is_over(&mut ends, Moment { boot: begun.boot + HOUR, ..begun }));
    }

    #[test]
    fn what_is_over_stays_so_until_it_is_deleted() {
        let mut ends = hour(MADE);
        assert_eq!(ends.over(later(HOUR, HOUR)), [RuleId(1)]);
        ends.keep(|_| false);
        assert_eq!(ends.over(later(-DAY, HOUR)), [RuleId(1)]);
        ends.deleted(&[RuleId(1)]);
        assert!(!is_over(&mut ends, later(DAY, DAY)));
    }

    #[test]
    fn no_moment_is_too_far() {
        let far = Moment { wall: i64::MAX, boot: i64::MAX };
        assert_eq!(far.left(i64::MIN, i64::MAX), 0);
        assert_eq!(Moment { wall: 0, boot: 0 }.left(i64::MIN, i64::MAX), i64::MAX);
        hour(far).over(Moment { wall: i64::MIN, boot: 0 });
    }
}
