// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls that a ticket may cover: those of the rule that decides, without those that a
//! rule asked before it decides otherwise.
//!
//! Owns the narrowing of one scope against others. A scope is a product of conditions, and
//! one product without another is seldom a product, so that each contrary scope is cut off
//! along one condition, one in which the call at hand lies outside. Where there are
//! several, the cut that keeps the largest share of the scope is made.

use std::net::IpAddr;

use ipnet::IpNet;

use super::hosts::EVERYWHERE;
use super::{Hosts, Rule};
use crate::types::{Object, Operations, PortRange, Scope};

/// A whole scope; shares are parts of it.
const WHOLE: u64 = 1 << 32;

/// A scope that lies outside a contrary one.
struct Cut {
    /// How much of the scope is left, as a guess: addresses and ports are taken to be
    /// spread evenly, calls without a peer and calls with one to be as frequent.
    kept: u64,
    /// What is left.
    scope: Scope,
}

/// The part of `scope` around the call that no contrary rule overlaps; `None` when it
/// can't be expressed. `scope` covers the call, and no contrary rule does.
pub(super) fn narrow<'a>(
    scope: Scope,
    object: &Object,
    contrary: impl Iterator<Item = &'a Rule>,
    hosts: &Hosts,
) -> Option<Scope> {
    let mut left = scope;
    for rule in contrary {
        let other = &rule.spec.scope;
        if !left.overlaps(other) {
            continue;
        }
        let Some(host) = &rule.spec.host else {
            left = cut(&left, object, &other.possible())?;
            continue;
        };
        let addresses = match object.remote {
            // Any address may come to stand for the host, but for the one at hand it is known.
            Some(peer) => {
                let address = IpNet::from(peer.ip());
                left.remote = Some(address);
                if !hosts.is(peer.ip(), host) {
                    continue;
                }
                &[address][..]
            }
            None => &EVERYWHERE,
        };
        for address in addresses {
            let other = Scope { remote: Some(*address), ..other.clone() };
            if left.overlaps(&other) {
                left = cut(&left, object, &other.possible())?;
            }
        }
    }
    Some(left)
}

/// The largest part of `scope` that one condition can keep apart from `other`.
///
/// There is none for a call that names no peer when `other` differs only in that it needs
/// one: no condition covers just the calls without a peer.
fn cut(scope: &Scope, object: &Object, other: &Scope) -> Option<Scope> {
    // The first one wins a tie.
    let cuts = [
        by_operation(scope, object, other),
        by_protocol(scope, object, other),
        by_remote(scope, object, other),
        by_remote_port(scope, object, other),
        by_local_port(scope, object, other),
        by_number(scope, object, other),
    ];
    let best = cuts.into_iter().rev().flatten().max_by_key(|cut| cut.kept)?;
    Some(best.scope)
}

fn by_operation(scope: &Scope, object: &Object, other: &Scope) -> Option<Cut> {
    let operations = scope.operations.without(other.operations);
    operations.has(object.operation).then(|| Cut {
        kept: share(operations.len(), scope.operations.len()),
        scope: Scope { operations, ..scope.clone() },
    })
}

fn by_protocol(scope: &Scope, object: &Object, other: &Scope) -> Option<Cut> {
    let protocols = scope.protocols.without(other.protocols);
    protocols.has(object.protocol).then(|| Cut {
        kept: share(protocols.len(), scope.protocols.len()),
        scope: Scope { protocols, ..scope.clone() },
    })
}

fn by_remote(scope: &Scope, object: &Object, other: &Scope) -> Option<Cut> {
    let peer = object.remote?.ip();
    let remote = beside(scope.remote, peer, other.remote?)?;
    let bits = match scope.remote {
        Some(before) => remote.prefix_len().saturating_sub(before.prefix_len()),
        // The other address family goes as well.
        None => remote.prefix_len().saturating_add(1),
    };
    Some(Cut {
        kept: WHOLE.checked_shr(u32::from(bits) + peerless(scope)).unwrap_or(0),
        scope: Scope { remote: Some(remote), ..scope.clone() },
    })
}

fn by_remote_port(scope: &Scope, object: &Object, other: &Scope) -> Option<Cut> {
    let port = object.remote?.port();
    let remote_ports = scope.remote_ports.around(port, other.remote_ports)?;
    Some(Cut {
        kept: ports_share(remote_ports, scope.remote_ports) >> peerless(scope),
        scope: Scope { remote_ports, ..scope.clone() },
    })
}

fn by_local_port(scope: &Scope, object: &Object, other: &Scope) -> Option<Cut> {
    let local_ports = scope.local_ports.around(object.local_port(), other.local_ports)?;
    let kept = ports_share(local_ports, scope.local_ports);
    Some(Cut { kept, scope: Scope { local_ports, ..scope.clone() } })
}

fn by_number(scope: &Scope, object: &Object, other: &Scope) -> Option<Cut> {
    let differs = other.number.is_some_and(|number| number != object.number);
    differs.then(|| Cut {
        // Of 65536 numbers a program uses a few.
        kept: WHOLE / 8,
        scope: Scope { number: Some(object.number), ..scope.clone() },
    })
}

fn share(kept: u32, of: u32) -> u64 {
    (u64::from(kept) * WHOLE).checked_div(of.into()).unwrap_or(0)
}

fn ports_share(kept: PortRange, of: PortRange) -> u64 {
    share(kept.count(), of.count())
}

/// How often a scope halves when only calls with a peer are left.
fn peerless(scope: &Scope) -> u32 {
    u32::from(!scope.needs_peer() && scope.operations.overlaps(Operations::WITHOUT_REMOTE))
}

/// The widest prefix in `within` that holds the address and nothing of `other`.
fn beside(within: Option<IpNet>, address: IpAddr, other: IpNet) -> Option<IpNet> {
    let shortest = within.map_or(0, |net| net.prefix_len());
    (shortest..=IpNet::from(address).max_prefix_len())
        .filter_map(|length| IpNet::new(address, length).ok())
        .map(|net| net.trunc())
        .find(|net| !net.contains(&other) && !other.contains(net))
}
