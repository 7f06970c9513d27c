// SPDX-License-Identifier: MIT OR Apache-2.0
//! Units of systemd, told by the cgroups of their processes.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::Container;

/// Kinds of units that have processes.
const KINDS: &[&str] = &["service", "scope", "slice", "mount", "swap", "socket"];

/// Longest unit, in bytes (`PATH_MAX`).
const MAX: usize = 4096;

/// Whose processes a rule is about: those of a unit of the system's manager
/// (`nginx.service`, `user-1000.slice`), or those in a cgroup or one below it
/// (`/user.slice/user-1000.slice/user@1000.service/app.slice`).
///
/// A name is only found where nobody but the system's manager makes cgroups: in the root and in
/// its slices. What users and containers call their cgroups is theirs to say, so that a process
/// could otherwise take any name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit(String);

/// A text that names no unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' names no unit with processes: expected one like nginx.service or user-1000.slice, or \
     the path of a cgroup like /system.slice/nginx.service"
)]
pub struct ParseUnitError(String);

impl Unit {
    /// Are processes of the cgroup at this path, relative to the root of the cgroups, of it?
    pub fn holds(&self, cgroup: &str) -> bool {
        if self.0.starts_with('/') {
            let below = cgroup.strip_prefix(&self.0);
            return below.is_some_and(|below| below.is_empty() || below.starts_with('/'));
        }
        for part in cgroup.split('/').skip(1) {
            if part == self.0 {
                return true;
            }
            if !part.ends_with(".slice") {
                return false;
            }
        }
        false
    }

    /// A cgroup that it holds.
    pub fn cgroup(&self) -> String {
        if self.0.starts_with('/') { self.0.clone() } else { format!("/{}", self.0) }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Unit {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_part = |part: &str| !matches!(part, "" | "." | "..");
        let plain = !text.chars().any(|letter| letter.is_control() || letter.is_whitespace());
        let meant = match text.strip_prefix('/') {
            Some(path) => path.split('/').all(is_part),
            None => text.rsplit_once('.').is_some_and(|(name, kind)| {
                is_part(name) && !name.contains('/') && KINDS.contains(&kind)
            }),
        };
        if meant && plain && text.len() <= MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseUnitError(text.chars().take(100).collect()))
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

crate::text::serde_as_text!(Unit);

/// The cgroups that there were at a moment: their ids ([`crate::types::Subject::cgroup_id`], which
/// never come again), paths, and the containers that they are. Finding them is the daemon's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroups(HashMap<u64, Cgroup>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroup {
    path: Box<str>,
    /// Id and names of the container that it is in.
    container: Vec<String>,
}

impl Cgroup {
    pub(super) fn is_of(&self, unit: &Unit) -> bool {
        unit.holds(&self.path)
    }

    pub(super) fn is_in(&self, container: &Container) -> bool {
        container.is_one_of(&self.container)
    }
}

/// What is known of a subject's cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'c> {
    /// It is this one.
    At(&'c Cgroup),
    /// There are no cgroups here, or the subject has none.
    Nowhere,
    /// It is new, or gone.
    Unknown,
}

impl Cgroups {
    /// Where the second version of cgroups is mounted, alone or beside the first: the directory
    /// with `cgroup.controllers` in it. A cgroup's id is the inode of its directory there.
    pub const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

    /// Is this one among them, so far as that matters: is there anything to find out about it?
    pub fn knows(&self, id: u64) -> bool {
        self.place(id) != Place::Unknown
    }

    pub(super) fn place(&self, id: u64) -> Place<'_> {
        match self.0.get(&id) {
            Some(cgroup) => Place::At(cgroup),
            None if id == 0 || self.0.is_empty() => Place::Nowhere,
            None => Place::Unknown,
        }
    }

    /// Is one of them the unit's?
    pub fn have(&self, unit: &Unit) -> bool {
        self.0.values().any(|cgroup| cgroup.is_of(unit))
    }

    /// Is one of them the container's?
    pub fn have_container(&self, container: &Container) -> bool {
        self.0.values().any(|cgroup| cgroup.is_in(container))
    }

    /// Adds one, or says where it is now, and which names the container has that it is in.
    pub fn insert(&mut self, id: u64, path: &str, container: Vec<String>) {
        self.0.insert(id, Cgroup { path: path.into(), container });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(unit: &str, cgroup: &str) -> bool {
        unit.parse::<Unit>().unwrap().holds(cgroup)
    }

    #[test]
    fn a_unit_holds_what_is_below_it() {
        assert!(holds("nginx.service", "/system.slice/nginx.service"));
        assert!(holds("nginx.service", "/system.slice/nginx.service/worker"));
        assert!(holds("web.slice", "/web.slice/web-front.slice/nginx.service"));
        assert!(holds("init.scope", "/init.scope"));
        assert!(holds("/user.slice", "/user.slice/user-1000.slice"));
        assert!(!holds("/user.slice", "/user.slices/x"));
        assert!(!holds("nginx.service", "/system.slice/nginx.service.d"));
        assert!(!holds("nginx.service", "/"));
    }

    #[test]
    fn nobody_takes_a_name_in_a_cgroup_of_his_own() {
        let user = "/user.slice/user-1000.slice/user@1000.service";
        assert!(holds("user@1000.service", &format!("{user}/app.slice/x.service")));
        assert!(!holds("nginx.service", &format!("{user}/app.slice/nginx.service")));
        assert!(!holds("nginx.service", "/system.slice/docker.service/nginx.service"));
        let session = "/user.slice/user-1000.slice/session-1.scope";
        assert!(!holds("nginx.service", &format!("{session}/nginx.service")));
    }

    #[test]
    fn what_names_no_unit_is_refused() {
        for text in [
            "",
            "nginx",
            "nginx.txt",
            ".service",
            "a/b.service",
            "/",
            "/a//b",
            "/a/../b",
            "a b.service",
        ] {
            assert!(text.parse::<Unit>().is_err(), "{text}");
        }
        let long = format!("/{}", "x".repeat(MAX));
        assert!(long.parse::<Unit>().is_err());
        let unit: Unit = "getty@tty1.service".parse().unwrap();
        assert!(unit.holds(&unit.cgroup()));
    }
}
