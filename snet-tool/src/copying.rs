// SPDX-License-Identifier: MIT OR Apache-2.0
//! Has snetd copy its database, for `backup` and `restore`. snetd owns the database, this program
//! the file at the other end.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use crate::commands::count_text;
use crate::user_daemon;

/// Which database.
#[derive(Args)]
pub(crate) struct Which {
    /// That of this user's own snetd, which `snet-tool run` starts [default for all but root]
    #[arg(long, conflicts_with = "config")]
    user: bool,
    /// That of the snetd with this configuration [default for root: /etc/snet/snetd.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Which {
    pub(crate) fn is_own(&self) -> bool {
        self.user || (self.config.is_none() && !Uid::effective().is_root())
    }
}

/// What was done.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Done {
    /// What snetd doesn't know.
    #[serde(default)]
    pub(crate) file: PathBuf,
    pub(crate) database: PathBuf,
    pub(crate) rules: u64,
    /// Of the journal.
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// What a restore has kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<PathBuf>,
}

impl Done {
    /// `2 rules, 1 entry of the journal`.
    pub(crate) fn contents(&self) -> String {
        let rules = count_text(self.rules, "rule", "rules");
        format!("{rules}, {} of the journal", count_text(self.entries, "entry", "entries"))
    }
}

/// Runs it to its end: `way` is `--backup` or `--restore`.
pub(crate) fn snetd(way: &str, which: &Which, input: Stdio, output: Stdio) -> Result<Done> {
    let program = user_daemon::program()?;
    let mut command = Command::new(&program);
    command.arg(way);
    if which.is_own() {
        command.arg("--user");
    }
    if let Some(config) = &which.config {
        command.arg("--config").arg(config);
    }
    let started = command.stdin(input).stdout(output).stderr(Stdio::piped()).spawn();
    let child = started.with_context(|| format!("can't start {}", program.display()))?;
    let ended = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if !ended.status.success() {
        match said.trim().strip_prefix("snetd: ") {
            Some(why) => bail!("{why}"),
            None => bail!("{} ended ({}): {}", program.display(), ended.status, said.trim()),
        }
    }
    serde_json::from_str(&said)
        .with_context(|| format!("{} isn't of this version: it said {said:?}", program.display()))
}
