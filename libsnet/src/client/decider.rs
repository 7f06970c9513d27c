// SPDX-License-Identifier: MIT OR Apache-2.0
//! Being the decider.
//!
//! Owns the event socket, the registration that lasts as long as it is open, and the account
//! of events that were lost.

use std::collections::VecDeque;

use super::channel::Channel;
use super::connection::follow_family;
use super::exchange::{Exchange, Reply};
use super::notice::Notice;
use super::{Error, Verdicts};
use crate::types::{Event, Settings};
use crate::uapi::{ABI_VERSION, FAMILY_NAME};
use crate::wire::settings::{Registered, decode_registered};
use crate::wire::{Envelope, Messages, Request};

/// How the event socket is set up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Bytes of events that may wait to be read; the kernel counts its own overhead too.
    /// What a process may not have is cut to `net.core.rmem_max`.
    pub receive_buffer: usize,
}

impl Default for Options {
    /// 8 MiB.
    fn default() -> Self {
        Self { receive_buffer: 8 * 1024 * 1024 }
    }
}

/// The registration as the decider. Ends when it is dropped: calls that are held then get
/// the fallback.
pub struct Decider {
    channel: Channel,
    family: u16,
    sequence: u32,
    /// Where in the datagram the next message begins.
    at: usize,
    /// Events that came before the answer to `register` or `unregister`.
    early: VecDeque<Result<Event, Error>>,
    /// Something was lost, and what was not is still being returned.
    lost: bool,
    overruns: u64,
    gone: bool,
}

impl std::fmt::Debug for Decider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decider").field("family", &self.family).finish_non_exhaustive()
    }
}

impl Decider {
    /// Registers this process with the default [`Options`]; also returns what is set in the
    /// kernel.
    ///
    /// # Errors
    /// [`Error::NotLoaded`], [`Error::NotPermitted`], [`Error::Busy`] when there is another
    /// decider, and [`Error::AbiMismatch`] when the module speaks another protocol version.
    pub async fn register() -> Result<(Self, Settings), Error> {
        Self::register_with(&Options::default()).await
    }

    /// Registers this process; see [`Decider::register`].
    ///
    /// # Errors
    /// Those of [`Decider::register`].
    pub async fn register_with(options: &Options) -> Result<(Self, Settings), Error> {
        let channel = Channel::open()?;
        channel.set_receive_buffer(options.receive_buffer)?;
        let family = follow_family(&channel).await?.id;
        let mut decider = Self::over(channel, family);
        let Registered { abi_version, settings } = decider.send_register().await?;
        if abi_version != ABI_VERSION {
            return Err(Error::AbiMismatch { kernel: abi_version });
        }
        Ok((decider, settings))
    }

    fn over(channel: Channel, family: u16) -> Self {
        let early = VecDeque::new();
        let (sequence, at, overruns) = (0, 0, 0);
        Self { channel, family, sequence, at, early, lost: false, overruns, gone: false }
    }

    /// A socket for this decider's verdicts.
    ///
    /// # Errors
    /// [`Error::Io`] when it can't be opened.
    pub fn verdicts(&self) -> Result<Verdicts, Error> {
        Verdicts::open(self.family)
    }

    /// How often events were lost since registration. One time may stand for many events.
    pub fn overruns(&self) -> u64 {
        self.overruns
    }

