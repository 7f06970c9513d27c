// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can go wrong between a decider and the kernel module.

use std::io;

use crate::types::RequestId;
use crate::uapi;
use crate::wire::{Ack, DecodeError, EncodeError};

/// Why the kernel module couldn't be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such generic netlink family: the module isn't loaded, or this process
    /// isn't in the initial network namespace.
    #[error(
        "the kernel module isn't loaded: there is no generic netlink family '{family}' \
         in this network namespace"
    )]
    NotLoaded {
        /// The family's name.
        family: String,
    },
    /// The caller lacks `CAP_NET_ADMIN` in the initial user namespace, or it gave a verdict
    /// and isn't the decider.
    #[error("not permitted by the kernel module, which wants CAP_NET_ADMIN: {0}")]
    NotPermitted(Ack),
    /// Another process is the decider.
    #[error("another process is registered as the decider")]
    Busy,
    /// There is no such ticket.
    #[error("the kernel module knows no such thing: {0}")]
    NotFound(Ack),
    /// The process that a ticket is for has ended, or executes another program now.
    #[error("the process has ended or executes another program: {0}")]
    ProcessGone(Ack),
    /// The module has no multicast group of this name.
    #[error("the kernel module has no multicast group '{group}': it is older than this program")]
    NoGroup {
        /// The group's name.
        group: &'static str,
    },
    /// The module speaks another version of the protocol.
    #[error(
        "the kernel module speaks version {kernel} of the protocol and this program {}",
        uapi::ABI_VERSION
    )]
    AbiMismatch {
        /// The module's version.
        kernel: u32,
    },
    /// The module refused for another reason, which it names.
    #[error("the kernel module refused: {0}")]
    Refused(Ack),
    /// Events were lost because they weren't read fast enough. All that were not lost have
    /// been returned: list the held calls now.
    #[error("events were lost: the socket's receive buffer was full")]
    Overrun,
    /// An event arrived that can't be understood.
    #[error("event can't be decoded: {source}")]
    Undecodable {
        /// The held call, when its number could be read.
        request: Option<RequestId>,
        /// What is wrong with the event.
        source: DecodeError,
    },
    /// An answer arrived that can't be understood.
    #[error("answer of the kernel module can't be decoded: {0}")]
    Decode(#[from] DecodeError),
    /// The request can't be put into a message; nothing was sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The answer was lost or didn't come in time. Whether the request had an effect is not
    /// known.
    #[error("no answer from the kernel module")]
    NoAnswer,
    /// A list changed each time it was read.
    #[error("the list changed while it was read, each of {tries} times")]
    Interrupted {
        /// How often it was tried.
        tries: u32,
    },
    /// A system call on the socket failed.
    #[error("cannot {operation} the netlink socket: {source}")]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err` on a system call.
    pub(super) fn io(operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, source }
    }

    /// On a socket for answers, what was lost is an answer.
    pub(super) fn into_no_answer(self) -> Self {
        if matches!(self, Self::Overrun) { Self::NoAnswer } else { self }
    }

    /// What a refusal means when nothing is known about the request.
    pub(super) fn from_refusal(ack: Ack) -> Self {
        match ack.errno {
            libc::EPERM => Self::NotPermitted(ack),
            libc::ENOENT => Self::NotFound(ack),
            libc::ESRCH | libc::ESTALE => Self::ProcessGone(ack),
            _ => Self::Refused(ack),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_the_module_said() {
        let message = Some("deadline out of range".to_owned());
        let ack = Ack { errno: libc::ERANGE, message, ..Ack::default() };
        let text = Error::from_refusal(ack).to_string();
        assert!(text.contains("deadline out of range"), "{text}");
    }

    #[test]
    fn errnos_that_a_caller_acts_on_have_their_own_errors() {
        let refusal = |errno| Error::from_refusal(Ack { errno, ..Ack::default() });
        assert!(matches!(refusal(libc::EPERM), Error::NotPermitted(_)));
        assert!(matches!(refusal(libc::ENOENT), Error::NotFound(_)));
        assert!(matches!(refusal(libc::ESTALE), Error::ProcessGone(_)));
        assert!(matches!(refusal(libc::EINVAL), Error::Refused(_)));
    }
}
