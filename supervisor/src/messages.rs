// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sendto()`, `sendmsg()` and `sendmmsg()`: messages that name their receiver begin something,
//! and a message in memory may come to name one at any time.
//!
//! Owns the copies of messages and what of a control message has to mean the same to another
//! process. A caller that is alone with its descriptors sends by itself on a socket that takes
//! no names.

use std::os::fd::{AsRawFd, OwnedFd};

use libsnet::types::{CallFlags, Operation, Protocol};

use crate::calls::{Call, Calls};
use crate::memory::{read, read_some, u32_at, u64_at, write};
use crate::object::{Socket, family_of};
use crate::perform::{fails, wait_for};
use crate::sys::{self, End};

/// `struct msghdr`, and one of `sendmmsg()` with the count behind it.
const MESSAGE: usize = 56;
const MANY_MESSAGE: usize = 64;
const IOVEC: usize = 16;
/// Parts of a message, and messages of a call; as the kernel bounds them.
const PARTS: usize = 1024;
/// At a time, of streams; a longer message of other sockets is refused.
const CHUNK: usize = 256 * 1024;
const LONGEST: usize = 4 * 1024 * 1024;
const CONTROL: usize = 64 * 1024;

/// A message as its sender describes it.
struct Message {
    name: Vec<u8>,
    /// Where its data are: address and length.
    parts: Vec<(u64, usize)>,
    control: Vec<u8>,
}

/// A message to be sent, in whole or in parts.
struct Outgoing<'a> {
    call: &'a Call,
    socket: &'a Socket,
    message: &'a Message,
    name: &'a [u8],
    control: &'a [u8],
    flags: i32,
}

impl Calls {
    pub(crate) fn sendto(&self, call: &Call) -> Result<End, End> {
        let socket = self.socket(call)?;
        let length = call.argument(5) as u32;
        if self.may_send_itself(call, &socket, call.int(3)) {
            return Ok(End::Continues);
        }
        let name = crate::memory::read_address(call.tid, call.argument(4), length.into())?;
        let size = usize::try_from(call.argument(2)).map_err(|_| End::Fails(libc::EINVAL))?;
        let parts = vec![(call.argument(1), size)];
        let message = Message { name, parts, control: Vec::new() };
        self.send(call, &socket, &message, call.int(3)).map(|sent| End::Value(sent as i64))
    }

    pub(crate) fn sendmsg(&self, call: &Call) -> Result<End, End> {
        let socket = self.socket(call)?;
        if self.may_send_itself(call, &socket, call.int(2)) {
            return Ok(End::Continues);
        }
        let message = self.read_message(call, call.argument(1))?;
        self.send(call, &socket, &message, call.int(2)).map(|sent| End::Value(sent as i64))
    }

    pub(crate) fn sendmmsg(&self, call: &Call) -> Result<End, End> {
        let socket = self.socket(call)?;
        if self.may_send_itself(call, &socket, call.int(3)) {
            return Ok(End::Continues);
        }
        let count = (call.argument(2) as u32 as usize).min(PARTS);
        let mut sent = 0i64;
        for index in 0..count {
            let place = call.argument(1).wrapping_add((index * MANY_MESSAGE) as u64);
            match self.send_one_of_many(call, &socket, place) {
                Ok(()) => sent += 1,
                Err(end) if sent == 0 => return Err(end),
                // The next call tells of the error, as with the kernel's own.
                Err(_) => break,
            }
        }
        Ok(End::Value(sent))
    }

    fn send_one_of_many(&self, call: &Call, socket: &Socket, place: u64) -> Result<(), End> {
        let message = self.read_message(call, place)?;
        let sent = self.send(call, socket, &message, call.int(3))?;
        let count = u32::try_from(sent).unwrap_or(u32::MAX);
        write(call.tid, place.wrapping_add(MESSAGE as u64), &count.to_ne_bytes())
    }

    /// Does the socket take no name that matters, and stay what it is?
    fn may_send_itself(&self, call: &Call, socket: &Socket, flags: i32) -> bool {
        let watched = match operation(socket, flags) {
            Some(operation) => self.is_watched(operation, socket),
            None => false,
        };
        !watched && self.is_steady(call)
    }

    fn read_message(&self, call: &Call, place: u64) -> Result<Message, End> {
        let header = read(call.tid, place, MESSAGE)?;
        let (name, name_length) = (u64_at(&header, 0), u32_at(&header, 8) as i32);
        let (parts, count) = (u64_at(&header, 16), u64_at(&header, 24));
        let (control, control_length) = (u64_at(&header, 32), u64_at(&header, 40));
        let count = usize::try_from(count).ok().filter(|count| *count <= PARTS);
        let count = count.ok_or(End::Fails(libc::EMSGSIZE))?;
        let control_length = usize::try_from(control_length).ok().filter(|len| *len <= CONTROL);
        let control_length = control_length.ok_or(End::Fails(libc::ENOBUFS))?;
        let name_length = usize::try_from(name_length).map_err(|_| End::Fails(libc::EINVAL))?;
        // Longer names are cut, as the kernel does.
        let name = if name == 0 { Vec::new() } else { read(call.tid, name, name_length.min(128))? };
        let parts = read(call.tid, parts, count * IOVEC)?;
        let part = |bytes: &[u8]| {
            let length = usize::try_from(u64_at(bytes, 8)).ok()?;
            Some((u64_at(bytes, 0), length))
        };
        let parts: Option<Vec<_>> = parts.chunks_exact(IOVEC).map(part).collect();
        let control =
            if control == 0 { Vec::new() } else { read(call.tid, control, control_length)? };
        Ok(Message { name, parts: parts.ok_or(End::Fails(libc::EINVAL))?, control })
    }

