// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use libsnet::control::UserPaths;

use crate::config::{Config, DEFAULT_FILE, KernelUse};

/// The daemon of the snet application firewall.
///
/// Answers the kernel module's questions from the rules in its database. Rules are made
/// with snet-tool.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub(crate) struct Args {
    /// Read this configuration [default: /etc/snet/snetd.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only say whether the configuration is right
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Give the module what it needs to decide before the daemon runs, and end: settings, what to
    /// watch, and tickets for the programs of rules
    #[arg(long, conflicts_with_all = ["no_kernel", "user"])]
    pub(crate) early: bool,
    /// Write the database to this file, and end; a daemon may run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["early", "restore"])]
    pub(crate) backup: Option<PathBuf>,
    /// Put this file, which --backup wrote, in the place of the database, and end; no daemon may run
    #[arg(long, value_name = "FILE", conflicts_with = "early")]
    pub(crate) restore: Option<PathBuf>,
    /// With --backup: over a file that exists
    #[arg(long, requires = "backup")]
    pub(crate) force: bool,
    /// Never talk to the kernel module, as with `kernel = "off"`
    #[arg(long)]
    no_kernel: bool,
    /// Be the daemon of this user alone, for programs that `snet-tool run` supervises:
    /// database, socket and configuration under the XDG directories, no kernel module
    #[arg(long, conflicts_with = "no_kernel")]
    pub(crate) user: bool,
}

impl Args {
    /// Where the configuration is.
    pub(crate) fn file(&self) -> Result<PathBuf> {
        match &self.config {
            Some(file) => Ok(file.clone()),
            None if self.user => Ok(user_paths()?.config),
            None => Ok(PathBuf::from(DEFAULT_FILE)),
        }
    }

    /// The configuration as it is in the file now.
    pub(crate) fn configuration(&self) -> Result<Config> {
        let mut config = Config::load(&self.file()?, self.config.is_some())?;
        if self.user {
            config.belong_to_user(&user_paths()?)?;
        }
        if self.no_kernel {
            config.kernel = KernelUse::Off;
        }
        Ok(config)
    }
}

fn user_paths() -> Result<UserPaths> {
    UserPaths::new(|name| std::env::var_os(name))
        .context("this user has no home directory: set HOME to an absolute path")
}
