// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the real `snet-tool` against a daemon that is played by a thread.
// Tests may unwrap, index and panic: that is how they fail. (Clippy's own exception leaves out
// the functions that they share.)
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod add_rule;
mod documents;
mod failures;
mod fake;
mod programs;
mod real;
mod rules;
mod status;
mod streams;
mod terminal;
mod tickets;
mod why;
