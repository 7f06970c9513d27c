// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is wrong now, for the status: each part of the daemon says it and takes it back.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Which part has a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The configuration file.
    Configuration,
    /// The rules in the database.
    Rules,
    /// The kernel module, or the registration with it.
    Kernel,
    /// Tickets that should be revoked.
    Tickets,
    /// Rules that are over.
    Ends,
    /// A change that wasn't confirmed in time.
    Unconfirmed,
    /// The journal.
    Journal,
    /// The names of hosts.
    Names,
}

/// Lines of the log that may come at once, and how long one more of them takes then: what comes
/// and goes again shall not fill a disk that is nearly full.
const AT_ONCE: u32 = 20;
const ONE_MORE: Duration = Duration::from_secs(10);

/// The problems there are.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// Protects only what is in it; nothing else is locked or awaited while it is held.
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    texts: BTreeMap<Part, String>,
    lines: Lines,
}

/// Counts the lines of the log.
#[derive(Debug, Default)]
struct Lines {
    recent: u32,
    since: Option<Instant>,
    left_out: u64,
}

impl Lines {
    /// May there be one now? Says how many there were to be since the last one.
    fn next(&mut self, now: Instant) -> Option<u64> {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_secs() / ONE_MORE.as_secs();
        if passed > 0 {
            self.recent = self.recent.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
            self.since = Some(now);
        }
        if self.recent >= AT_ONCE {
            self.left_out += 1;
            return None;
        }
        self.recent += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Problems {
    /// The part has this problem. Logged when it is another one than before.
    pub(crate) fn set(&self, part: Part, problem: impl Display) {
        let problem = problem.to_string();
        let mut now = self.now();
        if now.texts.get(&part) != Some(&problem) {
            match now.lines.next(Instant::now()) {
                Some(0) => tracing::error!("{problem}"),
                Some(more) => tracing::error!("{problem} ({more} lines were left out before)"),
                None => {}
            }
            now.texts.insert(part, problem);
        }
    }

    /// The part has no problem any more.
    pub(crate) fn clear(&self, part: Part) {
        let mut now = self.now();
        if now.texts.remove(&part).is_none() {
            return;
        }
        match now.lines.next(Instant::now()) {
            Some(0) => tracing::info!("{part:?}: the problem is over"),
            Some(more) => {
                tracing::info!("{part:?}: the problem is over ({more} lines were left out before)");
            }
            None => {}
        }
    }

    /// All of them in one text, for people.
    pub(crate) fn all(&self) -> Option<String> {
        let now = self.now();
        let texts: Vec<&str> = now.texts.values().map(String::as_str).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_says_and_takes_back_its_own() {
        let problems = Problems::default();
        assert_eq!(problems.all(), None);
        problems.set(Part::Journal, "disk full");
        problems.set(Part::Configuration, "line 3");
        assert_eq!(problems.all().as_deref(), Some("line 3; disk full"));
        problems.clear(Part::Configuration);
        problems.clear(Part::Kernel);
        assert_eq!(problems.all().as_deref(), Some("disk full"));
    }

    #[test]
    fn what_comes_and_goes_again_is_told_now_and_then() {
        let (mut lines, begun) = (Lines::default(), Instant::now());
        let told = (0..1000).filter_map(|_| lines.next(begun)).count();
        assert_eq!(told, AT_ONCE as usize);
        let left_out = 1000 - u64::from(AT_ONCE);
        assert_eq!(lines.next(begun + ONE_MORE), Some(left_out));
        assert_eq!(lines.next(begun + ONE_MORE), None);
        let hour = 360;
        let moments = (2..hour * 10).map(|number| begun + ONE_MORE * number / 10);
        let told = moments.filter_map(|moment| lines.next(moment)).count();
        assert!(told <= hour as usize + AT_ONCE as usize, "{told}");
    }
}
