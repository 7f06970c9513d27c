// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls that supervisors hold (`snet-tool run`): the second source of events.
//!
//! Owns the connections to supervisors and, since there is no kernel module that would, the
//! tickets of what they supervise: a table for each, which goes with its connection. The rules of
//! tickets are `libsnet::ticket_table`'s. Reading and writing is done by tasks on the decider's thread;
//! nothing is waited for.

use std::collections::HashMap;
use std::time::Duration;

use libsnet::client::Error;
use libsnet::control::{Ask, MAX_MESSAGE, Said, SupervisedStatus, Terms, Told};
use libsnet::ticket_table::{Bounds, Owner, TicketTable};
use libsnet::types::{Event, KeptTicket, RequestId, Ticket, TicketId, Verdict};
use nix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::Plan;
use super::source::{Sent, Source, supervised_request};
use crate::supervisors::Supervisors;

/// Supervisors at once.
const SUPERVISORS: usize = 256;
/// Messages from supervisors that may wait.
const HEARD: usize = 1024;
/// Messages to one supervisor that may wait; one that is behind further is given up.
const BEHIND: usize = 65536;
/// Calls of one supervisor that wait for a verdict.
const WAITING: usize = 65536;

/// A supervisor's message, or `None` when it is gone.
pub(super) type Heard = (u64, Option<Told>);

struct Supervisor {
    says: mpsc::Sender<Vec<u8>>,
    /// Only root's supervisor may speak for others.
    uid: u32,
    table: TicketTable,
    waiting: usize,
}

struct Waiting {
    supervisor: u64,
    /// Their number for it.
    theirs: u64,
    owner: Owner,
}

/// All of them.
pub(super) struct Supervised {
    connected: HashMap<u64, Supervisor>,
    waiting: HashMap<RequestId, Waiting>,
    next_supervisor: u64,
    next_request: u64,
    known: Supervisors,
    heard: mpsc::Sender<Heard>,
    counts: SupervisedStatus,
}

/// What a message of a supervisor comes to.
pub(super) enum Asks {
    /// A call that has to be decided.
    Event(Box<Event>),
    /// Nothing more to do.
    Nothing,
}

fn bounds(plan: &Plan) -> Bounds {
    let limits = &plan.settings.limits;
    let size = |limit: Option<u32>| limit.map_or(usize::MAX, |limit| limit as usize);
    Bounds { total: size(limits.tickets), per_process: size(limits.tickets_per_process) }
}

