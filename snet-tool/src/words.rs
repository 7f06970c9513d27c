// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of the command line: protocols, operations, addresses, ports, users, times.
//!
//! Each function is a clap value parser: its error says what the word should have been.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use libsnet::policy::HostPattern;
use libsnet::types::{Operation, Operations, Protocol, Protocols};
use nix::unistd::User;

use crate::output::now;

/// Protocol numbers that have a class of their own.
const NUMBERS: &[(u16, Protocol)] = &[
    (1, Protocol::Icmp),
    (6, Protocol::Tcp),
    (17, Protocol::Udp),
    (58, Protocol::Icmp),
    (132, Protocol::Sctp),
    (136, Protocol::Udplite),
    (262, Protocol::Mptcp),
];

/// What PROTO of a rule means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProtocolWords {
    /// The classes of socket.
    pub(crate) protocols: Protocols,
    /// The protocol number, when it has no class of its own.
    pub(crate) number: Option<u16>,
}

impl ProtocolWords {
    /// Every protocol.
    pub(crate) const ANY: Self = Self { protocols: Protocols::ANY, number: None };
}

/// `tcp`, `tcp,udp`, `any`, or a protocol number.
pub(crate) fn protocols(text: &str) -> Result<ProtocolWords, String> {
    let mut all = Protocols::NONE;
    let mut number = None;
    let mut words = 0;
    for word in text.split(',').map(str::trim) {
        words += 1;
        match known_number(word)? {
            Word::Class(protocol) => all = all.union(protocol.into()),
            Word::Number(unknown) => number = Some(unknown),
            Word::Other => all = all.union(parse_protocols(word)?),
        }
    }
    match number {
        None => Ok(ProtocolWords { protocols: all, number }),
        Some(number) if words > 1 => {
            Err(format!("{number} can't stand beside other protocols: make a rule for each"))
        }
        // Only raw sockets and those of no known class can carry such a number.
        Some(_) => Ok(ProtocolWords {
            protocols: [Protocol::Raw, Protocol::Other].into_iter().collect(),
            number,
        }),
    }
}

/// The protocol of a single call, with its number where the word gave one.
pub(crate) fn protocol(text: &str) -> Result<(Protocol, Option<u16>), String> {
    match known_number(text)? {
        Word::Class(protocol) => return Ok((protocol, None)),
        Word::Number(number) => return Ok((Protocol::Raw, Some(number))),
        Word::Other => {}
    }
    single(parse_protocols(text)?.iter(), text, "protocol").map(|protocol| (protocol, None))
}

enum Word {
    Class(Protocol),
    Number(u16),
    Other,
}

fn known_number(word: &str) -> Result<Word, String> {
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Word::Other);
    }
    let number =
        word.parse().map_err(|_| format!("protocol numbers go from 0 to 65535, not to {word}"))?;
    let class = NUMBERS.iter().find(|(known, _)| *known == number);
    Ok(class.map_or(Word::Number(number), |(_, protocol)| Word::Class(*protocol)))
}

fn parse_protocols(word: &str) -> Result<Protocols, String> {
    word.to_lowercase().parse::<Protocols>().map_err(|error| {
        if operations(word).is_ok() {
            format!("'{word}' is an operation; the protocol stands before it: any {word}")
        } else {
            format!("{error}, or a protocol number")
        }
    })
}

/// `connect`, `bind,listen`, `out`, `in`, `any`.
pub(crate) fn operations(text: &str) -> Result<Operations, String> {
    text.to_lowercase().parse::<Operations>().map_err(|error| error.to_string())
}

/// The operation of a single call.
pub(crate) fn operation(text: &str) -> Result<Operation, String> {
    single(operations(text)?.iter(), text, "operation")
}

fn single<T>(mut entries: impl Iterator<Item = T>, text: &str, kind: &str) -> Result<T, String> {
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry),
        _ => Err(format!("'{text}' is more than one {kind}; a call has one")),
    }
}

/// Whom a rule lets a program talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peer {
    Network(IpNet),
    Host(HostPattern),
}

