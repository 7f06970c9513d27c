// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the command line to the running daemon, and the exit code.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use nix::sys::signal::SigSet;

use crate::activation;
use crate::args::Args;
use crate::backup;
use crate::config::Config;
use crate::daemon::Daemon;
use crate::early;
use crate::logging::{self, LogLevel};
use crate::privileges;
use crate::service::Signals;

/// Threads that look at files and users for the rest of the daemon.
const WORKERS: usize = 24;

/// Runs the daemon: 0 after an orderly stop, 1 after an error, 2 for a wrong command line.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match begin(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may not have begun.
            let _ = writeln!(std::io::stderr(), "snetd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn begin(args: Args) -> Result<()> {
    // Who starts it may block signals, as the supervisor does: they are for this process as well.
    SigSet::empty().thread_set_mask().context("can't unblock signals")?;
    // SAFETY: nothing has begun yet.
    let passed = unsafe { activation::take() }?;
    let config = args.configuration()?;
    if args.check_config {
        let file = args.file()?;
        let found =
            if file.exists() { "no errors" } else { "there is no such file: the defaults apply" };
        writeln!(std::io::stdout(), "{}: {found}", file.display()).context("can't say so")?;
        return Ok(());
    }
    if args.backup || args.restore {
        return copy(&args, &config);
    }
    let log_level = logging::begin(config.log_level);
    if args.early {
        let tickets = event_loop()?.block_on(early::load(&config))?;
        tracing::info!("{tickets} tickets for programs until the daemon decides");
        return Ok(());
    }
    if args.user {
        privileges::prepare_for_user();
    } else {
        privileges::prepare(&config)?;
    }
    let runtime = event_loop()?;
    let ended = runtime.block_on(run(args, config, log_level, passed));
    // A worker may hang on a file system; the process needn't.
    runtime.shutdown_background();
    ended
}

/// Says on standard error what was done, as standard output may be the database.
fn copy(args: &Args, config: &Config) -> Result<()> {
    privileges::prepare_for_copy(config.database.as_path())?;
    let runtime = event_loop()?;
    let done = if args.backup {
        runtime.block_on(backup::backup(config))?
    } else {
        runtime.block_on(backup::restore(args, config))?
    };
    writeln!(std::io::stderr(), "{}", serde_json::to_string(&done)?).context("can't say so")
}

fn event_loop() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(WORKERS)
        .build()
        .context("can't make the event loop")
}

async fn run(
    args: Args,
    config: Config,
    log_level: LogLevel,
    passed: Option<OwnedFd>,
) -> Result<()> {
    let signals = Signals::listen()?;
    Daemon::start(args, config, log_level, passed).await?.run(signals).await
}