    /// The next held call. May be cancelled: no event is lost by that.
    ///
    /// # Errors
    /// After each of these but the last the next call goes on.
    /// * [`Error::Overrun`]: events were lost. List what is held with
    ///   [`super::Client::requests`]; some of it will have been returned before, or will be.
    /// * [`Error::Undecodable`]: a call is held that can't be understood.
    /// * [`Error::Decode`]: the kernel sent something that is no message at all.
    /// * [`Error::Io`]: the socket failed.
    /// * [`Error::NotLoaded`]: the module was unloaded. There will be no more events.
    pub async fn next_event(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.early.pop_front() {
                return event;
            }
            if let Some(event) = self.next_in_datagram()? {
                return event;
            }
            if self.gone {
                return Err(Error::NotLoaded { family: FAMILY_NAME.to_owned() });
            }
            self.receive().await?;
        }
    }

    /// Stops being the decider and waits until the kernel says so; dropping does the same
    /// without waiting. Calls that are held get the fallback.
    ///
    /// # Errors
    /// [`Error::NoAnswer`], or a refusal; the registration ends all the same.
    pub async fn unregister(mut self) -> Result<(), Error> {
        self.command(Request::Unregister).await.map(drop)
    }

    /// After a loss, what is left in the queue comes first: until the queue is empty the
    /// kernel keeps dropping new events without another word, so that a list made before
    /// would not have them either.
    async fn receive(&mut self) -> Result<(), Error> {
        let received = if self.lost {
            match self.channel.try_receive() {
                Ok(false) => {
                    self.lost = false;
                    return Err(Error::Overrun);
                }
                other => other.map(drop),
            }
        } else {
            self.channel.receive().await
        };
        self.note_loss(received)
    }

    fn note_loss(&mut self, received: Result<(), Error>) -> Result<(), Error> {
        self.at = 0;
        match received {
            Err(Error::Overrun) => {
                self.overruns = self.overruns.saturating_add(1);
                self.lost = true;
                Ok(())
            }
            other => other,
        }
    }

    fn next_in_datagram(&mut self) -> Result<Option<Result<Event, Error>>, Error> {
        let datagram = self.channel.datagram();
        let mut messages = Messages::new(datagram.get(self.at..).unwrap_or_default());
        while let Some(message) = messages.next() {
            self.at = datagram.len() - messages.unread();
            match Notice::read(&message?, self.family) {
                Notice::Held(event) => return Ok(Some(event)),
                Notice::Gone => self.gone = true,
                Notice::Other => {}
            }
        }
        Ok(None)
    }

    async fn send_register(&mut self) -> Result<Registered, Error> {
        match self.command(Request::Register).await {
            Err(Error::Refused(ack)) if ack.errno == libc::EBUSY => Err(Error::Busy),
            // The family was there a moment ago.
            Err(Error::NotFound(_)) => Err(Error::NotLoaded { family: FAMILY_NAME.to_owned() }),
            Err(error) => Err(error),
            Ok(answer) => answer.ok_or(Error::NoAnswer),
        }
    }

    /// Sends a command on the event socket. Events may come before its answer: the kernel
    /// sends them from the moment it acts on `register`.
    async fn command(&mut self, request: Request<'_>) -> Result<Option<Registered>, Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let (family, sequence) = (self.family, self.sequence);
        let mut message = Vec::new();
        request.encode(Envelope { family, flags: request.flags(), sequence }, &mut message)?;
        self.channel.send(&message)?;
        let mut exchange = Exchange::new(family, sequence);
        let mut answer = None;
        loop {
            let received = self.channel.receive_answer().await;
            self.note_loss(received)?;
            let datagram = self.channel.datagram();
            self.at = datagram.len();
            for message in Messages::new(datagram) {
                let message = message?;
                match exchange.read(&message)? {
                    Reply::Part(genl) => answer = Some(decode_registered(genl.attributes)?),
                    Reply::End(_) => return Ok(answer),
                    Reply::Foreign => match Notice::read(&message, family) {
                        Notice::Held(event) => self.early.push_back(event),
                        Notice::Gone => self.gone = true,
                        Notice::Other => {}
                    },
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::family::{self, CONTROLLER_NAME};

    /// No family has it, so that nothing is an event.
    const NOBODY: u16 = 0x3ff;

    #[tokio::test]
    async fn a_loss_is_told_after_everything_that_was_not_lost() {
        let mut decider = Decider::over(Channel::open().unwrap(), NOBODY);
        decider.channel.set_receive_buffer(4096).unwrap();
        let mut question = Vec::new();
        family::encode_get(CONTROLLER_NAME, 1, &mut question).unwrap();
        for _ in 0..1000 {
            decider.channel.send(&question).unwrap();
        }
        assert!(matches!(decider.next_event().await, Err(Error::Overrun)));
        assert_eq!(decider.overruns(), 1);
        assert!(!decider.channel.try_receive().unwrap(), "told before the queue was empty");
    }

    #[tokio::test]
    async fn without_the_module_nobody_can_register() {
        match Decider::register().await {
            Err(Error::NotLoaded { family }) => assert_eq!(family, FAMILY_NAME),
            Err(Error::NotPermitted(_)) => eprintln!("skipped: snet is loaded, and not for us"),
            other => eprintln!("skipped: snet is loaded: {other:?}"),
        }
    }

    #[test]
    fn a_decider_can_be_moved_to_a_task() {
        fn sent<T: Send>(_: T) {}
        sent(Decider::register());
        fn next(decider: &mut Decider) -> impl Future<Output = Result<Event, Error>> + Send {
            decider.next_event()
        }
        let _ = next;
    }
}
