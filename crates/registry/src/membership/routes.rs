//! Which nodes have no route to which others, as they say with their heartbeats. Kept in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The most nodes to which one node may say that it has no route.
pub const UNROUTED_MAX: usize = 1024;

/// What nodes say of each other.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    /// By the node that says so.
    missing: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Routes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node names those to which it has no route.
    pub(crate) fn note(&self, by: &str, missing: Vec<String>) {
        let mut all = self.lock();
        if missing.is_empty() {
            all.remove(by);
        } else {
            all.insert(by.to_owned(), missing.into_iter().take(UNROUTED_MAX).collect());
        }
    }

    /// Who has no route to a node.
    pub(crate) fn missing(&self, to: &str) -> Vec<String> {
        self.lock().iter().filter(|(_, missing)| missing.contains(to)).map(|(by, _)| by.clone()).collect()
    }
}
