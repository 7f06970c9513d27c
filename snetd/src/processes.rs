// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes as /proc tells them: which one has a number now.

use std::fs;
use std::path::Path;

use libsnet::types::ProcessKey;
use nix::unistd::{SysconfVar, sysconf};

/// Is the process in this directory that one? Which program it executes isn't looked at.
pub(crate) fn is(process: &Path, key: &ProcessKey) -> bool {
    start_ticks(process).is_some_and(|ticks| to_ticks(key.start_time) == Some(ticks))
}

/// Its start, in clock ticks since boot.
pub(crate) fn start_ticks(process: &Path) -> Option<u64> {
    field(process, 19)
}

/// The number of its parent; 0 when that is out of sight.
pub(crate) fn parent(process: &Path) -> Option<u32> {
    field(process, 1)
}

/// A field of its status, counted from the one after its name.
fn field<T: std::str::FromStr>(process: &Path, index: usize) -> Option<T> {
    // The name in parentheses may hold any bytes, also parentheses and spaces.
    let stat = String::from_utf8_lossy(&fs::read(process.join("stat")).ok()?).into_owned();
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(index)?.parse().ok()
}

fn to_ticks(nanoseconds: u64) -> Option<u64> {
    let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    nanoseconds.checked_div(1_000_000_000_u64.checked_div(per_second)?)
}
