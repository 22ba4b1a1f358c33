//! Runs that wait for an image of the masters' registry.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::brain::{Run, Uid};

/// The latest run of each container that waits, by the image's name.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<Slot, (String, Run)>>);

/// A container of a Pod, in any of its runs.
type Slot = (Uid, Arc<str>);

fn slot(run: &Run) -> Slot {
    (run.pod.clone(), run.container.clone())
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<Slot, (String, Run)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run asks for an image.
    pub(super) fn begin(&self, name: String, run: &Run) {
        self.lock().insert(slot(run), (name, run.clone()));
    }

    /// A run has its image.
    pub(super) fn end(&self, run: &Run) {
        self.lock().remove(&slot(run));
    }

    /// A Pod is gone.
    pub(super) fn forget(&self, pod: &Uid) {
        self.lock().retain(|(waiting, _), _| waiting != pod);
    }

    /// Who waits for some images, or for any.
    pub(super) fn take(&self, names: impl Iterator<Item = String>, any: bool) -> Vec<Run> {
        let names: HashSet<String> = names.collect();
        let waiting = self.lock();
        let meant = waiting.values().filter(|(name, _)| any || names.contains(name));
        meant.map(|(_, run)| run.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(pod: &str, number: u32) -> Run {
        Run { pod: pod.into(), container: "main".into(), number }
    }

    #[test]
    fn the_latest_run_waits_until_it_has_its_image_or_its_pod_is_gone() {
        let waiting = Waiting::default();
        let meant = |names: &[&str], any| {
            let mut runs = waiting.take(names.iter().map(ToString::to_string), any);
            runs.sort_by_key(|run| run.pod.clone());
            runs
        };
        waiting.begin("a".to_owned(), &run("one", 1));
        waiting.begin("a".to_owned(), &run("one", 2));
        waiting.begin("b".to_owned(), &run("two", 1));
        waiting.begin("a".to_owned(), &run("three", 1));
        assert_eq!(meant(&["a"], false), [run("one", 2), run("three", 1)]);
        assert_eq!(meant(&[], true).len(), 3);
        waiting.end(&run("one", 2));
        waiting.forget(&"three".into());
        assert_eq!(meant(&["a"], false), []);
        assert_eq!(meant(&["a", "b"], false), [run("two", 1)]);
    }
}
