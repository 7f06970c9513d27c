// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls that are captured. Whether they succeed doesn't matter.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

/// Each call twice, so that the second hits the first one's ticket.
pub(crate) fn all() {
    let mut seen = BTreeMap::new();
    for round in 1..=2 {
        for local in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), (Ipv6Addr::LOCALHOST, 0).into()] {
            seen.insert((round, local, "tcp"), attempt_tcp(local).is_ok());
            seen.insert((round, local, "udp"), attempt_udp(local).is_ok());
        }
        for (family, protocol) in [
            (AddressFamily::Inet, SockProtocol::Icmp),
            (AddressFamily::Inet6, SockProtocol::IcmpV6),
        ] {
            let raw = socket(family, SockType::Raw, SockFlag::empty(), protocol);
            println!("attempted a raw socket: {raw:?}");
        }
    }
    println!("attempted {seen:?}");
}

fn attempt_tcp(local: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(local)?;
    let address = listener.local_addr()?;
    let _blocking = TcpStream::connect(address)?;
    let _accepted = listener.accept()?;
    // This one connects a non-blocking socket.
    let _timed = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    listener.accept().map(drop)
}

fn attempt_udp(local: SocketAddr) -> std::io::Result<()> {
    let (one, other) = (UdpSocket::bind(local)?, UdpSocket::bind(local)?);
    one.send_to(b"golden", other.local_addr()?)?;
    other.recv_from(&mut [0; 16])?;
    other.connect(one.local_addr()?)
}
