// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides events from rules. Pure: no clock, no socket, no file.
//!
//! [`rule`] is what people write; `compile` turns the enabled rules into a [`Policy`],
//! which decides; `issue` makes the ticket that goes with a decision.

pub mod rule;

pub use rule::{ParseProgramError, Program, Rule, RuleError, RuleSpec};
