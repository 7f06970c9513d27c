// SPDX-License-Identifier: MIT OR Apache-2.0
//! Containers, told by the cgroups that their runtimes make.

use std::fmt;
use std::str::FromStr;

/// Fewest digits of an id that name a container, as runtimes print them.
const SHORT: usize = 12;

/// Longest name, in bytes.
const MAX: usize = 255;

/// Whose processes a rule is about: those in the container with this name (`web`) or id
/// (`f0e1d2c3b4a5`, or all of it), or wherever they are (`any`): in a container or in none.
///
/// Names are those that root's docker, podman, LXC or systemd-nspawn give. What users run without
/// root has no name here: its cgroups are theirs to make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Container(String);

/// A text that names no container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' names no container: expected its name, or at least 12 digits of its id")]
pub struct ParseContainerError(String);

impl Container {
    /// Is it the one with these names, the id among them?
    pub fn is_one_of<S: AsRef<str>>(&self, names: &[S]) -> bool {
        let digits = |text: &str| text.bytes().all(|letter| letter.is_ascii_hexdigit());
        let short = self.0.len() >= SHORT && digits(&self.0);
        names.iter().map(AsRef::as_ref).any(|name| {
            name == self.0 || short && name.len() == 64 && digits(name) && name.starts_with(&self.0)
        })
    }

    /// Does it matter where the process is?
    pub fn is_any(&self) -> bool {
        self.0 == "any"
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id, or the name, of the container whose cgroup is at this path or above it; only where
/// nobody but root makes cgroups: in the root and in the slices of the system's manager.
pub fn container_of(cgroup: &str) -> Option<&str> {
    let mut parts = cgroup.split('/').skip(1);
    let part = parts.find(|part| !part.ends_with(".slice"))?;
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some(name);
    }
    if matches!(part, "docker" | "libpod_parent") {
        let below = parts.next()?;
        return Some(below.strip_prefix("libpod-").unwrap_or(below));
    }
    if let Some(name) = part.strip_prefix("systemd-nspawn@") {
        return name.strip_suffix(".service");
    }
    let scope = part.strip_suffix(".scope")?;
    let kinds = ["docker-", "libpod-", "cri-containerd-", "crio-", "machine-"];
    let name = kinds.iter().find_map(|kind| scope.strip_prefix(kind))?;
    (!name.starts_with("conmon")).then_some(name)
}

impl FromStr for Container {
    type Err = ParseContainerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let usual = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if text.is_empty() || text.len() > MAX || !text.chars().all(usual) {
            return Err(ParseContainerError(text.chars().take(100).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

crate::text::serde_as_text!(Container);

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "f0e1d2c3b4a59687f0e1d2c3b4a59687f0e1d2c3b4a59687f0e1d2c3b4a59687";

    #[test]
    fn a_container_is_told_by_the_cgroup_of_its_runtime() {
        for (cgroup, name) in [
            (format!("/system.slice/docker-{ID}.scope"), Some(ID)),
            (format!("/docker/{ID}/init"), Some(ID)),
            (format!("/machine.slice/libpod-{ID}.scope/container"), Some(ID)),
            (format!("/libpod_parent/libpod-{ID}"), Some(ID)),
            (format!("/kubepods.slice/kubepods-x.slice/cri-containerd-{ID}.scope"), Some(ID)),
            ("/machine.slice/systemd-nspawn@web.service/payload".to_owned(), Some("web")),
            ("/machine.slice/machine-web.scope".to_owned(), Some("web")),
            ("/lxc.payload.web/system.slice/nginx.service".to_owned(), Some("web")),
            ("/system.slice/docker.service".to_owned(), None),
            (format!("/machine.slice/libpod-conmon-{ID}.scope"), None),
            (format!("/user.slice/user-1000.slice/user@1000.service/docker-{ID}.scope"), None),
            ("/".to_owned(), None),
        ] {
            assert_eq!(container_of(&cgroup), name, "{cgroup}");
        }
    }

    #[test]
    fn an_id_may_be_shortened_and_a_name_may_not() {
        let is = |text: &str, names: &[&str]| text.parse::<Container>().unwrap().is_one_of(names);
        assert!(is(ID, &[ID]) && is(&ID[..12], &[ID]) && is("web", &[ID, "web"]));
        assert!(!is(&ID[..11], &[ID]) && !is("web", &["web2"]));
        assert!(!is("aaaaaaaaaaaa", &["aaaaaaaaaaaab"]), "a name of hexadecimal digits");
    }

    #[test]
    fn what_names_no_container_is_refused() {
        for text in ["", "a b", "a/b", &"x".repeat(256)] {
            assert!(text.parse::<Container>().is_err(), "{text}");
        }
    }
}
