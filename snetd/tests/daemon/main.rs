// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the real binary, without a kernel module, and talks to its control socket.
//!
//! The modules say `cfg(test)`, which they are anyway, so that clippy takes what is beside
//! the tests for part of them.

#[cfg(test)]
mod activation;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod starting;
#[cfg(test)]
mod varlink;
