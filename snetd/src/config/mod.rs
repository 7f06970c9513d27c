// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration file: its keys, its defaults, and how an error in it is told.
//!
//! Owns what may be written in `snetd.toml`. Must not open anything that the file names.
//! Hands a [`Config`] to the rest of the daemon, which never sees TOML.

mod defaults;
mod values;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use libsnet::control::UserPaths;
use libsnet::types::{Fallbacks, Limits, Operation, Protocols, Settings, Verdict, WatchSet};
use serde::Deserialize;

pub(crate) use values::{AbsolutePath, Count, KernelUse, Level, Lifetime, Period, SocketPath};

/// Where the configuration is unless `--config` says otherwise.
pub(crate) const DEFAULT_FILE: &str = "/etc/snet/snetd.toml";

/// Everything that `snetd.toml` says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The SQLite database with the rules and the journal.
    pub(crate) database: AbsolutePath,
    /// What to do without the kernel module.
    pub(crate) kernel: KernelUse,
    /// Directories in which the name of a program is looked up.
    pub(crate) search_path: Vec<AbsolutePath>,
    /// Least severe message that is logged.
    pub(crate) log_level: Level,
    /// The control socket.
    pub(crate) control: Control,
    /// Which calls are mediated.
    #[serde(deserialize_with = "watch::deserialize")]
    pub(crate) watch: BTreeMap<Operation, Protocols>,
    /// How calls are held.
    pub(crate) requests: Requests,
    /// What applies when no verdict comes, and when no rule matches.
    pub(crate) fallback: Fallback,
    /// How people are asked.
    pub(crate) ask: Ask,
    /// What the kernel remembers.
    pub(crate) tickets: Tickets,
    /// The record of decisions.
    pub(crate) journal: Journal,
}

/// The control socket.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Control {
    /// Its path; the directory is made when it is missing.
    pub(crate) socket: SocketPath,
    /// Members of this group may read; empty for root only.
    pub(crate) group: String,
    /// Connections at once.
    pub(crate) connections: Count<1, 4096>,
    /// Connections of one user at once.
    pub(crate) connections_per_user: Count<1, 4096>,
}

/// How calls are held.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Requests {
    /// How long a call is held without a verdict.
    pub(crate) deadline: Period,
    /// The same for non-blocking sockets and io_uring.
    pub(crate) nonblock_deadline: Period,
    /// Calls held at once.
    pub(crate) held: Count<1, 65536>,
    /// Calls of one process held at once.
    pub(crate) held_per_process: Count<1, 65536>,
}

/// What applies when no verdict comes, and when no rule matches.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fallback {
    /// For every operation that isn't named below.
    pub(crate) default: Verdict,
    pub(crate) create: Option<Verdict>,
    pub(crate) bind: Option<Verdict>,
    pub(crate) listen: Option<Verdict>,
    pub(crate) connect: Option<Verdict>,
    pub(crate) accept: Option<Verdict>,
    pub(crate) send: Option<Verdict>,
    pub(crate) recv: Option<Verdict>,
}

/// How people are asked.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Ask {
    /// Also about calls that no rule matches, instead of the fallback.
    pub(crate) unmatched: bool,
    /// How long a question stays open; then the fallback applies.
    pub(crate) timeout: Period,
}

/// What the kernel remembers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tickets {
    /// How long a ticket counts.
    pub(crate) lifetime: Lifetime,
    /// Tickets at once.
    pub(crate) kept: Count<1, 1_048_576>,
    /// Tickets of one process at once.
    pub(crate) kept_per_process: Count<1, 65536>,
}

/// The record of decisions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Journal {
    /// The newest entries are kept.
    pub(crate) keep_entries: Count<1, 100_000_000>,
    /// Entries younger than this are kept.
    pub(crate) keep_for: Lifetime,
    /// Decisions that may wait to be written; past it they are dropped and counted.
    pub(crate) queue: Count<64, 1_048_576>,
}

impl Config {
    /// Reads `file`. A missing file means the defaults unless a person named it.
    pub(crate) fn load(file: &Path, named: bool) -> Result<Self> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("can't read the configuration {}", file.display()));
            }
        };
        Self::parse(&text, file)
    }

    /// Makes it the configuration of a user's own daemon, whose places aren't to be chosen:
    /// snet-tool has to find them.
    pub(crate) fn belong_to_user(&mut self, paths: &UserPaths) -> Result<()> {
        self.database = AbsolutePath::new(&paths.database)?;
        self.control.socket = SocketPath::new(&paths.socket)
            .context("set XDG_RUNTIME_DIR to a directory with a short path")?;
        self.control.group = String::new();
        self.kernel = KernelUse::Off;
        Ok(())
    }

    /// What `text`, of this file, says.
    pub(crate) fn parse(text: &str, file: &Path) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let (line, column) = error.span().map_or((1, 1), |span| position(text, span.start));
            let what = error.message().replace('\n', "; ");
            anyhow!("{}:{line}:{column}: {what}", file.display())
        })
    }

    /// What the kernel is told, complete.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            deadline: Some(self.requests.deadline.get()),
            nonblock_deadline: Some(self.requests.nonblock_deadline.get()),
            fallbacks: self.fallback.complete(),
            limits: Limits {
                requests: Some(self.requests.held.get()),
                requests_per_process: Some(self.requests.held_per_process.get()),
                tickets: Some(self.tickets.kept.get()),
                tickets_per_process: Some(self.tickets.kept_per_process.get()),
            },
        }
    }

    /// Every operation with the protocols to mediate: one that isn't named is given with
    /// none, so that the kernel forgets what an earlier daemon watched.
    pub(crate) fn watch_set(&self) -> WatchSet {
        Operation::ALL
            .iter()
            .map(|operation| (*operation, self.watch.get(operation).copied().unwrap_or_default()))
            .collect()
    }

    /// The search path as plain paths.
    pub(crate) fn search_path(&self) -> Vec<PathBuf> {
        self.search_path.iter().map(|path| path.as_path().to_owned()).collect()
    }
}

