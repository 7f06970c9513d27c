// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that take a datagram from a socket, `read()` among them. They are decided before the
//! datagram is there, as in the module, and made by their caller.
//!
//! No argument says where anything goes, so that there is nothing to copy but the descriptor. A
//! program with several threads can put another socket in its place meanwhile, and so receive
//! what it was denied: it can't be kept from that, since `read()` of what isn't a socket has to
//! be its own.

use libsnet::types::{CallFlags, Operation};

use crate::calls::{Call, Calls};
use crate::object::Socket;
use crate::perform::fails;
use crate::sys::{self, End};

impl Calls {
    pub(crate) fn receive(&self, call: &Call, flags: i32) -> Result<End, End> {
        let fd = self.descriptor(call, call.int(0)).map_err(|error| fails(&error))?;
        // What isn't a socket is no concern of snet.
        let Ok(socket) = Socket::new(fd) else { return Ok(End::Continues) };
        if self.is_watched(Operation::Recv, &socket) && !is_connected(&socket) {
            let nonblock = flags & libc::MSG_DONTWAIT != 0;
            let flags = if nonblock { CallFlags::NONBLOCK } else { CallFlags(0) };
            self.decide(call, socket.object(Operation::Recv, &[], flags), Some(&socket))?;
        }
        Ok(End::Continues)
    }
}

/// Does all that it receives belong to one conversation, which was decided when it began? As
/// `is_connected()` in `kernel/hook_messages.c`; a connected raw socket, whose other end has no
/// port, doesn't look connected here.
fn is_connected(socket: &Socket) -> bool {
    match (socket.family, socket.kind) {
        (_, libc::SOCK_STREAM) => true,
        // A one-to-many socket of SCTP takes associations from whoever comes.
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_SEQPACKET) | (libc::AF_PACKET, _) => false,
        (libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_RAW) => {
            sys::has_peer(socket.as_fd())
        }
        (_, kind) => kind == libc::SOCK_SEQPACKET,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn what_is_connected_receives_from_one_other_end() {
        let looked_at = |fd| is_connected(&Socket::new(fd).unwrap());
        let udp = || UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(!looked_at(udp().into()));
        let (one, other) = (udp(), udp());
        one.connect(other.local_addr().unwrap()).unwrap();
        assert!(looked_at(one.into()));
        assert!(looked_at(TcpListener::bind("127.0.0.1:0").unwrap().into()));
        assert!(!looked_at(UnixDatagram::unbound().unwrap().into()));
        assert!(looked_at(UnixDatagram::pair().unwrap().0.into()));
    }
}
