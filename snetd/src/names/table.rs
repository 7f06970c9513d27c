// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is known of names: from answers while they may be believed, and from files.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use libsnet::policy::{HostPattern, Hosts};

use super::dns::Answer;

/// Pairs of an address and a name that are remembered.
const MOST: usize = 65_536;
/// An address counts this much longer than its answer says: who has asked connects a little later.
const GRACE: Duration = Duration::from_secs(60);
/// However long its answer says.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Names and their addresses.
#[derive(Debug, Default)]
pub(super) struct Table {
    answered: HashMap<(IpAddr, String), Instant>,
    written: Vec<(IpAddr, String)>,
}

impl Table {
    /// Notes an answer. Does it say something that wasn't known?
    pub(super) fn note(&mut self, answer: &Answer, now: Instant) -> bool {
        let mut news = false;
        for (address, ttl) in &answer.addresses {
            let end = now + (*ttl).min(LONGEST) + GRACE;
            for name in &answer.names {
                if self.answered.len() >= MOST {
                    self.make_room(now);
                }
                let known = self.answered.entry((*address, name.clone())).or_insert(now);
                news |= *known <= now;
                *known = end.max(*known);
            }
        }
        news
    }

    /// What the files of the system say; in the place of what they said before.
    pub(super) fn set_written(&mut self, written: Vec<(IpAddr, String)>) {
        self.written = written;
        self.written.truncate(MOST);
    }

    /// Half of them go, the ones that end first.
    fn make_room(&mut self, now: Instant) {
        let mut ends: Vec<Instant> = self.answered.values().copied().collect();
        let middle = ends.len() / 2;
        let (_, median, _) = ends.select_nth_unstable(middle);
        let least = now.max(*median);
        self.answered.retain(|_, end| *end > least);
    }

    /// The addresses of hosts that are meant, and when the first of them ends.
    pub(super) fn hosts(
        &mut self,
        meant: &[HostPattern],
        now: Instant,
    ) -> (Hosts, Option<Instant>) {
        self.answered.retain(|_, end| *end > now);
        let is_meant = |name: &str| meant.iter().any(|host| host.matches(name));
        let (mut hosts, mut first_end) = (Hosts::default(), None::<Instant>);
        for ((address, name), end) in &self.answered {
            if is_meant(name) {
                hosts.insert(*address, name);
                first_end = Some(first_end.map_or(*end, |first| first.min(*end)));
            }
        }
        for (address, name) in self.written.iter().filter(|(_, name)| is_meant(name)) {
            hosts.insert(*address, name);
        }
        (hosts, first_end)
    }
}

/// The entries of a file like `/etc/hosts`, with names in lower case.
pub(super) fn written(text: &str) -> Vec<(IpAddr, String)> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let entries = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        Some(words.map(move |name| (address, name.trim_end_matches('.').to_ascii_lowercase())))
    });
    entries.flatten().collect()
}

/// The name servers in a file like `/etc/resolv.conf`.
pub(super) fn servers(text: &str) -> Vec<IpAddr> {
    let words = text.lines().map(str::split_whitespace);
    let servers = words.filter_map(|mut words| {
        (words.next()? == "nameserver").then_some(())?;
        let address = words.next()?;
        address.split('%').next()?.parse().ok()
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str, address: &str, seconds: u64) -> Answer {
        let address = address.parse().unwrap();
        let addresses = vec![(address, Duration::from_secs(seconds))];
        Answer { names: vec![name.to_owned()], addresses }
    }

    fn is(table: &mut Table, name: &str, address: &str, now: Instant) -> bool {
        let host: HostPattern = name.parse().unwrap();
        let (hosts, _) = table.hosts(std::slice::from_ref(&host), now);
        hosts.is(address.parse().unwrap(), &host)
    }

    #[test]
    fn an_address_counts_a_little_longer_than_its_answer() {
        let (mut table, now) = (Table::default(), Instant::now());
        let at = |second| now + Duration::from_secs(second);
        assert!(table.note(&answer("a.test", "192.0.2.1", 30), now));
        assert!(!table.note(&answer("a.test", "192.0.2.1", 10), now));
        assert!(is(&mut table, "a.test", "192.0.2.1", at(89)));
        let (_, end) = table.hosts(&["*.test".parse().unwrap()], at(0));
        assert_eq!(end, Some(at(90)));
        assert!(!is(&mut table, "a.test", "192.0.2.1", at(90)));
        assert!(table.answered.is_empty());
        table.note(&answer("a.test", "192.0.2.1", u64::MAX / 2), now);
        assert!(!is(&mut table, "a.test", "192.0.2.1", now + LONGEST + GRACE));
    }

    #[test]
    fn only_hosts_that_are_meant_are_told() {
        let (mut table, now) = (Table::default(), Instant::now());
        table.note(&answer("a.test", "192.0.2.1", 30), now);
        table.note(&answer("b.org", "192.0.2.2", 30), now);
        let (hosts, _) = table.hosts(&["*.test".parse().unwrap()], now);
        assert!(hosts.knows("192.0.2.1".parse().unwrap()));
        assert!(!hosts.knows("192.0.2.2".parse().unwrap()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut table, now) = (Table::default(), Instant::now());
        for number in 0..=u32::try_from(MOST).unwrap() {
            let address = std::net::Ipv4Addr::from(number).to_string();
            table.note(&answer("a.test", &address, u64::from(number)), now);
        }
        assert!(table.answered.len() <= MOST / 2 + 1, "{}", table.answered.len());
        assert!(is(&mut table, "a.test", "0.1.0.0", now), "the last one");
    }

    #[test]
    fn files_are_read_as_they_are_written() {
        let text =
            "127.0.0.1 localhost\n# 1.1.1.1 no\n::1\tIP6-localhost ip6-loopback # x\nbad x\n";
        let names: Vec<String> =
            written(text).iter().map(|(address, name)| format!("{address} {name}")).collect();
        assert_eq!(names, ["127.0.0.1 localhost", "::1 ip6-localhost", "::1 ip6-loopback"]);
        let text = "# nameserver 9.9.9.9\nsearch example.org\nnameserver 127.0.0.53\n\
                    nameserver fe80::1%eth0\nnameserver x\noptions edns0\n";
        let servers = servers(text);
        assert_eq!(
            servers,
            ["127.0.0.53", "fe80::1"].map(|server| server.parse::<IpAddr>().unwrap())
        );
    }
}
