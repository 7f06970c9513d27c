// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a call attempts, from a duplicate of its socket and the supervisor's own copy of the
//! address. Says the same as `kernel/object.c` does of the same call.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libsnet::types::{CallFlags, Object, Operation, Protocol};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::sys;

const AF_SMC: i32 = 43;
const IPPROTO_UDPLITE: i32 = 136;
const IPPROTO_SCTP: i32 = 132;
const IPPROTO_SMC: i32 = 256;
const IPPROTO_MPTCP: i32 = 262;

/// A duplicate of the socket that a call is about.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) fd: OwnedFd,
    pub(crate) family: i32,
    pub(crate) kind: i32,
    pub(crate) number: i32,
    /// Calls don't wait.
    pub(crate) nonblock: bool,
}

impl Socket {
    /// Looks at a descriptor. `ENOTSOCK` when it is no socket.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let option = |name| sys::socket_option::<i32>(fd.as_fd(), name);
        let (family, kind) = (option(libc::SO_DOMAIN)?, option(libc::SO_TYPE)?);
        let number = option(libc::SO_PROTOCOL)?;
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        Ok(Self { family, kind, number, nonblock: flags.contains(OFlag::O_NONBLOCK), fd })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its class.
    pub(crate) fn protocol(&self) -> Protocol {
        protocol_of(self.family, self.kind, self.number)
    }

    /// What tells its network namespace from others.
    pub(crate) fn network(&self) -> io::Result<u64> {
        const SO_NETNS_COOKIE: i32 = 71;
        sys::socket_option::<u64>(self.as_fd(), SO_NETNS_COOKIE)
    }

    /// Its own address and port.
    fn local(&self) -> Option<SocketAddr> {
        if !matches!(self.family, libc::AF_INET | libc::AF_INET6) {
            return None;
        }
        let name = sys::socket_name(self.as_fd()).ok()?;
        let mut local = read_address(self.family, &name)?;
        if self.kind == libc::SOCK_RAW {
            // There it is the protocol number.
            local.set_port(0);
        }
        Some(local)
    }

    /// The object of a call that names this address, if any.
    pub(crate) fn object(&self, operation: Operation, address: &[u8], flags: CallFlags) -> Object {
        let inet = matches!(self.family, libc::AF_INET | libc::AF_INET6);
        let named =
            (inet || self.family == AF_SMC).then(|| read_address(self.family, address)).flatten();
        let own = self.local();
        let (remote, local) = match operation {
            Operation::Bind => (None, named),
            _ => (named.map(|remote| resolve_any(remote, own)), own),
        };
        let blocking = if self.nonblock { CallFlags::NONBLOCK.0 } else { 0 };
        Object {
            operation,
            protocol: self.protocol(),
            family: self.family as u16,
            kind: self.kind as u16,
            number: self.number as u16,
            remote,
            local,
            flags: CallFlags(flags.0 | blocking),
        }
    }
}

/// The class of a socket of this family, type and number.
pub(crate) fn protocol_of(family: i32, kind: i32, number: i32) -> Protocol {
    match (family, kind) {
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM | libc::SOCK_SEQPACKET) => {
            match number {
                libc::IPPROTO_TCP | IPPROTO_SMC => Protocol::Tcp,
                IPPROTO_MPTCP => Protocol::Mptcp,
                IPPROTO_SCTP => Protocol::Sctp,
                _ => Protocol::Other,
            }
        }
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM) => match number {
            libc::IPPROTO_UDP => Protocol::Udp,
            IPPROTO_UDPLITE => Protocol::Udplite,
            libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6 => Protocol::Icmp,
            _ => Protocol::Other,
        },
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_RAW) => Protocol::Raw,
        (AF_SMC, _) => Protocol::Tcp,
        (libc::AF_PACKET, _) => Protocol::Packet,
        (libc::AF_UNIX, _) => Protocol::Unix,
        _ => Protocol::Other,
    }
}

/// The family that an address says it is of.
pub(crate) fn family_of(address: &[u8]) -> Option<i32> {
    let bytes: [u8; 2] = address.get(..2)?.try_into().ok()?;
    Some(i32::from(u16::from_ne_bytes(bytes)))
}

/// What is shorter than the network stack itself would take is no address.
fn read_address(socket_family: i32, address: &[u8]) -> Option<SocketAddr> {
    const SIN6_LEN_RFC2133: usize = 24;
    let said = family_of(address)?;
    let family = if said == libc::AF_UNSPEC { socket_family } else { said };
    let port = u16::from_be_bytes(address.get(2..4)?.try_into().ok()?);
    match family {
        libc::AF_INET if address.len() >= 16 => {
            let bytes: [u8; 4] = address.get(4..8)?.try_into().ok()?;
            Some(SocketAddr::new(Ipv4Addr::from(bytes).into(), port))
        }
        libc::AF_INET6 if address.len() >= SIN6_LEN_RFC2133 => {
            let bytes: [u8; 16] = address.get(8..24)?.try_into().ok()?;
            let v6 = Ipv6Addr::from(bytes);
            let ip = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4);
            Some(SocketAddr::new(ip, port))
        }
        _ => None,
    }
}

