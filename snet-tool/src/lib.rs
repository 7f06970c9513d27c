// SPDX-License-Identifier: MIT OR Apache-2.0
//! Command line of snet: rules, tickets and the journal of a running snetd.
//!
//! A library for its own binary, and for `fuzz/` (feature `fuzzing`); offers nothing else.
#![forbid(unsafe_code)]

mod call;
mod cli;
mod client;
mod commands;
mod copying;
mod exit;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod output;
mod program;
mod proposals;
mod replay;
mod rule_file;
mod user_daemon;
mod words;

use std::process::ExitCode;

use clap::Parser;

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let result = cli.run();
    exit::conclude(result).into()
}
