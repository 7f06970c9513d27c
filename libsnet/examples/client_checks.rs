// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client against the real module.
//!
//! Needs root, the module loaded, bash, and no other decider: `tests/vm` runs it in a guest. Without
//! arguments all the checks, one line each; else those that are named. The first one that fails
//! panics. The attempts are made by bash, since what the decider's own process does is not mediated.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use libsnet::client::{Client, Decider, Delivery, Error, Options};
use libsnet::types::{
    Event, Fallbacks, Operation, Operations, Protocol, RequestId, RuleId, Scope, Settings, Ticket,
    TicketId, TicketTarget, Verdict,
};

/// Everything set as a test wants it; undone by `done`.
struct Setup {
    client: Client,
    decider: Decider,
    before: Settings,
    port: u16,
    /// Connections wait here unaccepted.
    _listener: TcpListener,
}

impl Setup {
    /// Watches TCP connections, with this deadline and fallback deny.
    async fn new(deadline: Duration, options: &Options) -> Self {
        let client = Client::connect().await.unwrap();
        let (decider, before) = Decider::register_with(options).await.unwrap();
        let deny: Fallbacks = [(Operation::Connect, Verdict::Deny)].into();
        let wanted = Settings { deadline: Some(deadline), fallbacks: deny, ..Settings::default() };
        client.set_settings(&wanted).await.unwrap();
        client.set_watch(&[(Operation::Connect, Protocol::Tcp.into())].into()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { client, decider, before, port, _listener: listener }
    }

    /// A process that connects, and when that succeeded says so and stays until its input ends.
    fn attempt(&self) -> Child {
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{} && echo connected && read", self.port);
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        bash.stderr(Stdio::null()).spawn().unwrap()
    }

    async fn event_of(&mut self, child: &Child) -> Event {
        let event = self.decider.next_event().await.unwrap();
        assert_eq!(event.subject.process.tgid, child.id());
        assert_eq!(event.object.remote.unwrap().port(), self.port);
        event
    }

    async fn done(self) {
        self.client.clear_watch().await.unwrap();
        self.client.flush_tickets().await.unwrap();
        self.client.set_settings(&self.before).await.unwrap();
        self.decider.unregister().await.unwrap();
    }
}

/// Waits for the end of the attempt, and ends the process.
fn connected(mut child: Child) -> bool {
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
    said == "connected\n"
}

fn ticket(id: u64, rule: u64) -> Ticket {
    let operations = Operations::from(Operation::Connect);
    let scope = Scope { operations, protocols: Protocol::Tcp.into(), ..Scope::ANY };
    Ticket {
        lifetime: Some(Duration::from_secs(60)),
        rule: Some(RuleId(rule)),
        ..Ticket::new(TicketId(id), scope, Verdict::Allow)
    }
}

async fn a_verdict_decides_and_its_ticket_is_kept() {
    let mut setup = Setup::new(Duration::from_secs(5), &Options::default()).await;
    let mut verdicts = setup.decider.verdicts().unwrap();
    let child = setup.attempt();
    let event = setup.event_of(&child).await;
    assert_eq!(setup.client.requests().await.unwrap()[0].request, event.request);
    let sent = verdicts.send(event.request, Verdict::Allow, &[ticket(7, 70)]).unwrap();
    assert_eq!(sent, Delivery::Taken);
    let again = setup.client.verdict(event.request, Verdict::Allow, &[]).await.unwrap();
    assert_eq!(again, Delivery::Ended);
    let kept = setup.client.tickets().await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (kept[0].ticket.id, kept[0].owner.process()),
        (TicketId(7), Some(event.subject.process))
    );
    assert_eq!(kept[0].ticket.scope, ticket(7, 70).scope);
    assert!(connected(child));
    setup.done().await;
}

async fn a_denied_call_fails_and_its_ticket_id_can_clash() {
    let mut setup = Setup::new(Duration::from_secs(5), &Options::default()).await;
    let mut verdicts = setup.decider.verdicts().unwrap();
    let first = setup.attempt();
    let event = setup.event_of(&first).await;
    let sent = verdicts.send(event.request, Verdict::Allow, &[ticket(7, 70)]).unwrap();
    assert_eq!(sent, Delivery::Taken);
    let second = setup.attempt();
    let event = setup.event_of(&second).await;
    let clash = verdicts.send(event.request, Verdict::Deny, &[ticket(7, 70)]).unwrap();
    assert!(matches!(clash, Delivery::TakenWithoutTickets(ack) if ack.errno == libc::EEXIST));
    assert!(!connected(second));
    assert!(connected(first));
    setup.done().await;
}

