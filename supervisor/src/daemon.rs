// SPDX-License-Identifier: MIT OR Apache-2.0
//! The connection to snetd: asks about held calls, and applies the fallback when no verdict
//! comes in time.
//!
//! Owns the connection and the questions under way. A connection that is lost is made again,
//! and what was not answered is asked again. Whoever asks waits for its own verdict only.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use libsnet::control::{Ask, MAX_MESSAGE, Said, Terms, Told};
use libsnet::types::{CallFlags, Object, Operation, Protocol, Subject, Verdict};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// For connecting, and for the answer to the first message.
const PATIENCE: Duration = Duration::from_secs(5);
/// A person is waited for no longer than this, as in the module.
const LONGEST: Duration = Duration::from_secs(600);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(100);
/// Between two looks for messages that didn't fit into the socket.
const LOOK: Duration = Duration::from_millis(50);

/// A connection on which snetd has agreed to a supervisor.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    received: Vec<u8>,
    terms: Terms,
}

impl Connection {
    /// Connects to the daemon behind a control socket.
    ///
    /// # Errors
    /// When nobody answers there, or refuses.
    pub fn open(socket: &Path) -> Result<Self> {
        let place = || format!("can't be supervised by snetd at {}", socket.display());
        let mut stream = UnixStream::connect(socket).with_context(place)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let call = b"{\"method\":\"io.snet.Control.Supervise\",\"upgrade\":true}\0";
        stream.write_all(call).with_context(place)?;
        let mut received = Vec::new();
        let answer = loop {
            if let Some(message) = take_message(&mut received) {
                break message;
            }
            read_some(&mut stream, &mut received).map_err(in_time).with_context(place)?;
        };
        let terms = terms_of(&answer).with_context(place)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, received, terms })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What snetd asked for.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }
}

/// What the end of a socket's patience is told as.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => {
            let what = format!("no answer within {} seconds", PATIENCE.as_secs());
            io::Error::new(ErrorKind::TimedOut, what)
        }
        _ => error,
    }
}

fn terms_of(answer: &[u8]) -> Result<Terms> {
    let mut answer: serde_json::Value = serde_json::from_slice(answer)?;
    match answer.pointer_mut("/parameters/terms") {
        Some(terms) => Ok(serde_json::from_value(terms.take())?),
        None => match answer.pointer("/parameters/reason").and_then(|reason| reason.as_str()) {
            Some(reason) => Err(anyhow!("{reason}")),
            None => bail!("it answered {answer}"),
        },
    }
}

/// The first whole message, without its NUL.
fn take_message(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = received.iter().position(|byte| *byte == 0)?;
    let mut message: Vec<u8> = received.drain(..=end).collect();
    message.pop();
    Some(message)
}

fn read_some(stream: &mut UnixStream, received: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer)?;
    if count == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    received.extend_from_slice(buffer.get(..count).unwrap_or_default());
    if received.len() > MAX_MESSAGE {
        return Err(io::Error::new(ErrorKind::InvalidData, "the message is too long"));
    }
    Ok(())
}

/// What still has to be sent.
#[derive(Debug)]
struct Out {
    /// Nobody, while there is no connection.
    stream: Option<UnixStream>,
    /// Did not fit into the socket.
    backlog: Vec<u8>,
    /// Since when there has been none.
    lost: Option<Instant>,
}

impl Out {
    fn send(&mut self, message: &[u8]) {
        self.backlog.extend_from_slice(message);
        self.flush();
    }

    fn flush(&mut self) {
        let Some(stream) = &mut self.stream else {
            // What matters is asked again when there is a connection.
            self.backlog.clear();
            return;
        };
        let mut sent = 0;
        while let Some(rest) = self.backlog.get(sent..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Full, or broken: who reads notices the latter.
                Err(_) => break,
            }
        }
        self.backlog.drain(..sent);
    }
}

struct Question {
    message: Vec<u8>,
    news: Sender<News>,
}

/// What whoever asked is told.
enum News {
    Verdict(Verdict),
    /// Wait until then, and no longer.
    Until(Instant),
}

/// The daemon as the supervisor sees it.
pub(crate) struct Daemon {
    socket: PathBuf,
    /// Starts a daemon where there is none, if that is this user's to do.
    revive: Option<Box<dyn Fn() + Send + Sync>>,
    terms: Mutex<Arc<Terms>>,
    /// Locked before `questions`, when both are.
    out: Mutex<Out>,
    questions: Mutex<HashMap<u64, Question>>,
    next: AtomicU64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn encode(told: &Told) -> Vec<u8> {
    // Numbers, strings and nothing else: there is no error that could come.
    let mut message = serde_json::to_vec(told).unwrap_or_default();
    message.push(0);
    message
}

impl Daemon {
    /// Goes on with a connection; [`Daemon::serve`] has to run for as long as it is used.
    pub(crate) fn new(
        connection: &Connection,
        socket: PathBuf,
        revive: Option<Box<dyn Fn() + Send + Sync>>,
    ) -> io::Result<Self> {
        let stream = Some(connection.stream.try_clone()?);
        Ok(Self {
            socket,
            revive,
            terms: Mutex::new(Arc::new(connection.terms.clone())),
            out: Mutex::new(Out { stream, backlog: Vec::new(), lost: None }),
            questions: Mutex::default(),
            next: AtomicU64::new(1),
        })
    }

