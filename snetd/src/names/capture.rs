// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packets from and to name servers, as this machine sends and gets them.
//!
//! A packet socket has a copy of an answer before the program that asked does, so that whoever
//! reads all that is there knows at least as much as any program.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use nix::libc::{ETH_P_ALL, c_int};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;

/// Bytes of packets that may wait.
const BUFFER: usize = 4 << 20;
/// Packets that are taken at once.
const AT_ONCE: usize = 10_000;

/// UDP from or to port 53, by IPv4 without options before it or by IPv6, from the IP header on;
/// no fragments but the first. Codes as in `linux/filter.h`; a jump counts from the next line.
const FILTER: [SockFilter; 21] = [
    SockFilter::new(0x30, 0, 0, 0),        //  0: version and header length
    SockFilter::new(0x74, 0, 0, 4),        //  1: version
    SockFilter::new(0x15, 1, 0, 4),        //  2: IPv4: 4
    SockFilter::new(0x15, 9, 16, 6),       //  3: IPv6: 13, else 20
    SockFilter::new(0x30, 0, 0, 9),        //  4: protocol
    SockFilter::new(0x15, 0, 14, 17),      //  5: UDP, else 20
    SockFilter::new(0x28, 0, 0, 6),        //  6: place of the fragment
    SockFilter::new(0x45, 12, 0, 0x1fff),  //  7: not the first: 20
    SockFilter::new(0xb1, 0, 0, 0),        //  8: length of the header
    SockFilter::new(0x48, 0, 0, 0),        //  9: source port
    SockFilter::new(0x15, 8, 0, 53),       // 10: 19
    SockFilter::new(0x48, 0, 0, 2),        // 11: destination port
    SockFilter::new(0x15, 6, 7, 53),       // 12: 19, else 20
    SockFilter::new(0x30, 0, 0, 6),        // 13: next header
    SockFilter::new(0x15, 0, 5, 17),       // 14: UDP, else 20
    SockFilter::new(0x28, 0, 0, 40),       // 15: source port
    SockFilter::new(0x15, 2, 0, 53),       // 16: 19
    SockFilter::new(0x28, 0, 0, 42),       // 17: destination port
    SockFilter::new(0x15, 0, 1, 53),       // 18: 19, else 20
    SockFilter::new(0x06, 0, 0, u32::MAX), // 19: all of it
    SockFilter::new(0x06, 0, 0, 0),        // 20: nothing
];

/// A socket that gets those packets.
#[derive(Debug)]
pub(super) struct Capture {
    /// A packet socket in truth: what is used of it here is the same for every socket that has
    /// messages.
    socket: UdpSocket,
    block: Vec<u8>,
}

impl Capture {
    /// Needs `CAP_NET_RAW`. What came before the filter was there may be anything.
    pub(super) fn open() -> io::Result<Self> {
        let every = Protocol::from(c_int::from((ETH_P_ALL as u16).to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(every))?;
        socket.attach_filter(&FILTER)?;
        socket.set_recv_buffer_size(BUFFER)?;
        let socket = UdpSocket::from_std(OwnedFd::from(socket).into())?;
        Ok(Self { socket, block: vec![0; 1 << 16] })
    }

    /// Waits until there are packets.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Takes those that are there now.
    pub(super) fn take(&mut self, mut with: impl FnMut(&[u8])) -> io::Result<()> {
        for _ in 0..AT_ONCE {
            match self.socket.try_recv(&mut self.block) {
                Ok(length) => with(self.block.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[tokio::test]
    async fn packets_of_name_servers_are_there_before_their_receiver_has_them() {
        let mut capture = match Capture::open() {
            Ok(capture) => capture,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                println!("skipped: no packet socket without CAP_NET_RAW");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        capture.take(|_| {}).unwrap();
        for (own, to) in [("127.0.0.1:0", "127.0.0.77:53"), ("[::1]:0", "[::1]:53")] {
            let Ok(server) = UdpSocket::bind(to) else {
                println!("skipped: something serves {to} here");
                continue;
            };
            let client = UdpSocket::bind(own).unwrap();
            let other = UdpSocket::bind(own).unwrap();
            client.send_to(b"not this", other.local_addr().unwrap()).unwrap();
            client.send_to(b"this one", to).unwrap();
            server.recv(&mut [0; 99]).unwrap();
            let mut ends = Vec::new();
            capture.readable().await.unwrap();
            capture.take(|packet| ends.push(packet[packet.len() - 8..].to_vec())).unwrap();
            // Once as it goes, once as it comes.
            assert!(!ends.is_empty() && ends.iter().all(|end| end == b"this one"), "{ends:?}");
        }
    }
}
