// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations and protocols, alone and as sets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::uapi;

/// A word that names no operation or protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} '{word}': expected one of {expected}")]
pub struct ParseMaskError {
    kind: &'static str,
    word: String,
    expected: String,
}

/// An enum of the protocol spec with its set type, its words and its group words.
macro_rules! vocabulary {
    (
        $(#[$entry_doc:meta])* $entry:ident, $(#[$set_doc:meta])* $set:ident, $kind:literal,
        { $($variant:ident = $value:path => $word:literal),+ $(,)? }
        groups { $($group:literal => $members:expr),+ $(,)? }
    ) => {
        $(#[$entry_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        #[repr(u32)]
        pub enum $entry { $(#[doc = concat!("`", $word, "`")] $variant = $value),+ }

        impl $entry {
            /// All of them, in the order of the protocol spec.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The entry with this number on the wire.
            pub fn from_number(number: u32) -> Option<Self> {
                Self::ALL.iter().copied().find(|entry| *entry as u32 == number)
            }

            /// The word for it in rules and on the command line.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $entry {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        $(#[$set_doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $set(u32);

        impl $set {
            /// No entry.
            pub const NONE: Self = Self(0);
            /// Every entry.
            pub const ANY: Self = Self(0 $(| 1 << $value)+);

            /// The set with these bits, or nothing when a bit has no meaning.
            pub fn from_bits(bits: u32) -> Option<Self> {
                (bits & !Self::ANY.0 == 0).then_some(Self(bits))
            }
            /// One bit per entry, as on the wire.
            pub const fn bits(self) -> u32 { self.0 }
            /// Is nothing in it?
            pub const fn is_empty(self) -> bool { self.0 == 0 }
            /// How many entries are in it.
            pub const fn len(self) -> u32 { self.0.count_ones() }
            /// Is this entry in it?
            pub const fn has(self, entry: $entry) -> bool { self.0 & 1 << entry as u32 != 0 }
            /// Is all of `other` in it?
            pub const fn contains(self, other: Self) -> bool { other.0 & !self.0 == 0 }
            /// Is anything in both?
            pub const fn overlaps(self, other: Self) -> bool { self.0 & other.0 != 0 }
            /// What is in either.
            pub const fn union(self, other: Self) -> Self { Self(self.0 | other.0) }
            /// What is in both.
            pub const fn intersection(self, other: Self) -> Self { Self(self.0 & other.0) }
            /// What is here and not in `other`.
            pub const fn without(self, other: Self) -> Self { Self(self.0 & !other.0) }
            /// The entries, in order.
            pub fn iter(self) -> impl Iterator<Item = $entry> {
                $entry::ALL.iter().copied().filter(move |entry| self.has(*entry))
            }
            /// The set that a word or group word means.
            fn from_word(word: &str) -> Result<Self, ParseMaskError> {
                $(if word == $word { return Ok($entry::$variant.into()); })+
                $(if word == $group { return Ok($members); })+
                let mut expected = vec![$($word),+];
                for group in [$($group),+] {
                    if !expected.contains(&group) { expected.push(group); }
                }
                let expected = expected.join(", ");
                Err(ParseMaskError { kind: $kind, word: word.to_owned(), expected })
            }
        }

        impl From<$entry> for $set {
            fn from(entry: $entry) -> Self { Self(1 << entry as u32) }
        }

        impl FromIterator<$entry> for $set {
            fn from_iter<I: IntoIterator<Item = $entry>>(entries: I) -> Self {
                entries.into_iter().fold(Self::NONE, |set, entry| set.union(entry.into()))
            }
        }

        /// Words separated by commas.
        impl FromStr for $set {
            type Err = ParseMaskError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.split(',').try_fold(Self::NONE, |set, word| {
                    Ok(set.union(Self::from_word(word.trim())?))
                })
            }
        }

        /// `any`, or words separated by commas.
        impl fmt::Display for $set {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                if *self == Self::ANY {
                    return f.pad("any");
                }
                f.pad(&self.iter().map($entry::word).collect::<Vec<_>>().join(","))
            }
        }

        impl Serialize for $set {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $set {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

vocabulary! {
    /// What a process attempts on a socket.
    Operation,
    /// A set of operations.
    Operations, "operation",
    {
        Create = uapi::operation::CREATE => "create",
        Bind = uapi::operation::BIND => "bind",
        Listen = uapi::operation::LISTEN => "listen",
        Connect = uapi::operation::CONNECT => "connect",
        Accept = uapi::operation::ACCEPT => "accept",
        Send = uapi::operation::SEND => "send",
        Recv = uapi::operation::RECV => "recv",
    }
    groups { "out" => Self::OUT, "in" => Self::IN, "any" => Self::ANY }
}

impl Operation {
    /// The protocols of which the kernel mediates this operation. What passes over a
    /// connection was decided when it was made, so that nothing is sent or received on
    /// stream sockets that would be asked about; a named message of SCTP is a `connect`.
    pub fn mediated(self) -> Protocols {
        let streams = Protocols::from(Protocol::Tcp).union(Protocol::Mptcp.into());
        match self {
            Self::Send => Protocols::ANY.without(streams.union(Protocol::Sctp.into())),
            Self::Recv => Protocols::ANY.without(streams),
            _ => Protocols::ANY,
        }
    }
}

impl Operations {
    /// `connect` and `send`.
    pub const OUT: Self = Self(1 << uapi::operation::CONNECT | 1 << uapi::operation::SEND);
    /// `bind`, `listen`, `accept` and `recv`.
    pub const IN: Self = Self(
        1 << uapi::operation::BIND
            | 1 << uapi::operation::LISTEN
            | 1 << uapi::operation::ACCEPT
            | 1 << uapi::operation::RECV,
    );
    /// Operations that name no remote address, so that no condition on one can match.
    pub const WITHOUT_REMOTE: Self = Self(
        1 << uapi::operation::CREATE | 1 << uapi::operation::BIND | 1 << uapi::operation::LISTEN,
    );

    /// The word that a remote address is told with: `from` where calls of these operations only
    /// come from it, else `to`.
    pub const fn direction(self) -> &'static str {
        let named = self.without(Self::WITHOUT_REMOTE);
        if !named.is_empty() && Self::IN.contains(named) { "from" } else { "to" }
    }
}

vocabulary! {
    /// The class of a socket; see `protocol` in `kernel/snet.yaml`.
    Protocol,
    /// A set of socket classes.
    Protocols, "protocol",
    {
        Tcp = uapi::protocol::TCP => "tcp",
        Udp = uapi::protocol::UDP => "udp",
        Udplite = uapi::protocol::UDPLITE => "udplite",
        Sctp = uapi::protocol::SCTP => "sctp",
        Mptcp = uapi::protocol::MPTCP => "mptcp",
        Icmp = uapi::protocol::ICMP => "icmp",
        Raw = uapi::protocol::RAW => "raw",
        Packet = uapi::protocol::PACKET => "packet",
        Unix = uapi::protocol::UNIX => "unix",
        Other = uapi::protocol::OTHER => "other",
    }
    groups { "any" => Self::ANY }
}

impl Protocols {
    /// What a *rule* for these protocols covers: one for `tcp` also covers MPTCP, since an
    /// MPTCP socket speaks TCP to every peer that knows no better.
    pub fn as_rule(self) -> Self {
        if self.has(Protocol::Tcp) { self.union(Protocol::Mptcp.into()) } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_word_means_its_members() {
        assert_eq!("out".parse(), Ok(Operations::OUT));
        assert_eq!("bind,listen".parse::<Operations>().unwrap().len(), 2);
        assert_eq!("any".parse(), Ok(Protocols::ANY));
    }

    #[test]
    fn an_address_is_from_where_calls_come_in() {
        let direction = |words: &str| words.parse::<Operations>().unwrap().direction();
        assert_eq!(["accept", "listen,accept", "in"].map(direction), ["from"; 3]);
        assert_eq!(["connect", "accept,connect", "any", "listen"].map(direction), ["to"; 4]);
    }

    #[test]
    fn what_is_displayed_parses_to_the_same_set() {
        for bits in 0..=Operations::ANY.bits() {
            let set = Operations::from_bits(bits).unwrap();
            if !set.is_empty() {
                assert_eq!(set.to_string().parse(), Ok(set));
            }
        }
    }

    #[test]
    fn an_unknown_word_is_named_with_the_known_ones() {
        let error = "tpc".parse::<Protocols>().unwrap_err().to_string();
        assert!(error.contains("'tpc'") && error.contains("tcp, udp"), "{error}");
        assert_eq!(error.matches("any").count(), 1);
    }

    #[test]
    fn bits_without_a_meaning_are_refused() {
        assert_eq!(Operations::from_bits(1 << 7), None);
        assert_eq!(Protocol::from_number(10), None);
    }

    #[test]
    fn a_rule_for_tcp_covers_mptcp_and_not_the_other_way_round() {
        assert!(Protocols::from(Protocol::Tcp).as_rule().has(Protocol::Mptcp));
        assert!(!Protocols::from(Protocol::Mptcp).as_rule().has(Protocol::Tcp));
    }
}
