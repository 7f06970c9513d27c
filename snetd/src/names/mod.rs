// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which addresses stand for the hosts that rules name.
//!
//! They come from the answers that programs really get, as they pass (`capture` → `packets` →
//! `dns`), and from `/etc/hosts`. Nobody is asked: but for a daemon that may not see packets,
//! which is one of a user without root, and asks itself for the names that rules spell out.
//! Beside the decision path: a call to an address that nothing is known of waits until what has
//! come is taken.

mod capture;
mod dns;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod packets;
mod table;

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use libsnet::policy::{HostPattern, Hosts};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

use crate::policy_control::PolicyControl;
use crate::problems::{Part, Problems};
use capture::Capture;
use dns::Answer;
use packets::Conversations;
use table::Table;

const HOSTS: &str = "/etc/hosts";
/// Where the system's name servers are written: for programs, and for systemd-resolved itself.
const SERVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// Between two looks at those files, and two attempts to see packets.
const FILES_EVERY: Duration = Duration::from_secs(5);
/// A name that this daemon asks for itself is asked for this often.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// How long it waits for an answer.
const ASK_FOR: Duration = Duration::from_secs(1);
/// Calls that wait for what has come.
const WAITING: usize = 1024;

/// What is known of names, and a way to wait for more.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    table: Arc<Mutex<Table>>,
    waiting: mpsc::Sender<oneshot::Sender<()>>,
    changed: Arc<Notify>,
}

/// Finds out what is known.
#[derive(Debug)]
pub(crate) struct Observer {
    names: Names,
    waiting: mpsc::Receiver<oneshot::Sender<()>>,
    problems: Arc<Problems>,
    capture: Option<Capture>,
    conversations: Conversations,
    files: Files,
    /// When names were asked for, by a daemon that sees no packets.
    asked: Option<HashMap<String, Instant>>,
}

impl Names {
    /// Names of which nothing is known, and who finds out.
    pub(crate) fn new(problems: Arc<Problems>) -> (Self, Observer) {
        let (waiting, requests) = mpsc::channel(WAITING);
        let names = Self { table: Arc::default(), waiting, changed: Arc::default() };
        let observer = Observer {
            names: names.clone(),
            waiting: requests,
            problems,
            capture: None,
            conversations: Conversations::default(),
            files: Files::default(),
            asked: None,
        };
        (names, observer)
    }

    /// The addresses of hosts that are meant, and when the first of them ends.
    pub(crate) fn hosts(&self, meant: &[HostPattern]) -> (Hosts, Option<Instant>) {
        self.table().hosts(meant, Instant::now())
    }

    /// The rules are others: they may mean other hosts.
    pub(crate) fn rules_changed(&self) {
        self.changed.notify_one();
    }

