// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides the exit code, here and nowhere else, and tells what went wrong.
//!
//! The codes are part of the interface: scripts depend on them, so none changes its meaning.

use std::process::ExitCode;

use libsnet::control::ErrorReply;

use crate::client::ClientError;
use crate::output::printable;

/// How the tool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; for `test`: the call would be allowed.
    Success = 0,
    /// The daemon refused, or could not, or one of several things failed.
    Failure = 1,
    /// The command line means nothing. Nothing was sent. (clap uses the same code.)
    Usage = 2,
    /// `test`: the call would be denied.
    Denied = 3,
    /// No daemon answers on the socket.
    Unreachable = 4,
    /// The socket or the daemon doesn't let this user do it.
    PermissionDenied = 5,
    /// `status`: the daemon answers, but it decides nothing.
    NothingMediated = 6,
    /// `test`: a person would be asked.
    Asked = 7,
}

/// What `snet-tool --help` and the man page say about what scripts rely on.
pub(crate) const HELP: &str = "\
With --json:
  one document for a single answer (show, test, status, allow, deny, ask, answer,
  open, backup, restore)
  one document on each line for lists, streams and several changes (rules, tickets, log, watch,
  pending, doctor)
  errors and notes stay text, on stderr

Exit codes:
  0  done; test: the call would be allowed
  1  it failed, or one of several things failed
  2  the command line means nothing; nothing was sent
  3  test: the call would be denied
  4  snetd isn't reachable
  5  permission denied
  6  status: snetd answers, but nothing is mediated
  7  test: a person would be asked
  run: that of the command, or 125 to 127 when it did not run";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The command line is well-formed and still can't mean anything.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

impl UsageError {
    /// From anything that says what is wrong.
    pub(crate) fn new(reason: impl ToString) -> Self {
        Self(reason.to_string())
    }
}

/// The exit code for a result, with the error told on stderr.
pub(crate) fn conclude(result: anyhow::Result<Exit>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(error) => {
            tell(&error);
            code(&error)
        }
    }
}

/// Tells an error on stderr, in one line.
pub(crate) fn tell(error: &anyhow::Error) {
    use std::io::Write;

    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "snet-tool: {}", printable(&format!("{error:#}")));
}

fn code(error: &anyhow::Error) -> Exit {
    if error.is::<UsageError>() {
        return Exit::Usage;
    }
    match error.downcast_ref::<ClientError>() {
        Some(error) => client_code(error),
        None => Exit::Failure,
    }
}

fn client_code(error: &ClientError) -> Exit {
    match error {
        ClientError::NoSocket(_)
        | ClientError::Refused(_)
        | ClientError::Connect { .. }
        | ClientError::Timeout { .. }
        | ClientError::Closed(_)
        | ClientError::Broken { .. }
        | ClientError::OwnDaemon(_) => Exit::Unreachable,
        ClientError::OutputClosed => Exit::Success,
        ClientError::Forbidden(_) => Exit::PermissionDenied,
        ClientError::Daemon(ErrorReply::PermissionDenied { .. }) => Exit::PermissionDenied,
        ClientError::CallTooLong(_)
        | ClientError::ReplyTooLong
        | ClientError::Malformed { .. }
        | ClientError::Daemon(_)
        | ClientError::UnknownError { .. } => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(error: impl Into<anyhow::Error>) -> u8 {
        code(&error.into()) as u8
    }

    #[test]
    fn the_codes_are_those_of_the_help() {
        assert_eq!(code_of(UsageError::new("x")), 2);
        assert_eq!(code_of(ClientError::NoSocket("/x".into())), 4);
        assert_eq!(code_of(ClientError::Forbidden("/x".into())), 5);
        let denied = ErrorReply::PermissionDenied { reason: "only root".into() };
        assert_eq!(code_of(ClientError::Daemon(denied)), 5);
        assert_eq!(code_of(ClientError::ReplyTooLong), 1);
        assert_eq!(code_of(anyhow::anyhow!("anything else")), 1);
    }

    #[test]
    fn context_does_not_change_the_code() {
        let error = anyhow::Error::from(ClientError::NoSocket("/x".into())).context("rule 3");
        assert_eq!(code(&error), Exit::Unreachable);
    }
}
