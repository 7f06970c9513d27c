// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the kernel's decisions without this daemon to the journal.
//!
//! Owns the membership in the kernel's audit group, on a socket beside the decision path.
//! Nothing waits for it: what it can't hand on is counted with the journal's losses, and
//! what the kernel could not send is told by the next record.

use std::sync::Arc;
use std::time::Duration;

use libsnet::client::{Audit, Error};
use tokio::sync::mpsc;

use crate::decider::{Counters, Decider, LinkState, Report};

/// Before joining again after a failure.
const LATER: Duration = Duration::from_secs(1);

/// Listens whenever this daemon is the decider. Ends when the decider does.
pub(crate) async fn listen(
    decider: Decider,
    reports: mpsc::Sender<Report>,
    counters: Arc<Counters>,
) {
    let mut state = decider.state();
    loop {
        let registered = |state: &LinkState| matches!(state, LinkState::Registered(_));
        if state.wait_for(registered).await.is_err() {
            return;
        }
        if let Err(error) = hear(&reports, &counters).await {
            // The module's end is told by the decider.
            if !matches!(error, Error::NotLoaded { .. }) {
                trouble(&reports, format!("the kernel's own decisions aren't heard: {error}"));
            }
        }
        tokio::time::sleep(LATER).await;
    }
}

/// Hands records on until the socket fails.
async fn hear(reports: &mpsc::Sender<Report>, counters: &Counters) -> Result<(), Error> {
    let mut audit = Audit::join().await?;
    loop {
        match audit.next_record().await {
            Ok(record) => {
                if reports.try_send(Report::Kernel(Box::new(record))).is_err() {
                    counters.count_dropped(1);
                }
            }
            Err(Error::Decode(error)) => {
                trouble(reports, format!("a decision of the kernel can't be understood: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
}

fn trouble(reports: &mpsc::Sender<Report>, text: String) {
    let _ = reports.try_send(Report::Trouble(text));
}
