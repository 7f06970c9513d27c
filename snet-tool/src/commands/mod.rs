// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands, one file each. Each has its `Arguments` and a `run`.

pub(crate) mod add_rule;
pub(crate) mod answer;
pub(crate) mod backup;
pub(crate) mod completions;
mod decision;
pub(crate) mod doctor;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod open;
pub(crate) mod pending;
mod program_notes;
pub(crate) mod replay;
pub(crate) mod restore;
mod review;
mod rule_sets;
mod rule_text;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod test;
pub(crate) mod tickets;
pub(crate) mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use libsnet::control::{DEFAULT_SOCKET, ErrorReply};
use nix::unistd::{Uid, User};

use crate::client::{Client, ClientError};
use crate::exit::{Exit, tell};
use crate::output::Output;
use crate::user_daemon::UserDaemon;

/// What the commands have in common: where answers come from and where they go.
pub(crate) struct Session {
    pub(crate) out: Output,
    /// Where somebody said that the daemon is.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) timeout: Duration,
}

impl Session {
    /// A new connection to the daemon.
    fn connect(&self) -> Result<Client, ClientError> {
        if let Some(socket) = &self.socket {
            return Client::connect(socket, self.timeout);
        }
        Client::connect(Path::new(DEFAULT_SOCKET), self.timeout).or_else(|error| {
            // Who has used one of its own means that one where there is no other.
            let own = UserDaemon::find().filter(UserDaemon::is_known).ok_or(error)?;
            Client::connect(own.socket(), self.timeout).or_else(|_| {
                let connect = |socket: &Path| Ok(Client::connect(socket, self.timeout)?);
                own.bring_up(self.timeout, connect).map_err(ClientError::OwnDaemon)
            })
        })
    }
}

/// Does something to each of several things: all are attempted, the failures told. Without
/// a daemon or permission there is no use in going on.
fn each<T: Copy>(
    things: &[T],
    mut act: impl FnMut(T) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Success;
    for thing in things {
        match act(*thing) {
            Ok(()) => {}
            Err(error) if is_an_answer(&error) && things.len() > 1 => {
                tell(&error);
                exit = Exit::Failure;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(exit)
}

/// Is it about this one thing?
fn is_an_answer(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(ClientError::Daemon(reply)) => !matches!(reply, ErrorReply::PermissionDenied { .. }),
        Some(ClientError::UnknownError { .. } | ClientError::Malformed { .. }) => true,
        _ => false,
    }
}

/// `1 ticket`, `2 tickets`.
fn tickets_text(count: u64) -> String {
    count_text(count, "ticket", "tickets")
}

/// A number of things, of which one and several are named.
pub(crate) fn count_text(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// The name of a user, or the number of one without a name.
fn user_text(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}