    /// Decides a message and sends it.
    fn send(
        &self,
        call: &Call,
        socket: &Socket,
        message: &Message,
        flags: i32,
    ) -> Result<usize, End> {
        // Its memory would have to stay as it is until the peer has it.
        if flags & libc::MSG_ZEROCOPY != 0 {
            return Err(End::Fails(libc::ENOBUFS));
        }
        if let Some(operation) = operation(socket, flags)
            && names_somebody(socket, &message.name)
            && self.is_watched(operation, socket)
        {
            let fast_open = matches!(socket.protocol(), Protocol::Tcp | Protocol::Mptcp);
            let mut how = if fast_open { CallFlags::FASTOPEN.0 } else { 0 };
            if flags & libc::MSG_DONTWAIT != 0 {
                how |= CallFlags::NONBLOCK.0;
            }
            let object = socket.object(operation, &message.name, CallFlags(how));
            self.decide(call, object, Some(socket))?;
        }
        let foreign = self.own.is_foreign(&call.caller());
        let (control, _open) = self.translate_control(call, &message.control, foreign)?;
        let (name, _socket) = self.reachable(call, socket, message.name.clone())?;
        let outgoing = Outgoing { call, socket, message, name: &name, control: &control, flags };
        self.own.act_as(&call.caller(), false, || self.send_parts(&outgoing))
    }

    fn send_parts(&self, outgoing: &Outgoing<'_>) -> Result<usize, End> {
        let total =
            outgoing.message.parts.iter().try_fold(0usize, |sum, part| sum.checked_add(part.1));
        let total = total.filter(|total| *total <= i32::MAX as usize).unwrap_or(i32::MAX as usize);
        let stream = outgoing.socket.kind == libc::SOCK_STREAM;
        if !stream && total > LONGEST {
            return Err(End::Fails(libc::EMSGSIZE));
        }
        let mut sent = 0;
        loop {
            let size = (total - sent).min(if stream { CHUNK } else { LONGEST });
            let data = gather(outgoing.call.tid, &outgoing.message.parts, sent, size)?;
            let control = if sent == 0 { outgoing.control } else { &[] };
            match self.send_data(outgoing, &data, control) {
                Ok(count) => sent += count,
                Err(End::Fails(_)) if sent > 0 => return Ok(sent),
                Err(End::Fails(libc::EPIPE)) => return Err(self.broken_pipe(outgoing)),
                Err(end) => return Err(end),
            }
            let waits = !outgoing.socket.nonblock && outgoing.flags & libc::MSG_DONTWAIT == 0;
            if sent >= total || !stream || !waits {
                return Ok(sent);
            }
        }
    }

    fn send_data(
        &self,
        outgoing: &Outgoing<'_>,
        data: &[u8],
        control: &[u8],
    ) -> Result<usize, End> {
        let Outgoing { call, socket, name, flags, .. } = outgoing;
        let flags = flags | libc::MSG_NOSIGNAL;
        let send = || sys::send(socket.as_fd(), data, name, control, flags);
        if socket.nonblock || flags & libc::MSG_DONTWAIT != 0 {
            return send().map_err(|error| fails(&error));
        }
        wait_for(&self.blocked, &call.caller(), socket, libc::SO_SNDTIMEO, send)
    }

    /// The signal is the sender's.
    fn broken_pipe(&self, outgoing: &Outgoing<'_>) -> End {
        let Outgoing { call, socket, flags, .. } = outgoing;
        if socket.kind == libc::SOCK_STREAM && flags & libc::MSG_NOSIGNAL == 0 {
            sys::signal_thread(call.process.tgid, call.tid, libc::SIGPIPE);
        }
        End::Fails(libc::EPIPE)
    }

