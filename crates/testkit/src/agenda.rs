//! What is still to happen, in the order of virtual time.

use std::collections::BTreeMap;

use api::Timestamp;

/// What is still to happen. Of what is due at the same time, what was put down first happens first.
#[derive(Debug)]
pub(crate) struct Agenda<T, At = Timestamp> {
    entries: BTreeMap<(At, u64), T>,
    count: u64,
}

impl<T, At> Default for Agenda<T, At> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), count: 0 }
    }
}

impl<T, At: Copy + Ord> Agenda<T, At> {
    pub(crate) fn add(&mut self, at: At, what: T) {
        self.count += 1;
        self.entries.insert((at, self.count), what);
    }

    /// The next thing that is due by `until`, and its time.
    pub(crate) fn next(&mut self, until: At) -> Option<(At, T)> {
        let first = self.entries.first_entry().filter(|entry| entry.key().0 <= until)?;
        let ((at, _), what) = first.remove_entry();
        Some((at, what))
    }
}
