// SPDX-License-Identifier: MIT OR Apache-2.0
//! snetd: decides, from rules, the calls that the kernel module holds.
//!
//! A library for its own binary, and for `fuzz/` (feature `fuzzing`); offers nothing else.

mod activation;
mod answers;
mod args;
mod audit;
mod background;
mod backup;
mod cgroups;
mod compiled;
mod config;
mod confinement;
mod containers;
mod control;
mod daemon;
mod decider;
mod details;
mod early;
mod ends;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod imagined;
mod journal;
mod logging;
mod names;
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

pub use start::main;
