// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where events come from, as far as the decider cares: where a verdict leaves.
//!
//! There are two: the kernel module behind `link`, and the supervisors behind `supervised`. What
//! is decided, which ticket goes with it and what is reported is the same for both.

use std::time::Duration;

use libsnet::client::{Delivery, Error};
use libsnet::types::{RequestId, Ticket, Verdict};

use super::link::Link;

/// What became of a verdict.
#[derive(Debug)]
pub(super) enum Sent {
    /// It was acted on, and this ticket is kept.
    Decided {
        /// `None` when there was none, or no room for it.
        kept: Option<Ticket>,
        /// Why a ticket that was given isn't kept.
        trouble: Option<String>,
    },
    /// The fallback applied, or the process was killed: nothing was decided here.
    TooLate,
}

/// A source of events.
pub(super) trait Source {
    /// Lets the verdict on a held call take effect, and keeps the ticket.
    fn answer(
        &mut self,
        request: RequestId,
        verdict: Verdict,
        ticket: Option<Ticket>,
    ) -> Result<Sent, Error>;

    /// Holds a call for this long from now on, as far as its source may.
    fn defer(&mut self, request: RequestId, held: Duration) -> Result<(), Error>;
}

/// How long the kernel holds a call at most, and at least.
const LONGEST: Duration = Duration::from_secs(600);
const SHORTEST: Duration = Duration::from_millis(1);

impl Source for Link {
    fn answer(
        &mut self,
        request: RequestId,
        verdict: Verdict,
        ticket: Option<Ticket>,
    ) -> Result<Sent, Error> {
        match self.verdicts.send(request, verdict, ticket.as_slice()) {
            Ok(Delivery::Taken) => Ok(Sent::Decided { kept: ticket, trouble: None }),
            Ok(Delivery::TakenWithoutTickets(why)) => {
                let trouble = Some(format!("a ticket was not kept: {why}"));
                Ok(Sent::Decided { kept: None, trouble })
            }
            Ok(Delivery::Ended) => Ok(Sent::TooLate),
            // Better a verdict that is asked for each time than a call that waits.
            Err(Error::Refused(why)) if ticket.is_some() => {
                match self.answer(request, verdict, None)? {
                    Sent::Decided { kept, .. } => {
                        let trouble = Some(format!("a ticket was refused: {why}"));
                        Ok(Sent::Decided { kept, trouble })
                    }
                    Sent::TooLate => Ok(Sent::TooLate),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn defer(&mut self, request: RequestId, held: Duration) -> Result<(), Error> {
        self.verdicts.defer(request, held.clamp(SHORTEST, LONGEST)).map(drop)
    }
}

/// Requests of supervisors have the highest bit set; the kernel counts from below.
const SUPERVISED: u64 = 1 << 63;

/// The number for the nth request of any supervisor.
pub(super) fn supervised_request(n: u64) -> RequestId {
    RequestId(SUPERVISED | n)
}

/// Is it one of those?
pub(super) fn is_supervised(request: RequestId) -> bool {
    request.0 & SUPERVISED != 0
}
