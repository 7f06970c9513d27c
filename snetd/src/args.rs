// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;

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
    /// Never talk to the kernel module, as with `kernel = "off"`
    #[arg(long)]
    no_kernel: bool,
}

impl Args {
    /// Where the configuration is.
    pub(crate) fn file(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE))
    }

    /// The configuration as it is in the file now.
    pub(crate) fn configuration(&self) -> Result<Config> {
        let mut config = Config::load(self.file(), self.config.is_some())?;
        if self.no_kernel {
            config.kernel = KernelUse::Off;
        }
        Ok(config)
    }
}
