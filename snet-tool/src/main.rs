// SPDX-License-Identifier: MIT OR Apache-2.0
//! Command line of snet: rules, tickets and the journal of a running snetd.
#![forbid(unsafe_code)]

mod call;
mod cli;
mod client;
mod commands;
mod exit;
mod output;
mod program;
mod proposals;
mod replay;
mod rule_file;
mod user_daemon;
mod words;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let result = cli.run();
    exit::conclude(result).into()
}
