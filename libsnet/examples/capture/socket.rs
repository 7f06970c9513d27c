// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bare sockets: whole datagrams in and out.

use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use libsnet::wire::{Ack, Messages};

use crate::Outcome;

pub(crate) fn open() -> Outcome<Socket> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.set_ext_ack(true)?;
    socket.bind_auto()?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(5))?;
    Ok(socket)
}

pub(crate) fn send(socket: &Socket, message: &[u8]) -> Outcome {
    socket.send_to(message, &SocketAddr::new(0, 0), 0)?;
    Ok(())
}

/// The next datagram, or nothing when none comes for some seconds.
pub(crate) fn receive(socket: &Socket) -> Outcome<Option<Vec<u8>>> {
    let mut datagram = Vec::with_capacity(64 * 1024);
    match socket.recv_from(&mut datagram, 0) {
        Ok(_) => Ok(Some(datagram)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The datagrams up to the one that ends the request with this sequence number.
pub(crate) fn until_end(socket: &Socket, sequence: u32) -> Outcome<Vec<Vec<u8>>> {
    let mut datagrams = Vec::new();
    loop {
        let datagram = receive(socket)?.ok_or("no answer")?;
        let mut ended = false;
        for message in Messages::new(&datagram) {
            let message = message?;
            ended |= message.sequence == sequence && Ack::decode(&message)?.is_some();
        }
        datagrams.push(datagram);
        if ended {
            return Ok(datagrams);
        }
    }
}