    /// Returns when the policy follows what had come when this was called.
    pub(crate) async fn catch_up(&self) {
        let (done, wait) = oneshot::channel();
        if self.waiting.send(done).await.is_ok() {
            let _ = wait.await;
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What made the observer look.
enum Woken {
    Packets(io::Result<()>),
    Waiter(Option<oneshot::Sender<()>>),
    Rules,
    Time,
}

impl Observer {
    /// Runs as long as the daemon.
    pub(crate) async fn run(mut self, policy: Arc<PolicyControl>) {
        let mut end: Option<Instant> = None;
        loop {
            let meant = policy.hosts_meant().await;
            if meant.is_empty() {
                self.capture = None;
                self.problems.clear(Part::Names);
            } else {
                self.prepare();
            }
            let woken = self.wait(end, meant.is_empty()).await;
            let mut waiters = Vec::new();
            match woken {
                Woken::Waiter(None) => return,
                Woken::Waiter(Some(waiter)) => waiters.push(waiter),
                Woken::Packets(Err(error)) => self.lose(&error),
                // They may mean others, which end at other times.
                Woken::Rules => end = None,
                Woken::Packets(Ok(())) | Woken::Time => {}
            }
            while let Ok(waiter) = self.waiting.try_recv() {
                waiters.push(waiter);
            }
            let waited_for = !waiters.is_empty();
            let news = self.look(&policy.hosts_meant().await, waited_for).await;
            if news || end.is_none_or(|end| end <= Instant::now()) {
                match policy.follow_names().await {
                    Ok(next) => end = next,
                    Err(error) => tracing::warn!("following the names of hosts failed: {error:#}"),
                }
            }
            for waiter in waiters {
                let _ = waiter.send(());
            }
        }
    }

    async fn wait(&mut self, end: Option<Instant>, idle: bool) -> Woken {
        let soon = Instant::now() + FILES_EVERY;
        let until = end.map_or(soon, |end| end.min(soon));
        let packets = async {
            match &self.capture {
                Some(capture) => capture.readable().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = packets => Woken::Packets(ready),
            waiter = self.waiting.recv() => Woken::Waiter(waiter),
            () = self.names.changed.notified() => Woken::Rules,
            () = sleep_until(until.into()), if !idle => Woken::Time,
        }
    }

    /// Sees to it that answers are seen, from now on.
    fn prepare(&mut self) {
        if self.capture.is_some() || self.asked.is_some() {
            return;
        }
        match Capture::open() {
            Ok(capture) => {
                self.capture = Some(capture);
                self.problems.clear(Part::Names);
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                tracing::info!(
                    "answers of name servers can't be seen ({error}): names are asked for"
                );
                self.asked = Some(HashMap::new());
            }
            Err(error) => self.lose(&error),
        }
    }

    fn lose(&mut self, error: &io::Error) {
        self.capture = None;
        let problem = format!("answers of name servers can't be seen: {error}");
        self.problems.set(Part::Names, problem);
    }

    /// Takes all that has come, and asks if a call waits for that. Is something of it new?
    async fn look(&mut self, meant: &[HostPattern], waited_for: bool) -> bool {
        let mut news = false;
        if let Some(written) = self.files.look() {
            self.names.table().set_written(written);
            news = true;
        }
        let now = Instant::now();
        if let Some(capture) = &mut self.capture {
            let mut answers = Vec::new();
            let (conversations, servers) = (&mut self.conversations, &self.files.servers);
            let taken =
                capture.take(|packet| answers.extend(conversations.take(packet, servers, now)));
            let mut table = self.names.table();
            answers.iter().for_each(|answer| news |= table.note(answer, now));
            drop(table);
            if let Err(error) = taken {
                self.lose(&error);
            }
        }
        if let Some(asked) = self.asked.as_mut().filter(|_| waited_for) {
            asked.retain(|_, at| now.duration_since(*at) < ASK_EVERY);
            let names = meant.iter().filter_map(HostPattern::name).map(str::to_owned);
            let names: Vec<String> = names.filter(|name| !asked.contains_key(name)).collect();
            asked.extend(names.iter().map(|name| (name.clone(), now)));
            let answers = ask(names).await;
            let mut table = self.names.table();
            answers.iter().for_each(|answer| news |= table.note(answer, Instant::now()));
        }
        news
    }
}

/// Asks for the addresses of names, all at once.
async fn ask(names: Vec<String>) -> Vec<Answer> {
    let mut questions = tokio::task::JoinSet::new();
    for name in names {
        questions.spawn(timeout(ASK_FOR, async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.ok()?;
            let addresses = found.map(|found| (found.ip().to_canonical(), ASK_EVERY)).collect();
            Some(Answer { names: vec![name], addresses })
        }));
    }
    let answers = questions.join_all().await;
    answers.into_iter().filter_map(Result::ok).flatten().collect()
}

/// Files of the system, as they were at the last look.
#[derive(Debug, Default)]
struct Files {
    /// When they were last written.
    times: [Option<SystemTime>; 3],
    servers: Vec<IpAddr>,
}

impl Files {
    /// Reads them if they were written since; gives the entries of `/etc/hosts` then.
    fn look(&mut self) -> Option<Vec<(IpAddr, String)>> {
        let [one, other] = SERVERS;
        let times = [HOSTS, one, other]
            .map(|path| fs::metadata(path).and_then(|file| file.modified()).ok());
        if times == self.times {
            return None;
        }
        self.times = times;
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        self.servers = SERVERS.iter().flat_map(|path| table::servers(&read(path))).collect();
        Some(table::written(&read(HOSTS)))
    }
}
