// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules made of calls that were learned. Pure.
//!
//! Owns how many calls become one rule: a program that talks to many addresses at a port is meant
//! to reach that port anywhere, and the other way round.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use libsnet::control::ProposalRecord;
use libsnet::policy::{Action, Program, RuleSpec};
use libsnet::types::{Operation, PortRange, Protocol, Protocols, Scope};

/// So many addresses at a port, or ports of an address, are told one by one.
const FEW: usize = 3;
/// So many rules for one program and operation are.
const SEVERAL: usize = 5;

/// A rule, and the calls that it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) rule: RuleSpec,
    pub(crate) calls: Vec<ProposalRecord>,
}

impl Proposal {
    /// How often such a call was made.
    pub(crate) fn count(&self) -> u64 {
        self.calls.iter().map(|call| call.count).sum()
    }
}

/// Who does what.
type Group = (String, u32, Operation, Protocol);

/// The rules that the calls come to; with `exact` one for each address and port.
pub(crate) fn proposals(calls: &[ProposalRecord], exact: bool) -> Vec<Proposal> {
    let mut groups: BTreeMap<Group, Vec<&ProposalRecord>> = BTreeMap::new();
    for call in calls {
        let group = (call.exe.clone(), call.uid, call.operation, call.protocol);
        groups.entry(group).or_default().push(call);
    }
    let of_group = groups.into_iter().flat_map(|(group, calls)| of_group(&group, &calls, exact));
    let mut proposals: Vec<Proposal> = of_group.collect();
    let first = |proposal: &Proposal| proposal.calls.iter().map(|call| call.first).min();
    proposals.sort_by_key(first);
    proposals
}

/// Address, where there is a peer, and port: the peer's, or else the own.
type Place = (Option<IpAddr>, u16);

fn place(call: &ProposalRecord) -> Place {
    match (call.remote, call.local) {
        (Some(remote), _) => (Some(remote.ip()), remote.port()),
        (None, local) => (None, local.map_or(0, |local| local.port())),
    }
}

fn of_group(group: &Group, calls: &[&ProposalRecord], exact: bool) -> Vec<Proposal> {
    let places: BTreeSet<Place> = calls.iter().map(|call| place(call)).collect();
    let count = |matches: &dyn Fn(&Place) -> bool| places.iter().filter(|at| matches(at)).count();
    let wide = |at: &Place| {
        let (address, port) = *at;
        if exact {
            (address, Some(port))
        } else if count(&|other| other.1 == port) > FEW {
            (None, Some(port))
        } else if address.is_some() && count(&|other| other.0 == address) > FEW {
            (address, None)
        } else {
            (address, Some(port))
        }
    };
    let several = places.iter().map(wide).collect::<BTreeSet<_>>().len() > SEVERAL && !exact;
    let mut rules: BTreeMap<(Option<IpAddr>, Option<u16>), Vec<ProposalRecord>> = BTreeMap::new();
    for call in calls {
        let key = if several { (None, None) } else { wide(&place(call)) };
        rules.entry(key).or_default().push((*call).clone());
    }
    let proposal = |((address, port), calls): (_, Vec<ProposalRecord>)| {
        let has_peer = calls.iter().any(|call| call.remote.is_some());
        Proposal { rule: rule(group, has_peer, address, port), calls }
    };
    rules.into_iter().map(proposal).collect()
}

fn rule(group: &Group, has_peer: bool, address: Option<IpAddr>, port: Option<u16>) -> RuleSpec {
    let (exe, uid, operation, protocol) = group;
    // A port that the system chose is none to be told.
    let port = port.filter(|port| *port != 0 || has_peer);
    let ports = port.and_then(|port| PortRange::new(port, port)).unwrap_or(PortRange::ANY);
    let (remote_ports, local_ports) =
        if has_peer { (ports, PortRange::ANY) } else { (PortRange::ANY, ports) };
    let scope = Scope {
        operations: (*operation).into(),
        protocols: Protocols::from(*protocol).as_rule(),
        remote: address.map(IpNet::from),
        remote_ports,
        local_ports,
        ..Scope::ANY
    };
    RuleSpec {
        uid: Some(*uid),
        note: "learned".to_owned(),
        ..RuleSpec::new(Action::Allow, Program::Path(exe.into()), scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(exe: &str, operation: &str, address: &str, first: i64) -> ProposalRecord {
        let (remote, local) = match operation {
            "connect" => (Some(address), "0.0.0.0:0"),
            _ => (None, address),
        };
        serde_json::from_value(serde_json::json!({
            "exe": exe, "uid": 0, "operation": operation, "protocol": "tcp", "remote": remote,
            "local": local, "count": 2, "first": first, "last": first,
        }))
        .unwrap()
    }

    fn told(calls: &[ProposalRecord], exact: bool) -> Vec<(String, u64)> {
        let line = |one: &Proposal| (crate::rule_file::line(&one.rule), one.count());
        proposals(calls, exact).iter().map(line).collect()
    }

    fn connects(addresses: &[&str]) -> Vec<ProposalRecord> {
        (0..).zip(addresses).map(|(at, address)| call("/bin/x", "connect", address, at)).collect()
    }

    #[test]
    fn a_few_addresses_are_told_one_by_one() {
        let calls = connects(&["10.0.0.2:443", "10.0.0.1:443"]);
        let allow = |to| format!("allow /bin/x tcp,mptcp connect to {to} port 443 for uid 0");
        assert_eq!(told(&calls, false), [(allow("10.0.0.2/32"), 2), (allow("10.0.0.1/32"), 2)]);
    }

    #[test]
    fn many_addresses_at_a_port_mean_the_port() {
        let calls =
            connects(&["10.0.0.1:443", "10.0.0.2:443", "[::1]:443", "10.0.0.4:443", "10.0.0.9:22"]);
        assert_eq!(
            told(&calls, false),
            [
                ("allow /bin/x tcp,mptcp connect port 443 for uid 0".into(), 8),
                ("allow /bin/x tcp,mptcp connect to 10.0.0.9/32 port 22 for uid 0".into(), 2),
            ]
        );
        assert_eq!(told(&calls, true).len(), 5);
    }

    #[test]
    fn many_ports_of_an_address_mean_the_address() {
        let calls = connects(&["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4"]);
        let all = ("allow /bin/x tcp,mptcp connect to 10.0.0.1/32 for uid 0".into(), 8);
        assert_eq!(told(&calls, false), [all]);
    }

    #[test]
    fn what_is_all_over_the_place_is_meant_everywhere() {
        let addresses: Vec<String> = (1..8).map(|n| format!("10.0.{n}.1:{n}")).collect();
        let calls = connects(&addresses.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(told(&calls, false), [("allow /bin/x tcp,mptcp connect for uid 0".into(), 14)]);
    }

    #[test]
    fn servers_are_told_by_their_own_port() {
        let calls = [
            call("/bin/x", "bind", "0.0.0.0:80", 1),
            call("/bin/x", "bind", "127.0.0.1:80", 2),
            call("/bin/y", "bind", "0.0.0.0:0", 3),
        ];
        assert_eq!(
            told(&calls, false),
            [
                ("allow /bin/x tcp,mptcp bind local port 80 for uid 0".into(), 4),
                ("allow /bin/y tcp,mptcp bind for uid 0".into(), 2),
            ]
        );
    }
}
