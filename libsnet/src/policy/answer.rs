// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a person's answer to a question may decide beside the call that was asked about.
//!
//! Owns the reach of an answer, and what keeps it within the policy: no call that a rule decides
//! the other way, and none that a person would have to be asked about by another rule.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::compile::Unmatched;
use super::issue::narrow;
use super::{Action, Freshness, Policy, Rule};
use crate::types::{Object, PortRange, Protocols, RuleId, Scope, Subject, Verdict};

/// Which calls an answer is meant for, beside the one that was asked about: always those of its
/// operation and protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// With this address and port of the peer.
    #[default]
    ThisAddress,
    /// With this address of the peer, at any port.
    ThisHost,
    /// With this port of any peer.
    ThisPort,
    /// With any peer.
    Anywhere,
}

/// What an answer decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The rule that asked, if it was one.
    pub rule: Option<RuleId>,
    /// The calls of this subject that a ticket with the answer may cover; `None` when only the
    /// call itself is decided.
    pub ticket: Option<Scope>,
}

impl Reach {
    /// The calls that are meant. Where the call names no peer, its own port stands for that.
    pub fn scope(self, object: &Object) -> Scope {
        let host = matches!(self, Self::ThisAddress | Self::ThisHost);
        let port = matches!(self, Self::ThisAddress | Self::ThisPort);
        let own = Some(object.local_port()).filter(|own| object.remote.is_none() && *own != 0);
        Scope {
            operations: object.operation.into(),
            protocols: Protocols::from(object.protocol).as_rule(),
            remote: object.remote.filter(|_| host).map(|remote| IpNet::from(remote.ip())),
            remote_ports: single(object.remote.filter(|_| port).map(|remote| remote.port())),
            local_ports: single(own.filter(|_| port)),
            ..Scope::ANY
        }
    }
}

fn single(port: Option<u16>) -> PortRange {
    port.and_then(|port| PortRange::new(port, port)).unwrap_or(PortRange::ANY)
}

impl Policy {
    /// What an answer with this verdict to a question about this call decides; nothing when the
    /// policy doesn't ask about it (any more).
    pub fn answer(
        &self,
        subject: &Subject,
        object: &Object,
        verdict: Verdict,
        reach: Reach,
    ) -> Option<Answered> {
        let of = |action| self.with_action(action, subject, Freshness::Unsure);
        let reaches = |rule: &Rule| self.reaches(rule, object, Freshness::Fresh).is_some();
        if of(Action::Observe).any(reaches) {
            return None;
        }
        let wanted = reach.scope(object);
        let asked = || {
            let rules = self.asked(subject, Freshness::Unsure).map(|(rule, _)| rule);
            rules.filter(|rule| rule.spec.action.decides())
        };
        let asking = asked().find(|rule| reaches(rule));
        let (rule, whole) = match asking {
            Some(rule) if rule.spec.action == Action::Ask => {
                (Some(rule.id), wanted.intersection(&rule.spec.scope_around(object)))
            }
            None if self.unmatched() == Unmatched::Ask && !of(Action::Learn).any(reaches) => {
                (None, Some(wanted))
            }
            _ => return None,
        };
        let contrary = asked()
            .take_while(|rule| asking.is_none_or(|asking| !std::ptr::eq(*rule, asking)))
            .filter(|rule| rule.spec.action != verdict.into());
        let goes_on = of(Action::Observe).chain(of(Action::Learn).filter(|_| rule.is_none()));
        let contrary = contrary.chain(goes_on.filter(|_| verdict == Verdict::Deny));
        let ticket = whole.and_then(|whole| narrow(whole, object, contrary, &self.hosts));
        Some(Answered { rule, ticket })
    }
}
