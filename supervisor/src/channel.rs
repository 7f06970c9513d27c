// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the front and the supervisor tell each other: a packet for each message.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

/// What the supervisor tells the front of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// It was stopped.
    Stopped,
    /// It exited with this code.
    Exited(u8),
    /// This signal killed it.
    Killed(i32),
    /// It could not be started: the exit code that says so, and why.
    Failed(u8, String),
}

/// One end.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// Longest message.
const LONGEST: usize = 4096;

impl Channel {
    /// Both ends.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self(one), Self(other)))
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn send(&self, message: &[u8]) {
        use std::os::fd::AsRawFd;
        // An end that is gone needs to know nothing.
        let _ = send(self.0.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL);
    }

    /// The next message; nothing once the other end is gone.
    fn receive(&self) -> Option<Vec<u8>> {
        use std::os::fd::AsRawFd;
        let mut message = vec![0; LONGEST];
        let count = recv(self.0.as_raw_fd(), &mut message, MsgFlags::empty()).ok()?;
        message.truncate(count);
        (count > 0).then_some(message)
    }

    /// From the supervisor.
    pub(crate) fn tell(&self, news: &News) {
        match news {
            News::Stopped => self.send(b"s"),
            News::Exited(code) => self.send(&[b'e', *code]),
            News::Killed(signal) => self.send(&[b'k', *signal as u8]),
            News::Failed(code, why) => {
                let mut message = vec![b'f', *code];
                message.extend(why.bytes().take(LONGEST - 2));
                self.send(&message);
            }
        }
    }

    /// To the front.
    pub(crate) fn news(&self) -> Option<News> {
        match self.receive()?.as_slice() {
            b"s" => Some(News::Stopped),
            [b'e', code] => Some(News::Exited(*code)),
            [b'k', signal] => Some(News::Killed(i32::from(*signal))),
            [b'f', code, why @ ..] => {
                Some(News::Failed(*code, String::from_utf8_lossy(why).into_owned()))
            }
            _ => None,
        }
    }

    /// From the front: send the command this signal.
    pub(crate) fn pass_on(&self, signal: i32) {
        self.send(&[signal as u8]);
    }

    /// To the supervisor.
    pub(crate) fn passed_on(&self) -> Option<i32> {
        self.receive()?.first().map(|signal| i32::from(*signal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_arrives_and_the_end_is_noticed() {
        let (supervisor, front) = Channel::pair().unwrap();
        for news in [
            News::Stopped,
            News::Exited(255),
            News::Killed(9),
            News::Failed(127, "no such file".to_owned()),
        ] {
            supervisor.tell(&news);
            assert_eq!(front.news(), Some(news));
        }
        front.pass_on(15);
        assert_eq!(supervisor.passed_on(), Some(15));
        drop(front);
        assert_eq!(supervisor.passed_on(), None);
        supervisor.tell(&News::Stopped);
    }
}
