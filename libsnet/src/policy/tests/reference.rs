// SPDX-License-Identifier: MIT OR Apache-2.0
//! A decider as one would write it down: all rules, one by one, with nothing shared with
//! the policy but the words.

use std::net::IpAddr;

use ipnet::IpNet;

use super::universe::SUM;
use super::*;
use crate::policy::{Cgroups, Hosts, Program};
use crate::types::Parent;

/// Everything a policy is made of.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) rules: Vec<Rule>,
    pub(super) table: ProgramTable,
    pub(super) host: Host,
    pub(super) fallbacks: Fallbacks,
    pub(super) unmatched: Unmatched,
    pub(super) cgroups: Cgroups,
    pub(super) names: Hosts,
}

/// What is said of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    Decides(Decision),
    Asks(Option<RuleId>),
}

impl Says {
    pub(super) fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Decides(decision) => Some(decision.verdict),
            Self::Asks(_) => None,
        }
    }
}

impl World {
    pub(super) fn compile(&self) -> Policy {
        let fallbacks = self.fallbacks.clone();
        let policy = Policy::compile(self.rules.clone(), &self.table, self.host, fallbacks);
        policy
            .with_unmatched(self.unmatched)
            .with_cgroups(self.cgroups.clone().into())
            .with_hosts(self.names.clone().into())
    }

    /// What is said, or nothing when the table is too old to tell.
    pub(super) fn decide(
        &self,
        subject: &Subject,
        object: &Object,
        freshness: Freshness,
    ) -> Option<Says> {
        let mut first: Option<(&Rule, bool)> = None;
        let (mut learns, mut observes) = (false, false);
        for rule in &self.rules {
            let spec = &rule.spec;
            let (matches, stale) = match spec.container {
                Some(_) => (self.is_named_so(&spec.program, subject), false),
                None => self.is_about(&spec.program, subject),
            };
            let (holds, may_hold) = self.conditions(rule, subject, freshness);
            let may = (matches || stale && freshness == Freshness::Unsure) && (holds || may_hold);
            let matches = matches && holds;
            let user = spec.uid.is_none() || spec.uid == Some(subject.uid);
            let (named, may_be_named) = self.is_named(rule, object, freshness);
            let matches = matches && named;
            let may = may && (named || may_be_named);
            let applies = spec.enabled && may && user && covers(&spec.scope, object);
            if applies && matches!(spec.action, Action::Learn | Action::Observe) {
                if !matches {
                    return None;
                }
                learns |= spec.action == Action::Learn;
                observes |= spec.action == Action::Observe;
            } else if applies {
                first = match first {
                    Some((other, _)) if !goes_first(rule, other) => first,
                    _ => Some((rule, matches)),
                };
            }
        }
        let observed =
            |source, rule| Some(Says::Decides(Decision { verdict: Verdict::Allow, source, rule }));
        let denies = self.fallbacks.get(&object.operation) == Some(&Verdict::Deny);
        match first {
            None if learns => observed(Source::Learned, None),
            None if observes && self.unmatched == Unmatched::Ask => {
                observed(Source::WouldAsk, None)
            }
            None if observes && denies => observed(Source::WouldDeny, None),
            Some((rule, true)) if observes && rule.spec.action == Action::Deny => {
                observed(Source::WouldDeny, Some(rule.id))
            }
            Some((rule, true)) if observes && rule.spec.action == Action::Ask => {
                observed(Source::WouldAsk, Some(rule.id))
            }
            None if self.unmatched == Unmatched::Ask => Some(Says::Asks(None)),
            None => Some(Says::Decides(by_fallback(match self.fallbacks.get(&object.operation) {
                Some(Verdict::Deny) => Verdict::Deny,
                _ => Verdict::Allow,
            }))),
            Some((rule, true)) => Some(match rule.spec.action {
                Action::Ask => Says::Asks(Some(rule.id)),
                Action::Learn | Action::Observe => panic!("it decides nothing"),
                Action::Allow => Says::Decides(by_rule(Verdict::Allow, rule.id.0)),
                Action::Deny => Says::Decides(by_rule(Verdict::Deny, rule.id.0)),
            }),
            Some((_, false)) => None,
        }
    }