    /// Control messages as the supervisor has to say them: with its own duplicates of
    /// descriptors, and as itself where the sender names itself.
    fn translate_control(
        &self,
        call: &Call,
        theirs: &[u8],
        foreign: bool,
    ) -> Result<(Vec<u8>, Vec<OwnedFd>), End> {
        const HEADER: usize = 16;
        let (mut control, mut open, mut at) = (theirs.to_vec(), Vec::new(), 0);
        while at + HEADER <= theirs.len() {
            let length = usize::try_from(u64_at(theirs, at)).unwrap_or(usize::MAX);
            let (level, kind) = (u32_at(theirs, at + 8) as i32, u32_at(theirs, at + 12) as i32);
            if length < HEADER || length > theirs.len() - at {
                return Err(End::Fails(libc::EINVAL));
            }
            let body = at + HEADER..at + length;
            match (level, kind) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    for place in body.step_by(4) {
                        let fd = u32_at(theirs, place) as i32;
                        let own = self.descriptor(call, fd).map_err(|error| fails(&error))?;
                        put(&mut control, place, own.as_raw_fd() as u32);
                        open.push(own);
                    }
                }
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                    if u32_at(theirs, body.start) != call.process.tgid {
                        return Err(End::Fails(libc::EPERM));
                    }
                    put(&mut control, body.start, std::process::id());
                }
                _ if foreign || is_route(level, kind) => return Err(End::Fails(libc::EACCES)),
                _ => {}
            }
            at += length.next_multiple_of(8);
        }
        Ok((control, open))
    }
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_ne_bytes());
    }
}

/// A control message that leads the packet by way of another host.
fn is_route(level: i32, kind: i32) -> bool {
    const IP_RETOPTS: i32 = 7;
    const IPV6_RTHDR: i32 = 57;
    const IPV6_2292RTHDR: i32 = 5;
    const SCTP: i32 = 132;
    /// `SCTP_DSTADDRV4`, `SCTP_DSTADDRV6`.
    const ADDRESSES: [i32; 2] = [7, 8];
    match level {
        libc::IPPROTO_IP => kind == IP_RETOPTS,
        libc::IPPROTO_IPV6 => kind == IPV6_RTHDR || kind == IPV6_2292RTHDR,
        SCTP => ADDRESSES.contains(&kind),
        _ => false,
    }
}

/// What a message with a name attempts on this socket, if anything.
fn operation(socket: &Socket, flags: i32) -> Option<Operation> {
    match socket.protocol() {
        Protocol::Tcp | Protocol::Mptcp if flags & libc::MSG_FASTOPEN == 0 => None,
        Protocol::Tcp | Protocol::Mptcp | Protocol::Sctp => Some(Operation::Connect),
        _ => Some(Operation::Send),
    }
}

fn names_somebody(socket: &Socket, name: &[u8]) -> bool {
    let datagram = matches!(socket.protocol(), Protocol::Udp | Protocol::Udplite);
    // Of IPv6 these alone take a name of AF_UNSPEC for none.
    let none =
        datagram && socket.family == libc::AF_INET6 && family_of(name) == Some(libc::AF_UNSPEC);
    !name.is_empty() && !none
}

/// So many bytes of a message, from one place on.
fn gather(tid: u32, parts: &[(u64, usize)], from: usize, size: usize) -> Result<Vec<u8>, End> {
    let (mut data, mut skip) = (Vec::with_capacity(size), from);
    for (address, length) in parts {
        if data.len() >= size {
            break;
        }
        if skip >= *length {
            skip -= length;
            continue;
        }
        let wanted = (length - skip).min(size - data.len());
        let piece = read_some(tid, address.wrapping_add(skip as u64), wanted)?;
        let short = piece.len() < wanted;
        data.extend(piece);
        skip = 0;
        if short {
            return Err(End::Fails(libc::EFAULT));
        }
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn a_message_is_gathered_from_any_place_on() {
        let (one, two) = (*b"hello ", *b"world");
        let parts = [(one.as_ptr() as u64, 6), (8, 0), (two.as_ptr() as u64, 5)];
        let tid = sys::own_tid();
        assert_eq!(gather(tid, &parts, 0, 11).unwrap(), b"hello world");
        assert_eq!(gather(tid, &parts, 4, 4).unwrap(), b"o wo");
        assert_eq!(gather(tid, &parts, 6, 5).unwrap(), b"world");
        assert_eq!(gather(tid, &[(8, 4)], 0, 4), Err(End::Fails(libc::EFAULT)));
    }

    #[test]
    fn what_a_name_does_depends_on_the_socket() {
        let tcp = Socket::new(TcpListener::bind("127.0.0.1:0").unwrap().into()).unwrap();
        let udp = Socket::new(UdpSocket::bind("[::1]:0").unwrap().into()).unwrap();
        assert_eq!(operation(&tcp, 0), None);
        assert_eq!(operation(&tcp, libc::MSG_FASTOPEN), Some(Operation::Connect));
        assert_eq!(operation(&udp, 0), Some(Operation::Send));
        assert!(!names_somebody(&udp, &[0, 0, 1, 1]));
        assert!(names_somebody(&udp, &[10, 0, 1, 1]));
        assert!(names_somebody(&tcp, &[0, 0, 1, 1]));
        assert!(!names_somebody(&tcp, &[]));
    }

    #[test]
    fn routes_in_control_messages_are_known() {
        assert!(is_route(0, 7) && is_route(41, 57) && is_route(132, 8));
        assert!(!is_route(0, 8) && !is_route(1, 7) && !is_route(6, 57));
    }
}