/// Connecting or sending to the unspecified address reaches the own machine: the address that
/// the socket is bound to, or else loopback.
fn resolve_any(remote: SocketAddr, local: Option<SocketAddr>) -> SocketAddr {
    let bound_v4 = local.map(|local| local.ip()).and_then(|ip| match ip {
        IpAddr::V4(v4) if !v4.is_unspecified() => Some(v4),
        _ => None,
    });
    let ip = match remote.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => bound_v4.unwrap_or(Ipv4Addr::LOCALHOST).into(),
        IpAddr::V6(v6) if v6.is_unspecified() => match bound_v4 {
            Some(_) => Ipv4Addr::LOCALHOST.into(),
            None => Ipv6Addr::LOCALHOST.into(),
        },
        ip => ip,
    };
    SocketAddr::new(ip, remote.port())
}

/// `socket()`, of which there is no socket yet.
pub(crate) fn object_of_create(family: i32, kind: i32, number: i32) -> Object {
    const TYPE: i32 = 0xf;
    let kind = kind & TYPE;
    // What `socket(family, type, 0)` makes.
    let number = match (family, kind, number) {
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, 0) => libc::IPPROTO_TCP,
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM, 0) => libc::IPPROTO_UDP,
        (_, _, number) => number,
    };
    const SOCK_PACKET: i32 = 10;
    // The kernel makes a packet socket of it.
    let family = if kind == SOCK_PACKET { libc::AF_PACKET } else { family };
    let inet = match family {
        libc::AF_INET => Some(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)),
        libc::AF_INET6 => Some(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)),
        _ => None,
    };
    Object {
        operation: Operation::Create,
        protocol: protocol_of(family, kind, number),
        family: family as u16,
        kind: kind as u16,
        number: number as u16,
        remote: None,
        local: inet,
        flags: CallFlags(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    fn v4(ip: [u8; 4], port: u16) -> Vec<u8> {
        let mut bytes = (libc::AF_INET as u16).to_ne_bytes().to_vec();
        bytes.extend(port.to_be_bytes());
        bytes.extend(ip);
        bytes.resize(16, 0);
        bytes
    }

    fn v6(ip: Ipv6Addr, port: u16) -> Vec<u8> {
        let mut bytes = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
        bytes.extend(port.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(ip.octets());
        bytes.resize(28, 0);
        bytes
    }

    fn text(address: Option<SocketAddr>) -> String {
        address.map(|address| address.to_string()).unwrap_or_default()
    }

    #[test]
    fn addresses_have_one_spelling() {
        let read = |bytes: &[u8]| text(read_address(libc::AF_INET6, bytes));
        assert_eq!(read(&v4([192, 0, 2, 1], 443)), "192.0.2.1:443");
        assert_eq!(read(&v6("::ffff:192.0.2.1".parse().unwrap(), 443)), "192.0.2.1:443");
        assert_eq!(read(&v6("2001:db8::1".parse().unwrap(), 443)), "[2001:db8::1]:443");
        let mut unspecific = v6("2001:db8::1".parse().unwrap(), 443);
        unspecific[..2].copy_from_slice(&[0, 0]);
        assert_eq!(read(&unspecific), "[2001:db8::1]:443");
        assert_eq!(read(&v6("2001:db8::1".parse().unwrap(), 443)[..23]), "");
        assert_eq!(read(&v4([1, 2, 3, 4], 5)[..15]), "");
        assert_eq!(read(&[]), "");
        assert_eq!(read(&[1]), "");
    }

    #[test]
    fn the_unspecified_address_is_this_machine() {
        let udp = UdpSocket::bind("127.0.0.5:0").unwrap();
        let socket = Socket::new(udp.into()).unwrap();
        let object = socket.object(Operation::Send, &v4([0; 4], 53), CallFlags(0));
        assert_eq!(text(object.remote), "127.0.0.5:53");
        let free = resolve_any("[::]:53".parse().unwrap(), Some("[::]:0".parse().unwrap()));
        assert_eq!(free.to_string(), "[::1]:53");
    }

    #[test]
    fn a_bind_is_about_the_own_address() {
        let socket = Socket::new(UdpSocket::bind("127.0.0.1:0").unwrap().into()).unwrap();
        let object = socket.object(Operation::Bind, &v4([127, 0, 0, 2], 99), CallFlags(0));
        assert_eq!((text(object.local), object.remote), ("127.0.0.2:99".to_owned(), None));
    }

    #[test]
    fn a_socket_tells_its_class() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = Socket::new(listener.into()).unwrap();
        let object = socket.object(Operation::Listen, &[], CallFlags(0));
        assert_eq!(object.protocol, Protocol::Tcp);
        assert_eq!((object.number, object.local_port()), (6, port));
        assert!(object.flags.contains(CallFlags::NONBLOCK));
        assert!(socket.network().unwrap() > 0);
        let file = std::fs::File::open("/dev/null").unwrap();
        let error = Socket::new(file.into()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTSOCK));
    }

    #[test]
    fn sockets_to_be_have_a_class_as_well() {
        let class = |family, kind, number| object_of_create(family, kind, number).protocol;
        assert_eq!(class(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 1), Protocol::Raw);
        assert_eq!(class(libc::AF_PACKET, libc::SOCK_DGRAM, 0), Protocol::Packet);
        assert_eq!(class(libc::AF_INET, 10, 0), Protocol::Packet);
        assert_eq!(class(libc::AF_INET6, libc::SOCK_STREAM, 0), Protocol::Tcp);
        assert_eq!(class(libc::AF_INET, libc::SOCK_DGRAM, 1), Protocol::Icmp);
        assert_eq!(class(libc::AF_UNIX, libc::SOCK_STREAM, 0), Protocol::Unix);
    }
}
