// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules as people write them, and the order in which they go.

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::hosts::EVERYWHERE;
use super::{CommandPattern, Container, HostPattern, Pattern, Unit};
use crate::types::{
    Operation, ParseSha256Error, Protocol, Protocols, RuleId, Scope, Sha256, Verdict,
};

/// Which programs a rule is about. Written `any`, `curl` (a name, looked up in the search
/// path of the daemon), `/usr/bin/curl`, `/opt/*/bin/curl` (a pattern), or `sha256:` and the
/// sum of its content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// Every program.
    Any,
    /// The program that this name finds in the search path, now or once it is installed.
    Name(String),
    /// The program at this absolute path.
    Path(PathBuf),
    /// The programs at the paths that match.
    Pattern(Pattern),
    /// The programs with this content, wherever they are.
    Sha256(Sha256),
}

/// A text that names no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' names no program: {expected}")]
pub struct ParseProgramError {
    text: String,
    expected: String,
}

/// What a sum begins with.
const SHA256: &str = "sha256:";

impl FromStr for Program {
    type Err = ParseProgramError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseProgramError {
            text: text.to_owned(),
            expected: "expected a name without '/', an absolute path, or any".to_owned(),
        };
        if let Some(digits) = text.strip_prefix(SHA256) {
            let expected = |error: ParseSha256Error| ParseProgramError {
                text: text.to_owned(),
                expected: error.to_string(),
            };
            return digits.parse().map(Self::Sha256).map_err(expected);
        }
        match text {
            "any" => Ok(Self::Any),
            "" | "." | ".." => Err(refuse()),
            _ if text.contains('\0') => Err(refuse()),
            _ if text.starts_with('/') && Pattern::is_one(text) => {
                let pattern = Pattern::new(text);
                let expected = |expected| ParseProgramError { text: text.to_owned(), expected };
                pattern.map(Self::Pattern).map_err(expected)
            }
            _ if text.starts_with('/') => Ok(Self::Path(text.into())),
            _ if text.contains('/') || Pattern::is_one(text) => Err(refuse()),
            _ => Ok(Self::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.pad("any"),
            Self::Name(name) => f.pad(name),
            Self::Path(path) => f.pad(&Pattern::of_path(&path.to_string_lossy())),
            Self::Pattern(pattern) => f.pad(pattern.as_str()),
            Self::Sha256(sum) => f.pad(&format!("{SHA256}{sum}")),
        }
    }
}

crate::text::serde_as_text!(Program);

/// What a rule does with the calls that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// They fail with `EACCES`.
    Deny,
    /// They go on.
    Allow,
    /// They are held until a person has answered, or the time for it is over.
    Ask,
    /// Those that no rule decides go on, and are recorded so that rules can be made of them.
    Learn,
    /// All of them go on; what the other rules would have done is recorded.
    Observe,
}

impl Action {
    /// What it decides by itself.
    pub fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Deny => Some(Verdict::Deny),
            Self::Allow => Some(Verdict::Allow),
            Self::Ask | Self::Learn | Self::Observe => None,
        }
    }

    /// Does it have a place in the order of rules? The others apply wherever they stand.
    pub fn decides(self) -> bool {
        matches!(self, Self::Deny | Self::Allow | Self::Ask)
    }
}

impl From<Verdict> for Action {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Deny => Self::Deny,
            Verdict::Allow => Self::Allow,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Learn => "learn",
            Self::Observe => "observe",
        })
    }
}

/// A rule before the database has numbered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// What happens to the calls it is about.
    pub action: Action,
    /// Whose calls: the program.
    pub program: Program,
    /// Whose calls: the effective user id; `None` means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Whose calls: the unit that the process belongs to; `None` means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Whose calls: the container that the process is in; `None` means that a rule for a program
    /// is about those of the host, and one for any program about all of them. In a container a
    /// program is told by its path there, whatever file that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Whose calls: the command line; `None` means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandPattern>,
    /// Whose calls: the program that started the process; `None` means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Program>,
    /// Which calls. A rule for `tcp` also covers MPTCP.
    pub scope: Scope,
    /// Which calls: to the addresses that stand for this host at the time; `None` means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostPattern>,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// Disabled rules decide nothing.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// When it ends, in milliseconds since 1970 (UTC); `None` means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// It ends with the daemon that it was given to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_restart: bool,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

