// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes rules as a file that reads back as the same rules.

use jiff::Timestamp;
use libsnet::policy::RuleSpec;
use serde::Serialize;

use super::{VERSION, Written};

#[derive(Serialize)]
struct File {
    version: u32,
    rule: Vec<Written>,
}

/// The text of a file with these rules, in this order.
pub(crate) fn write<'a>(rules: impl Iterator<Item = &'a RuleSpec>) -> anyhow::Result<String> {
    let file = File { version: VERSION, rule: rules.map(written).collect::<anyhow::Result<_>>()? };
    Ok(format!("# Rules of snet, first asked first.\n{}", toml::to_string(&file)?))
}

fn written(spec: &RuleSpec) -> anyhow::Result<Written> {
    let scope = &spec.scope;
    let protocol = scope.protocols.to_string();
    let until = spec.expires_at.map(Timestamp::from_millisecond).transpose()?;
    Ok(Written {
        action: spec.action,
        program: spec.program.to_string(),
        protocol: (protocol != "any").then_some(protocol),
        number: scope.number,
        operations: scope.operations,
        to: spec.host.as_ref().map(ToString::to_string).or(scope.remote.map(|net| net.to_string())),
        port: scope.remote_ports,
        local_port: scope.local_ports,
        user: spec.uid.map(|uid| uid.to_string()),
        unit: spec.unit.clone(),
        container: spec.container.clone(),
        command: spec.command.clone(),
        parent: spec.parent.clone(),
        priority: spec.priority,
        enabled: spec.enabled,
        until: until.map(|until| until.to_string()),
        until_restart: spec.until_restart,
        note: spec.note.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn what_is_written_reads_back_as_the_same_rules() {
        let rules: Vec<RuleSpec> = serde_json::from_value(serde_json::json!([
            { "action": "allow", "program": "any", "scope": { "operations": "any", "protocols": "any" } },
            { "action": "ask", "program": "curl", "uid": 0, "priority": -3, "enabled": false,
              "note": "a \"note\"\nof two lines", "until_restart": true,
              "scope": { "operations": "connect,send", "protocols": "udp", "remote": "2001:db8::/32",
                         "remote_ports": "53" } },
            { "action": "deny", "program": "/usr/bin/nginx", "unit": "nginx.service",
              "command": "nginx: *", "parent": "/usr/sbin/nginx", "expires_at": 1_800_000_000_123_i64,
              "scope": { "operations": "in", "protocols": "tcp,mptcp", "local_ports": "1-1023" } },
            { "action": "ask", "program": format!("sha256:{}", "0f".repeat(32)), "container": "web", "host": "*.example.org",
              "scope": { "operations": "out", "protocols": "any" } },
        ]))
        .unwrap();
        let text = write(rules.iter()).unwrap();
        let read: Vec<RuleSpec> =
            parse(&text).unwrap().into_iter().map(|entry| entry.spec).collect();
        assert_eq!(read, rules, "{text}");
    }

    #[test]
    fn a_protocol_number_is_kept_and_may_be_written_as_on_the_command_line() {
        let rule: RuleSpec = serde_json::from_value(serde_json::json!(
            { "action": "deny", "program": "any",
              "scope": { "operations": "create", "protocols": "raw,other", "number": 89 } }
        ))
        .unwrap();
        let text = write(std::iter::once(&rule)).unwrap();
        assert_eq!(parse(&text).unwrap()[0].spec, rule, "{text}");
        let short = "version = 1\n[[rule]]\naction = \"deny\"\nprogram = \"any\"\noperations = \"create\"\nprotocol = \"89\"\n";
        assert_eq!(parse(short).unwrap()[0].spec, rule);
    }
}