impl Peer {
    /// The network and the host, of which there is one.
    pub(crate) fn parts(peer: Option<Self>) -> (Option<IpNet>, Option<HostPattern>) {
        match peer {
            Some(Self::Network(net)) => (Some(net), None),
            Some(Self::Host(host)) => (None, Some(host)),
            None => (None, None),
        }
    }
}

/// `10.0.0.0/8`, one address, `example.org`, or `*.example.org`.
pub(crate) fn peer(text: &str) -> Result<Peer, String> {
    match (network(text), text.parse()) {
        (Ok(net), _) => Ok(Peer::Network(net)),
        (Err(_), Ok(host)) => Ok(Peer::Host(host)),
        (Err(error), Err(_)) => Err(error),
    }
}

/// `10.0.0.0/8`, or one address.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = bare(text).parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    if let Ok(net) = text.parse::<IpNet>() {
        return Ok(net.trunc());
    }
    if text.parse::<SocketAddr>().is_ok() {
        return Err("an address or prefix without a port; the port goes to --port".into());
    }
    Err("expected an address (192.0.2.1, 2001:db8::1), a prefix (10.0.0.0/8), or the name of a host \
         (example.org, or '*.example.org' for all below); no --to means any"
        .into())
}

/// `192.0.2.1`, `192.0.2.1:443`, `[2001:db8::1]:443`, `2001:db8::1`.
pub(crate) fn endpoint(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(address) = bare(text).parse::<IpAddr>() {
        return Ok((address.to_canonical(), None));
    }
    match text.parse::<SocketAddr>() {
        Ok(remote) => Ok((remote.ip().to_canonical(), Some(remote.port()))),
        Err(_) => Err("expected an address with or without a port (192.0.2.1:443, \
                       [2001:db8::1]:443); host names aren't looked up"
            .into()),
    }
}

fn bare(text: &str) -> &str {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
}

/// A user name, or a user id.
pub(crate) fn user(text: &str) -> Result<u32, String> {
    match User::from_name(text) {
        Ok(Some(user)) => return Ok(user.uid.as_raw()),
        Ok(None) => {}
        Err(errno) => return Err(format!("can't look up user '{text}': {errno}")),
    }
    match text.parse() {
        // The kernel's word for "no user".
        Ok(u32::MAX) => Err(format!("{text} is no user id")),
        Ok(uid) => Ok(uid),
        Err(_) => Err(format!("no user '{text}': expected a user name or a user id")),
    }
}

/// How long something counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// For calls that wait now.
    Once,
    /// Until the process ends.
    UntilExit,
    /// Until snetd ends.
    UntilRestart,
    /// From now on for so long.
    For(Duration),
    /// Always.
    Forever,
}

