// SPDX-License-Identifier: MIT OR Apache-2.0
//! Netlink messages as bytes.
//!
//! Owns the encoding of every message of `kernel/snet.yaml`, and of the few that generic
//! netlink itself adds (acknowledgements, the family's number). Owns no socket and no
//! sequence numbers: those are [`crate::client`]'s. Everything here is pure.
//!
//! neli encodes, and names the constants. It does not decode: its `String` panics on an
//! empty attribute and drops the last byte of one that doesn't end in NUL, its integers
//! accept attributes that are too long, and a message length below 16 panics in builds with
//! overflow checks. So [`Messages`], [`Attributes`] and the table behind them check every
//! length before a byte is looked at, and copy nothing.
//!
//! A message that comes from the kernel:
//!
//! ```text
//! Messages ─▶ Message ─▶ Genl ─▶ attributes ─▶ event::decode, ticket::decode, …
//!                  └───▶ Ack (NLMSG_ERROR, NLMSG_DONE)
//! ```
//!
//! Attributes that this version doesn't know are skipped, so that a newer kernel module can
//! say more. Attributes that it needs and doesn't find are an error that names them.

mod ack;
mod attribute;
pub mod audit;
mod encode;
mod error;
pub mod event;
pub mod family;
mod frame;
mod object;
mod request;
pub mod settings;
mod subject;
pub mod ticket;

pub use ack::Ack;
pub use attribute::{Attribute, Attributes};
pub use encode::Envelope;
pub use error::{AttributeName, DecodeError, EncodeError};
pub use frame::{Genl, Message, Messages};
pub use request::{Request, TicketSelector};
