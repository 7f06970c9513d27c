// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `fuzz/` reaches of the names of hosts.

use std::net::IpAddr;
use std::time::Instant;

use super::dns::{self, Message};
use super::packets::Conversations;

/// What an answer says.
pub(crate) fn answer(datagram: &[u8]) -> Option<(Vec<String>, Vec<IpAddr>)> {
    match dns::read(datagram)? {
        Message::Answered(_, answer) => {
            let addresses = answer.addresses.into_iter().map(|(address, _)| address).collect();
            Some((answer.names, addresses))
        }
        Message::Asked(_) => None,
    }
}

/// How many of the packets are believed.
pub(crate) fn believed(packets: &[&[u8]], server: IpAddr) -> usize {
    let (mut conversations, now) = (Conversations::default(), Instant::now());
    packets.iter().filter_map(|packet| conversations.take(packet, &[server], now)).count()
}
