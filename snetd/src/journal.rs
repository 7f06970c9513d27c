// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the decider's reports to watchers and to the journal in the database.
//!
//! Owns two tasks beside the decision path: one hands each decision to whoever watches and
//! to the other, which writes batches. Neither is ever waited for: a queue that is full
//! loses entries, and counts them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use libsnet::control::{JournalEntry, Source};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::config::Config;
use crate::decider::{Counters, Report};
use crate::problems::{Part, Problems};
use crate::store::{Retention, RuleHits, Store};
use crate::watchers::Watchers;

/// Entries in one transaction at most.
const BATCH: usize = 1024;
/// How long the first entry of a batch waits for others.
const GATHER: Duration = Duration::from_millis(250);
/// Between two looks for entries that needn't be kept.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Between two messages of the decision path in the log, and between two that say the same.
const TROUBLE_EVERY: Duration = Duration::from_secs(1);
const SAME_TROUBLE_EVERY: Duration = Duration::from_secs(60);

/// The two tasks, and what they share with the rest of the daemon.
pub(crate) struct Journal {
    /// Those who watch decisions as they are made.
    pub(crate) watchers: Arc<Watchers>,
    /// Counted by the decider and here.
    pub(crate) counters: Arc<Counters>,
    retention: watch::Sender<Retention>,
    tasks: JoinSet<()>,
}

impl Journal {
    /// Starts the tasks, which end once nobody holds the queue any more.
    pub(crate) fn start(
        config: &Config,
        store: &Store,
        problems: &Arc<Problems>,
    ) -> (Self, mpsc::Sender<Report>) {
        let room = config.journal.queue.size();
        let (reports, reported) = mpsc::channel(room);
        let (entries, to_write) = mpsc::channel(room);
        let (retention, kept) = watch::channel(retention(config));
        let watchers: Arc<Watchers> = Arc::default();
        let counters: Arc<Counters> = Arc::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(hand_on(reported, Arc::clone(&watchers), entries, Arc::clone(&counters)));
        let writer = Writer {
            store: store.clone(),
            retention: kept,
            counters: Arc::clone(&counters),
            problems: Arc::clone(problems),
        };
        tasks.spawn(writer.run(to_write));
        (Self { watchers, counters, retention, tasks }, reports)
    }

    /// Keeps from now on what this configuration says.
    pub(crate) fn keep(&self, config: &Config) {
        self.retention.send_replace(retention(config));
    }

    /// Waits until the decider has ended and all that it reported is written.
    pub(crate) async fn written(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn retention(config: &Config) -> Retention {
    let journal = &config.journal;
    Retention { entries: journal.keep_entries.get(), age: journal.keep_for.limit() }
}

/// Hands reports on until the decider has ended.
async fn hand_on(
    mut reports: mpsc::Receiver<Report>,
    watchers: Arc<Watchers>,
    writer: mpsc::Sender<Arc<JournalEntry>>,
    counters: Arc<Counters>,
) {
    let mut troubles = Troubles::default();
    while let Some(report) = reports.recv().await {
        if let Some(entry) = report.entry() {
            let entry = Arc::new(entry);
            watchers.tell(&entry);
            if writer.try_send(entry).is_err() {
                counters.count_dropped(1);
            }
        } else if let Report::Trouble(text) = report {
            troubles.log(text);
        }
    }
}

/// Keeps one trouble that comes with every call from filling the log.
#[derive(Default)]
struct Troubles {
    last: Option<(String, Instant)>,
    left_out: u64,
}

impl Troubles {
    fn log(&mut self, text: String) {
        let now = Instant::now();
        let quiet = self.last.as_ref().is_some_and(|(last, at)| {
            let pause = if *last == text { SAME_TROUBLE_EVERY } else { TROUBLE_EVERY };
            now < *at + pause
        });
        if quiet {
            self.left_out += 1;
            return;
        }
        match std::mem::take(&mut self.left_out) {
            0 => tracing::warn!("decider: {text}"),
            before => tracing::warn!("decider: {text} ({before} such messages were left out)"),
        }
        self.last = Some((text, now));
    }
}

/// Writes the journal until nobody sends any more, and then what is left.
struct Writer {
    store: Store,
    retention: watch::Receiver<Retention>,
    counters: Arc<Counters>,
    problems: Arc<Problems>,
}

impl Writer {
    /// Runs until `entries` is closed and empty.
    async fn run(self, mut entries: mpsc::Receiver<Arc<JournalEntry>>) {
        let mut prune_at = Instant::now();
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                count = entries.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    gather(&mut entries, &mut batch).await;
                    self.write(&batch).await;
                }
                () = sleep_until(prune_at) => {
                    let more = self.prune().await;
                    let pause = if more { GATHER } else { PRUNE_EVERY };
                    prune_at = Instant::now() + pause;
                }
            }
        }
    }

    async fn write(&self, batch: &[Arc<JournalEntry>]) {
        let entries: Vec<JournalEntry> = batch.iter().map(|entry| (**entry).clone()).collect();
        match self.store.writer().await.append(&entries, &hits(&entries)).await {
            Ok(()) => self.problems.clear(Part::Journal),
            Err(error) => {
                // Trying again would only let the queue fill: on a full disk the newest
                // entries are lost instead of the oldest.
                self.counters.count_dropped(entries.len());
                let told = format!("journal: entries are lost: {}", self.store.explain(&error));
                self.problems.set(Part::Journal, told);
            }
        }
    }

    async fn prune(&self) -> bool {
        let retention = *self.retention.borrow();
        match self.store.writer().await.prune(retention, now()).await {
            Ok(more) => more,
            Err(error) => {
                let told = format!("journal: {}", self.store.explain(&error));
                self.problems.set(Part::Journal, told);
                false
            }
        }
    }
}

