// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemon as the service manager sees it: readiness, reloading, stopping, watchdog.

use std::time::Duration;

use anyhow::{Context, Result};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::decider::Decider;

/// What the daemon is asked for by signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT.
    Stop,
}

/// The signals that mean something here.
pub(crate) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on these signals don't end the process.
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("can't listen for signals");
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// The next wish.
    pub(crate) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
        }
    }
}

/// Tells the service manager, if there is one.
pub(crate) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager wasn't told: {error}");
    }
}

/// The daemon answers.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The configuration is read again; ends with [`ready`].
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("the service manager wasn't told: {error}"),
    }
}

/// Tells the watchdog that the decider lives, for as long as it does.
pub(crate) async fn feed_watchdog(decider: Decider) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let pause = (patience / 3).max(Duration::from_millis(10));
    loop {
        if decider.last_beat().elapsed() < patience {
            notify(&[NotifyState::Watchdog]);
        }
        tokio::time::sleep(pause).await;
    }
}
