// SPDX-License-Identifier: MIT OR Apache-2.0
//! What root's docker and podman call the containers whose ids the cgroups tell.
//!
//! The files are theirs: <https://github.com/moby/moby/tree/master/daemon/container> (`config.v2.json`)
//! and <https://github.com/containers/storage> (`containers.json`).

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

const DOCKER: &str = "var/lib/docker/containers";
const PODMAN: &str = "var/lib/containers/storage/overlay-containers/containers.json";

/// Largest file that is read, in bytes.
const MOST: u64 = 16 << 20;

/// The names of one look.
#[derive(Debug)]
pub(crate) struct Names {
    root: PathBuf,
    /// By id; read when the first one is asked for.
    podman: Option<HashMap<String, Vec<String>>>,
    docker: HashMap<String, Option<String>>,
}

impl Default for Names {
    fn default() -> Self {
        Self { root: "/".into(), podman: None, docker: HashMap::new() }
    }
}

#[derive(Deserialize)]
struct Docker {
    #[serde(rename = "Name")]
    name: String,
}

#[derive(Deserialize)]
struct Podman {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

impl Names {
    /// The id or name that a cgroup tells, and the other names of that container. Blocks.
    pub(crate) fn of(&mut self, told: &str) -> Vec<String> {
        let mut names = vec![told.to_owned()];
        // Others have no files of these.
        if told.len() == 64 && told.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            names.extend(self.docker(told));
            names.extend(self.podman(told));
        }
        names
    }

    fn docker(&mut self, id: &str) -> Option<String> {
        if let Some(known) = self.docker.get(id) {
            return known.clone();
        }
        let file = self.root.join(DOCKER).join(id).join("config.v2.json");
        let name = read::<Docker>(&file).map(|found| found.name.trim_start_matches('/').to_owned());
        self.docker.insert(id.to_owned(), name.clone());
        name
    }

    fn podman(&mut self, id: &str) -> Vec<String> {
        let file = self.root.join(PODMAN);
        let known = self.podman.get_or_insert_with(|| {
            let all = read::<Vec<Podman>>(&file).unwrap_or_default();
            all.into_iter().map(|container| (container.id, container.names)).collect()
        });
        known.get(id).cloned().unwrap_or_default()
    }
}

/// Nothing when it isn't there, or isn't what it was when this was written.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_are_those_of_the_files_of_docker_and_podman() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = ("0a".repeat(32), "0b".repeat(32));
        let docker = root.path().join(DOCKER).join(&one);
        fs::create_dir_all(&docker).unwrap();
        let config = format!("{{\"ID\":\"{one}\",\"Name\":\"/web\",\"State\":{{}}}}");
        fs::write(docker.join("config.v2.json"), config).unwrap();
        let podman = root.path().join(PODMAN);
        fs::create_dir_all(podman.parent().unwrap()).unwrap();
        fs::write(podman, format!("[{{\"id\":\"{two}\",\"names\":[\"db\"],\"layer\":\"x\"}}]"))
            .unwrap();
        let mut names = Names { root: root.path().to_owned(), ..Names::default() };
        assert_eq!(names.of(&one), [one.as_str(), "web"]);
        assert_eq!(names.of(&two), [two.as_str(), "db"]);
        assert_eq!(names.of("machine"), ["machine"]);
        assert_eq!(names.of("../../etc"), ["../../etc"]);
    }
}
