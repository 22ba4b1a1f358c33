//! Whether this member's state is the same as the others': a machine that is not deterministic, or memory that is broken,
//! shows itself here long before anybody reads wrong data from a snapshot.

use std::collections::BTreeMap;

use crate::MemberId;

/// States are compared every so many entries.
const EVERY_ENTRIES: u64 = 1024;

/// Digests that are remembered, of this member and of the others: a member that is this many times 1024 entries behind is
/// still compared.
const REMEMBERED: usize = 64;

/// Digests by index.
#[derive(Debug)]
pub(super) struct Digests {
    /// The last command that was applied.
    last: u64,
    own: BTreeMap<u64, u64>,
    others: BTreeMap<u64, BTreeMap<MemberId, u64>>,
}

impl Digests {
    pub(super) fn new(applied: u64) -> Self {
        Self { last: applied, own: BTreeMap::new(), others: BTreeMap::new() }
    }

    /// A snapshot took the place of the state; what was noted is of another history.
    pub(super) fn restart(&mut self, applied: u64) {
        self.last = applied;
        self.own.clear();
    }

    /// The command at `index` is applied next: the index to compare at, if the state is about to leave it.
    pub(super) fn passes(&mut self, index: u64) -> Option<u64> {
        let last = std::mem::replace(&mut self.last, index);
        let point = (index - 1) / EVERY_ENTRIES * EVERY_ENTRIES;
        (point >= last && point > 0).then_some(point)
    }

    pub(super) fn record(&mut self, index: u64, digest: u64) {
        self.own.insert(index, digest);
        if self.own.len() > REMEMBERED {
            self.own.pop_first();
        }
    }

    pub(super) fn hear(&mut self, from: MemberId, index: u64, digest: u64) {
        self.others.entry(index).or_default().insert(from, digest);
        if self.others.len() > REMEMBERED {
            self.others.pop_first();
        }
    }

    /// Whether a majority of the voters agrees on another state at an index than this member has.
    pub(super) fn is_contradicted(&self, index: u64, voters: &[MemberId]) -> bool {
        let (Some(own), Some(others)) = (self.own.get(&index), self.others.get(&index)) else { return false };
        let mut counts = BTreeMap::new();
        for (_, digest) in others.iter().filter(|(member, digest)| voters.contains(member) && *digest != own) {
            *counts.entry(*digest).or_insert(0) += 1;
        }
        counts.values().any(|count| 2 * count > voters.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_noted_when_it_leaves_a_point() {
        let cases = [
            (0, 5, None),
            (5, 1024, None),
            (1024, 1025, Some(1024)),
            (1020, 1030, Some(1024)),
            (1025, 1026, None),
            (1000, 9000, Some(8192)),
            (2048, 2049, Some(2048)),
        ];
        for (last, index, expected) in cases {
            assert_eq!(Digests::new(last).passes(index), expected, "{last} to {index}");
        }
    }

    #[test]
    fn only_a_majority_of_voters_contradicts() {
        let voters = [1, 2, 3].map(MemberId);
        let mut digests = Digests::new(0);
        digests.record(1024, 7);
        digests.hear(MemberId(2), 1024, 8);
        digests.hear(MemberId(9), 1024, 8);
        assert!(!digests.is_contradicted(1024, &voters), "one voter and a stranger");
        digests.hear(MemberId(3), 1024, 9);
        assert!(!digests.is_contradicted(1024, &voters), "two that differ from each other");
        digests.hear(MemberId(3), 1024, 8);
        assert!(digests.is_contradicted(1024, &voters));
        assert!(!digests.is_contradicted(2048, &voters));
        digests.restart(1030);
        assert!(!digests.is_contradicted(1024, &voters));
    }

    #[test]
    fn no_more_than_so_many_are_remembered() {
        let mut digests = Digests::new(0);
        for point in 1..=REMEMBERED as u64 + 1 {
            digests.record(point, 1);
            digests.hear(MemberId(2), point, 2);
        }
        assert_eq!((digests.own.len(), digests.others.len()), (REMEMBERED, REMEMBERED));
        assert!(!digests.own.contains_key(&1));
    }
}