    /// Shows the connection's descriptor of its own.
    pub(crate) fn with_stream(&self, look: impl FnOnce(Option<BorrowedFd<'_>>)) {
        look(locked(&self.out).stream.as_ref().map(AsFd::as_fd));
    }

    /// Is this operation on sockets of this class mediated?
    pub(crate) fn is_watched(&self, operation: Operation, protocol: Protocol) -> bool {
        let terms = Arc::clone(&locked(&self.terms));
        terms.watch.get(&operation).is_some_and(|protocols| protocols.has(protocol))
    }

    /// The verdict on a call, or the fallback when none comes in time.
    pub(crate) fn ask(&self, subject: Subject, object: Object, network: u64) -> Verdict {
        let terms = Arc::clone(&locked(&self.terms));
        let fallback = terms.fallbacks.get(&object.operation).copied();
        let nonblock = object.flags.contains(CallFlags::NONBLOCK);
        let held = if nonblock { terms.nonblock_deadline } else { terms.deadline };
        let deadline = Instant::now() + Duration::from_millis(held);
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let (news, told) = channel();
        let message = encode(&Told::Ask(Box::new(Ask { request, subject, object, network })));
        let mut until = {
            let mut out = locked(&self.out);
            let question = Question { message: message.clone(), news };
            locked(&self.questions).insert(request, question);
            out.send(&message);
            // A daemon that has been away for longer than a call waits isn't waited for.
            out.lost.map_or(deadline, |lost| deadline.min(lost + Duration::from_millis(held)))
        };
        let verdict = loop {
            match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(News::Verdict(verdict)) => break Some(verdict),
                // Who has a non-blocking socket isn't to wait for a person.
                Ok(News::Until(other)) => until = if nonblock { until.min(other) } else { other },
                Err(_) => break None,
            }
        };
        locked(&self.questions).remove(&request);
        verdict.or(fallback).unwrap_or(Verdict::Allow)
    }

    /// A process is no more.
    pub(crate) fn ended(&self, tgid: u32) {
        locked(&self.out).send(&encode(&Told::Ended { tgid }));
    }

    /// Reads what snetd says, for ever.
    pub(crate) fn serve(&self, first: Connection) {
        let mut connection = Some(first);
        loop {
            if let Some(mut connection) = connection.take() {
                while self.listen(&mut connection).is_ok() {}
            }
            let lost = self.lose();
            connection = self.connect_again(lost);
        }
    }

    /// There is no connection (any more): gives since when. Who waits for a person waits only
    /// for as long as for a daemon.
    fn lose(&self) -> Instant {
        let mut out = locked(&self.out);
        out.stream = None;
        if let Some(lost) = out.lost {
            return lost;
        }
        let lost = Instant::now();
        out.lost = Some(lost);
        let until = lost + Duration::from_millis(locked(&self.terms).deadline);
        for question in locked(&self.questions).values() {
            // Whoever asked may have given up.
            let _ = question.news.send(News::Until(until));
        }
        lost
    }

    fn listen(&self, connection: &mut Connection) -> Result<()> {
        while let Some(message) = take_message(&mut connection.received) {
            match serde_json::from_slice(&message)? {
                Said::Verdict { request, verdict } => {
                    if let Some(question) = locked(&self.questions).remove(&request) {
                        // Whoever asked may have given up.
                        let _ = question.news.send(News::Verdict(verdict));
                    }
                }
                Said::Defer { request, deadline } => {
                    let held = Duration::from_millis(deadline).min(LONGEST);
                    if let Some(question) = locked(&self.questions).get(&request) {
                        let _ = question.news.send(News::Until(Instant::now() + held));
                    }
                }
                Said::Terms(terms) => *locked(&self.terms) = Arc::new(terms),
            }
        }
        let full = !locked(&self.out).backlog.is_empty();
        let wanted = if full { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
        let mut ready = [PollFd::new(connection.stream.as_fd(), wanted)];
        let timeout = PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::MAX);
        match poll(&mut ready, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        if full {
            locked(&self.out).flush();
        }
        match read_some(&mut connection.stream, &mut connection.received) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn connect_again(&self, lost: Instant) -> Option<Connection> {
        let found = Connection::open(&self.socket);
        let connection = match found {
            Ok(connection) => connection,
            Err(_) => {
                // At once, and then now and then: starting takes its time.
                let away = lost.elapsed();
                if let Some(revive) = &self.revive
                    && (away < AGAIN || away.as_millis() % 3000 < AGAIN.as_millis())
                {
                    revive();
                }
                std::thread::sleep(AGAIN);
                return None;
            }
        };
        let stream = connection.stream.try_clone().ok()?;
        *locked(&self.terms) = Arc::new(connection.terms.clone());
        let mut out = locked(&self.out);
        (out.stream, out.lost) = (Some(stream), None);
        out.backlog.clear();
        let unanswered: Vec<Vec<u8>> =
            locked(&self.questions).values().map(|question| question.message.clone()).collect();
        unanswered.iter().for_each(|message| out.send(message));
        Some(connection)
    }
}
