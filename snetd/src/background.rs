// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tasks between the decider and the policy, for as long as the daemon runs.

use std::sync::Arc;
use std::time::Duration;

use libsnet::types::Event;
use tokio::sync::{Semaphore, mpsc};

use crate::decider::{Decider, LinkState};
use crate::ends::Moment;
use crate::policy_control::PolicyControl;
use crate::problems::{Part, Problems};

/// Between two looks at the programs of all rules.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// Between two looks at the clock for rules that end.
const CLOCK_EVERY: Duration = Duration::from_millis(500);
/// Programs looked at at once because of events.
const LOOKING: usize = 16;

/// Sorts the tickets that are there at each new registration, and tells when there is none.
/// Ends when the decider does.
pub(crate) async fn follow_link(
    policy: Arc<PolicyControl>,
    decider: Decider,
    problems: Arc<Problems>,
) {
    let mut state = decider.state();
    loop {
        let now = state.borrow_and_update().clone();
        match now {
            LinkState::Registered(_) => {
                problems.clear(Part::Kernel);
                tracing::info!("registered as the decider");
                match policy.reconcile().await {
                    Ok(0) => {}
                    Ok(revoked) => tracing::info!("{revoked} tickets from before were revoked"),
                    Err(error) => problems.set(Part::Tickets, format!("{error:#}")),
                }
            }
            LinkState::Lost { why, .. } => problems.set(Part::Kernel, why),
            LinkState::Connecting | LinkState::Off => {}
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Looks at the programs of events that the decider was unsure of, each in its own time.
pub(crate) async fn look_at_stale(
    policy: Arc<PolicyControl>,
    decider: Decider,
    mut stale: mpsc::Receiver<Box<Event>>,
) {
    let places = Arc::new(Semaphore::new(LOOKING));
    while let Some(mut event) = stale.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (policy, decider) = (Arc::clone(&policy), decider.clone());
        tokio::spawn(async move {
            let path = event.subject.exe.as_ref().map(|exe| exe.path.clone()).unwrap_or_default();
            let looked = match policy.look_at(&mut event.subject, &event.object).await {
                Ok(generation) => decider.decide_again(event, generation).await,
                Err(error) => Err(error),
            };
            if let Err(error) = looked {
                tracing::warn!("looking at {path:?} failed: {error:#}");
            }
            drop(place);
        });
    }
}

/// Ends the rules whose time is over, and changes that nobody confirmed. Looks at the clock each
/// time: it may have been set.
pub(crate) async fn end_rules(policy: Arc<PolicyControl>, problems: Arc<Problems>) {
    let tell = |part, tried: &str, done: anyhow::Result<()>| match done {
        Ok(()) => problems.clear(part),
        Err(error) => problems.set(part, format!("{tried}: {}", policy.store.explain(&error))),
    };
    loop {
        tokio::time::sleep(CLOCK_EVERY).await;
        let now = Moment::now();
        let ended = policy.end_rules(now).await;
        tell(Part::Ends, "rules that are over can't be deleted", ended);
        let undone = policy.undo_unconfirmed(now.boot).await;
        tell(Part::Unconfirmed, "what nobody confirmed can't be undone", undone);
    }
}

/// Looks at the programs of the rules now and then: a link may lead elsewhere by now.
pub(crate) async fn refresh(policy: Arc<PolicyControl>) {
    loop {
        tokio::time::sleep(REFRESH_EVERY).await;
        if let Err(error) = policy.refresh().await {
            tracing::warn!("looking at the programs of the rules failed: {error:#}");
        }
    }
}