fn enabled() -> bool {
    true
}

/// Why a rule can't mean anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// A field holds nothing.
    #[error("{0}: names nothing, so that the rule could never match")]
    Empty(&'static str),
    /// A remote condition on operations that have no peer.
    #[error(
        "{0}: bind, listen and create name no remote address, so that the rule could never match; use a local port"
    )]
    NoRemote(&'static str),
    /// A condition on an IP address or port where there is none.
    #[error("{0}: packet and unix sockets have no IP address, so that the rule could never match")]
    NoAddress(&'static str),
    /// A condition on the own port of sockets that have none yet.
    #[error(
        "local_ports: a socket has no port when it is created, so that the rule could never match; use bind, listen or connect"
    )]
    NoPortYet,
    /// A prefix of IPv4-mapped addresses.
    #[error(
        "remote: {0} holds IPv4-mapped addresses, which snet treats as IPv4; write the IPv4 prefix"
    )]
    MappedRemote(ipnet::IpNet),
    /// A text is longer than what is stored.
    #[error("{field}: longer than {max} bytes")]
    TooLong {
        /// The field.
        field: &'static str,
        /// What is allowed.
        max: usize,
    },
    /// The kernel's word for "no user".
    #[error("uid: {} is no user id, so that the rule could never match", u32::MAX)]
    NoUser,
    /// An end that can't be written as a date.
    #[error("expires_at: so far away that no date says it; leave it out for never")]
    NoDate,
    /// A path that no executable has.
    #[error("{0}: '{1}' isn't a plain absolute path (no '.' or '..' in it)")]
    NotPlainPath(&'static str, PathBuf),
    /// A peer that is told twice.
    #[error("remote: the peer is a host or an address, not both")]
    HostAndRemote,
    /// A parent that isn't told by its path.
    #[error("parent: '{0}' can't be told of a parent; name a program, or leave it out for any")]
    NoParent(Program),
}

impl RuleSpec {
    /// A rule for these calls of every process of a program, for ever.
    pub fn new(action: Action, program: Program, scope: Scope) -> Self {
        Self {
            action,
            program,
            uid: None,
            unit: None,
            container: None,
            command: None,
            parent: None,
            scope,
            host: None,
            priority: 0,
            enabled: true,
            expires_at: None,
            until_restart: false,
            note: String::new(),
        }
    }

    /// Longest note, in bytes.
    pub const MAX_NOTE: usize = 1024;
    /// Longest program name, in bytes (`NAME_MAX`).
    pub const MAX_NAME: usize = 255;
    /// Longest program path, in bytes (`PATH_MAX`).
    pub const MAX_PROGRAM: usize = 4096;

    /// In milliseconds since 1970 (UTC).
    const YEAR_9999: i64 = 253_370_764_800_000;

    /// Refuses rules that could never match or can't be kept.
    pub fn check(&self) -> Result<(), RuleError> {
        if self.note.len() > Self::MAX_NOTE {
            return Err(RuleError::TooLong { field: "note", max: Self::MAX_NOTE });
        }
        if self.uid == Some(u32::MAX) {
            return Err(RuleError::NoUser);
        }
        if self.expires_at.is_some_and(|end| !(-Self::YEAR_9999..Self::YEAR_9999).contains(&end)) {
            return Err(RuleError::NoDate);
        }
        match (&self.host, self.scope.remote) {
            (Some(_), Some(_)) => return Err(RuleError::HostAndRemote),
            // A host is an address at last.
            (Some(_), None) => {
                let [v4, _] = EVERYWHERE;
                check_scope(&Scope { remote: Some(v4), ..self.scope.clone() })?;
            }
            (None, _) => check_scope(&self.scope)?,
        }
        if let Some(parent) = &self.parent {
            if matches!(parent, Program::Any | Program::Sha256(_)) {
                return Err(RuleError::NoParent(parent.clone()));
            }
            check_program(parent, "parent")?;
        }
        check_program(&self.program, "program")
    }