fn terms(plan: &Plan, kernel: bool) -> Terms {
    let milliseconds = |time: Option<Duration>| {
        time.map_or(2000, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    };
    let watch = plan.watch.iter().filter(|(_, protocols)| !protocols.is_empty());
    Terms {
        kernel,
        watch: watch.map(|(operation, protocols)| (*operation, *protocols)).collect(),
        fallbacks: plan.settings.fallbacks.clone(),
        deadline: milliseconds(plan.settings.deadline),
        nonblock_deadline: milliseconds(plan.settings.nonblock_deadline),
    }
}

/// Since boot.
fn clock() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

fn encode(message: &impl serde::Serialize) -> Vec<u8> {
    // Numbers, strings and nothing else: there is no error that could come.
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(0);
    bytes
}

impl Supervised {
    /// None yet. What they say is to be read from the receiver.
    pub(super) fn new(known: Supervisors) -> (Self, mpsc::Receiver<Heard>) {
        let (heard, hears) = mpsc::channel(HEARD);
        let new = Self {
            connected: HashMap::new(),
            waiting: HashMap::new(),
            next_supervisor: 1,
            next_request: 1,
            known,
            heard,
            counts: SupervisedStatus::default(),
        };
        (new, hears)
    }

    /// Takes a connection over whose peer asked to supervise, and answers that.
    pub(super) fn connect(
        &mut self,
        stream: std::os::unix::net::UnixStream,
        plan: &Plan,
        kernel: bool,
    ) -> std::io::Result<()> {
        let stream = UnixStream::from_std(stream)?;
        let peer = stream.peer_cred()?;
        let (reader, writer) = stream.into_split();
        let (says, queue) = mpsc::channel(BEHIND);
        let answer = if self.connected.len() >= SUPERVISORS {
            let reason = "too many programs are supervised already";
            encode(&libsnet::control::ErrorReply::Failed { reason: reason.to_owned() })
        } else {
            let terms = Box::new(terms(plan, kernel));
            encode(&serde_json::json!({ "parameters": { "terms": terms } }))
        };
        // The queue is empty.
        let _ = says.try_send(answer);
        tokio::spawn(write(writer, queue));
        if self.connected.len() >= SUPERVISORS {
            return Ok(());
        }
        let id = self.next_supervisor;
        self.next_supervisor += 1;
        let table = TicketTable::new(bounds(plan));
        self.connected.insert(id, Supervisor { says, uid: peer.uid(), table, waiting: 0 });
        if let Some(pid) = peer.pid().and_then(|pid| u32::try_from(pid).ok()) {
            self.known.add(id, pid);
        }
        tokio::spawn(read(id, reader, self.heard.clone()));
        Ok(())
    }

    /// Takes a message. A call that a ticket decides is answered at once.
    pub(super) fn hear(&mut self, (from, told): Heard) -> Asks {
        match told {
            Some(Told::Ask(ask)) => self.ask(from, *ask),
            Some(Told::Ended { tgid }) => {
                if let Some(supervisor) = self.connected.get_mut(&from) {
                    supervisor.table.ended(tgid);
                }
                Asks::Nothing
            }
            None => {
                self.drop_supervisor(from);
                Asks::Nothing
            }
        }
    }

    fn ask(&mut self, from: u64, ask: Ask) -> Asks {
        let Ask { request: theirs, mut subject, object, network } = ask;
        let Some(supervisor) = self.connected.get_mut(&from) else {
            return Asks::Nothing;
        };
        if supervisor.uid != 0 {
            subject.uid = supervisor.uid;
        }
        self.counts.calls += 1;
        let owner = Owner::of(&subject, network);
        if let Some(hit) = supervisor.table.decide(&owner, &object, clock()) {
            match hit.verdict {
                Verdict::Allow => self.counts.ticket_allowed += 1,
                Verdict::Deny => self.counts.ticket_denied += 1,
            }
            self.say(from, &Said::Verdict { request: theirs, verdict: hit.verdict });
            return Asks::Nothing;
        }
        // Past the bound, the supervisor's deadline and fallback apply.
        if supervisor.waiting >= WAITING {
            return Asks::Nothing;
        }
        supervisor.waiting += 1;
        let request = supervised_request(self.next_request);
        self.next_request += 1;
        self.waiting.insert(request, Waiting { supervisor: from, theirs, owner });
        Asks::Event(Box::new(Event { request, subject, object, deadline: Duration::MAX }))
    }

    /// The event isn't going to be decided.
    pub(super) fn give_up(&mut self, request: RequestId) {
        if let Some(waiting) = self.waiting.remove(&request)
            && let Some(supervisor) = self.connected.get_mut(&waiting.supervisor)
        {
            supervisor.waiting -= 1;
        }
    }

    fn say(&mut self, to: u64, said: &Said) {
        let Some(supervisor) = self.connected.get(&to) else {
            return;
        };
        if supervisor.says.try_send(encode(said)).is_err() {
            self.drop_supervisor(to);
        }
    }

    /// Its tickets go, and its connection, once what was said to it is written.
    fn drop_supervisor(&mut self, id: u64) {
        self.connected.remove(&id);
        self.known.remove(id);
        self.waiting.retain(|_, waiting| waiting.supervisor != id);
    }

    /// Follows another configuration.
    pub(super) fn follow(&mut self, plan: &Plan, kernel: bool) {
        let said = Said::Terms(terms(plan, kernel));
        let all: Vec<u64> = self.connected.keys().copied().collect();
        for id in all {
            if let Some(supervisor) = self.connected.get_mut(&id) {
                supervisor.table.set_bounds(bounds(plan));
            }
            self.say(id, &said);
        }
    }

    /// Every ticket.
    pub(super) fn tickets(&self) -> Vec<KeptTicket> {
        let now = clock();
        self.connected.values().flat_map(|supervisor| supervisor.table.list(now)).collect()
    }

    /// Takes tickets back; gives how many there were.
    pub(super) fn revoke(&mut self, tickets: &[TicketId]) -> u64 {
        let mut tables: Vec<&mut TicketTable> =
            self.connected.values_mut().map(|supervisor| &mut supervisor.table).collect();
        let gone = tickets.iter().filter(|id| tables.iter_mut().any(|table| table.revoke(**id)));
        gone.count() as u64
    }

    /// What goes on.
    pub(super) fn status(&self) -> SupervisedStatus {
        SupervisedStatus {
            supervisors: self.connected.len() as u64,
            tickets: self.connected.values().map(|one| one.table.len() as u64).sum(),
            ..self.counts.clone()
        }
    }
}

impl Source for Supervised {
    fn answer(
        &mut self,
        request: RequestId,
        verdict: Verdict,
        ticket: Option<Ticket>,
    ) -> Result<Sent, Error> {
        let Some(Waiting { supervisor, theirs, owner }) = self.waiting.remove(&request) else {
            return Ok(Sent::TooLate);
        };
        let Some(asked) = self.connected.get_mut(&supervisor) else {
            return Ok(Sent::TooLate);
        };
        asked.waiting -= 1;
        let kept = ticket.map(|ticket| {
            let grant = vec![ticket.clone()];
            asked.table.install(owner, grant, clock()).map(|()| ticket)
        });
        self.say(supervisor, &Said::Verdict { request: theirs, verdict });
        Ok(match kept.transpose() {
            Ok(kept) => Sent::Decided { kept, trouble: None },
            Err(why) => {
                let trouble = Some(format!("a ticket was not kept: {why}"));
                Sent::Decided { kept: None, trouble }
            }
        })
    }

    fn defer(&mut self, request: RequestId, held: Duration) -> Result<(), Error> {
        if let Some(waiting) = self.waiting.get(&request) {
            let deadline = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
            let (to, request) = (waiting.supervisor, waiting.theirs);
            self.say(to, &Said::Defer { request, deadline });
        }
        Ok(())
    }
}

async fn write(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(message) = queue.recv().await {
        if writer.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// Hands on what a supervisor says, and at last that it is gone.
async fn read(id: u64, reader: OwnedReadHalf, heard: mpsc::Sender<Heard>) {
    let mut reader = BufReader::new(reader);
    let mut message = Vec::new();
    loop {
        message.clear();
        let mut bounded = (&mut reader).take(MAX_MESSAGE as u64);
        let whole = bounded.read_until(0, &mut message).await.is_ok() && message.pop() == Some(0);
        let told = whole.then(|| serde_json::from_slice(&message).ok()).flatten();
        let ends = told.is_none();
        if heard.send((id, told)).await.is_err() || ends {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::tests::event;
    use super::*;
    use libsnet::types::{Operation, RuleId, Scope};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as Blocking;
    use std::sync::Arc;

    fn plan() -> Arc<Plan> {
        let settings = libsnet::types::Settings {
            deadline: Some(Duration::from_secs(3)),
            fallbacks: [(Operation::Connect, Verdict::Deny)].into(),
            ..Default::default()
        };
        Arc::new(Plan {
            settings,
            watch: Default::default(),
            lifetime: None,
            ask_for: Duration::ZERO,
        })
    }

    fn ask(request: u64) -> Told {
        let event = event(0, "/bin/x", 5);
        let Event { subject, object, .. } = event;
        Told::Ask(Box::new(Ask { request, subject, object, network: 1 }))
    }

    fn ticket(id: u64, verdict: Verdict) -> Ticket {
        let (lifetime, rule) = (None, Some(RuleId(1)));
        Ticket { lifetime, rule, ..Ticket::new(TicketId(id), Scope::ANY, verdict) }
    }

    struct Peer {
        supervised: Supervised,
        hears: mpsc::Receiver<Heard>,
        stream: Blocking,
    }

    impl Peer {
        async fn new() -> Self {
            let (mut supervised, hears) = Supervised::new(Supervisors::default());
            let (stream, theirs) = Blocking::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            supervised.connect(theirs, &plan(), false).unwrap();
            let mut peer = Self { supervised, hears, stream };
            let terms = peer.read().await;
            assert_eq!(terms.pointer("/parameters/terms/deadline"), Some(&3000.into()));
            peer
        }

        async fn read(&mut self) -> serde_json::Value {
            // Lets the tasks of the connection write.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut message = Vec::new();
            loop {
                let mut byte = [0];
                self.stream.read_exact(&mut byte).unwrap();
                if byte == [0] {
                    return serde_json::from_slice(&message).unwrap();
                }
                message.extend(byte);
            }
        }

        async fn tell(&mut self, told: &Told) -> Asks {
            self.stream.write_all(&encode(told)).unwrap();
            let heard = self.hears.recv().await.unwrap();
            self.supervised.hear(heard)
        }

        async fn event(&mut self, request: u64) -> RequestId {
            match self.tell(&ask(request)).await {
                Asks::Event(event) => event.request,
                Asks::Nothing => panic!("decided already"),
            }
        }
    }

    #[tokio::test]
    async fn a_call_is_decided_and_the_next_one_by_its_ticket() {
        let mut peer = Peer::new().await;
        let request = peer.event(7).await;
        let sent = peer.supervised.answer(request, Verdict::Deny, Some(ticket(5, Verdict::Deny)));
        assert!(matches!(sent, Ok(Sent::Decided { kept: Some(_), trouble: None })));
        let verdict = serde_json::json!({"verdict": {"request": 7, "verdict": "deny"}});
        assert_eq!(peer.read().await, verdict);
        assert!(matches!(peer.tell(&ask(8)).await, Asks::Nothing));
        let verdict = serde_json::json!({"verdict": {"request": 8, "verdict": "deny"}});
        assert_eq!(peer.read().await, verdict);
        let status = peer.supervised.status();
        assert_eq!((status.calls, status.ticket_denied, status.tickets), (2, 1, 1));
        assert_eq!(peer.supervised.revoke(&[TicketId(5), TicketId(6)]), 1);
        peer.event(9).await;
    }

    #[tokio::test]
    async fn a_request_is_answered_once() {
        let mut peer = Peer::new().await;
        let request = peer.event(7).await;
        let kept = peer.supervised.answer(request, Verdict::Allow, None);
        assert!(matches!(kept, Ok(Sent::Decided { kept: None, trouble: None })));
        let again = peer.supervised.answer(request, Verdict::Deny, None);
        assert!(matches!(again, Ok(Sent::TooLate)));
    }

    #[tokio::test]
    async fn tickets_go_with_their_process_and_their_supervisor() {
        let mut peer = Peer::new().await;
        for (n, told) in [Told::Ended { tgid: 7 }, Told::Ended { tgid: 8 }].into_iter().enumerate()
        {
            let request = peer.event(n as u64).await;
            let ticket = Some(ticket(n as u64 + 1, Verdict::Allow));
            let _ = peer.supervised.answer(request, Verdict::Allow, ticket);
            assert!(matches!(peer.tell(&told).await, Asks::Nothing));
        }
        let left: Vec<u64> =
            peer.supervised.tickets().iter().map(|kept| kept.ticket.id.0).collect();
        assert_eq!(left, [2], "the process that ended had the number 7");
        peer.stream.shutdown(std::net::Shutdown::Both).unwrap();
        let gone = peer.hears.recv().await.unwrap();
        assert_eq!(gone.1, None);
        assert!(matches!(peer.supervised.hear(gone), Asks::Nothing));
        assert_eq!(peer.supervised.status().supervisors, 0);
        assert!(peer.supervised.tickets().is_empty());
    }

    #[tokio::test]
    async fn garbage_ends_a_connection() {
        let mut peer = Peer::new().await;
        peer.stream.write_all(b"{\"ask\":1}\0").unwrap();
        assert_eq!(peer.hears.recv().await.unwrap().1, None);
    }
}
