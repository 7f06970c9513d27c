// SPDX-License-Identifier: MIT OR Apache-2.0
//! `status`: is the firewall at work?

use std::time::Duration;

use clap::Args;
use libsnet::control::{DaemonStatus, KernelStatus, StatusReply, SupervisedStatus};
use libsnet::types::{Cause, Stats};

use super::Session;
use super::decision::fallback_cause;
use crate::exit::Exit;
use crate::output::{Output, OutputError, Span, Style, duration, now};

/// Nothing to say.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool status
  snet-tool status --json | jq .kernel.stats.held

The exit code is 6 when snetd answers, but nothing is mediated.")]
pub(crate) struct Arguments {}

/// Prints it, and tells by the exit code too whether anything is mediated.
pub(crate) fn run(_: Arguments, session: &Session) -> anyhow::Result<Exit> {
    let status = session.connect()?.status()?;
    tell(&status, &session.out)?;
    let mediates = status.kernel.is_some() || status.supervised.supervisors > 0;
    Ok(if mediates { Exit::Success } else { Exit::NothingMediated })
}

fn tell(status: &StatusReply, out: &Output) -> Result<(), OutputError> {
    if out.json {
        return out.document(status);
    }
    tell_daemon(&status.daemon, out)?;
    match &status.kernel {
        Some(kernel) => tell_kernel(kernel, &status.daemon, out)?,
        None if status.supervised.supervisors > 0 => {
            let text = "no module: only programs under `snet-tool run` are mediated";
            field(out, "kernel", Span::plain(text))?;
        }
        None => {
            let text = "the module isn't loaded, or snetd isn't its decider: nothing is mediated";
            field(out, "kernel", Span::new(text, Style::Bad))?;
        }
    }
    tell_supervised(&status.supervised, out)
}

fn tell_supervised(supervised: &SupervisedStatus, out: &Output) -> Result<(), OutputError> {
    if *supervised == SupervisedStatus::default() {
        return Ok(());
    }
    let SupervisedStatus { supervisors, calls, ticket_allowed, ticket_denied, tickets } =
        supervised;
    let text = format!(
        "{supervisors} under `snet-tool run`; {calls} calls, of which tickets allowed \
         {ticket_allowed} and denied {ticket_denied}; {tickets} tickets now"
    );
    field(out, "programs", Span::plain(text))
}

fn field(out: &Output, name: &str, value: Span) -> Result<(), OutputError> {
    out.line(&[Span::new(name, Style::Bold).padded(10), value])
}

fn tell_daemon(daemon: &DaemonStatus, out: &Output) -> Result<(), OutputError> {
    let up = u64::try_from(now().saturating_sub(daemon.started_at)).unwrap_or(0);
    field(
        out,
        "snetd",
        Span::plain(format!(
            "{}, process {}, up {} (since {})",
            daemon.version,
            daemon.pid,
            duration(Duration::from_millis(up)),
            out.times.moment(daemon.started_at),
        )),
    )?;
    if let Some(problem) = &daemon.problem {
        field(out, "problem", Span::new(problem, Style::Bad))?;
    }
    let rules = format!("{}, policy generation {}", daemon.rules, daemon.generation);
    field(out, "rules", Span::plain(rules))?;
    field(out, "decided", Span::plain(daemon.decided))?;
    if daemon.questions > 0 {
        let text = format!("{} wait for an answer: see snet-tool pending", daemon.questions);
        field(out, "questions", Span::new(text, Style::Bold))?;
    }
    let style = if daemon.journal_dropped > 0 { Style::Bad } else { Style::Plain };
    field(out, "journal", Span::new(format!("{} entries lost", daemon.journal_dropped), style))
}

fn tell_kernel(
    kernel: &KernelStatus,
    daemon: &DaemonStatus,
    out: &Output,
) -> Result<(), OutputError> {
    let stats = &kernel.stats;
    let decider = match stats.decider {
        Some(pid) if pid == daemon.pid => Span::new("decided by this snetd", Style::Good),
        Some(pid) => Span::new(format!("decided by process {pid}, not by this snetd"), Style::Bad),
        None => Span::new("without a decider", Style::Bad),
    };
    let protocol = Span::plain(format!("protocol {}, ", kernel.abi_version));
    out.line(&[Span::new("kernel", Style::Bold).padded(10), protocol, decider])?;
    field(out, "calls", Span::plain(format!("{}, {} held now", stats.calls, stats.held)))?;
    field(
        out,
        "tickets",
        Span::plain(format!(
            "{} now, of {} processes and programs; allowed {}, denied {}",
            stats.tickets, stats.owners, stats.ticket_allowed, stats.ticket_denied,
        )),
    )?;
    field(
        out,
        "verdicts",
        Span::plain(format!(
            "allowed {}, denied {}; events sent {}",
            stats.verdict_allowed, stats.verdict_denied, stats.events,
        )),
    )?;
    field(out, "fallbacks", fallbacks(stats))?;
    field(out, "killed", Span::plain(format!("{} while held", stats.killed)))?;
    field(out, "refused", Span::plain(format!("{} source routes", stats.refused)))?;
    let told = format!("{} decisions of the kernel not told: too many", stats.audit_dropped);
    field(out, "audit", Span::plain(told))
}

/// How many calls got the fallback, by cause; causes that never were are left out.
fn fallbacks(stats: &Stats) -> Span {
    let causes = [
        (stats.fallback_deadline, Cause::Deadline),
        (stats.fallback_no_decider, Cause::NoDecider),
        (stats.fallback_decider_gone, Cause::DeciderGone),
        (stats.fallback_stalled, Cause::Stalled),
        (stats.fallback_bounds, Cause::Bounds),
        (stats.fallback_lost, Cause::Lost),
    ];
    let total = causes.iter().fold(0u64, |sum, (count, _)| sum.saturating_add(*count));
    let listed: Vec<String> = causes
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, cause)| format!("{} {count}", fallback_cause(*cause)))
        .collect();
    if listed.is_empty() {
        Span::plain(total)
    } else {
        Span::plain(format!("{total}: {}", listed.join(", ")))
    }
}