    /// The calls that the rule covers, in canonical form.
    pub fn effective_scope(&self) -> Scope {
        Scope {
            protocols: self.scope.protocols.as_rule(),
            remote: self.scope.remote.map(|net| net.trunc()),
            ..self.scope.clone()
        }
    }

    /// How narrow the rule is: the larger goes first among rules of one priority.
    fn specificity(&self) -> impl Ord + use<> {
        let program = match self.program {
            Program::Any => 0,
            Program::Pattern(_) => 1,
            Program::Name(_) => 2,
            Program::Path(_) => 3,
            Program::Sha256(_) => 4,
        };
        let details = (self.command.is_some(), self.parent.is_some());
        let place = (self.container.is_some(), self.unit.is_some());
        let host = self.host.as_ref().map(|host| host.name().is_some());
        (program, self.uid.is_some(), details, place, host, self.effective_scope().specificity())
    }
}

fn check_scope(scope: &Scope) -> Result<(), RuleError> {
    if scope.operations.is_empty() {
        return Err(RuleError::Empty("operations"));
    }
    if scope.protocols.is_empty() {
        return Err(RuleError::Empty("protocols"));
    }
    if let Some(ipnet::IpNet::V6(net)) = scope.remote
        && net.prefix_len() >= 96
        && net.addr().to_ipv4_mapped().is_some()
    {
        return Err(RuleError::MappedRemote(net.into()));
    }
    if scope.possible().operations.is_empty() {
        return Err(RuleError::NoRemote(peer_field(scope)));
    }
    if !scope.local_ports.has(0) && scope.operations == Operation::Create.into() {
        return Err(RuleError::NoPortYet);
    }
    let addressless = [Protocol::Packet, Protocol::Unix].into_iter().collect::<Protocols>();
    if addressless.contains(scope.protocols) {
        if scope.needs_peer() {
            return Err(RuleError::NoAddress(peer_field(scope)));
        }
        if !scope.local_ports.has(0) {
            return Err(RuleError::NoAddress("local_ports"));
        }
    }
    Ok(())
}

/// The field that makes the scope need a peer.
fn peer_field(scope: &Scope) -> &'static str {
    if scope.remote.is_some() { "remote" } else { "remote_ports" }
}

fn check_program(program: &Program, field: &'static str) -> Result<(), RuleError> {
    let (length, max) = match program {
        Program::Any | Program::Sha256(_) => return Ok(()),
        Program::Name(name) => (name.len(), RuleSpec::MAX_NAME),
        Program::Path(path) => (path.as_os_str().len(), RuleSpec::MAX_PROGRAM),
        Program::Pattern(pattern) => (pattern.as_str().len(), RuleSpec::MAX_PROGRAM),
    };
    if length > max {
        return Err(RuleError::TooLong { field, max });
    }
    let path = match program {
        Program::Path(path) => path.as_path(),
        Program::Pattern(pattern) => Path::new(pattern.as_str()),
        Program::Any | Program::Name(_) | Program::Sha256(_) => return Ok(()),
    };
    let plain: PathBuf = path.components().collect();
    let dots =
        path.components().any(|part| matches!(part, Component::ParentDir | Component::CurDir));
    if dots || plain.as_os_str() != path.as_os_str() || path.file_name().is_none() {
        return Err(RuleError::NotPlainPath(field, path.to_owned()));
    }
    Ok(())
}

/// A rule of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its number.
    pub id: RuleId,
    /// What it says.
    #[serde(flatten)]
    pub spec: RuleSpec,
}

impl Rule {
    /// The order in which rules are asked: priority (higher first), then the narrower one,
    /// then deny before allow before ask, then the older one. Total over the rules of a database.
    pub fn precedence(&self, other: &Self) -> Ordering {
        let key = |rule: &Self| {
            (
                Reverse(rule.spec.priority),
                Reverse(rule.spec.specificity()),
                rule.spec.action,
                rule.id,
            )
        };
        key(self).cmp(&key(other))
    }
}
