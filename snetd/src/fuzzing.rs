// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `fuzz/` reaches of the daemon: the parsers of what others write.

use std::path::Path;

use libsnet::types::{Settings, WatchSet};

use crate::config::Config;
pub use crate::control::fuzzing::{Meant, call, messages};

/// What the kernel is told by a configuration file of this name.
///
/// # Errors
/// What is wrong with it, with its place.
pub fn config(text: &str, file: &Path) -> Result<(WatchSet, Settings), String> {
    let config = Config::parse(text, file).map_err(|error| format!("{error:#}"))?;
    Ok((config.watch_set(), config.settings()))
}
