// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a rule is about beside a program and a user: things that somebody has to look up while
//! the call is held.
//!
//! Owns what follows from what was found, and from what couldn't be found.

use std::path::Path;

use super::compile::Standing;
use super::unit::{Cgroup, Place};
use super::{Action, Freshness, Policy, Program, Rule, RuleSpec};
use crate::types::{Parent, Subject};

/// Where a name of a program is looked for in a container.
const IN_CONTAINERS: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What has to be looked up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// The cgroups of now.
    pub cgroups: bool,
    /// Programs by their paths alone: nothing to look up, but a condition.
    pub paths: bool,
    /// [`crate::types::Details::command`].
    pub command: bool,
    /// [`crate::types::Details::parent`].
    pub parent: bool,
    /// [`crate::types::Details::sha256`].
    pub sha256: bool,
    /// The names of addresses.
    pub hosts: bool,
}

impl Wants {
    /// What these rules are about.
    pub fn of<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> Self {
        let specs = rules.into_iter().map(|rule| &rule.spec).filter(|spec| spec.enabled);
        specs.fold(Self::default(), |wants, spec| Self {
            cgroups: wants.cgroups
                || spec.unit.is_some()
                || spec.container.as_ref().is_some_and(|container| !container.is_any()),
            paths: wants.paths || spec.container.is_some(),
            command: wants.command || spec.command.is_some(),
            parent: wants.parent || spec.parent.is_some(),
            sha256: wants.sha256 || matches!(spec.program, Program::Sha256(_)),
            hosts: wants.hosts || spec.host.is_some(),
        })
    }

    /// Is there something of a process itself among it?
    pub fn details(self) -> bool {
        self.command || self.parent || self.sha256
    }
}

impl RuleSpec {
    /// Is it about some processes that run a file, and not about others that do?
    pub fn has_conditions(&self) -> bool {
        self.unit.is_some()
            || self.container.is_some()
            || self.command.is_some()
            || self.parent.is_some()
            || matches!(self.program, Program::Sha256(_))
    }
}

impl Policy {
    /// What is still to be looked up of this subject before it is decided.
    pub fn missing(&self, subject: &Subject) -> Wants {
        let (wants, details) = (self.wants, &subject.details);
        Wants {
            paths: false,
            cgroups: wants.cgroups && !self.cgroups.knows(subject.cgroup_id),
            command: wants.command && details.command.is_none(),
            parent: wants.parent && details.parent.is_none(),
            sha256: wants.sha256 && details.sha256.is_none(),
            hosts: false,
        }
    }

    /// Do the rule's conditions hold of the subject? What can't be found out, since the process
    /// or its cgroup is gone or hides it, may be anything that something is denied to, and nothing
    /// that something is allowed to.
    pub(super) fn conditions(
        &self,
        rule: &Rule,
        subject: &Subject,
        freshness: Freshness,
    ) -> Option<Standing> {
        if !self.wants.cgroups && !self.wants.paths && !self.wants.details() {
            return Some(Standing::Matches);
        }
        let mut known = true;
        for holds in [Self::unit, Self::container, Self::command, Self::parent, Self::content] {
            match holds(self, rule, subject) {
                Some(true) => {}
                Some(false) => return None,
                None => known = false,
            }
        }
        match (known, freshness) {
            (true, _) => Some(Standing::Matches),
            (false, Freshness::Unsure) => Some(Standing::Stale),
            (false, Freshness::Fresh) => {
                let bars = matches!(rule.spec.action, Action::Deny | Action::Ask);
                bars.then_some(Standing::Matches)
            }
        }
    }

    fn in_cgroup(&self, subject: &Subject, is: impl Fn(&Cgroup) -> bool) -> Option<bool> {
        match self.cgroups.place(subject.cgroup_id) {
            Place::At(cgroup) => Some(is(cgroup)),
            Place::Nowhere => Some(false),
            Place::Unknown => None,
        }
    }

    fn unit(&self, rule: &Rule, subject: &Subject) -> Option<bool> {
        let Some(unit) = &rule.spec.unit else { return Some(true) };
        self.in_cgroup(subject, |cgroup| cgroup.is_of(unit))
    }

    fn container(&self, rule: &Rule, subject: &Subject) -> Option<bool> {
        let Some(container) = &rule.spec.container else { return Some(true) };
        if !is_at_path(&rule.spec.program, subject) {
            return Some(false);
        }
        if container.is_any() {
            return Some(true);
        }
        self.in_cgroup(subject, |cgroup| cgroup.is_in(container))
    }

    fn command(&self, rule: &Rule, subject: &Subject) -> Option<bool> {
        let Some(pattern) = &rule.spec.command else { return Some(true) };
        subject.details.command.as_deref().map(|command| pattern.matches(command))
    }

    fn parent(&self, rule: &Rule, subject: &Subject) -> Option<bool> {
        let Some(wanted) = &rule.spec.parent else { return Some(true) };
        let Parent::Host(path) = subject.details.parent.as_ref()? else { return Some(false) };
        Some(match wanted {
            Program::Pattern(pattern) => pattern.matches(path),
            _ => self.parent_paths(rule.id).contains(path),
        })
    }

    fn content(&self, rule: &Rule, subject: &Subject) -> Option<bool> {
        let Program::Sha256(wanted) = rule.spec.program else { return Some(true) };
        // Who owns another user namespace may call itself by any executable.
        if rule.spec.container.is_none() && !self.host.is_of_host(subject) {
            return Some(false);
        }
        subject.details.sha256.map(|sum| sum == wanted)
    }
}

/// Does the subject run the program as its container knows it?
fn is_at_path(program: &Program, subject: &Subject) -> bool {
    let path = subject.exe.as_ref().map(|exe| exe.path.as_path());
    let is = |test: &dyn Fn(&Path) -> bool| path.is_some_and(test);
    match program {
        Program::Any | Program::Sha256(_) => true,
        Program::Path(wanted) => is(&|path| path == wanted),
        Program::Pattern(pattern) => is(&|path| pattern.matches(path)),
        Program::Name(name) => is(&|path| {
            let directory = path.parent().and_then(Path::to_str).unwrap_or_default();
            path.file_name() == Some(name.as_ref()) && IN_CONTAINERS.contains(&directory)
        }),
    }
}
