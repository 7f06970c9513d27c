// SPDX-License-Identifier: MIT OR Apache-2.0
//! `snet-tool run` natively: real programs, a daemon that is started on the spot, and attempts to
//! get past the supervisor.
// Tests may unwrap, index and panic: that is how they fail. (Clippy's own exception leaves out
// the functions that they share.)
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod asking;
mod backup;
mod clock;
mod deciding;
mod disk;
mod disk_faults;
mod documents;
mod harness;
mod killed;
mod large_programs;
mod modes;
mod processes;
mod programs;
mod rights;
mod rule_sets;
mod semantics;
mod soak;
mod sound;
mod visitor;
