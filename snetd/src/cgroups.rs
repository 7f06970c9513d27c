// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cgroups of this machine, by which units are told.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libsnet::policy::{Cgroups, RuleSpec, container_of};

use crate::containers;

/// As many as are looked at. What is beyond counts as gone.
const MOST: usize = 65_536;

/// The cgroups that there are now; none where there is no second version of them. Blocks.
pub(crate) fn all() -> Cgroups {
    let mut mounts = Cgroups::MOUNTS.map(Path::new).into_iter();
    let root = mounts.find(|root| root.join("cgroup.controllers").exists());
    root.map(|root| below(root, MOST)).unwrap_or_default()
}

/// What who makes a rule for a unit or a container should know. Blocks.
pub(crate) fn note(spec: &RuleSpec) -> Option<String> {
    let named = spec.container.as_ref().filter(|name| !name.is_any());
    if spec.unit.is_none() && named.is_none() {
        return None;
    }
    let cgroups = all();
    if cgroups == Cgroups::default() {
        let note = "there are no cgroups (version 2) here: no process is in a unit or a container";
        return Some(note.to_owned());
    }
    let unit = spec.unit.as_ref().filter(|unit| !cgroups.have(unit)).map(ToString::to_string);
    let container = named.filter(|name| !cgroups.have_container(name));
    let missing = unit.or(container.map(|name| format!("container {name}")))?;
    Some(format!("{missing} isn't running now: there is no such cgroup"))
}

/// Those in a directory and below it, with paths from there. The nearer ones first: where there
/// are too many, those of the system are known before those that users make.
fn below(root: &Path, most: usize) -> Cgroups {
    let mut found = Cgroups::default();
    let mut level = vec![PathBuf::new()];
    let mut count = 0;
    let mut names = containers::Names::default();
    while !level.is_empty() && count < most {
        let mut next = Vec::new();
        for place in level.into_iter().take(most - count) {
            let directory = root.join(&place);
            // It may be gone by now.
            let Ok(status) = fs::metadata(&directory) else { continue };
            if let Some(path) = place.to_str() {
                let path = format!("/{path}");
                let container = container_of(&path).map(|name| names.of(name));
                found.insert(status.ino(), &path, container.unwrap_or_default());
                count += 1;
            }
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            let directories =
                entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            next.extend(directories.map(|entry| place.join(entry.file_name())));
        }
        level = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_is_one_with_its_path() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("system.slice/nginx.service");
        fs::create_dir_all(&deep).unwrap();
        fs::write(root.path().join("cgroup.procs"), "1").unwrap();
        let mut expected = Cgroups::default();
        for (path, directory) in [
            ("/", root.path()),
            ("/system.slice", &root.path().join("system.slice")),
            ("/system.slice/nginx.service", &deep),
        ] {
            expected.insert(fs::metadata(directory).unwrap().ino(), path, vec![]);
        }
        assert_eq!(below(root.path(), MOST), expected);
        let mut first = Cgroups::default();
        first.insert(fs::metadata(root.path()).unwrap().ino(), "/", vec![]);
        assert_eq!(below(root.path(), 1), first);
    }
}
