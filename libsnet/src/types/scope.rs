// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sets of calls: what a rule is about, and what a ticket covers.

use std::cmp::Reverse;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Object, Operations, Protocols};

/// Ports from `min` to `max`, both included. Written `443` or `8000-8999` or `any`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    min: u16,
    max: u16,
}

impl PortRange {
    /// Every port; as a condition on the remote port it also covers calls without one.
    pub const ANY: Self = Self { min: 0, max: u16::MAX };

    /// The range, or nothing when it is empty.
    pub fn new(min: u16, max: u16) -> Option<Self> {
        (min <= max).then_some(Self { min, max })
    }
    /// The first port.
    pub const fn min(self) -> u16 {
        self.min
    }
    /// The last port.
    pub const fn max(self) -> u16 {
        self.max
    }
    /// Is it every port?
    pub fn is_any(self) -> bool {
        self == Self::ANY
    }
    /// How many ports.
    pub fn count(self) -> u32 {
        u32::from(self.max) - u32::from(self.min) + 1
    }
    /// Is this port in it?
    pub fn has(self, port: u16) -> bool {
        self.range().contains(&port)
    }
    /// Is all of `other` in it?
    pub fn contains(self, other: Self) -> bool {
        self.min <= other.min && other.max <= self.max
    }
    /// Is any port in both?
    pub fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
    /// The ports in both; nothing when there is none.
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.min.max(other.min), self.max.min(other.max))
    }
    /// The ports around `port` that are here and not in `other`; nothing when `port` itself
    /// isn't such a one.
    pub fn around(self, port: u16, other: Self) -> Option<Self> {
        if !self.has(port) || other.has(port) {
            None
        } else if port < other.min {
            Self::new(self.min, self.max.min(other.min.saturating_sub(1)))
        } else {
            Self::new(self.min.max(other.max.saturating_add(1)), self.max)
        }
    }
    fn range(self) -> RangeInclusive<u16> {
        self.min..=self.max
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            f.pad("any")
        } else if self.min == self.max {
            f.pad(&self.min.to_string())
        } else {
            f.pad(&format!("{}-{}", self.min, self.max))
        }
    }
}

/// A text that is no port range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no port or port range: expected for example 443, 8000-8999 or any")]
pub struct ParsePortRangeError(String);

impl FromStr for PortRange {
    type Err = ParsePortRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParsePortRangeError(text.to_owned());
        if text == "any" {
            return Ok(Self::ANY);
        }
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let port = |word: &str| word.trim().parse::<u16>().map_err(|_| refuse());
        Self::new(port(min)?, port(max)?).ok_or_else(refuse)
    }
}

crate::text::serde_as_text!(PortRange);

/// A set of calls: the product of its conditions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// The operations.
    pub operations: Operations,
    /// The classes of socket.
    pub protocols: Protocols,
    /// The protocol number; `None` means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u16>,
    /// Where the peer must be; `None` means anywhere, and also calls that name no peer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "network")]
    pub remote: Option<IpNet>,
    /// The peer's port. Any range but [`PortRange::ANY`] only covers calls that name a peer.
    #[serde(default = "any_port", skip_serializing_if = "is_any_port")]
    pub remote_ports: PortRange,
    /// The own port, 0 while the socket has none.
    #[serde(default = "any_port", skip_serializing_if = "is_any_port")]
    pub local_ports: PortRange,
}

/// Without the bits behind the prefix, which mean nothing: the same rule shall be equal.
fn network<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<IpNet>, D::Error> {
    Ok(Option::<IpNet>::deserialize(deserializer)?.map(|network| network.trunc()))
}

fn any_port() -> PortRange {
    PortRange::ANY
}

fn is_any_port(range: &PortRange) -> bool {
    range.is_any()
}

impl Scope {
    /// Every call.
    pub const ANY: Self = Self {
        operations: Operations::ANY,
        protocols: Protocols::ANY,
        number: None,
        remote: None,
        remote_ports: PortRange::ANY,
        local_ports: PortRange::ANY,
    };

    /// Is this call in the set? The kernel module answers the same for a ticket.
    pub fn covers(&self, object: &Object) -> bool {
        self.operations.has(object.operation)
            && self.protocols.has(object.protocol)
            && self.number.is_none_or(|number| number == object.number)
            && self.covers_remote(object)
            && self.local_ports.has(object.local_port())
    }

