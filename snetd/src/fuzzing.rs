// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `fuzz/` reaches of the daemon: the parsers of what others write.

use std::net::IpAddr;
use std::path::Path;

use libsnet::types::{Settings, WatchSet};

use crate::config::Config;
pub use crate::control::fuzzing::{Meant, call, messages};
use crate::names;

/// What the kernel is told by a configuration file of this name.
///
/// # Errors
/// What is wrong with it, with its place.
pub fn config(text: &str, file: &Path) -> Result<(WatchSet, Settings), String> {
    let config = Config::parse(text, file).map_err(|error| format!("{error:#}"))?;
    Ok((config.watch_set(), config.settings()))
}

/// The names and addresses of an answer of a name server, from its datagram.
pub fn dns(datagram: &[u8]) -> Option<(Vec<String>, Vec<IpAddr>)> {
    names::fuzzing::answer(datagram)
}

/// How many packets, from their IP headers on, hold an answer that is believed from this server.
pub fn packets(packets: &[&[u8]], server: IpAddr) -> usize {
    names::fuzzing::believed(packets, server)
}
