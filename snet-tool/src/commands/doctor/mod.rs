// SPDX-License-Identifier: MIT OR Apache-2.0
//! `doctor`: what keeps snet from working on this machine, and what to do about it.
//!
//! Looks at files under `/proc`, `/sys` and `/boot`, asks snetd for its status, and makes one call that
//! is held; changes nothing.

mod machine;
mod probe;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use libsnet::control::{DEFAULT_SOCKET, StatusReply};
use nix::unistd::User;
use serde::Serialize;

use self::machine::{Machine, kernel, locks, module, supervision};
use self::probe::Probe;
use super::Session;
use crate::exit::Exit;
use crate::output::{Span, Style, duration};

/// Nothing to say.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool doctor
  snet-tool doctor --json | jq -r 'select(.state != \"ok\").advice'

The exit code is 1 when something keeps snet from deciding every program's calls.")]
pub(crate) struct Arguments {}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// It works, but not all of it, or not for long.
    Warning,
    /// It doesn't.
    Bad,
}

/// What was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    about: &'static str,
    state: State,
    what: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    advice: String,
}

impl Finding {
    fn ok(about: &'static str, what: impl Into<String>) -> Self {
        Self { about, state: State::Ok, what: what.into(), advice: String::new() }
    }

    fn warning(about: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, state: State::Warning, what: what.into(), advice: advice.into() }
    }

    fn bad(about: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, state: State::Bad, what: what.into(), advice: advice.into() }
    }
}

/// Tells all findings, and by the exit code whether any of them is bad.
pub(crate) fn run(_: &Arguments, session: &Session) -> anyhow::Result<Exit> {
    let machine = Machine { root: "/".into() };
    let began = Instant::now();
    let status = session.connect().and_then(|mut client| client.status());
    let answered = began.elapsed();
    let mut findings = kernel(&machine);
    findings.push(module(&machine));
    findings.extend(locks(&machine));
    match &status {
        Ok(status) => {
            findings.extend(daemon(status));
            let what = format!("answered in {}", duration(answered));
            findings.push(Finding::ok("socket", what));
            findings.extend(status.kernel.is_some().then(verdict));
        }
        Err(error) => findings.push(Finding::bad(
            "snetd",
            error.to_string(),
            "as root: systemctl enable --now snetd; journalctl -u snetd -u snetd.socket says why it doesn't run",
        )),
    }
    findings.extend(socket(Path::new(DEFAULT_SOCKET)));
    findings.push(supervision(&machine));
    for finding in &findings {
        tell(finding, session)?;
    }
    let bad = findings.iter().any(|finding| finding.state == State::Bad);
    Ok(if bad { Exit::Failure } else { Exit::Success })
}

fn tell(finding: &Finding, session: &Session) -> anyhow::Result<()> {
    let out = &session.out;
    if out.json {
        return Ok(out.document(finding)?);
    }
    let (word, style) = match finding.state {
        State::Ok => ("ok", Style::Good),
        State::Warning => ("warning", Style::Bold),
        State::Bad => ("bad", Style::Bad),
    };
    let about = Span::plain(finding.about).padded(12);
    out.line(&[Span::new(word, style).padded(9), about, Span::plain(&finding.what)])?;
    if !finding.advice.is_empty() {
        out.line(&[Span::plain("").padded(21), Span::dim(format!("→ {}", finding.advice))])?;
    }
    Ok(())
}

fn daemon(status: &StatusReply) -> Vec<Finding> {
    let mut findings = vec![match &status.daemon.problem {
        None => {
            let what =
                format!("{} runs, with {} rules", status.daemon.version, status.daemon.rules);
            Finding::ok("snetd", what)
        }
        Some(problem) => Finding::warning("snetd", problem.clone(), "journalctl -u snetd"),
    }];
    findings.push(match &status.kernel {
        Some(_) => Finding::ok("decider", "snetd decides what the module holds"),
        None => Finding::bad(
            "decider",
            "snetd isn't the module's decider: no program is mediated but those under `run`",
            "load the module; another decider may be registered",
        ),
    });
    if status.daemon.journal_dropped > 0 {
        let what = format!("{} entries were lost", status.daemon.journal_dropped);
        findings.push(Finding::warning(
            "journal",
            what,
            "the disk is full, or slower than the calls",
        ));
    }
    findings
}

/// Longer than a daemon takes that answers by its rules; the deadline is two seconds, as shipped.
const SLOW: Duration = Duration::from_millis(1500);

/// Whether snetd answers what the module holds, by a call of this process.
fn verdict() -> Finding {
    let after = |probe: &Probe| {
        let word = if probe.allowed { "allowed" } else { "denied" };
        format!("a call of its own was {word} after {}", duration(probe.after))
    };
    match probe::attempt() {
        Ok(probe) if probe.after < SLOW => Finding::ok("verdict", after(&probe)),
        Ok(probe) => Finding::warning(
            "verdict",
            after(&probe),
            "a rule may ask a person about it: snet-tool test snet-tool udp connect --to 127.0.0.1:9; \
             else the machine is too busy for snetd to answer in time",
        ),
        Err(error) => {
            let what = format!("a call of its own failed: {error}");
            Finding::warning("verdict", what, "ip link set lo up, if that is down")
        }
    }
}

/// Only root and the daemon's own user may make another socket in its place.
fn socket(path: &Path) -> Option<Finding> {
    let directory = fs::metadata(path.parent()?).ok()?;
    let daemon = User::from_name("snetd").ok().flatten().map(|user| user.uid.as_raw());
    let owner = directory.uid();
    let open = (owner != 0 && Some(owner) != daemon) || directory.mode() & 0o022 != 0;
    open.then(|| {
        let place = path.parent().unwrap_or(path).display();
        Finding::bad(
            "socket",
            format!("others than root and snetd may write into {place}, and take snetd's place"),
            format!("chown root {place}; chmod 755 {place}"),
        )
    })
}
