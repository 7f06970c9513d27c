// SPDX-License-Identifier: MIT OR Apache-2.0
//! Protocol, types and policy of the snet application firewall.
//!
//! Three layers, each usable without the ones behind it:
//!
//! * [`types`] are what the kernel module and a decider talk about: who ([`types::Subject`])
//!   attempts what ([`types::Object`]), and what is remembered ([`types::Ticket`]).
//! * [`wire`] turns them into netlink messages and back; [`client`] moves those messages.
//!   With both, a decider of your own takes ten lines: `examples/decide.rs`.
//! * [`policy`] decides events from rules. It is pure: no clock, no socket, no file.
//!
//! * [`ticket_table`] says which tickets count and which of them decides. Pure as well.
//!
//! [`control`] is the vocabulary of snetd's control socket.
#![forbid(unsafe_code)]

pub mod client;
pub mod control;
pub mod policy;
mod text;
pub mod ticket_table;
pub mod types;
#[rustfmt::skip]
pub mod uapi;
pub mod wire;
