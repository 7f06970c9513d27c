// SPDX-License-Identifier: MIT OR Apache-2.0
//! Captures what the kernel module sends, as golden bytes for `tests/golden.rs`.
//!
//! ```text
//! # capture DIRECTORY        root, initial namespaces, module loaded, no other decider
//! ```
//!
//! Registers as the decider, watches what the module lets it watch, starts itself again as a
//! process that attempts a bounded number of calls, allows them with tickets as narrow as the
//! call, and writes each datagram as it came to `DIRECTORY/<what>-<which>.bin`, where the
//! first word is what `tests/golden.rs` decodes it as. Leaves nothing watched.
//!
//! Speaks through bare sockets and not through [`libsnet::client`], which doesn't show bytes.

mod attempt;
mod socket;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use ipnet::IpNet;
use libsnet::types::{
    Event, Object, Operation, PortRange, Protocol, Protocols, RequestId, RuleId, Scope, Settings,
    Ticket, TicketId, Verdict, WatchSet,
};
use libsnet::uapi::{FAMILY_NAME, cmd};
use libsnet::wire::{Ack, Envelope, Messages, Request, event, family};
use netlink_sys::Socket;
use socket::{open, receive, send, until_end};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const ATTEMPT: &str = "--attempt";
/// How many events are handled at most.
const EVENTS: u32 = 200;
/// After so many events of the own child its tickets are listed.
const LIST_AFTER: [u32; 2] = [4, 8];

struct Capture {
    directory: PathBuf,
    requests: Socket,
    events: Socket,
    family: u16,
    sequence: u32,
    message: Vec<u8>,
}

impl Capture {
    fn new(directory: PathBuf) -> Outcome<Self> {
        fs::create_dir_all(&directory)?;
        let (requests, events) = (open()?, open()?);
        let (family, sequence, message) = (0, 0, Vec::new());
        let mut capture = Self { directory, requests, events, family, sequence, message };
        family::encode_get(FAMILY_NAME, 0, &mut capture.message)?;
        send(&capture.requests, &capture.message)?;
        for datagram in until_end(&capture.requests, 0)? {
            for message in Messages::new(&datagram) {
                let message = message?;
                if Ack::decode(&message)?.is_none() {
                    capture.family = family::decode(message.genl()?.attributes)?.id;
                    capture.write("family", &datagram)?;
                }
            }
        }
        if capture.family == 0 { Err("the module isn't loaded".into()) } else { Ok(capture) }
    }

    fn write(&self, name: &str, datagram: &[u8]) -> Outcome {
        let path = self.directory.join(format!("{name}.bin"));
        println!("{} ({} bytes)", path.display(), datagram.len());
        Ok(fs::write(path, datagram)?)
    }

    /// Sends a request and writes what comes back: the parts of the answer as `name`, and a
    /// refusal as `error-name`. Returns whether it was taken.
    fn ask(&mut self, name: &str, request: Request<'_>) -> Outcome<bool> {
        self.sequence += 1;
        let (family, sequence) = (self.family, self.sequence);
        request.encode(Envelope { family, flags: request.flags(), sequence }, &mut self.message)?;
        let on = if matches!(request, Request::Register) { &self.events } else { &self.requests };
        send(on, &self.message)?;
        let mut taken = true;
        for (index, datagram) in until_end(on, sequence)?.into_iter().enumerate() {
            let first = Messages::new(&datagram).next().ok_or("empty datagram")??;
            let which = if index == 0 { name.to_owned() } else { format!("{name}-{index}") };
            match Ack::decode(&first)? {
                Some(ack) if ack.errno != 0 => {
                    println!("{name}: {ack}");
                    taken = false;
                    self.write(&format!("error-{name}"), &datagram)?;
                }
                Some(_) if request.is_dump() => self.write(&format!("done-{which}"), &datagram)?,
                Some(_) => {}
                None => self.write(&which, &datagram)?,
            }
        }
        Ok(taken)
    }

