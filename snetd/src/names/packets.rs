// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which answers are believed: those of the system's name servers to questions that were asked.
//!
//! Anybody may send a packet that looks like an answer, and any program may ask a server of its
//! own. So an answer counts only when it comes from a server that the system is set to use, to the
//! address and port that asked it, for the same name, with the same number: no more can be forged
//! than towards the resolver that asked.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::dns::{self, Answer, Message, Question};

/// The port of name servers.
const PORT: u16 = 53;
/// Questions that are remembered; the oldest go first.
const ASKED: usize = 4096;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// The questions that have no answer yet.
#[derive(Debug, Default)]
pub(super) struct Conversations(VecDeque<(Instant, Asked)>);

/// Who asked which server what.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    client: SocketAddr,
    server: SocketAddr,
    question: Question,
}

impl Conversations {
    /// Takes a packet, from its IP header on; gives what an answer says that is believed.
    pub(super) fn take(
        &mut self,
        packet: &[u8],
        servers: &[IpAddr],
        now: Instant,
    ) -> Option<Answer> {
        let (from, to, datagram) = datagram(packet)?;
        let server = if from.port() == PORT { from } else { to };
        if server.port() != PORT || !servers.contains(&server.ip()) {
            return None;
        }
        match dns::read(datagram)? {
            Message::Asked(question) if server == to => {
                self.ask(Asked { client: from, server, question }, now);
                None
            }
            Message::Answered(question, answer) if server == from => {
                let asked = Asked { client: to, server, question };
                self.was_asked(&asked, now).then_some(answer)
            }
            _ => None,
        }
    }

    fn ask(&mut self, asked: Asked, now: Instant) {
        // A packet to this machine itself is seen twice, and a question is asked again.
        self.0.retain(|(at, other)| *other != asked && now.duration_since(*at) < PATIENCE);
        if self.0.len() >= ASKED {
            self.0.pop_front();
        }
        self.0.push_back((now, asked));
    }

    fn was_asked(&mut self, asked: &Asked, now: Instant) -> bool {
        let place = self.0.iter().position(|(_, other)| other == asked);
        let found = place.and_then(|place| self.0.remove(place));
        found.is_some_and(|(at, _)| now.duration_since(at) < PATIENCE)
    }
}

/// Source, destination and content of a whole UDP datagram.
fn datagram(packet: &[u8]) -> Option<(SocketAddr, SocketAddr, &[u8])> {
    let sliced = SlicedPacket::from_ip(packet).ok()?;
    let (from, to): (IpAddr, IpAddr) = match &sliced.net? {
        NetSlice::Ipv4(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Ipv6(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Arp(_) => return None,
    };
    match sliced.transport? {
        TransportSlice::Udp(udp) => Some((
            SocketAddr::new(from, udp.source_port()),
            SocketAddr::new(to, udp.destination_port()),
            udp.payload(),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::dns::tests::{answer, question};
    use super::*;
    use etherparse::PacketBuilder;

    const CLIENT: &str = "10.0.0.2:40000";
    const SERVER: &str = "10.0.0.1:53";
    const NONE: [IpAddr; 0] = [];
    const A: &[&str] = &["example.org A 192.0.2.1 60"];

    fn packet(from: &str, to: &str, content: &[u8]) -> Vec<u8> {
        let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
        let builder = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                PacketBuilder::ipv4(from.octets(), to.octets(), 9)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                PacketBuilder::ipv6(from.octets(), to.octets(), 9)
            }
            _ => panic!("{from} {to}"),
        };
        let mut bytes = Vec::new();
        builder.udp(from.port(), to.port()).write(&mut bytes, content).unwrap();
        bytes
    }

    struct Seen {
        conversations: Conversations,
        begin: Instant,
    }

    fn seen() -> Seen {
        Seen { conversations: Conversations::default(), begin: Instant::now() }
    }

    impl Seen {
        fn at(&mut self, second: u64, from: &str, to: &str, content: &[u8]) -> Vec<IpAddr> {
            let servers: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
            let now = self.begin + Duration::from_secs(second);
            let answer = self.conversations.take(&packet(from, to, content), &servers, now);
            answer.into_iter().flat_map(|answer| answer.addresses).map(|(found, _)| found).collect()
        }
    }

    #[test]
    fn an_answer_to_a_question_is_believed_once() {
        let mut seen = seen();
        let expected: Vec<IpAddr> = vec!["192.0.2.1".parse().unwrap()];
        let (asked, answered) = (question(7, "example.org"), answer(7, "example.org", A));
        assert_eq!(seen.at(0, CLIENT, SERVER, &asked), NONE);
        assert_eq!(seen.at(1, SERVER, CLIENT, &answered), expected);
        assert_eq!(seen.at(1, SERVER, CLIENT, &answered), NONE, "again");
        assert_eq!(seen.at(0, "[::1]:9", "[::1]:53", &asked), NONE);
        assert_eq!(seen.at(1, "[::1]:53", "[::1]:9", &answered), expected);
    }

    #[test]
    fn what_nobody_asked_the_system_s_servers_is_not_believed() {
        let answered = answer(7, "example.org", A);
        for (client, server, back, content, second) in [
            (CLIENT, SERVER, "10.0.0.2:40001", answered.clone(), 1),
            (CLIENT, SERVER, "10.0.0.3:40000", answered.clone(), 1),
            (CLIENT, SERVER, CLIENT, answer(8, "example.org", A), 1),
            (CLIENT, SERVER, CLIENT, answer(7, "example.net", A), 1),
            (CLIENT, SERVER, CLIENT, answered.clone(), 60),
            (CLIENT, "10.0.0.9:53", CLIENT, answered.clone(), 1),
            (CLIENT, "10.0.0.1:54", CLIENT, answered.clone(), 1),
        ] {
            let mut seen = seen();
            assert_eq!(seen.at(0, client, server, &question(7, "example.org")), NONE);
            assert_eq!(seen.at(second, server, back, &content), NONE, "{server} to {back}");
        }
        let mut seen = seen();
        seen.at(0, CLIENT, SERVER, &question(7, "example.org"));
        assert_eq!(seen.at(1, "10.0.0.9:53", CLIENT, &answered), NONE, "another server");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_junk_is_nothing() {
        let mut seen = seen();
        for id in 0..=u16::try_from(ASKED).unwrap() {
            seen.at(0, CLIENT, SERVER, &question(id, "example.org"));
        }
        assert_eq!(seen.conversations.0.len(), ASKED);
        assert_eq!(seen.at(1, SERVER, CLIENT, &answer(0, "example.org", A)), NONE, "forgotten");
        let whole = packet(SERVER, CLIENT, &answer(1, "example.org", A));
        for length in 0..whole.len() {
            let servers = ["10.0.0.1".parse().unwrap()];
            let cut = seen.conversations.take(&whole[..length], &servers, Instant::now());
            assert_eq!(cut, None, "{length} bytes");
        }
    }
}
