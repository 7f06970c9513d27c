// SPDX-License-Identifier: MIT OR Apache-2.0
//! Questions to name servers and their answers, as datagrams carry them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, RCODE};

/// Names that one answer may add: its own and those that it leads to.
const CHAIN: usize = 16;
/// Addresses that one answer may add.
const ADDRESSES: usize = 256;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// The number that tells its answer.
    pub(crate) id: u16,
    /// The name, in lower case.
    pub(crate) name: String,
    /// The type of the record.
    pub(crate) kind: u16,
}

/// A name stands for these addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The name that was asked for, and those that it is another name of, in lower case.
    pub(crate) names: Vec<String>,
    /// Each with the time for which it may be believed.
    pub(crate) addresses: Vec<(IpAddr, Duration)>,
}

/// A datagram from or to a name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// A question.
    Asked(Question),
    /// The answer to one.
    Answered(Question, Answer),
}

/// Nothing when it is neither, or an answer that says nothing.
pub(crate) fn read(datagram: &[u8]) -> Option<Message> {
    let packet = Packet::parse(datagram).ok()?;
    let [asked] = packet.questions.as_slice() else { return None };
    let (name, kind) = (text(&asked.qname)?, u16::from(asked.qtype));
    let question = Question { id: packet.id(), name, kind };
    if !packet.has_flags(PacketFlag::RESPONSE) {
        return Some(Message::Asked(question));
    }
    if packet.rcode() != RCODE::NoError {
        return None;
    }
    let answer = answer(&question.name, &packet)?;
    Some(Message::Answered(question, answer))
}

/// Follows the name through the names that it is another one of; records about others say
/// nothing.
fn answer(name: &str, packet: &Packet<'_>) -> Option<Answer> {
    let mut names = vec![name.to_owned()];
    let mut addresses = Vec::new();
    let mut ttl = u32::MAX;
    let about = |name: &str| {
        let name = name.to_owned();
        let records = packet.answers.iter().filter(|record| record.class == CLASS::IN);
        records.filter(move |record| text(&record.name).as_deref() == Some(name.as_str()))
    };
    while let Some(name) = names.last().filter(|_| names.len() <= CHAIN).cloned() {
        let mut next = None;
        for record in about(&name) {
            match &record.rdata {
                RData::CNAME(other) => {
                    next = text(&other.0);
                    ttl = ttl.min(record.ttl);
                }
                RData::A(found) => {
                    addresses.push((IpAddr::from(Ipv4Addr::from(found.address)), record.ttl));
                }
                RData::AAAA(found) => {
                    addresses.push((IpAddr::from(Ipv6Addr::from(found.address)), record.ttl));
                }
                _ => {}
            }
        }
        match next.filter(|next| addresses.is_empty() && !names.contains(next)) {
            Some(next) => names.push(next),
            None => break,
        }
    }
    addresses.truncate(ADDRESSES);
    let seconds = |own: u32| Duration::from_secs(u64::from(own.min(ttl)));
    let addresses: Vec<_> = addresses
        .into_iter()
        .map(|(address, own)| (address.to_canonical(), seconds(own)))
        .collect();
    (!addresses.is_empty()).then_some(Answer { names, addresses })
}

