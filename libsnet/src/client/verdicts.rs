// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answering events, on the hot path.
//!
//! Owns a socket for verdicts alone. The kernel acts on a message inside the system call that
//! sends it, and by then a refusal is in this socket's queue: one non-blocking read tells
//! how it went, without an acknowledgement, a runtime or a task switch.

use std::time::Duration;

use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};

use super::channel::{self, LARGEST_DATAGRAM};
use super::exchange::{Exchange, Reply};
use super::{Delivery, Error};
use crate::types::{RequestId, Ticket, Verdict};
use crate::wire::{Envelope, Messages, Request};

/// A socket for the verdicts of a registered decider; made by [`super::Decider::verdicts`].
/// Only the process that registered may use it.
pub struct Verdicts {
    socket: Socket,
    family: u16,
    sequence: u32,
    message: Vec<u8>,
    refusal: Vec<u8>,
}

impl std::fmt::Debug for Verdicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verdicts").field("family", &self.family).finish_non_exhaustive()
    }
}

impl Verdicts {
    pub(super) fn open(family: u16) -> Result<Self, Error> {
        let mut socket = Socket::new(NETLINK_GENERIC).map_err(Error::io("open"))?;
        channel::prepare(&mut socket)?;
        let refusal = Vec::with_capacity(LARGEST_DATAGRAM);
        Ok(Self { socket, family, sequence: 0, message: Vec::new(), refusal })
    }

    /// Decides a held call and gives its process tickets. Doesn't block.
    ///
    /// # Errors
    /// The call is held on after [`Error::Refused`], [`Error::NotPermitted`] (another process
    /// is the decider) and [`Error::Encode`] (more tickets than
    /// [`MAX_TICKETS_PER_MESSAGE`](crate::uapi::MAX_TICKETS_PER_MESSAGE)). After
    /// [`Error::NoAnswer`] nobody knows.
    pub fn send(
        &mut self,
        request: RequestId,
        verdict: Verdict,
        tickets: &[Ticket],
    ) -> Result<Delivery, Error> {
        self.tell(Request::Verdict { request, verdict, tickets })
    }

    /// Gives a held call this time from now on, 1 ms to 10 min. Doesn't block.
    ///
    /// # Errors
    /// Those of [`Verdicts::send`].
    pub fn defer(&mut self, request: RequestId, deadline: Duration) -> Result<Delivery, Error> {
        self.tell(Request::Defer { request, deadline })
    }

    fn tell(&mut self, request: Request<'_>) -> Result<Delivery, Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let (family, sequence) = (self.family, self.sequence);
        let flags = libc::NLM_F_REQUEST as u16;
        request.encode(Envelope { family, flags, sequence }, &mut self.message)?;
        channel::send(&self.socket, &self.message)?;
        Delivery::from_outcome(self.read_refusal(Exchange::new(family, sequence)))
    }

    /// Empties the queue; nothing in it means that the kernel did as it was told.
    fn read_refusal(&mut self, mut exchange: Exchange) -> Result<(), Error> {
        let mut outcome = Ok(());
        loop {
            self.refusal.clear();
            let received = self.socket.recv_from(&mut self.refusal, libc::MSG_DONTWAIT);
            if channel::is_empty(&received) {
                return outcome;
            }
            let from: std::io::Result<SocketAddr> = received.map(|(_, address)| address);
            let heard = channel::accept(from, &self.refusal).map_err(Error::into_no_answer)?;
            if heard {
                outcome = outcome.and(refusal_in(&self.refusal, &mut exchange));
            }
        }
    }
}

fn refusal_in(datagram: &[u8], exchange: &mut Exchange) -> Result<(), Error> {
    for message in Messages::new(datagram) {
        match exchange.read(&message?)? {
            Reply::Part(_) | Reply::End(_) | Reply::Foreign => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: u16 = 0x3ff;

    /// A family that doesn't exist is refused as a call is that has ended: with ENOENT.
    #[test]
    fn a_refusal_is_there_when_the_send_returns() {
        let mut verdicts = Verdicts::open(NOBODY).unwrap();
        for _ in 0..100 {
            let delivery = verdicts.send(RequestId(1), Verdict::Allow, &[]).unwrap();
            assert_eq!(delivery, Delivery::Ended);
        }
    }

    /// The controller has no command with the number of `verdict`.
    #[test]
    fn other_refusals_are_errors() {
        let mut verdicts = Verdicts::open(libc::GENL_ID_CTRL as u16).unwrap();
        let error = verdicts.send(RequestId(1), Verdict::Deny, &[]).unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error}");
        let error = verdicts.defer(RequestId(1), Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error}");
    }
}