impl Fallback {
    /// The fallback of each operation.
    pub(crate) fn complete(&self) -> Fallbacks {
        let own = |operation| match operation {
            Operation::Create => self.create,
            Operation::Bind => self.bind,
            Operation::Listen => self.listen,
            Operation::Connect => self.connect,
            Operation::Accept => self.accept,
            Operation::Send => self.send,
            Operation::Recv => self.recv,
        };
        Operation::ALL
            .iter()
            .map(|operation| (*operation, own(*operation).unwrap_or(self.default)))
            .collect()
    }
}

/// Line and column, counted from 1, of a byte in the text.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Config::parse(text, Path::new("/etc/x.toml")).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_file_says_what_is_built_in() {
        let shipped = include_str!("../../snetd.toml");
        assert_eq!(Config::parse(shipped, Path::new("snetd.toml")).unwrap(), Config::default());
    }

    #[test]
    fn the_shipped_file_names_every_key() {
        let shipped = include_str!("../../snetd.toml");
        for key in [
            "database",
            "kernel",
            "search_path",
            "log_level",
            "socket",
            "group",
            "connections",
            "connections_per_user",
            "connect",
            "bind",
            "listen",
            "deadline",
            "nonblock_deadline",
            "held",
            "held_per_process",
            "default",
            "unmatched",
            "timeout",
            "lifetime",
            "kept",
            "kept_per_process",
            "keep_entries",
            "keep_for",
            "queue",
        ] {
            assert!(shipped.lines().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
        }
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(Config::parse("", Path::new("x")).unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place() {
        let error = refusal("# first\n[requests]\n  dedline = \"2s\"\n");
        assert!(error.starts_with("/etc/x.toml:3:3: unknown field `dedline`"), "{error}");
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_at_its_place() {
        let error = refusal("[requests]\ndeadline = \"11m\"\n");
        assert!(error.starts_with("/etc/x.toml:2:12: ") && error.contains("10m"), "{error}");
        assert!(refusal("[requests]\nheld = 0\n").contains("from 1 to 65536"));
        assert!(refusal("database = \"snet.db\"\n").contains("absolute"));
        assert!(refusal("[watch]\nconnect = \"tpc\"\n").contains("'tpc'"));
        assert!(refusal("log_level = \"loud\"\n").contains("loud"));
    }

    #[test]
    fn an_error_is_one_line() {
        let error = refusal("log_level = \"lo\\nud\"\n");
        assert!(error.starts_with("/etc/x.toml:1:13: ") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn an_operation_overrides_the_default_fallback() {
        let config =
            Config::parse("[fallback]\ndefault = \"deny\"\nlisten = \"allow\"\n", Path::new("x"))
                .unwrap();
        let fallbacks = config.fallback.complete();
        assert_eq!(fallbacks[&Operation::Listen], Verdict::Allow);
        assert_eq!(fallbacks[&Operation::Connect], Verdict::Deny);
        assert_eq!(fallbacks.len(), Operation::ALL.len());
    }

    #[test]
    fn what_no_hook_sees_is_not_accepted_as_watched() {
        let error = refusal("[watch]\nsend = \"tcp,udp\"\n");
        assert!(error.starts_with("/etc/x.toml:2:8: send: ") && error.ends_with("remove tcp"));
        assert!(refusal("[watch]\nrecv = \"mptcp\"\n").contains("recv"));
    }

    #[test]
    fn any_means_all_that_a_hook_sees() {
        let config = Config::parse("[watch]\nsend = \"any\"\n", Path::new("x")).unwrap();
        assert_eq!(config.watch_set()[&Operation::Send], Operation::Send.mediated());
    }

    #[test]
    fn operations_that_are_not_watched_are_given_to_the_kernel_as_empty() {
        let config = Config::parse("[watch]\nconnect = \"tcp\"\n", Path::new("x")).unwrap();
        let watch = config.watch_set();
        assert!(watch[&Operation::Listen].is_empty());
        assert_eq!(watch[&Operation::Connect].to_string(), "tcp");
    }
}
