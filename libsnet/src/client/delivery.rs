// SPDX-License-Identifier: MIT OR Apache-2.0
//! What became of a verdict, from what the kernel answered to it.

use super::Error;
use crate::wire::Ack;

/// What became of a verdict, or of a new deadline.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The kernel acted on it, and kept all tickets that came with it.
    Taken,
    /// The call is decided, but none of the tickets was kept: an id is in use, there are too
    /// many, or the process has ended. The kernel says which.
    TakenWithoutTickets(Ack),
    /// The call was held no longer: its deadline was over, its process was killed, or the
    /// module is gone. No ticket was kept.
    Ended,
}

impl Delivery {
    /// Reads the outcome of a `verdict` or `defer`. The kernel refuses tickets only after it
    /// has taken the verdict; whatever is wrong with the message itself it refuses before.
    pub(super) fn from_outcome(outcome: Result<(), Error>) -> Result<Self, Error> {
        match outcome {
            Ok(()) => Ok(Self::Taken),
            Err(Error::NotFound(_)) => Ok(Self::Ended),
            Err(Error::ProcessGone(ack)) => Ok(Self::TakenWithoutTickets(ack)),
            Err(Error::Refused(ack)) if matches!(ack.errno, libc::EEXIST | libc::ENOSPC) => {
                Ok(Self::TakenWithoutTickets(ack))
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: i32) -> Result<Delivery, Error> {
        Delivery::from_outcome(Err(Error::from_refusal(Ack { errno, ..Ack::default() })))
    }

    #[test]
    fn tickets_that_are_refused_do_not_undo_the_verdict() {
        for errno in [libc::EEXIST, libc::ENOSPC, libc::ESRCH] {
            let delivery = of(errno).unwrap();
            assert!(matches!(delivery, Delivery::TakenWithoutTickets(ack) if ack.errno == errno));
        }
    }

    #[test]
    fn a_call_that_is_over_is_no_error_and_a_bad_message_is_one() {
        assert_eq!(Delivery::from_outcome(Ok(())).unwrap(), Delivery::Taken);
        assert_eq!(of(libc::ENOENT).unwrap(), Delivery::Ended);
        assert!(matches!(of(libc::EINVAL), Err(Error::Refused(_))));
        assert!(matches!(of(libc::EPERM), Err(Error::NotPermitted(_))));
    }
}