    /// Do all conditions hold; may they, were more looked up?
    fn conditions(&self, rule: &Rule, subject: &Subject, freshness: Freshness) -> (bool, bool) {
        let text = |condition: Option<String>| condition.unwrap_or_default();
        let unit = text(rule.spec.unit.as_ref().map(ToString::to_string));
        let container = text(rule.spec.container.as_ref().map(ToString::to_string));
        let pattern = text(rule.spec.command.as_ref().map(ToString::to_string));
        let wanted = text(rule.spec.parent.as_ref().map(ToString::to_string));
        let nowhere = self.cgroups == Cgroups::default() || subject.cgroup_id == 0;
        let cgroup = Some(subject.cgroup_id).filter(|id| [7, 8].contains(id));
        let facts = [
            match (unit.as_str(), cgroup) {
                ("", _) => Some(true),
                _ if nowhere => Some(false),
                ("web.slice", Some(_)) => Some(true),
                (_, id) => id.map(|id| id == 7),
            },
            match (container.as_str(), cgroup) {
                ("" | "any", _) => Some(true),
                _ if nowhere => Some(false),
                (name, id) => id.map(|id| id == 7 && name == "web"),
            },
            match (pattern.as_str(), subject.details.command.as_deref()) {
                ("", _) => Some(true),
                ("curl", command) => command.map(|command| command == "curl"),
                (_, command) => command.map(|command| command == "curl -x y"),
            },
            match (wanted.as_str(), &subject.details.parent) {
                ("", _) => Some(true),
                (_, None) => None,
                (_, Some(Parent::Elsewhere)) => Some(false),
                ("/usr/bin/*", Some(Parent::Host(path))) => Some(path.starts_with("/usr/bin")),
                ("wget", Some(Parent::Host(path))) => Some(path.ends_with("wget")),
                (wanted, Some(Parent::Host(path))) => Some(path == std::path::Path::new(wanted)),
            },
            match (&rule.spec.program, subject.details.sha256) {
                (Program::Sha256(_), _) if container.is_empty() && !self.is_of_host(subject) => {
                    Some(false)
                }
                (Program::Sha256(wanted), sum) => sum.map(|sum| sum == *wanted),
                _ => Some(true),
            },
        ];
        let bars = matches!(rule.spec.action, Action::Deny | Action::Ask);
        match (facts.contains(&Some(false)), facts.contains(&None)) {
            (true, _) => (false, false),
            (false, false) => (true, false),
            (false, true) if freshness == Freshness::Unsure => (false, true),
            (false, true) => (bars, false),
        }
    }

    /// Is the peer the rule's host; may it be, were more answers known?
    fn is_named(&self, rule: &Rule, object: &Object, freshness: Freshness) -> (bool, bool) {
        let wanted = rule.spec.host.as_ref().map(ToString::to_string);
        let is = |address, names: &[&str]| {
            names.iter().any(|name| self.names.is(address, &name.parse().unwrap()))
        };
        match (wanted.as_deref(), object.remote.map(|remote| remote.ip())) {
            (None, _) => (true, false),
            (Some(_), None) => (false, false),
            (Some("*.test"), Some(address)) if is(address, &["a.test", "b.test"]) => (true, false),
            (Some(name), Some(address)) if is(address, &[name]) => (true, false),
            (_, Some(address)) => {
                let unknown = !is(address, &["a.test", "b.test", "other"]);
                (false, unknown && freshness == Freshness::Unsure)
            }
        }
    }

    fn is_of_host(&self, subject: &Subject) -> bool {
        let same_mounts = self.host.mnt_ns.is_none() || self.host.mnt_ns == Some(subject.mnt_ns);
        same_mounts && self.host.user_ns == subject.user_ns
    }

    /// Is it the program by its path alone, as in a container?
    fn is_named_so(&self, program: &Program, subject: &Subject) -> bool {
        let Some(exe) = &subject.exe else {
            return matches!(program, Program::Any | Program::Sha256(_));
        };
        match program.to_string().as_str() {
            "any" | SUM => true,
            "/usr/bin/*" => exe.path.parent() == Some("/usr/bin".as_ref()),
            "curl" | "wget" => exe.path.ends_with(program.to_string()),
            "/usr/**/curl" => exe.path.ends_with("curl"),
            path => exe.path.to_str() == Some(path),
        }
    }

