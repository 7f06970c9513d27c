// SPDX-License-Identifier: MIT OR Apache-2.0
//! `test`: what would the policy say of a call, and why?

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use clap::Args;
use libsnet::control::{ErrorReply, Explanation, RuleRecord, Source, TestCall};
use libsnet::policy::{Action, Container, Program, Unit};
use libsnet::types::{CallFlags, Object, Operation, Operations, Protocol, RuleId, Verdict};
use nix::unistd::Uid;
use serde::Serialize;

use super::decision::toward;
use super::rule_text::rule_text;
use super::{Session, user_text};
use crate::call::{SocketKind, object_of};
use crate::client::{Client, ClientError, Explained};
use crate::exit::{Exit, UsageError};
use crate::output::{Span, action, verdict};
use crate::{program, words};

/// The call.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool test curl tcp connect --to 192.0.2.1:443
  snet-tool test nginx tcp bind --local-port 80 --user www-data
  snet-tool test --event 4711
  if snet-tool test backup udp send --to 10.0.0.1:53 > /dev/null; then echo allowed; fi

The exit code is 0 when the call would be allowed, also because such calls aren't watched,
and 3 when it would be denied.")]
pub(crate) struct Arguments {
    /// A name (looked up by snetd) or a path
    #[arg(required_unless_present = "event")]
    program: Option<String>,
    /// tcp, udp, udplite, sctp, mptcp, icmp, raw, packet, unix, other, or a protocol number
    #[arg(value_name = "PROTO", value_parser = words::protocol, required_unless_present = "event")]
    protocol: Option<(Protocol, Option<u16>)>,
    /// create, bind, listen, connect, accept, send or recv
    #[arg(value_name = "OP", value_parser = words::operation, required_unless_present = "event")]
    operation: Option<Operation>,
    /// The call of this decision in the journal (see log --numbers), instead
    #[arg(long, value_name = "N", conflicts_with_all = ["program", "protocol", "operation", "to", "port", "local_port", "user", "unit", "container", "command", "parent"])]
    event: Option<i64>,
    /// The peer
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = words::endpoint)]
    to: Option<(IpAddr, Option<u16>)>,
    /// The port of the peer
    #[arg(long, value_name = "PORT", requires = "to")]
    port: Option<u16>,
    /// The own port
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    local_port: u16,
    /// The user it runs as [default: yourself]
    #[arg(long, value_name = "NAME|UID", value_parser = words::user)]
    user: Option<u32>,
    /// The unit, or the cgroup, that it is in [default: none that a rule is about]
    #[arg(long, value_name = "UNIT|CGROUP")]
    unit: Option<Unit>,
    /// The container that it is in [default: none]
    #[arg(long, value_name = "NAME|ID")]
    container: Option<Container>,
    /// Its command line [default: none that a rule is about]
    #[arg(long, value_name = "TEXT")]
    command: Option<String>,
    /// The program that started it [default: none that a rule is about]
    #[arg(long, value_name = "PROGRAM")]
    parent: Option<Program>,
}

/// Asks, and tells the answer by the exit code too.
pub(crate) fn run(arguments: Arguments, session: &Session) -> anyhow::Result<Exit> {
    let number = arguments.event;
    let described = number.is_none().then(|| arguments.call()).transpose()?;
    let mut client = session.connect()?;
    let mut call = match described {
        Some(described) => described,
        None => recorded(&mut client, number.unwrap_or_default())?,
    };
    let explained = ask(&mut client, &mut call, session)?;
    let TestCall { program, uid, object, .. } = call;
    let asks = explained.watched && explained.explanation.asks;
    let outcome =
        if explained.watched { explained.explanation.decision.verdict } else { Verdict::Allow };
    if session.out.json {
        let Explained { explanation, watched } = &explained;
        session.out.document(&Answer { explanation, watched: *watched })?;
    } else {
        // The rules only make the answer readable; it stands without them.
        let rules = client.rules().unwrap_or_default();
        let call = format!(": {program} as {}, {}", user_text(uid), call_text(&object));
        let said = if asks { action(Action::Ask) } else { verdict(outcome) };
        session.out.line(&[said, Span::plain(call)])?;
        if !explained.watched {
            tell_unwatched(&explained.explanation, session)?;
        }
        tell_why(&explained.explanation, rules, session)?;
        if object.remote.is_none() && may_name_a_peer(&object) {
            session.out.note("without --to, no rule for an address or a port of the peer matches");
        }
    }
    Ok(match outcome {
        _ if asks => Exit::Asked,
        Verdict::Allow => Exit::Success,
        Verdict::Deny => Exit::Denied,
    })
}

/// The answer in JSON.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    watched: bool,
}

/// Asks about the program as it was typed, and when the daemon can't answer that, about the
/// file that only this user's search path finds.
fn ask(client: &mut Client, call: &mut TestCall, session: &Session) -> anyhow::Result<Explained> {
    let answer = client.test(call.clone());
    let path = match (&answer, &call.program) {
        (Err(ClientError::Daemon(ErrorReply::Failed { .. })), Program::Name(name)) => {
            program::find_unusual(name)
        }
        _ => None,
    };
    let Some(path) = path else {
        return Ok(answer?);
    };
    let name = &call.program;
    session.out.note(&format!("snetd doesn't find {name} in its search path: trying {path}"));
    call.program = Program::Path(path.into());
    Ok(client.test(call.clone())?)
}

