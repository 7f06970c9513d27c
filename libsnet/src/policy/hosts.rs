// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of hosts, and the addresses that stand for them now.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::compile::Standing;
use super::{Freshness, Policy, Rule, RuleSpec};
use crate::types::{Object, Scope};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Longest name, in bytes (RFC 1035, without the dot at its end).
const MAX: usize = 253;

/// Which hosts a rule is about: `example.org`, or `*.debian.org`, which is every name below
/// `debian.org`. Case doesn't matter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern(String);

/// A text that names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no address, network, or name of a host: expected for example 192.0.2.1, \
     2001:db8::/32, example.org or '*.example.org' (names with other letters in their xn-- form)"
)]
pub struct ParseHostError(String);

impl HostPattern {
    /// Is it about the host with this name, in lower case and without a dot at its end?
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(below) => name.len() > below.len() && name.ends_with(below),
            None => name == self.0,
        }
    }

    /// The only name that it is about, if it is about one.
    pub fn name(&self) -> Option<&str> {
        (!self.0.starts_with('*')).then_some(&self.0)
    }

    /// As it was written, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostPattern {
    type Err = ParseHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseHostError(text.chars().take(100).collect());
        let lower = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let name = lower.strip_prefix("*.").unwrap_or(&lower);
        let usual = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        let is_label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(usual);
        let last = name.rsplit('.').next().unwrap_or_default();
        // What ends in a number is an address, or meant to be one.
        let is_number = last.bytes().all(|digit| digit.is_ascii_digit());
        if name.len() > MAX || is_number || !name.split('.').all(is_label) {
            return Err(refuse());
        }
        Ok(Self(lower))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

crate::text::serde_as_text!(HostPattern);

/// The names that addresses stand for at a moment. Finding them out, and when they end, is the
/// daemon's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts(HashMap<IpAddr, Vec<Box<str>>>);

impl Hosts {
    /// Says that an address stands for a name, in lower case and without a dot at its end.
    pub fn insert(&mut self, address: IpAddr, name: &str) {
        let names = self.0.entry(address.to_canonical()).or_default();
        if !names.iter().any(|known| **known == *name) {
            names.push(name.into());
        }
    }

    /// Does the address stand for a host that is meant?
    pub fn is(&self, address: IpAddr, host: &HostPattern) -> bool {
        self.0.get(&address).is_some_and(|names| names.iter().any(|name| host.matches(name)))
    }

    /// Does it stand for any?
    pub fn knows(&self, address: IpAddr) -> bool {
        self.0.contains_key(&address)
    }
}

/// Every address.
pub(super) const EVERYWHERE: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
];

impl Policy {
    /// Is there a rule about this call, were its address one of a host that rules name, and
    /// nothing known of that address?
    pub fn misses_host(&self, object: &Object) -> bool {
        let unknown = object.remote.filter(|remote| !self.hosts.knows(remote.ip()));
        self.wants.hosts && unknown.is_some()
    }

    /// Does the rule cover the call? With an address that nothing is known of, it depends on an
    /// answer that may just have come.
    pub(super) fn reaches(
        &self,
        rule: &Rule,
        object: &Object,
        freshness: Freshness,
    ) -> Option<Standing> {
        if !rule.spec.scope.covers(object) {
            return None;
        }
        let Some(host) = &rule.spec.host else { return Some(Standing::Matches) };
        let address = object.remote?.ip();
        if self.hosts.is(address, host) {
            return Some(Standing::Matches);
        }
        let unsure = freshness == Freshness::Unsure && !self.hosts.knows(address);
        unsure.then_some(Standing::Stale)
    }

    /// Does it cover all calls of the scope?
    pub(super) fn contains(&self, rule: &Rule, scope: &Scope) -> bool {
        let is_host = |host| single(scope).is_some_and(|address| self.hosts.is(address, host));
        rule.spec.scope.contains(scope) && rule.spec.host.as_ref().is_none_or(is_host)
    }

    /// May it cover one of them?
    pub(super) fn overlaps(&self, rule: &Rule, scope: &Scope) -> bool {
        let Some(host) = &rule.spec.host else { return rule.spec.scope.overlaps(scope) };
        let to_any = EVERYWHERE.map(|net| Scope { remote: Some(net), ..rule.spec.scope.clone() });
        to_any.iter().any(|calls| calls.overlaps(scope))
            && single(scope).is_none_or(|address| self.hosts.is(address, host))
    }
}

/// The only address in a scope.
fn single(scope: &Scope) -> Option<IpAddr> {
    let remote = scope.remote?;
    (remote.prefix_len() == remote.max_prefix_len()).then_some(remote.addr())
}

impl RuleSpec {
    /// The calls that a ticket for this one may cover at most: the addresses of a host change,
    /// so that one ticket is for one of them.
    pub(super) fn scope_around(&self, object: &Object) -> Scope {
        let address = object.remote.filter(|_| self.host.is_some());
        let remote = address.map(|remote| IpNet::from(remote.ip())).or(self.scope.remote);
        Scope { remote, ..self.scope.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<HostPattern>().unwrap().matches(name)
    }

    #[test]
    fn a_star_is_every_name_below() {
        assert!(matches("example.org", "example.org") && matches("Example.ORG.", "example.org"));
        assert!(!matches("example.org", "www.example.org"));
        assert!(matches("*.debian.org", "deb.debian.org"));
        assert!(matches("*.debian.org", "a.b.debian.org"));
        assert!(!matches("*.debian.org", "debian.org"));
        assert!(!matches("*.debian.org", "notdebian.org"));
    }

    #[test]
    fn what_names_no_host_is_refused() {
        for text in [
            "",
            ".",
            "*",
            "*.",
            "a..b",
            "10.0.0",
            "300.1.1.1",
            "exa mple.org",
            "exämple.org",
            "a.*.org",
            "*.*.org",
            "www*.org",
            "example.org:80",
            &"a".repeat(64),
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
        assert!("localhost".parse::<HostPattern>().is_ok());
        assert!("_dmarc.xn--exmple-cua.org".parse::<HostPattern>().is_ok());
    }

    #[test]
    fn an_address_may_stand_for_several_names() {
        let mut hosts = Hosts::default();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        hosts.insert("::ffff:192.0.2.1".parse().unwrap(), "a.example");
        hosts.insert(address, "b.example");
        assert!(hosts.is(address, &"*.example".parse().unwrap()));
        assert!(hosts.is(address, &"b.example".parse().unwrap()));
        assert!(!hosts.is(address, &"c.example".parse().unwrap()));
        assert!(!hosts.knows("192.0.2.2".parse().unwrap()));
    }
}
