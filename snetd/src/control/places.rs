// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many connections there are, of everyone and of each user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections there may be at once. Root has a count of its own, so that users
/// can't lock it out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Of all users together.
    pub(crate) total: usize,
    /// Of one user.
    pub(crate) per_user: usize,
}

/// How many connections each user has.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Protects only the counts; nothing else is locked or awaited while it is held.
    taken: Mutex<HashMap<u32, usize>>,
}

/// One connection of a user, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    uid: u32,
}

impl Places {
    /// A place for one more connection of this user, if there is one.
    pub(super) fn take(places: &Arc<Self>, uid: u32, bounds: Bounds) -> Option<Place> {
        let mut taken = places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&uid).copied().unwrap_or_default();
        let users = taken.iter().filter(|(user, _)| **user != 0).map(|(_, count)| count);
        let free = match uid {
            0 => own < bounds.total,
            _ => own < bounds.per_user && users.sum::<usize>() < bounds.total,
        };
        free.then(|| {
            taken.insert(uid, own + 1);
            Place { places: Arc::clone(places), uid }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { total: 3, per_user: 2 };

    #[test]
    fn users_are_bounded_alone_and_together_and_root_by_itself() {
        let places = Arc::new(Places::default());
        let take = |uid| Places::take(&places, uid, BOUNDS);
        let (one, two) = (take(1000).unwrap(), take(1000).unwrap());
        assert!(take(1000).is_none());
        let _three = take(1001).unwrap();
        assert!(take(1002).is_none());
        let root: Vec<_> = (0..3).map(|_| take(0).unwrap()).collect();
        assert!(take(0).is_none());
        drop((one, two, root));
        assert!(take(1002).is_some() && take(0).is_some());
    }
}