    /// Is the subject the program; may it be, were the table newer?
    fn is_about(&self, program: &Program, subject: &Subject) -> (bool, bool) {
        if matches!(program, Program::Any | Program::Sha256(_)) {
            return (true, false);
        }
        let Some(exe) = &subject.exe else {
            return (false, false);
        };
        if !self.is_of_host(subject) {
            return (false, false);
        }
        let unresolved = match program {
            Program::Path(path) => vec![Candidate { path: path.clone(), identity: None }],
            _ => Vec::new(),
        };
        let in_reach = match program.to_string().as_str() {
            "/usr/bin/*" => exe.path.parent() == Some("/usr/bin".as_ref()),
            "/usr/**/curl" => exe.path.starts_with("/usr") && exe.path.ends_with("curl"),
            _ => false,
        };
        let candidates = self.table.get(program).map_or(unresolved, <[_]>::to_vec);
        let at_path: Vec<_> = candidates.iter().filter(|found| found.path == exe.path).collect();
        let file = Some(Identity { device: exe.device, inode: exe.inode });
        let matches = at_path.iter().any(|found| found.identity == file);
        (matches, !matches && (!at_path.is_empty() || in_reach))
    }
}

fn covers(scope: &Scope, object: &Object) -> bool {
    let protocol = scope.protocols.has(object.protocol)
        || object.protocol == Protocol::Mptcp && scope.protocols.has(Protocol::Tcp);
    let number = scope.number.is_none() || scope.number == Some(object.number);
    let peer = match (object.remote, scope.remote) {
        (None, None) => scope.remote_ports.min() == 0 && scope.remote_ports.max() == 65535,
        (None, Some(_)) => false,
        (Some(peer), net) => {
            let (min, max) = (scope.remote_ports.min(), scope.remote_ports.max());
            net.is_none_or(|net| holds(net, peer.ip())) && min <= peer.port() && peer.port() <= max
        }
    };
    let own = object.local.map_or(0, |local| local.port());
    let local = scope.local_ports.min() <= own && own <= scope.local_ports.max();
    scope.operations.has(object.operation) && protocol && number && peer && local
}

/// Compares bit by bit.
fn holds(net: IpNet, address: IpAddr) -> bool {
    let bytes = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (net_bytes, bytes) = (bytes(net.addr()), bytes(address));
    net_bytes.len() == bytes.len()
        && (0..usize::from(net.prefix_len())).all(|bit| {
            let mask = 0x80 >> (bit % 8);
            net_bytes[bit / 8] & mask == bytes[bit / 8] & mask
        })
}

/// What a rule is sorted by, each so that the larger goes first.
fn keys(rule: &Rule) -> [i64; 16] {
    let spec = &rule.spec;
    let width = |min: u16, max: u16| i64::from(max) - i64::from(min);
    let tcp_alone =
        spec.scope.protocols.has(Protocol::Tcp) && !spec.scope.protocols.has(Protocol::Mptcp);
    [
        i64::from(spec.priority),
        match spec.program {
            Program::Any => 0,
            Program::Pattern(_) => 1,
            Program::Name(_) => 2,
            Program::Path(_) => 3,
            Program::Sha256(_) => 4,
        },
        i64::from(spec.uid.is_some()),
        i64::from(spec.command.is_some()),
        i64::from(spec.parent.is_some()),
        i64::from(spec.container.is_some()),
        i64::from(spec.unit.is_some()),
        match &spec.host {
            None => 0,
            Some(host) if host.as_str().starts_with('*') => 1,
            Some(_) => 2,
        },
        match spec.scope.remote {
            None => -1,
            Some(IpNet::V4(net)) => 96 + i64::from(net.prefix_len()),
            Some(IpNet::V6(net)) => i64::from(net.prefix_len()),
        },
        -width(spec.scope.remote_ports.min(), spec.scope.remote_ports.max()),
        -width(spec.scope.local_ports.min(), spec.scope.local_ports.max()),
        i64::from(spec.scope.number.is_some()),
        -i64::from(spec.scope.protocols.len()) - i64::from(tcp_alone),
        -i64::from(spec.scope.operations.len()),
        match spec.action {
            Action::Deny => 2,
            Action::Allow => 1,
            Action::Ask => 0,
            Action::Learn => -1,
            Action::Observe => -2,
        },
        -i64::try_from(rule.id.0).unwrap(),
    ]
}

pub(super) fn goes_first(rule: &Rule, other: &Rule) -> bool {
    keys(rule) > keys(other)
}
