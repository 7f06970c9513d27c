// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules as people write them, and the order in which they go.

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::types::{Operations, RuleId, Scope, Verdict};

/// Which programs a rule is about. Written `any`, `curl` (a name, looked up in the search
/// path of the daemon) or `/usr/bin/curl`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// Every program.
    Any,
    /// The program that this name finds in the search path, now or once it is installed.
    Name(String),
    /// The program at this absolute path.
    Path(PathBuf),
}

/// A text that names no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' names no program: expected a name without '/', an absolute path, or any")]
pub struct ParseProgramError(String);

impl FromStr for Program {
    type Err = ParseProgramError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseProgramError(text.to_owned());
        match text {
            "any" => Ok(Self::Any),
            "" | "." | ".." => Err(refuse()),
            _ if text.contains('\0') => Err(refuse()),
            _ if text.starts_with('/') => Ok(Self::Path(text.into())),
            _ if text.contains('/') => Err(refuse()),
            _ => Ok(Self::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.pad("any"),
            Self::Name(name) => f.pad(name),
            Self::Path(path) => f.pad(&path.to_string_lossy()),
        }
    }
}

impl Serialize for Program {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Program {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A rule before the database has numbered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// What happens to the calls it is about.
    pub action: Verdict,
    /// Whose calls: the program.
    pub program: Program,
    /// Whose calls: the effective user id; `None` means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Which calls. A rule for `tcp` also covers MPTCP.
    pub scope: Scope,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i32,
    /// Disabled rules decide nothing.
    #[serde(default = "enabled")]
    pub enabled: bool,
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
    /// A prefix of IPv4-mapped addresses.
    #[error("remote: {0} holds IPv4-mapped addresses, which snet treats as IPv4; write the IPv4 prefix")]
    MappedRemote(ipnet::IpNet),
    /// A text is longer than what is stored.
    #[error("{field}: longer than {max} bytes")]
    TooLong {
        /// The field.
        field: &'static str,
        /// What is allowed.
        max: usize,
    },
    /// A path that no executable has.
    #[error("program: '{0}' isn't a plain absolute path (no '.' or '..' in it)")]
    NotPlainPath(PathBuf),
}

impl RuleSpec {
    /// Longest note, in bytes.
    pub const MAX_NOTE: usize = 1024;
    /// Longest program path, in bytes (`PATH_MAX`).
    pub const MAX_PROGRAM: usize = 4096;

    /// Refuses rules that could never match or can't be kept.
    pub fn check(&self) -> Result<(), RuleError> {
        let scope = &self.scope;
        if scope.operations.is_empty() {
            return Err(RuleError::Empty("operations"));
        }
        if scope.protocols.is_empty() {
            return Err(RuleError::Empty("protocols"));
        }
        if Operations::WITHOUT_REMOTE.contains(scope.operations) {
            if scope.remote.is_some() {
                return Err(RuleError::NoRemote("remote"));
            }
            if !scope.remote_ports.is_any() {
                return Err(RuleError::NoRemote("remote_ports"));
            }
        }
        if let Some(ipnet::IpNet::V6(net)) = scope.remote
            && net.prefix_len() >= 96
            && net.addr().to_ipv4_mapped().is_some()
        {
            return Err(RuleError::MappedRemote(net.into()));
        }
        if self.note.len() > Self::MAX_NOTE {
            return Err(RuleError::TooLong { field: "note", max: Self::MAX_NOTE });
        }
        match &self.program {
            Program::Any => Ok(()),
            Program::Name(name) if name.len() <= 255 => Ok(()),
            Program::Name(_) => Err(RuleError::TooLong { field: "program", max: 255 }),
            Program::Path(path) if path.as_os_str().len() > Self::MAX_PROGRAM => {
                Err(RuleError::TooLong { field: "program", max: Self::MAX_PROGRAM })
            }
            Program::Path(path) => {
                let plain: PathBuf = path.components().collect();
                let dots = path.components().any(|part| {
                    matches!(part, std::path::Component::ParentDir | std::path::Component::CurDir)
                });
                if dots || plain.as_os_str() != path.as_os_str() {
                    return Err(RuleError::NotPlainPath(path.clone()));
                }
                Ok(())
            }
        }
    }

    /// How narrow the rule is: the larger goes first among rules of one priority.
    fn specificity(&self) -> impl Ord + use<> {
        let scope = &self.scope;
        let program = match self.program {
            Program::Any => 0,
            Program::Name(_) => 1,
            Program::Path(_) => 2,
        };
        // An IPv4 prefix is as narrow as its image among the IPv4-mapped IPv6 addresses.
        let remote = scope.remote.map(|net| match net {
            ipnet::IpNet::V4(net) => 96 + net.prefix_len(),
            ipnet::IpNet::V6(net) => net.prefix_len(),
        });
        (
            program,
            self.uid.is_some(),
            remote,
            Reverse(scope.remote_ports.len()),
            Reverse(scope.local_ports.len()),
            scope.number.is_some(),
            Reverse(scope.protocols.len()),
            Reverse(scope.operations.len()),
        )
    }
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
    /// then deny before allow, then the older one. Total over the rules of a database.
    pub fn precedence(&self, other: &Self) -> Ordering {
        let key = |rule: &Self| {
            (
                Reverse(rule.spec.priority),
                Reverse(rule.spec.specificity()),
                rule.spec.action == Verdict::Allow,
                rule.id,
            )
        };
        key(self).cmp(&key(other))
    }
}