    fn covers_remote(&self, object: &Object) -> bool {
        let Some(remote) = object.remote else {
            return self.remote.is_none() && self.remote_ports.is_any();
        };
        self.remote.is_none_or(|net| net.contains(&remote.ip()))
            && self.remote_ports.has(remote.port())
    }

    /// Is every call of `other` in it?
    pub fn contains(&self, other: &Self) -> bool {
        self.operations.contains(other.operations)
            && self.protocols.contains(other.protocols)
            && (self.number.is_none() || self.number == other.number)
            && match (self.remote, other.remote) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(mine), Some(theirs)) => mine.contains(&theirs),
            }
            && self.remote_ports.contains(other.remote_ports)
            && self.local_ports.contains(other.local_ports)
    }

    /// May a call be in both? Errs on the side of yes, as for a protocol whose sockets never
    /// have the number that is asked for.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.possible(), other.possible());
        mine.operations.overlaps(theirs.operations)
            && mine.protocols.overlaps(theirs.protocols)
            && match (mine.number, theirs.number) {
                (Some(mine), Some(theirs)) => mine == theirs,
                _ => true,
            }
            && match (mine.remote, theirs.remote) {
                (Some(mine), Some(theirs)) => mine.contains(&theirs) || theirs.contains(&mine),
                _ => true,
            }
            && mine.remote_ports.overlaps(theirs.remote_ports)
            && mine.local_ports.overlaps(theirs.local_ports)
    }

    /// The calls in both; nothing when there is none.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let remote = match (self.remote, other.remote) {
            (Some(mine), Some(theirs)) if mine.contains(&theirs) => Some(theirs),
            (Some(mine), Some(theirs)) if theirs.contains(&mine) => Some(mine),
            (Some(_), Some(_)) => return None,
            (mine, theirs) => mine.or(theirs),
        };
        let number = match (self.number, other.number) {
            (Some(mine), Some(theirs)) if mine != theirs => return None,
            (mine, theirs) => mine.or(theirs),
        };
        let (operations, protocols) = (
            self.operations.intersection(other.operations),
            self.protocols.intersection(other.protocols),
        );
        if operations.is_empty() || protocols.is_empty() {
            return None;
        }
        Some(Self {
            operations,
            protocols,
            number,
            remote,
            remote_ports: self.remote_ports.intersection(other.remote_ports)?,
            local_ports: self.local_ports.intersection(other.local_ports)?,
        })
    }

    /// Does it only cover calls that name a peer?
    pub fn needs_peer(&self) -> bool {
        self.remote.is_some() || !self.remote_ports.is_any()
    }

    /// The same calls, without the words for calls that can't exist: with a condition on the
    /// peer, the operations that name none.
    pub fn possible(&self) -> Self {
        let mut scope = self.clone();
        if self.needs_peer() {
            scope.operations = scope.operations.without(Operations::WITHOUT_REMOTE);
        }
        scope
    }

    /// How narrow it is: the larger is the more specific. Compares the prefix of the peer
    /// first, then the peer's ports, the own ports, the protocol number, the number of
    /// protocols and of operations.
    pub fn specificity(&self) -> impl Ord + use<> {
        // An IPv4 prefix is as narrow as its image among the IPv4-mapped IPv6 addresses.
        let remote = self.remote.map(|net| match net {
            IpNet::V4(net) => 96 + net.prefix_len(),
            IpNet::V6(net) => net.prefix_len(),
        });
        (
            remote,
            Reverse(self.remote_ports.count()),
            Reverse(self.local_ports.count()),
            self.number.is_some(),
            Reverse(self.protocols.len()),
            Reverse(self.operations.len()),
        )
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocols, self.operations)?;
        if let Some(number) = self.number {
            write!(f, " number {number}")?;
        }
        if let Some(remote) = self.remote {
            write!(f, " {} {remote}", self.operations.direction())?;
        }
        if !self.remote_ports.is_any() {
            write!(f, " port {}", self.remote_ports)?;
        }
        if !self.local_ports.is_any() {
            write!(f, " local port {}", self.local_ports)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_behind_a_prefix_are_not_read() {
        let read = |remote: &str| -> Scope {
            let scope = serde_json::json!({
                "operations": "connect", "protocols": "tcp", "remote": remote,
            });
            serde_json::from_value(scope).unwrap()
        };
        assert_eq!(read("10.1.2.3/8"), read("10.0.0.0/8"));
    }
}
