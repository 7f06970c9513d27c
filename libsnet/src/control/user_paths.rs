// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the daemon of one user has its files, by the XDG base directories. Pure: whoever asks
//! says what the environment holds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where everything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPaths {
    /// `snetd.toml`, if the user wrote one.
    pub config: PathBuf,
    /// Rules and journal.
    pub database: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// What a daemon that was started on the spot has to say.
    pub log: PathBuf,
}

impl UserPaths {
    /// Those that these environment variables mean; nothing without a home directory.
    pub fn new(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        // By the specification a path that isn't absolute counts as none.
        let path = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = path("HOME")?;
        let directory = |name, place: &str| path(name).unwrap_or_else(|| home.join(place));
        let data = directory("XDG_DATA_HOME", ".local/share").join("snet");
        let runtime = path("XDG_RUNTIME_DIR").map(|runtime| runtime.join("snet"));
        let socket = |directory: &Path| directory.join("snetd.sock");
        Some(Self {
            config: directory("XDG_CONFIG_HOME", ".config").join("snet/snetd.toml"),
            database: data.join("snet.db"),
            socket: socket(&runtime.unwrap_or_else(|| data.join("run"))),
            log: directory("XDG_STATE_HOME", ".local/state").join("snet/snetd.log"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(pairs: &[(&str, &str)]) -> Option<UserPaths> {
        UserPaths::new(|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_defaults_are_in_the_home_directory() {
        let found = paths(&[("HOME", "/home/x"), ("XDG_DATA_HOME", "relative")]).unwrap();
        assert_eq!(found.config, Path::new("/home/x/.config/snet/snetd.toml"));
        assert_eq!(found.database, Path::new("/home/x/.local/share/snet/snet.db"));
        assert_eq!(found.socket, Path::new("/home/x/.local/share/snet/run/snetd.sock"));
        assert_eq!(found.log, Path::new("/home/x/.local/state/snet/snetd.log"));
        assert_eq!(paths(&[]), None);
    }

    #[test]
    fn the_environment_says_otherwise() {
        let found = paths(&[
            ("HOME", "/h"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
            ("XDG_CONFIG_HOME", "/c"),
            ("XDG_DATA_HOME", "/d"),
            ("XDG_STATE_HOME", "/s"),
        ])
        .unwrap();
        assert_eq!(found.socket, Path::new("/run/user/7/snet/snetd.sock"));
        assert_eq!(found.config, Path::new("/c/snet/snetd.toml"));
        assert_eq!(found.database, Path::new("/d/snet/snet.db"));
        assert_eq!(found.log, Path::new("/s/snet/snetd.log"));
    }
}