    /// Everything that needs no held call.
    fn ask_all(&mut self) -> Outcome<WatchSet> {
        self.ask("settings", Request::PolicyGet)?;
        self.ask("stats-idle", Request::StatsGet)?;
        let no_time = Settings { deadline: Some(Duration::ZERO), ..Settings::default() };
        self.ask("deadline-of-nothing", Request::PolicySet(&no_time))?;
        let (request, verdict) = (RequestId(u64::MAX), Verdict::Allow);
        self.ask("no-such-request", Request::Verdict { request, verdict, tickets: &[] })?;
        let mut watch = WatchSet::new();
        for operation in Operation::ALL {
            let mut tried = watch.clone();
            tried.insert(*operation, Protocols::ANY.without(Protocol::Unix.into()));
            if self.ask(&format!("watch-set-{operation}"), Request::WatchSet(&tried))? {
                watch = tried;
            }
        }
        self.ask("watch", Request::WatchGet)?;
        Ok(watch)
    }

    /// Allows what is attempted until the child has ended.
    fn decide(&mut self, child: &mut Child) -> Outcome {
        let mut own = 0;
        for number in 1..=EVENTS {
            let Some(datagram) = receive(&self.events)? else {
                break;
            };
            let Some(event) = event_in(&datagram)? else {
                continue;
            };
            let of_child = event.subject.process.tgid == child.id();
            if of_child {
                own += 1;
                let object = &event.object;
                let name = format!("event-{own:02}-{}-{}", object.operation, object.protocol);
                self.write(&name, &datagram)?;
                if own == 1 {
                    self.ask("request", Request::RequestGet)?;
                    self.ask("stats-held", Request::StatsGet)?;
                }
            }
            self.allow(&event, u64::from(number))?;
            if of_child && LIST_AFTER.contains(&own) {
                self.ask(&format!("ticket-after-{own:02}"), Request::TicketGet)?;
            }
        }
        child.wait()?;
        Ok(())
    }

    fn allow(&mut self, event: &Event, number: u64) -> Outcome {
        let ticket = Ticket {
            lifetime: number.is_multiple_of(3).then_some(Duration::from_secs(60)),
            rule: (!number.is_multiple_of(4)).then_some(RuleId(number)),
            ..Ticket::new(
                TicketId(number),
                scope_of(&event.object, number.is_multiple_of(2)),
                Verdict::Allow,
            )
        };
        let (request, verdict, tickets) = (event.request, Verdict::Allow, &[ticket][..]);
        self.ask("verdict", Request::Verdict { request, verdict, tickets }).map(drop)
    }

    fn run(&mut self) -> Outcome {
        if !self.ask("registered", Request::Register)? {
            return Err("cannot register: see error-registered.bin".into());
        }
        let watch = self.ask_all()?;
        println!("watching {watch:?}");
        let mut child = Command::new(std::env::current_exe()?).arg(ATTEMPT).spawn()?;
        self.decide(&mut child)?;
        self.ask("stats-end", Request::StatsGet)?;
        Ok(())
    }
}

/// The call's own scope; a wide one leaves out the conditions that may be left out.
fn scope_of(object: &Object, wide: bool) -> Scope {
    let port = |port| PortRange::new(port, port).unwrap_or(PortRange::ANY);
    let scope = Scope {
        operations: object.operation.into(),
        protocols: object.protocol.into(),
        ..Scope::ANY
    };
    if wide {
        return scope;
    }
    Scope {
        number: Some(object.number),
        remote: object.remote.map(|peer| IpNet::from(peer.ip())),
        remote_ports: object.remote.map_or(PortRange::ANY, |peer| port(peer.port())),
        local_ports: port(object.local_port()),
        ..scope
    }
}

fn event_in(datagram: &[u8]) -> Outcome<Option<Event>> {
    let genl = Messages::new(datagram).next().ok_or("empty datagram")??.genl()?;
    Ok((genl.command == cmd::EVENT).then(|| event::decode(genl.attributes)).transpose()?)
}

fn main() -> Outcome {
    let argument = std::env::args().nth(1).ok_or("usage: capture DIRECTORY")?;
    if argument == ATTEMPT {
        attempt::all();
        return Ok(());
    }
    let mut capture = Capture::new(argument.into())?;
    let ended = capture.run();
    capture.ask("watch-flush", Request::WatchFlush)?;
    ended
}
