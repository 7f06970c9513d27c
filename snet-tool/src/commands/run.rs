// SPDX-License-Identifier: MIT OR Apache-2.0
//! `run`: a command under supervision. Needs no kernel module and no root.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use libsnet::control::DEFAULT_SOCKET;
use snet_supervisor::{Connection, Ended, Launch};

use super::Session;
use crate::exit::Exit;
use crate::output::printable;
use crate::user_daemon::UserDaemon;

/// What.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool run -- curl https://example.org/
  snet-tool run -- bash
  snet-tool watch --json          # elsewhere: what is decided meanwhile

The command and all that it starts are held at their socket calls, and snetd decides them by its
rules: the system's snetd where this user may speak to it, or else one that is started for this
user on the spot. Rules are made with `snet-tool allow` and `deny` as ever, outside of the command.

Exit code: that of the command; 125 when it can't be supervised, 126 when it can't be executed,
127 when there is no such command. Programs don't gain rights in here: sudo and the like fail.")]
pub(crate) struct Arguments {
    /// The command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    command: Vec<OsString>,
}

/// For a daemon that is started on the spot to come up, on a machine that is busy. One that ends
/// isn't waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who decides.
struct Decider {
    connection: Connection,
    socket: PathBuf,
    /// It is this user's own.
    own: Option<UserDaemon>,
}

/// Runs it. Ends this process as the command ends.
pub(crate) fn run(arguments: Arguments, session: &Session) -> Result<Exit> {
    let ended = match decider(session.socket.as_deref()) {
        Ok(decider) if decider.connection.terms().kernel => replace(&arguments.command),
        Ok(decider) => supervise(arguments.command, decider),
        Err(error) => Err(error),
    };
    let code = match ended {
        Ok(Ended::Exited(code)) => code,
        Ok(Ended::Killed(signal)) => {
            snet_supervisor::end_by(signal);
            // Only where the signal means nothing to this process.
            128u8.saturating_add(u8::try_from(signal).unwrap_or(0))
        }
        Ok(Ended::Failed(code, why)) => tell(code, &why),
        Err(error) => tell(125, &format!("{error:#}")),
    };
    std::process::exit(i32::from(code))
}

fn tell(code: u8, why: &str) -> u8 {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "snet-tool: {}", printable(why));
    code
}

fn decider(named: Option<&Path>) -> Result<Decider> {
    let at = |socket: &Path| {
        Connection::open(socket).map(|connection| {
            let socket = std::path::absolute(socket).unwrap_or_else(|_| socket.to_owned());
            Decider { connection, socket, own: None }
        })
    };
    if let Some(named) = named {
        return at(named);
    }
    if let Ok(system) = at(Path::new(DEFAULT_SOCKET)) {
        return Ok(system);
    }
    let own = UserDaemon::find()
        .context("there is no snetd, and none can be started: set HOME to an absolute path")?;
    let found = at(own.socket()).or_else(|_| own.bring_up(PATIENCE, at))?;
    Ok(Decider { own: Some(own), ..found })
}

fn supervise(command: Vec<OsString>, decider: Decider) -> Result<Ended> {
    let Decider { connection, socket, own } = decider;
    let revive = own.map(|own| -> Box<dyn Fn() + Send + Sync> {
        // Whether it comes up shows when it is connected to.
        Box::new(move || drop(own.start()))
    });
    snet_supervisor::run(Launch { command, socket, connection, revive })
}

/// The kernel module holds every program already.
fn replace(command: &[OsString]) -> Result<Ended> {
    let (program, arguments) = command.split_first().context("there is no command to run")?;
    let error = Command::new(program).args(arguments).exec();
    let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
    Ok(Ended::Failed(code, format!("can't execute {}: {error}", program.display())))
}
