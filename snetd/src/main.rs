// SPDX-License-Identifier: MIT OR Apache-2.0
//! snetd: decides, from rules, the calls that the kernel module holds.

mod answers;
mod args;
mod audit;
mod background;
mod cgroups;
mod compiled;
mod config;
mod containers;
mod control;
mod daemon;
mod decider;
mod details;
mod ends;
mod imagined;
mod journal;
mod logging;
mod policy_control;
mod privileges;
mod problems;
mod processes;
mod questions;
mod resolve;
mod rule_sets;
mod service;
mod start;
mod store;
mod supervisors;
mod tickets;
mod watched;
mod watchers;

use std::process::ExitCode;

fn main() -> ExitCode {
    start::main()
}
