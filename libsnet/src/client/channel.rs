// SPDX-License-Identifier: MIT OR Apache-2.0
//! A socket to the kernel, on tokio.
//!
//! Owns the file descriptor and the buffer that datagrams are read into. Hands on whole
//! datagrams of the kernel; knows nothing of what is in them.

use std::io;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{AsyncSocket, AsyncSocketExt, Socket, SocketAddr, TokioSocket};
use nix::sys::socket::{setsockopt, sockopt};

use super::Error;
use crate::wire::DecodeError;

/// More than the kernel puts into one datagram: a dump's are at most 32 KiB. netlink-sys
/// cuts what doesn't fit without a word.
pub(super) const LARGEST_DATAGRAM: usize = 64 * 1024;

/// The kernel answers before the send returns; only a lost answer takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

const KERNEL: u32 = 0;

pub(super) struct Channel {
    socket: TokioSocket,
    datagram: Vec<u8>,
}

impl Channel {
    pub(super) fn open() -> Result<Self, Error> {
        let mut socket = TokioSocket::new(NETLINK_GENERIC).map_err(Error::io("open"))?;
        prepare(socket.socket_mut())?;
        Ok(Self { socket, datagram: Vec::with_capacity(LARGEST_DATAGRAM) })
    }

    /// Makes room for `bytes` of datagrams, as far as this process may.
    pub(super) fn set_receive_buffer(&self, bytes: usize) -> Result<(), Error> {
        let socket = self.socket.socket_ref();
        setsockopt(socket, sockopt::RcvBufForce, &bytes)
            .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &bytes))
            .map_err(|errno| Error::io("set the receive buffer of")(errno.into()))
    }

    pub(super) fn join(&self, group: u32) -> Result<(), Error> {
        self.socket.socket_ref().add_membership(group).map_err(Error::io("join a group with"))
    }

    /// Has the kernel count what finds no room in this socket.
    pub(super) fn tell_sender_of_loss(&mut self) -> Result<(), Error> {
        let socket = self.socket.socket_mut();
        socket.set_broadcast_error(true).map_err(Error::io("set error reports of"))
    }

    pub(super) fn send(&self, message: &[u8]) -> Result<(), Error> {
        send(self.socket.socket_ref(), message)
    }

    /// The datagram that was received last.
    pub(super) fn datagram(&self) -> &[u8] {
        &self.datagram
    }

    /// Waits for the next datagram. May be cancelled: nothing is lost.
    pub(super) async fn receive(&mut self) -> Result<(), Error> {
        loop {
            self.datagram.clear();
            let from = self.socket.recv_from(&mut self.datagram).await;
            if self.accept(from)? {
                return Ok(());
            }
        }
    }

    /// Waits for the answer to a request.
    pub(super) async fn receive_answer(&mut self) -> Result<(), Error> {
        match tokio::time::timeout(ANSWER_WITHIN, self.receive()).await {
            Ok(received) => received,
            Err(_) => Err(Error::NoAnswer),
        }
    }

    /// Takes the next datagram if there is one.
    pub(super) fn try_receive(&mut self) -> Result<bool, Error> {
        loop {
            self.datagram.clear();
            let from = self.socket.socket_ref().recv_from(&mut self.datagram, libc::MSG_DONTWAIT);
            if is_empty(&from) {
                return Ok(false);
            }
            if self.accept(from.map(|(_, address)| address))? {
                return Ok(true);
            }
        }
    }

    /// Is what was received a datagram of the kernel? Others are dropped.
    fn accept(&mut self, from: io::Result<SocketAddr>) -> Result<bool, Error> {
        accept(from, &self.datagram).inspect_err(|_| self.datagram.clear())
    }
}

/// A socket for refusals that say why.
pub(super) fn prepare(socket: &mut Socket) -> Result<(), Error> {
    socket.set_ext_ack(true).map_err(Error::io("set extended acknowledgements of"))?;
    socket.bind_auto().map_err(Error::io("bind")).map(drop)
}

pub(super) fn send(socket: &Socket, message: &[u8]) -> Result<(), Error> {
    let kernel = SocketAddr::new(KERNEL, 0);
    socket.send_to(message, &kernel, 0).map_err(Error::io("send to")).map(drop)
}

pub(super) fn is_empty<T>(received: &io::Result<T>) -> bool {
    matches!(received, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Any process with `CAP_NET_ADMIN` may send to this socket; only the kernel is heard. A
/// datagram that fills the buffer may have been cut.
pub(super) fn accept(from: io::Result<SocketAddr>, datagram: &[u8]) -> Result<bool, Error> {
    let from = from.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOBUFS) => Error::Overrun,
        _ => Error::io("receive from")(error),
    })?;
    if from.port_number() != KERNEL {
        return Ok(false);
    }
    if datagram.len() >= LARGEST_DATAGRAM {
        let part = "datagram";
        return Err(DecodeError::Truncated { part, available: datagram.len() }.into());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hears_only_the_kernel() {
        assert!(accept(Ok(SocketAddr::new(0, 0)), &[1]).unwrap());
        assert!(!accept(Ok(SocketAddr::new(4321, 0)), &[1]).unwrap());
    }

    #[test]
    fn tells_a_full_receive_buffer_and_a_datagram_that_may_be_cut() {
        let full = accept(Err(io::Error::from_raw_os_error(libc::ENOBUFS)), &[]);
        assert!(matches!(full, Err(Error::Overrun)));
        let cut = accept(Ok(SocketAddr::new(0, 0)), &[0; LARGEST_DATAGRAM]);
        assert!(matches!(cut, Err(Error::Decode(DecodeError::Truncated { .. }))));
    }

    #[tokio::test]
    async fn another_process_s_datagram_is_passed_over() {
        let mut channel = Channel::open().unwrap();
        let mut own = SocketAddr::new(0, 0);
        channel.socket.socket_ref().get_address(&mut own).unwrap();
        let mut stranger = Socket::new(NETLINK_GENERIC).unwrap();
        stranger.bind_auto().unwrap();
        if stranger.send_to(&[1; 16], &own, 0).is_err() {
            eprintln!("skipped: sending from socket to socket needs CAP_NET_ADMIN");
            return;
        }
        assert!(!channel.try_receive().unwrap());
    }

    #[tokio::test]
    async fn takes_the_receive_buffer_that_it_can_get() {
        let channel = Channel::open().unwrap();
        channel.set_receive_buffer(100 * 1024).unwrap();
        let size = channel.socket.socket_ref().get_rx_buf_sz().unwrap();
        assert!(size >= 100 * 1024, "{size}");
    }
}
