// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a supervisor and snetd tell each other once `Supervise` was answered: JSON with a NUL
//! byte behind each message, in both directions, unasked.

use serde::{Deserialize, Serialize};

use crate::types::{Fallbacks, Object, Subject, Verdict, WatchSet};

/// Under what terms a supervisor works: the answer to `Supervise`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The kernel module mediates every program here already: supervising would only have
    /// each call decided twice.
    pub kernel: bool,
    /// Which calls are mediated.
    pub watch: WatchSet,
    /// What applies when no verdict comes.
    pub fallbacks: Fallbacks,
    /// Milliseconds for which a call is held without a verdict.
    pub deadline: u64,
    /// The same for non-blocking sockets.
    pub nonblock_deadline: u64,
}

/// What a supervisor tells snetd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Told {
    /// A call is held. Answered by [`Said::Verdict`].
    Ask(Box<Ask>),
    /// A process has ended.
    Ended {
        /// Its number.
        tgid: u32,
    },
}

/// A call that a supervisor holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Names the call in the verdict.
    pub request: u64,
    /// Who.
    pub subject: Subject,
    /// What.
    pub object: Object,
    /// Cookie of the network namespace of the socket.
    pub network: u64,
}

/// What snetd says to a supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// A held call is decided.
    Verdict {
        /// Which.
        request: u64,
        /// How.
        verdict: Verdict,
    },
    /// A person is asked about a held call: without a verdict it is held for as long as that may
    /// take, unless its socket is a non-blocking one.
    Defer {
        /// Which.
        request: u64,
        /// Milliseconds from now.
        deadline: u64,
    },
    /// From now on these count. What a program is watched for when it is started stays as it
    /// was: a filter can't be changed.
    Terms(Terms),
}