impl Lifetime {
    /// When a rule with it ends (milliseconds since 1970), and whether with snetd.
    pub(crate) fn of_rule(self) -> (Option<i64>, bool) {
        let end = |time: Duration| {
            now().saturating_add(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
        };
        match self {
            Self::For(time) => (Some(end(time)), false),
            other => (None, other == Self::UntilRestart),
        }
    }
}

/// `once`, `until-exit`, or what [`rule_lifetime`] takes.
pub(crate) fn lifetime(text: &str) -> Result<Lifetime, String> {
    match text {
        "once" => Ok(Lifetime::Once),
        "until-exit" => Ok(Lifetime::UntilExit),
        "until-restart" => Ok(Lifetime::UntilRestart),
        "forever" => Ok(Lifetime::Forever),
        _ => match humantime::parse_duration(text) {
            Ok(time) if SHORTEST <= time && time <= LONGEST => Ok(Lifetime::For(time)),
            Ok(_) => Err("expected a time from 1s to 100 years, or forever".to_owned()),
            Err(_) => Err(format!(
                "'{text}' is no time: expected for example 1h30m, until-restart or forever"
            )),
        },
    }
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// `2h`, `until-restart` or `forever`: a rule is about more than one process.
pub(crate) fn rule_lifetime(text: &str) -> Result<Lifetime, String> {
    match lifetime(text)? {
        Lifetime::Once | Lifetime::UntilExit => {
            let said = "a rule is about more than a call or a process: give a time, until-restart \
                        or forever (once and until-exit are for answers to questions)";
            Err(said.to_owned())
        }
        lifetime => Ok(lifetime),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_ends_after_a_time_or_with_the_daemon_or_never() {
        assert_eq!(rule_lifetime("forever").map(Lifetime::of_rule), Ok((None, false)));
        assert_eq!(rule_lifetime("until-restart").map(Lifetime::of_rule), Ok((None, true)));
        let (end, restart) = rule_lifetime("1h30m").unwrap().of_rule();
        let left = end.unwrap() - now();
        assert!((5_390_000..=5_400_000).contains(&left) && !restart, "{left}");
        for text in ["once", "until-exit", "0s", "1ms", "soon", "", "-1h", "200years"] {
            assert!(rule_lifetime(text).is_err(), "{text}");
        }
        assert_eq!(lifetime("once"), Ok(Lifetime::Once));
    }

    #[test]
    fn a_number_with_a_class_of_its_own_means_the_class() {
        let tcp = ProtocolWords { protocols: Protocol::Tcp.into(), number: None };
        assert_eq!(protocols("6"), Ok(tcp));
        assert_eq!(protocols("TCP"), Ok(tcp));
        assert_eq!(protocols("6,17"), protocols("tcp,udp"));
        assert_eq!(protocol("132"), Ok((Protocol::Sctp, None)));
    }

    #[test]
    fn another_number_means_raw_and_other_sockets_with_it() {
        let gre = protocols("47").unwrap();
        assert_eq!((gre.number, gre.protocols.to_string()), (Some(47), "raw,other".into()));
        assert_eq!(protocol("47"), Ok((Protocol::Raw, Some(47))));
        assert!(protocols("tcp,47").unwrap_err().contains("47"));
        assert!(protocols("47,48").is_err());
        assert!(protocols("65536").unwrap_err().contains("65536"));
    }

    #[test]
    fn an_operation_in_place_of_the_protocol_is_pointed_out() {
        assert!(protocols("connect").unwrap_err().contains("any connect"));
        let error = protocols("tpc").unwrap_err();
        assert!(error.contains("'tpc'") && error.contains("tcp, udp"), "{error}");
    }

    #[test]
    fn operations_are_words_and_groups() {
        assert_eq!(operations("bind,listen").unwrap().len(), 2);
        assert_eq!(operations("out"), Ok(Operations::OUT));
        assert!(operations("conect").unwrap_err().contains("'conect'"));
        assert!(operations("").is_err());
        assert_eq!(operation("connect"), Ok(Operation::Connect));
        assert!(operation("out").unwrap_err().contains("more than one"));
    }

    #[test]
    fn a_network_is_an_address_or_a_prefix() {
        assert_eq!(network("192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("[::1]").unwrap().to_string(), "::1/128");
        assert_eq!(network("::ffff:192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert!(network("192.0.2.1:443").unwrap_err().contains("--port"));
        assert!(network("10.0.0.0/33").is_err());
    }

    #[test]
    fn a_peer_may_be_a_host() {
        let host = |text: &str| match peer(text) {
            Ok(Peer::Host(host)) => host.to_string(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(
            (host("Example.org."), host("*.example.org")),
            ("example.org".into(), "*.example.org".into())
        );
        assert!(matches!(peer("10.0.0.0/8"), Ok(Peer::Network(_))));
        for wrong in ["10.0.0", "a b", "www.*.org"] {
            assert!(peer(wrong).unwrap_err().contains("name of a host"), "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_may_name_a_port() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(endpoint("192.0.2.1:443"), Ok((address("192.0.2.1"), Some(443))));
        assert_eq!(endpoint("::1"), Ok((address("::1"), None)));
        assert_eq!(endpoint("[::1]:80"), Ok((address("::1"), Some(80))));
        assert_eq!(endpoint("::ffff:192.0.2.1"), Ok((address("192.0.2.1"), None)));
        assert!(endpoint("example.org:443").is_err());
    }

    #[test]
    fn a_user_is_a_name_or_a_number() {
        assert_eq!(user("root"), Ok(0));
        assert_eq!(user("12345678"), Ok(12_345_678));
        assert!(user("4294967295").is_err());
        assert!(user("no such user").unwrap_err().contains("'no such user'"));
    }
}