async fn tickets_are_given_and_taken_away() {
    let mut setup = Setup::new(Duration::from_secs(5), &Options::default()).await;
    let child = setup.attempt();
    let event = setup.event_of(&child).await;
    let client = &setup.client;
    assert_eq!(client.verdict(event.request, Verdict::Allow, &[]).await.unwrap(), Delivery::Taken);
    let process = event.subject.process;
    // More than one message takes.
    let target = TicketTarget::Process(process);
    let many: Vec<_> = (1..=40).map(|id| (target, ticket(id, id / 20))).collect();
    client.add_tickets(&many).await.unwrap();
    assert_eq!(client.tickets().await.unwrap().len(), 40);
    client.delete_ticket(TicketId(3)).await.unwrap();
    assert!(matches!(client.delete_ticket(TicketId(3)).await, Err(Error::NotFound(_))));
    client.delete_tickets_of_rule(RuleId(1)).await.unwrap();
    assert_eq!(client.tickets().await.unwrap().len(), 19);
    client.delete_tickets_of_process(process.tgid).await.unwrap();
    let nothing = client.delete_tickets_of_process(process.tgid).await;
    assert!(matches!(nothing, Err(Error::NotFound(_))));
    assert!(connected(child));
    let gone = client.add_tickets(&many).await;
    assert!(matches!(gone, Err(Error::ProcessGone(_))), "{gone:?}");
    setup.done().await;
}

async fn settings_are_kept_and_what_is_out_of_bounds_is_refused_by_name() {
    let setup = Setup::new(Duration::from_millis(1234), &Options::default()).await;
    let client = &setup.client;
    let found = client.settings().await.unwrap();
    assert_eq!(found.deadline, Some(Duration::from_millis(1234)));
    assert_eq!(found.fallbacks.get(&Operation::Connect), Some(&Verdict::Deny));
    assert_eq!(found.fallbacks.len(), Operation::ALL.len());
    assert_eq!(found.limits, setup.before.limits);
    let never = Settings { deadline: Some(Duration::MAX), ..Settings::default() };
    let refused = client.set_settings(&never).await;
    assert!(matches!(&refused, Err(Error::Refused(ack)) if ack.offset.is_some()), "{refused:?}");
    let watch = client.watch().await.unwrap();
    assert_eq!(watch, [(Operation::Connect, Protocol::Tcp.into())].into());
    assert!(matches!(Decider::register().await, Err(Error::Busy)));
    let ended = client.defer(RequestId(u64::MAX), Duration::from_secs(1)).await.unwrap();
    assert_eq!(ended, Delivery::Ended);
    setup.done().await;
}

async fn a_deferred_call_is_held_past_its_deadline() {
    let mut setup = Setup::new(Duration::from_millis(500), &Options::default()).await;
    let mut verdicts = setup.decider.verdicts().unwrap();
    let child = setup.attempt();
    let event = setup.event_of(&child).await;
    let deferred = verdicts.defer(event.request, Duration::from_secs(10)).unwrap();
    assert_eq!(deferred, Delivery::Taken);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = verdicts.send(event.request, Verdict::Allow, &[]).unwrap();
    assert_eq!(sent, Delivery::Taken);
    assert!(connected(child));
    setup.done().await;
}

async fn events_that_were_lost_are_found_again() {
    const CALLS: usize = 60;
    let mut options = Options::default();
    options.receive_buffer = 4096;
    // Enough for the slowest machine to start all of them.
    let mut setup = Setup::new(Duration::from_secs(600), &options).await;
    let mut verdicts = setup.decider.verdicts().unwrap();
    let children: Vec<_> = (0..CALLS).map(|_| setup.attempt()).collect();
    while (setup.client.stats().await.unwrap().held as usize) < CALLS {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut answered = BTreeSet::new();
    while answered.len() < CALLS {
        let waiting = match setup.decider.next_event().await {
            Ok(event) => vec![event],
            Err(Error::Overrun) => setup.client.requests().await.unwrap(),
            Err(error) => panic!("{error}"),
        };
        for event in waiting {
            if answered.insert(event.request) {
                let sent = verdicts.send(event.request, Verdict::Allow, &[]).unwrap();
                assert_eq!(sent, Delivery::Taken);
            }
        }
    }
    assert!(setup.decider.overruns() > 0, "the buffer was large enough");
    assert!(children.into_iter().all(connected));
    setup.done().await;
}

/// Those of the checks that are named, or all of them.
macro_rules! run {
    ($wanted:expr, $($check:ident)*) => {
        $(
            if $wanted.is_empty() || $wanted.iter().any(|name| name == stringify!($check)) {
                $check().await;
                println!("ok {}", stringify!($check));
            }
        )*
    };
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    run!(
        wanted,
        a_verdict_decides_and_its_ticket_is_kept
        a_denied_call_fails_and_its_ticket_id_can_clash
        tickets_are_given_and_taken_away
        settings_are_kept_and_what_is_out_of_bounds_is_refused_by_name
        a_deferred_call_is_held_past_its_deadline
        events_that_were_lost_are_found_again
    );
}
