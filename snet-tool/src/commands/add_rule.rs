// SPDX-License-Identifier: MIT OR Apache-2.0
//! `allow`, `deny`, `ask`, `learn` and `observe`: makes a rule.

use anyhow::Context;
use clap::Args;
use libsnet::policy::{Action, CommandPattern, Container, Program, RuleError, RuleSpec, Unit};
use libsnet::types::{Operations, PortRange, Scope};

use super::program_notes::{other_file, path_out_of_reach};
use super::rule_text::rule_text;
use super::{Session, tickets_text};
use crate::client::{Changed, Client};
use crate::exit::{Exit, UsageError};
use crate::output::Span;
use crate::words::{Lifetime, Peer};
use crate::{program, words};

/// What the rule is about.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool allow firefox tcp connect
  snet-tool allow nginx tcp bind listen accept --local-port 80-443
  snet-tool deny any any out --to 10.0.0.0/8 --priority 100
  snet-tool deny ./downloaded-thing --note 'not before I have read it'
  snet-tool allow ssh tcp connect --to 192.0.2.7 --for 2h
  snet-tool allow any udp out --unit systemd-timesyncd.service
  snet-tool allow python3 tcp connect --command '* /usr/local/bin/backup.py*'
  snet-tool deny any any out --container web
  snet-tool allow any tcp connect --to '*.debian.org' --port 80-443
  snet-tool ask python3 tcp connect
  snet-tool learn any --for 1d
  snet-tool observe firefox")]
pub(crate) struct Arguments {
    /// A name (looked up by snetd), a path, a pattern of paths ('/opt/*/bin/server'), sha256: and
    /// the sum of its file, or any
    program: String,
    /// tcp, udp, udplite, sctp, mptcp, icmp, raw, packet, unix, other, a protocol number, or
    /// several with commas [default: any]
    #[arg(value_name = "PROTO", value_parser = words::protocols)]
    protocol: Option<words::ProtocolWords>,
    /// create, bind, listen, connect, accept, send, recv, or out (connect, send), in (bind,
    /// listen, accept, recv) [default: any]
    #[arg(value_name = "OP", value_parser = words::operations)]
    operations: Vec<Operations>,
    /// Only with this peer, one in this network, this host ('*.example.org': all below)
    #[arg(long, value_name = "ADDR|CIDR|HOST", value_parser = words::peer)]
    to: Option<Peer>,
    /// Only with this port of the peer (443, 8000-8999)
    #[arg(long, value_name = "PORTS", default_value = "any", hide_default_value = true)]
    port: PortRange,
    /// Only with this port of its own
    #[arg(long, value_name = "PORTS", default_value = "any", hide_default_value = true)]
    local_port: PortRange,
    /// Only when it runs as this user
    #[arg(long, value_name = "NAME|UID", value_parser = words::user)]
    user: Option<u32>,
    /// Only processes of this unit (nginx.service, user-1000.slice), or in this cgroup
    /// (/user.slice/user-1000.slice)
    #[arg(long, value_name = "UNIT|CGROUP")]
    unit: Option<Unit>,
    /// Only processes in this container (a name or an id of docker, podman, LXC or systemd-nspawn);
    /// any: the program by its path, in whatever container or in none
    #[arg(long, value_name = "NAME|ID|any")]
    container: Option<Container>,
    /// Only with a command line like this: a pattern ('* /usr/local/bin/backup.py*')
    #[arg(long, value_name = "PATTERN")]
    command: Option<CommandPattern>,
    /// Only when it was started by this program: a name, a path or a pattern of paths
    #[arg(long, value_name = "PROGRAM")]
    parent: Option<Program>,
    /// How long there is this rule: a time like 1h30m, until-restart of snetd, or forever
    #[arg(long = "for", value_name = "TIME", default_value = "forever", hide_default_value = true,
        value_parser = words::rule_lifetime)]
    lifetime: Lifetime,
    /// The higher goes first; otherwise the narrower rule, then deny before allow before ask
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i32,
    /// Why there is this rule
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,
    /// Make it, but leave it without effect (see rules enable)
    #[arg(long)]
    disabled: bool,
}

impl Arguments {
    fn rule(self, action: Action) -> Result<RuleSpec, UsageError> {
        let words = self.protocol.unwrap_or(words::ProtocolWords::ANY);
        let given = self.operations.iter().fold(Operations::NONE, |all, word| all.union(*word));
        let (expires_at, until_restart) = self.lifetime.of_rule();
        let (remote, host) = Peer::parts(self.to);
        let scope = Scope {
            operations: if given.is_empty() { Operations::ANY } else { given },
            protocols: words.protocols,
            number: words.number,
            remote,
            remote_ports: self.port,
            local_ports: self.local_port,
        };
        let rule = RuleSpec {
            uid: self.user,
            unit: self.unit,
            container: self.container,
            command: self.command,
            parent: self.parent,
            host,
            priority: self.priority,
            enabled: !self.disabled,
            expires_at,
            until_restart,
            note: self.note,
            ..RuleSpec::new(action, program::parse(&self.program)?, scope)
        };
        rule.check().map_err(in_own_words)?;
        Ok(rule)
    }
}

/// Names the option instead of the field.
fn in_own_words(error: RuleError) -> UsageError {
    match error {
        RuleError::NoRemote("remote") => UsageError::new(RuleError::NoRemote("--to")),
        RuleError::NoRemote("remote_ports") => UsageError::new(RuleError::NoRemote("--port")),
        error => UsageError::new(error),
    }
}

/// Makes the rule and tells what it became.
pub(crate) fn run(action: Action, arguments: Arguments, session: &Session) -> anyhow::Result<Exit> {
    let rule = arguments.rule(action)?;
    let mut client = session.connect()?;
    let mut added = client.add_rule(rule.clone())?;
    if let Some(path) = path_out_of_reach(&added.changed) {
        added = replace(&mut client, added, rule, path)?;
    }
    added.notes.extend(other_file(&added.changed));
    tell(&added, session)?;
    Ok(Exit::Success)
}

/// Only the daemon knows its search path, so the answer to a name tells that it is of no use.
/// The rule for the path is made before the other goes: at no time is there none.
fn replace(
    client: &mut Client,
    named: Changed,
    mut rule: RuleSpec,
    path: String,
) -> anyhow::Result<Changed> {
    let id = named.changed.id;
    let name = std::mem::replace(&mut rule.program, Program::Path(path.clone().into()));
    let mut added = client
        .add_rule(rule)
        .with_context(|| format!("made rule {id} for {name}, but couldn't make one for {path}"))?;
    let deleted = client
        .delete_rule(id)
        .with_context(|| format!("can't delete rule {id} for {name}, which snetd doesn't find"))?;
    added.revoked += named.revoked + deleted.revoked;
    added
        .notes
        .push(format!("snetd doesn't find {name} in its search path: the rule is for {path}"));
    Ok(added)
}

fn tell(added: &Changed, session: &Session) -> anyhow::Result<()> {
    let out = &session.out;
    if out.json {
        return Ok(out.document(added)?);
    }
    let mut line = vec![Span::plain(format!("rule {}: ", added.changed.id))];
    line.extend(rule_text(&added.changed, &out.times));
    if !added.changed.spec.enabled {
        line.push(Span::plain(", disabled"));
    }
    out.line(&line)?;
    if added.revoked > 0 {
        out.line(&[Span::plain(format!("revoked {}", tickets_text(added.revoked)))])?;
    }
    for note in &added.notes {
        out.note(note);
    }
    Ok(())
}
