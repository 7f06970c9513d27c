// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values of the configuration that check themselves while they are read, so that the
//! error points at their place in the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// What to do without the kernel module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KernelUse {
    /// Refuse to start.
    Required,
    /// Serve the control socket and register as soon as the module is there.
    Optional,
    /// Never talk to it.
    Off,
}

/// A path that doesn't depend on the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AbsolutePath(PathBuf);

impl AbsolutePath {
    pub(super) fn fixed(path: &str) -> Self {
        Self(path.into())
    }

    /// A path from elsewhere.
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(path.is_absolute(), "'{}' is no absolute path", path.display());
        Ok(Self(path.to_owned()))
    }

    /// The path.
    pub(crate) fn as_path(&self) -> &Path {
        &self.0
    }
}

impl<'de> Deserialize<'de> for AbsolutePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&PathBuf::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Where a socket may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SocketPath(AbsolutePath);

impl SocketPath {
    /// What a socket's address has room for, without the NUL: see unix(7).
    const LONGEST: usize = 107;
    /// It is made in a directory of this name beside its place, under the other name, and then renamed.
    pub(crate) const PRIVATE: &str = ".snetd.new";
    pub(crate) const HIDDEN: &str = "s";

    pub(super) fn fixed(path: &str) -> Self {
        Self(AbsolutePath::fixed(path))
    }

    /// A path from elsewhere.
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        let absolute = AbsolutePath::new(path)?;
        let told = path.display();
        let (Some(_), Some(directory)) = (path.file_name(), path.parent()) else {
            anyhow::bail!("'{told}' names no socket");
        };
        let hidden = directory.join(Self::PRIVATE).join(Self::HIDDEN);
        let longest = path.as_os_str().len().max(hidden.as_os_str().len());
        anyhow::ensure!(
            longest <= Self::LONGEST,
            "'{told}' is longer by {} bytes than the path of a socket may be",
            longest - Self::LONGEST
        );
        Ok(Self(absolute))
    }

    /// The path.
    pub(crate) fn as_path(&self) -> &Path {
        self.0.as_path()
    }
}

impl<'de> Deserialize<'de> for SocketPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&PathBuf::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Count<MIN, MAX> {
    pub(super) const fn fixed<const N: u32>() -> Self {
        const { assert!(MIN <= N && N <= MAX) };
        Self(N)
    }

    /// The number.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    /// The number, for sizes.
    pub(crate) const fn size(self) -> usize {
        self.0 as usize
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        match u32::try_from(number) {
            Ok(count) if (MIN..=MAX).contains(&count) => Ok(Self(count)),
            _ => Err(D::Error::custom(format!("{number}: expected a number from {MIN} to {MAX}"))),
        }
    }
}

fn parse_duration<E: serde::de::Error>(text: &str) -> Result<Duration, E> {
    humantime::parse_duration(text).map_err(|error| {
        E::custom(format!(
            "'{text}' is no duration ({error}): expected for example 500ms, 2s or 1h"
        ))
    })
}

/// A time for which a call may be held: 1 ms to 10 min, as the kernel takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(Duration);

impl Period {
    const MIN: Duration = Duration::from_millis(1);
    const MAX: Duration = Duration::from_secs(600);

    pub(super) const fn fixed(duration: Duration) -> Self {
        Self(duration)
    }

    /// The time.
    pub(crate) const fn get(self) -> Duration {
        self.0
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration = parse_duration(&text)?;
        if !(Self::MIN..=Self::MAX).contains(&duration) {
            return Err(D::Error::custom(format!("'{text}': expected 1ms to 10m")));
        }
        Ok(Self(duration))
    }
}

/// How long something is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// For this long, at least one second.
    For(Duration),
    /// Tickets: until the process exits. Journal entries: whatever their age.
    Unlimited,
}

impl Lifetime {
    /// The time, when there is one.
    pub(crate) const fn limit(self) -> Option<Duration> {
        match self {
            Self::For(duration) => Some(duration),
            Self::Unlimited => None,
        }
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        let text = String::deserialize(deserializer)?;
        if text == "until-exit" || text == "forever" {
            return Ok(Self::Unlimited);
        }
        let duration = parse_duration(&text)?;
        if !(Duration::from_secs(1)..=CENTURY).contains(&duration) {
            return Err(D::Error::custom(format!(
                "'{text}': expected 1s to 100 years, or forever"
            )));
        }
        Ok(Self::For(duration))
    }
}

/// Least severe message that is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Something failed.
    Error,
    /// Something needs attention.
    Warn,
    /// What the daemon does.
    #[default]
    Info,
    /// Details for finding a fault.
    Debug,
}

impl From<Level> for tracing::level_filters::LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
        }
    }
}
