// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `fuzz/` reaches of the command line: the parsers of what others write.

use std::net::IpAddr;

use ipnet::IpNet;
use libsnet::policy::RuleSpec;
use libsnet::types::{Operation, Operations, Protocol, Protocols};

pub use crate::client::fuzzing::{answers, frames};
use crate::{rule_file, words};

/// The rules of a file.
///
/// # Errors
/// Each as `line:column: what`.
pub fn read_rules(text: &str) -> Result<Vec<RuleSpec>, Vec<String>> {
    Ok(rule_file::parse(text)?.into_iter().map(|entry| entry.spec).collect())
}

/// What is odd about the rules of a file, and each as it is told.
///
/// # Errors
/// As of [`read_rules`].
pub fn tell_rules(text: &str) -> Result<Vec<String>, Vec<String>> {
    let entries = rule_file::parse(text)?;
    let mut told = rule_file::lints(&entries);
    told.extend(entries.iter().map(|entry| rule_file::line(&entry.spec)));
    Ok(told)
}

/// A file with these rules.
///
/// # Errors
/// What can't be written.
pub fn write_rules(rules: &[RuleSpec]) -> Result<String, String> {
    rule_file::write(rules.iter()).map_err(|error| format!("{error:#}"))
}

/// PROTO of a rule: classes of socket, and a protocol number.
///
/// # Errors
/// What the word should have been.
pub fn protocols(text: &str) -> Result<(Protocols, Option<u16>), String> {
    words::protocols(text).map(|words| (words.protocols, words.number))
}

/// PROTO of a single call.
pub fn protocol(text: &str) -> Result<(Protocol, Option<u16>), String> {
    words::protocol(text)
}

/// OP of a rule.
pub fn operations(text: &str) -> Result<Operations, String> {
    words::operations(text)
}

/// OP of a single call.
pub fn operation(text: &str) -> Result<Operation, String> {
    words::operation(text)
}

/// An address or a network.
pub fn network(text: &str) -> Result<IpNet, String> {
    words::network(text)
}

/// An address, perhaps with a port.
pub fn endpoint(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    words::endpoint(text)
}

/// When a rule ends that is made for this time, and whether with snetd.
pub fn lifetime(text: &str) -> Result<(Option<i64>, bool), String> {
    words::rule_lifetime(text).map(words::Lifetime::of_rule)
}