/// A name with a dot between each two labels, in lower case; nothing when that would say something
/// else, as with a dot within a label.
fn text(name: &Name<'_>) -> Option<String> {
    let mut text = String::new();
    for label in name.as_bytes() {
        let usual = |byte: &u8| byte.is_ascii_graphic() && *byte != b'.' && *byte != b'*';
        if label.is_empty() || !label.iter().all(usual) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&std::str::from_utf8(label).ok()?.to_ascii_lowercase());
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use simple_dns::rdata::{A, AAAA, CNAME};
    use simple_dns::{QCLASS, QTYPE, ResourceRecord, TYPE};

    /// The question for the addresses of a name.
    pub(crate) fn question(id: u16, name: &str) -> Vec<u8> {
        let mut packet = Packet::new_query(id);
        packet.questions.push(asked(name));
        packet.build_bytes_vec_compressed().unwrap()
    }

    fn asked(name: &str) -> simple_dns::Question<'_> {
        let (kind, class) = (QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN));
        simple_dns::Question::new(Name::new(name).unwrap(), kind, class, false)
    }

    /// Its answer, of records that are `NAME KIND VALUE TTL`.
    pub(crate) fn answer(id: u16, name: &str, records: &[&str]) -> Vec<u8> {
        let mut packet = Packet::new_reply(id);
        packet.questions.push(asked(name));
        for record in records {
            let words: Vec<&str> = record.split(' ').collect();
            let data = match words[1] {
                "A" => RData::A(A { address: words[2].parse::<Ipv4Addr>().unwrap().into() }),
                "AAAA" => {
                    RData::AAAA(AAAA { address: words[2].parse::<Ipv6Addr>().unwrap().into() })
                }
                _ => RData::CNAME(CNAME(Name::new(words[2]).unwrap())),
            };
            let ttl = words[3].parse().unwrap();
            let name = Name::new(words[0]).unwrap();
            packet.answers.push(ResourceRecord::new(name, CLASS::IN, ttl, data));
        }
        packet.build_bytes_vec_compressed().unwrap()
    }

    /// Names, and addresses with their seconds.
    type Found = (Vec<String>, Vec<(String, u64)>);

    fn found(name: &str, records: &[&str]) -> Option<Found> {
        match read(&answer(7, name, records))? {
            Message::Answered(question, answer) => {
                assert_eq!(
                    (question.id, question.name.as_str()),
                    (7, name.to_lowercase().as_str())
                );
                let addresses = answer.addresses.iter();
                let addresses =
                    addresses.map(|(address, ttl)| (address.to_string(), ttl.as_secs()));
                Some((answer.names, addresses.collect()))
            }
            Message::Asked(_) => panic!("a question"),
        }
    }

    #[test]
    fn an_answer_is_what_its_records_about_the_name_say() {
        let expected = (vec!["example.org".to_owned()], vec![("192.0.2.1".to_owned(), 60)]);
        let records = ["Example.Org A 192.0.2.1 60", "other.org A 192.0.2.9 60"];
        assert_eq!(found("example.ORG", &records), Some(expected));
        assert_eq!(found("example.org", &["other.org A 192.0.2.9 60"]), None);
        assert_eq!(found("example.org", &[]), None);
    }

    #[test]
    fn a_name_is_followed_to_what_it_stands_for() {
        let records = [
            "cdn.net AAAA 2001:db8::1 300",
            "www.example.org CNAME x.example.net 20",
            "x.example.net CNAME cdn.net 400",
            "cdn.net A 192.0.2.1 10",
        ];
        let (names, addresses) = found("www.example.org", &records).unwrap();
        assert_eq!(names, ["www.example.org", "x.example.net", "cdn.net"]);
        assert_eq!(addresses, [("2001:db8::1".to_owned(), 20), ("192.0.2.1".to_owned(), 10)]);
        let circle = ["a.org CNAME b.org 1", "b.org CNAME a.org 1"];
        assert_eq!(found("a.org", &circle), None);
    }

    #[test]
    fn a_question_is_told_from_an_answer_and_junk_is_neither() {
        let asked = Question { id: 3, name: "example.org".into(), kind: 1 };
        assert_eq!(read(&question(3, "example.org")), Some(Message::Asked(asked)));
        let mut failed = answer(3, "example.org", &["example.org A 192.0.2.1 60"]);
        failed[3] |= 3;
        assert_eq!(read(&failed), None, "no such name");
        for length in 0..failed.len() {
            let _ = read(&failed[..length]);
        }
        assert_eq!(read(b""), None);
    }
}
