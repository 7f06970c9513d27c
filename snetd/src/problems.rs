// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is wrong now, for the status: each part of the daemon says it and takes it back.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

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
    /// The journal.
    Journal,
    /// The names of hosts.
    Names,
}

/// The problems there are.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// Protects only the texts; nothing else is locked or awaited while it is held.
    now: Mutex<BTreeMap<Part, String>>,
}

impl Problems {
    /// The part has this problem. Logged when it is another one than before.
    pub(crate) fn set(&self, part: Part, problem: impl Display) {
        let problem = problem.to_string();
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.get(&part) != Some(&problem) {
            tracing::error!("{problem}");
            now.insert(part, problem);
        }
    }

    /// The part has no problem any more.
    pub(crate) fn clear(&self, part: Part) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.remove(&part).is_some() {
            tracing::info!("{part:?}: the problem is over");
        }
    }

    /// All of them in one text, for people.
    pub(crate) fn all(&self) -> Option<String> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let texts: Vec<&str> = now.values().map(String::as_str).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
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
}
