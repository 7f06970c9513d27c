// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cuts what comes from the socket at its NUL bytes.
//!
//! Owns the wait for the next message and its longest length, not its meaning.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use libsnet::control::MAX_REPLY;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long to wait for a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// Up to this moment; then the error is `TimedOut`.
    Deadline(Instant),
    /// As long as somebody reads our stdout; then [`Next::OutputClosed`] comes.
    OutputCloses,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A message, without its NUL.
    Frame(Vec<u8>),
    /// The stream ended behind a message.
    End,
    /// Nobody reads our stdout any more.
    OutputClosed,
}

/// Bytes that came and belong to no message yet handed out.
#[derive(Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    /// So many bytes at the start of the buffer hold no NUL.
    scanned: usize,
}

impl Frames {
    /// The next message. The errors of its own are `TimedOut`, `FileTooLarge` (longer than
    /// [`MAX_REPLY`]) and `UnexpectedEof` (the stream ended within a message).
    pub(super) fn next(&mut self, stream: &mut UnixStream, until: Until) -> io::Result<Next> {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            if let Some(frame) = self.take() {
                return Ok(Next::Frame(frame));
            }
            if self.buffer.len() > MAX_REPLY {
                return Err(ErrorKind::FileTooLarge.into());
            }
            if !wait(stream, until)? {
                return Ok(Next::OutputClosed);
            }
            match stream.read(&mut chunk) {
                Ok(0) if self.buffer.is_empty() => return Ok(Next::End),
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.buffer.extend(chunk.iter().take(count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let fresh = self.buffer.iter().skip(self.scanned);
        let Some(at) = fresh.clone().position(|byte| *byte == 0) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let rest = self.buffer.split_off(self.scanned + at + 1);
        let mut frame = std::mem::replace(&mut self.buffer, rest);
        frame.pop();
        self.scanned = 0;
        Some(frame)
    }
}

/// Waits until the stream can be read; `false` when nobody reads our output any more.
fn wait(stream: &UnixStream, until: Until) -> io::Result<bool> {
    let stdout = io::stdout();
    loop {
        let mut fds = vec![PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
        let timeout = match until {
            Until::Deadline(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
            Until::OutputCloses => {
                fds.push(PollFd::new(stdout.as_fd(), PollFlags::empty()));
                PollTimeout::NONE
            }
        };
        match poll(&mut fds, timeout) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(fds.get(1).is_none_or(|out| out.any() != Some(true))),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    fn soon() -> Until {
        Until::Deadline(Instant::now() + Duration::from_millis(50))
    }

    #[test]
    fn messages_in_one_read_come_one_by_one() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"one\0two\0thr").unwrap();
        let mut frames = Frames::default();
        assert_eq!(frames.next(&mut ours, soon()).unwrap(), Next::Frame(b"one".to_vec()));
        assert_eq!(frames.next(&mut ours, soon()).unwrap(), Next::Frame(b"two".to_vec()));
        let error = frames.next(&mut ours, soon()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        theirs.write_all(b"ee\0").unwrap();
        assert_eq!(frames.next(&mut ours, soon()).unwrap(), Next::Frame(b"three".to_vec()));
    }

    #[test]
    fn an_end_between_messages_is_no_error_and_one_within_is() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert_eq!(Frames::default().next(&mut ours, soon()).unwrap(), Next::End);
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"half").unwrap();
        drop(theirs);
        let error = Frames::default().next(&mut ours, soon()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_endless_message_is_refused() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            let chunk = vec![b'x'; 1024 * 1024];
            while theirs.write_all(&chunk).is_ok() {}
        });
        let until = Until::Deadline(Instant::now() + Duration::from_secs(60));
        let error = Frames::default().next(&mut ours, until).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        drop(ours);
        writer.join().unwrap();
    }
}