/// Waits a moment for more entries, so that they go into one transaction.
async fn gather(
    entries: &mut mpsc::Receiver<Arc<JournalEntry>>,
    batch: &mut Vec<Arc<JournalEntry>>,
) {
    let until = Instant::now() + GATHER;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        tokio::select! {
            count = entries.recv_many(batch, room) => if count == 0 { return },
            () = sleep_until(until) => return,
        }
    }
}

fn hits(entries: &[JournalEntry]) -> RuleHits {
    let mut hits = RuleHits::new();
    for entry in entries {
        // Hits of tickets are the kernel's to count.
        let rule = entry.decision.rule.filter(|_| entry.decision.source == Source::Rule);
        if let Some(rule) = rule {
            let (count, last) = hits.entry(rule).or_insert((0, entry.time));
            *count += 1;
            *last = entry.time.max(*last);
        }
    }
    hits
}

/// Milliseconds since 1970, or with a clock that is before it, until then.
pub(crate) fn now() -> i64 {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::LogQuery;
    use libsnet::types::RuleId;

    const ALL: LogQuery = LogQuery { limit: 10_000, before: None, verdict: None };

    pub(crate) fn entry(time: i64, rule: Option<u64>) -> Arc<JournalEntry> {
        let entry = serde_json::json!({
            "id": null, "time": time, "verdict": "deny", "source": "rule", "rule": rule,
            "tgid": 7, "uid": 0, "comm": "nc", "exe": null, "operation": "connect",
            "protocol": "tcp", "remote": "192.0.2.1:80", "local": null,
        });
        Arc::new(serde_json::from_value(entry).unwrap())
    }

    #[tokio::test]
    async fn what_is_sent_before_the_end_is_written() {
        let (_dir, store) = crate::store::tests::empty().await;
        let (sender, entries) = mpsc::channel(4000);
        let (_keep, retention) = watch::channel(Retention { entries: 10_000, age: None });
        let counters = Arc::new(Counters::default());
        let problems = Arc::new(Problems::default());
        let writer = Writer { store: store.clone(), retention, counters, problems };
        for time in 0..3000 {
            sender.try_send(entry(time, None)).unwrap();
        }
        drop(sender);
        writer.run(entries).await;
        assert_eq!(store.log(ALL).await.unwrap().len(), 3000);
    }

    #[test]
    fn hits_are_counted_by_rule() {
        let mut entries: Vec<_> = [(1, Some(4)), (3, Some(4)), (2, Some(4)), (9, None)]
            .map(|(time, rule)| (*entry(time, rule)).clone())
            .to_vec();
        let mut by_ticket = (*entry(8, Some(4))).clone();
        by_ticket.decision.source = Source::Kernel;
        entries.push(by_ticket);
        assert_eq!(hits(&entries), RuleHits::from([(RuleId(4), (3, 3))]));
    }
}
