// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides events from rules. Pure: no clock, no socket, no file.
//!
//! [`rule`] is what people write. [`Policy::compile`] turns the enabled rules, and what
//! their programs are at this moment ([`ProgramTable`]), into a [`Policy`], which is never
//! edited: a change of either makes a new one. [`Policy::decide`] answers an event with a
//! decision and the ticket that may go with it, or asks to look at the files again;
//! [`Policy::answer`] says which calls a person's answer to [`Outcome::Ask`] may decide;
//! [`Policy::still_issues`] and [`Policy::still_issues_to_program`]
//! tell which tickets outlive a change. [`winner`] is the kernel's
//! choice among the tickets of a process.
//!
//! Soundness: while the policy stands, a ticket never decides a call differently from what
//! [`Policy::decide`] says of that call of that subject. Each ticket is sound alone, so that
//! no order among tickets, and no loss of one, can change a verdict.

mod agree;
mod answer;
mod command;
mod compile;
mod conditions;
mod container;
mod decide;
mod hosts;
mod issue;
mod pattern;
mod program;
pub mod rule;
mod tickets;
mod unit;

#[cfg(test)]
mod tests;

pub use agree::Names;
pub use answer::{Answered, Reach};
pub use command::{CommandPattern, ParseCommandError};
pub use compile::{Policy, Unmatched};
pub use conditions::Wants;
pub use container::{Container, ParseContainerError, container_of};
pub use decide::{Decision, Explanation, Freshness, Outcome, Source};
pub use hosts::{HostPattern, Hosts, ParseHostError};
pub use pattern::Pattern;
pub use program::{Candidate, Host, Identity, ProgramTable};
pub use rule::{Action, ParseProgramError, Program, Rule, RuleError, RuleSpec};
pub use tickets::winner;
pub use unit::{Cgroups, ParseUnitError, Unit};