/// The call of a decision in the journal.
fn recorded(client: &mut Client, number: i64) -> anyhow::Result<TestCall> {
    let found = client.log(1, Some(number.saturating_add(1)), None)?;
    let entry = found.first().filter(|entry| entry.id == Some(number));
    let entry = entry.with_context(|| format!("no decision {number} in the journal"))?;
    let exe = entry.exe.as_ref().context("it isn't known which program made that call")?;
    Ok(TestCall::new(Program::Path(exe.into()), entry.uid, object_of(entry)))
}

impl Arguments {
    /// The call that is described.
    fn call(self) -> Result<TestCall, UsageError> {
        let missing = || UsageError::new("PROGRAM, PROTO and OP are needed");
        let program = program::parse(self.program.as_deref().ok_or_else(missing)?)?;
        if matches!(program, Program::Any | Program::Pattern(_) | Program::Sha256(_)) {
            return Err(UsageError::new("a call is made by one program, not by any"));
        }
        let uid = self.user.unwrap_or_else(|| Uid::effective().as_raw());
        let (protocol, operation) = self.protocol.zip(self.operation).ok_or_else(missing)?;
        let object = self.object(protocol, operation)?;
        let Self { unit, container, command, parent, .. } = self;
        Ok(TestCall { unit, container, command, parent, ..TestCall::new(program, uid, object) })
    }

    /// The call as the kernel would tell of it.
    fn object(
        &self,
        (protocol, number): (Protocol, Option<u16>),
        operation: Operation,
    ) -> Result<Object, UsageError> {
        let remote = self.remote()?;
        let v6 = remote.is_some_and(|remote| remote.is_ipv6());
        let unspecified: IpAddr =
            if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let socket = SocketKind::of(protocol, v6);
        let object = Object {
            operation,
            protocol,
            family: socket.family,
            kind: socket.kind,
            number: number.unwrap_or(socket.number),
            remote,
            local: has_addresses(protocol).then(|| SocketAddr::new(unspecified, self.local_port)),
            flags: CallFlags::default(),
        };
        if object.remote.is_some() && !may_name_a_peer(&object) {
            let Object { protocol, operation, .. } = object;
            return Err(UsageError(format!("--to: {protocol} {operation} names no peer")));
        }
        Ok(object)
    }

    fn remote(&self) -> Result<Option<SocketAddr>, UsageError> {
        let Some((address, port)) = self.to else {
            return Ok(None);
        };
        let port = match (port, self.port) {
            (Some(one), Some(other)) if one != other => {
                return Err(UsageError(format!("--to says port {one} and --port says {other}")));
            }
            (one, other) => one.or(other).unwrap_or(0),
        };
        // The kernel tells where such a call really goes.
        let address = match address {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
            address => address,
        };
        Ok(Some(SocketAddr::new(address, port)))
    }
}

fn has_addresses(protocol: Protocol) -> bool {
    !matches!(protocol, Protocol::Packet | Protocol::Unix)
}

fn may_name_a_peer(object: &Object) -> bool {
    has_addresses(object.protocol) && !Operations::WITHOUT_REMOTE.has(object.operation)
}

fn call_text(object: &Object) -> String {
    let mut text = format!("{} {}", object.protocol, object.operation);
    if let Some(remote) = object.remote {
        text.push_str(&format!(" {} {remote}", toward(object.operation)));
    }
    if object.local_port() != 0 {
        let by = if Operations::OUT.has(object.operation) { "from" } else { "on" };
        text.push_str(&format!(" {by} local port {}", object.local_port()));
    }
    text
}

fn tell_unwatched(explanation: &Explanation, session: &Session) -> anyhow::Result<()> {
    let text = "  not watched: allowed without asking (see [watch] in snetd's configuration)";
    session.out.line(&[Span::plain(text)])?;
    let would = [Span::plain("  if it were watched: "), verdict(explanation.decision.verdict)];
    Ok(session.out.line(&would)?)
}

fn tell_why(
    explanation: &Explanation,
    rules: Vec<RuleRecord>,
    session: &Session,
) -> anyhow::Result<()> {
    let out = &session.out;
    let rules: HashMap<RuleId, RuleRecord> =
        rules.into_iter().map(|rule| (rule.id, rule)).collect();
    for id in &explanation.considered {
        let decides = explanation.decision.rule == Some(*id);
        let role = match decides {
            true if explanation.asks => "asks a person",
            true => "decides",
            false => "is about other calls",
        };
        let mut line = vec![Span::plain(format!("  rule {id} {role}"))];
        if *id == RuleId::BUILT_IN {
            line.push(Span::plain(": built in, so that root's snet-tool reaches snetd"));
        } else if let Some(rule) = rules.get(id) {
            line.push(Span::plain(": "));
            line.extend(rule_text(rule, &out.times));
        }
        out.line(&line)?;
    }
    let source = explanation.decision.source;
    if matches!(source, Source::WouldDeny | Source::WouldAsk) {
        out.line(&[Span::plain("  only observed: it goes on all the same")])?;
    }
    if explanation.decision.rule.is_none() {
        let what = match source {
            _ if explanation.asks => "a person is asked",
            Source::Learned => "it is learned",
            Source::WouldAsk => "a person would be asked",
            Source::WouldDeny => "the fallback would deny it",
            _ => "the fallback applies",
        };
        out.line(&[Span::plain(format!("  no rule decides it: {what}"))])?;
    }
    if explanation.asks {
        let fallback = explanation.decision.verdict;
        let text = format!("  when nobody answers: {fallback}; the answer says what is kept");
        return Ok(out.line(&[Span::plain(text)])?);
    }
    let ticket = match &explanation.ticket {
        Some(scope) => format!("  ticket: {} {scope}", explanation.decision.verdict),
        None => "  no ticket: the next such call is asked about again".to_owned(),
    };
    Ok(out.line(&[Span::plain(ticket)])?)
}
