// SPDX-License-Identifier: MIT OR Apache-2.0
//! Those who watch decisions as they are made. A slow one loses entries and learns how many;
//! it never holds up the others.

use std::sync::{Arc, Mutex, PoisonError};

use libsnet::control::JournalEntry;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::control::Decisions;

/// Entries that a watcher may be behind before it loses some.
const BEHIND: usize = 1024;

/// Those who watch decisions as they are made.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    /// Protects only the list; sending to a watcher never waits.
    watching: Mutex<Vec<Watcher>>,
}

#[derive(Debug)]
struct Watcher {
    queue: mpsc::Sender<(Arc<JournalEntry>, u64)>,
    missed: u64,
}

impl Watchers {
    /// A new watcher's stream.
    pub(crate) fn watch(&self) -> Decisions {
        let (queue, decisions) = mpsc::channel(BEHIND);
        let mut watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        // Those who left are noticed here as well, since no decision may come for long.
        watching.retain(|watcher| !watcher.queue.is_closed());
        watching.push(Watcher { queue, missed: 0 });
        decisions
    }

    /// Tells all of them of a decision.
    pub(crate) fn tell(&self, entry: &Arc<JournalEntry>) {
        let mut watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        watching.retain_mut(|watcher| {
            match watcher.queue.try_send((Arc::clone(entry), watcher.missed)) {
                Ok(()) => watcher.missed = 0,
                Err(TrySendError::Full(_)) => watcher.missed += 1,
                Err(TrySendError::Closed(_)) => return false,
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::entry;

    #[tokio::test]
    async fn a_slow_watcher_learns_how_much_it_missed() {
        let watchers = Watchers::default();
        let mut slow = watchers.watch();
        let mut gone = watchers.watch();
        gone.close();
        for time in 0..BEHIND as i64 + 5 {
            watchers.tell(&entry(time, None));
        }
        for _ in 0..BEHIND {
            assert_eq!(slow.recv().await.unwrap().1, 0);
        }
        watchers.tell(&entry(9999, None));
        let (next, missed) = slow.recv().await.unwrap();
        assert_eq!((next.time, missed), (9999, 5));
        assert_eq!(watchers.watching.lock().unwrap().len(), 1);
    }
}
