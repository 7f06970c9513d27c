// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which processes are supervisors, and who runs under one: a supervised program must not make
//! the rules that it is held by.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::processes;

/// The supervisors that are connected, by the number of their connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Supervisors(Arc<Mutex<BTreeMap<u64, u32>>>);

/// Ancestors that a process may have.
const GENERATIONS: usize = 1024;

impl Supervisors {
    fn locked(&self) -> MutexGuard<'_, BTreeMap<u64, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This process supervises from now on.
    pub(crate) fn add(&self, connection: u64, pid: u32) {
        self.locked().insert(connection, pid);
    }

    /// And no longer.
    pub(crate) fn remove(&self, connection: u64) {
        self.locked().remove(&connection);
    }

    /// Is the process a supervisor, or does it descend from one? Supervisors adopt the orphans
    /// of their command, so that nobody leaves it. A process that is gone may have been.
    pub(crate) fn hold(&self, pid: Option<i32>) -> bool {
        let supervisors: Vec<u32> = self.locked().values().copied().collect();
        if supervisors.is_empty() {
            return false;
        }
        let mut next = pid.and_then(|pid| u32::try_from(pid).ok());
        for _ in 0..GENERATIONS {
            match next {
                None => return true,
                Some(0 | 1) => return false,
                Some(pid) if supervisors.contains(&pid) => return true,
                Some(pid) => next = parent(pid),
            }
        }
        true
    }
}

fn parent(pid: u32) -> Option<u32> {
    processes::parent(&Path::new("/proc").join(pid.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_descends_from_a_supervisor_is_held() {
        let supervisors = Supervisors::default();
        let own = i32::try_from(std::process::id()).ok();
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let pid = i32::try_from(child.id()).ok();
        assert!(!supervisors.hold(pid));
        supervisors.add(7, child.id());
        assert!(supervisors.hold(pid));
        assert!(!supervisors.hold(own));
        supervisors.add(8, std::process::id());
        assert!(supervisors.hold(own) && supervisors.hold(pid));
        supervisors.remove(7);
        assert!(supervisors.hold(pid), "by its parent");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(supervisors.hold(pid), "nobody knows who that was");
        assert!(supervisors.hold(None));
        supervisors.remove(8);
        assert!(!supervisors.hold(pid));
    }
}
