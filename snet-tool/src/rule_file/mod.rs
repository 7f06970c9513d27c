// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules as a TOML file: the words are those of the command line.
//!
//! Owns the schema, its errors with line and column, and how rules are written. `lint` says what
//! is odd about a set of rules, `diff` what differs between two. Nothing here talks to snetd.

mod diff;
mod lint;
mod read;
mod write;

use libsnet::policy::{Action, CommandPattern, Container, Program, RuleSpec, Unit};
use libsnet::types::{Operations, PortRange};
use serde::{Deserialize, Serialize};

pub(crate) use diff::difference;
pub(crate) use lint::lints;
pub(crate) use read::{Entry, parse};
pub(crate) use write::write;

/// The version of the schema.
const VERSION: u32 = 1;

/// One rule, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// `allow`, `deny` or `ask`.
    action: Action,
    /// `any`, a name, or an absolute path.
    program: String,
    /// As on the command line: `tcp`, `tcp,udp`, a number, or `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    /// The protocol number, beside `protocol`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u16>,
    /// `connect`, `bind,listen`, `out`, or `any`.
    #[serde(default = "any_operations")]
    operations: Operations,
    /// An address, a network or the name of the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Ports of the peer.
    #[serde(default = "any_port", skip_serializing_if = "is_any_port")]
    port: PortRange,
    /// Own ports.
    #[serde(default = "any_port", skip_serializing_if = "is_any_port")]
    local_port: PortRange,
    /// Name or number of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// `nginx.service`, or the path of a cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<Unit>,
    /// Its name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    container: Option<Container>,
    /// A pattern of command lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<CommandPattern>,
    /// The program that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Program>,
    #[serde(default, skip_serializing_if = "is_zero")]
    priority: i32,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    enabled: bool,
    /// `2026-12-31T23:59:59Z`: when it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// It ends with snetd.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    until_restart: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    note: String,
}

fn any_operations() -> Operations {
    Operations::ANY
}

fn any_port() -> PortRange {
    PortRange::ANY
}

fn is_any_port(range: &PortRange) -> bool {
    range.is_any()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_yes(enabled: &bool) -> bool {
    *enabled
}

/// Which host and which processes of the program are meant, for people: ` in nginx.service`.
pub(crate) fn conditions(spec: &RuleSpec) -> String {
    let direction = spec.scope.operations.direction();
    let host = spec.host.as_ref().map(|host| format!(" {direction} {host}"));
    let unit = spec.unit.as_ref().map(|unit| format!(" in {unit}"));
    let container = spec.container.as_ref().map(|name| format!(" in container {name}"));
    let command = spec.command.as_ref().map(|pattern| format!(" run as '{pattern}'"));
    let parent = spec.parent.as_ref().map(|program| format!(" started by {program}"));
    [host, unit, container, command, parent].into_iter().flatten().collect()
}

/// The rule in one line, for people: `deny curl tcp connect to 10.0.0.0/8`.
pub(crate) fn line(spec: &RuleSpec) -> String {
    let mut line = format!("{} {} {}", spec.action, spec.program, spec.scope);
    if let Some(uid) = spec.uid {
        line.push_str(&format!(" for uid {uid}"));
    }
    line.push_str(&conditions(spec));
    if spec.priority != 0 {
        line.push_str(&format!(", priority {}", spec.priority));
    }
    if !spec.enabled {
        line.push_str(", disabled");
    }
    line
}

#[cfg(test)]
mod tests {
    const PAGE: &str = include_str!("../../../packaging/snet-rules.5");

    #[test]
    fn the_page_tells_every_field_and_its_example_is_right() {
        let unknown = "version = 1\n[[rule]]\nnothing = 1\n";
        let errors = super::parse(unknown).unwrap_err();
        let (_, expected) = errors[0].split_once("expected one of ").unwrap();
        let fields: Vec<&str> = expected.split(", ").map(|field| field.trim_matches('`')).collect();
        assert!(fields.len() > 15, "{fields:?}");
        for field in &fields {
            assert!(PAGE.contains(&format!(".It Ic {field}\n")), "{field} isn't in the page");
        }
        assert_eq!(PAGE.matches(".It Ic ").count(), fields.len());
        let (_, example) = PAGE.split_once(".Bd -literal -offset indent\n").unwrap();
        let (example, _) = example.split_once(".Ed").unwrap();
        assert_eq!(super::parse(example).unwrap().len(), 2);
    }
}
