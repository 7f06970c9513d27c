// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules of tickets as a program: a step per line of standard input, its answer per line of
//! standard output, both JSON. The test in the VM asks it and the kernel module the same things.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use libsnet::policy::Identity;
use libsnet::ticket_table::{Bounds, Owner, TicketTable};
use libsnet::types::{Object, ProcessKey, Scope, Ticket, TicketId, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};

/// What happens, `now` milliseconds after some moment.
#[derive(Debug, Deserialize)]
struct Step {
    now: u64,
    #[serde(flatten)]
    event: Event,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Event {
    /// At the beginning, and when they change; answers null.
    Bounds { total: usize, per_process: usize },
    /// A call; answers the verdict and the ticket, or null.
    Decide { caller: Caller, object: Object },
    /// The tickets of a verdict; answers why they aren't kept, or null.
    Install { caller: Caller, tickets: Vec<Given> },
    /// Answers null.
    Forked { parent: ProcessKey, child: ProcessKey },
    /// Answers null.
    Executed { process: ProcessKey },
    /// Answers null.
    Ended { tgid: u32 },
    /// Answers whether there was one.
    Revoke { id: u64 },
    /// Answers how many count.
    Count {},
}

/// Who calls, and from where; the namespaces are one number.
#[derive(Debug, Deserialize)]
struct Caller {
    process: ProcessKey,
    uid: u32,
    namespaces: u32,
    cgroup: u64,
    device: u64,
    inode: u64,
}

/// A ticket; its lifetime is in milliseconds.
#[derive(Debug, Deserialize)]
struct Given {
    id: u64,
    scope: Scope,
    verdict: Verdict,
    lifetime: Option<u64>,
    uses: Option<u32>,
    inherit: bool,
}

impl From<Caller> for Owner {
    fn from(caller: Caller) -> Self {
        Self {
            process: caller.process,
            uid: caller.uid,
            network: caller.namespaces.into(),
            net_ns: caller.namespaces,
            user_ns: caller.namespaces,
            cgroup_id: caller.cgroup,
            exe: Some(Identity { device: caller.device, inode: caller.inode }),
        }
    }
}

impl From<Given> for Ticket {
    fn from(given: Given) -> Self {
        Self {
            lifetime: given.lifetime.map(Duration::from_millis),
            uses: given.uses,
            inherit: given.inherit,
            ..Self::new(TicketId(given.id), given.scope, given.verdict)
        }
    }
}

fn answer(table: &mut TicketTable, step: Step) -> Value {
    let now = Duration::from_millis(step.now);
    match step.event {
        Event::Bounds { total, per_process } => table.set_bounds(Bounds { total, per_process }),
        Event::Decide { caller, object } => {
            let hit = table.decide(&caller.into(), &object, now);
            return hit.map_or(Value::Null, |hit| json!([hit.verdict, hit.id]));
        }
        Event::Install { caller, tickets } => {
            let tickets = tickets.into_iter().map(Into::into).collect();
            let kept = table.install(caller.into(), tickets, now);
            return kept.err().map_or(Value::Null, |error| error.to_string().into());
        }
        Event::Forked { parent, child } => table.forked(parent, child, now),
        Event::Executed { process } => table.executed(process),
        Event::Ended { tgid } => table.ended(tgid),
        Event::Revoke { id } => return table.revoke(TicketId(id)).into(),
        Event::Count {} => return table.list(now).count().into(),
    }
    Value::Null
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut table = TicketTable::new(Bounds { total: 0, per_process: 0 });
    for line in io::stdin().lock().lines() {
        let step = serde_json::from_str(&line?)?;
        let mut out = io::stdout().lock();
        writeln!(out, "{}", answer(&mut table, step))?;
        out.flush()?;
    }
    Ok(())
}
