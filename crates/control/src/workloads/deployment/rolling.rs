//! The arithmetic of a rolling update: how large the sets should be, from how large they are. Kubernetes' rules.

use api::apps_v1::ReplicaSet;

use super::wanted;

/// How many Pods there should be, and by how many there may be more or fewer meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) replicas: i32,
    pub(super) surge: i32,
    pub(super) unavailable: i32,
}

/// A ReplicaSet in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// How many Pods it is to have.
    pub(super) wanted: i32,
    /// How many of its Pods are available.
    pub(super) available: i32,
}

impl Size {
    pub(super) fn of(set: &ReplicaSet) -> Self {
        let available = set.status.as_ref().map_or(0, |status| status.available_replicas);
        Self { wanted: wanted(set), available }
    }
}

impl Limits {
    /// The most Pods that there may be.
    pub(super) fn total_max(self) -> i32 {
        self.replicas.saturating_add(self.surge)
    }

    /// The fewest available Pods that there may be.
    pub(super) fn available_min(self) -> i32 {
        self.replicas - self.unavailable
    }
}

/// How large the newest set should be: as large as wanted, as soon as the others leave room.
pub(super) fn new_size(limits: Limits, old: &[Size], new: Size) -> i32 {
    if new.wanted >= limits.replicas {
        return limits.replicas;
    }
    let total = new.wanted + old.iter().map(|size| size.wanted).sum::<i32>();
    let room = (limits.total_max() - total).max(0);
    new.wanted + room.min(limits.replicas - new.wanted)
}

/// How large the other sets should be, the oldest first. Pods that are not available go first, for nobody misses them; then
/// as many as the newest's available Pods replace.
pub(super) fn old_sizes(limits: Limits, old: &[Size], new: Size) -> Vec<i32> {
    let mut sizes: Vec<i32> = old.iter().map(|size| size.wanted).collect();
    let total = new.wanted + sizes.iter().sum::<i32>();
    // The newest's Pods that are not available yet count as missing: else a broken template would take everything down.
    let mut unhealthy = total - limits.available_min() - (new.wanted - new.available);
    if unhealthy <= 0 {
        return sizes;
    }
    for (size, set) in sizes.iter_mut().zip(old) {
        let gone = unhealthy.min(*size - set.available).max(0);
        *size -= gone;
        unhealthy -= gone;
    }
    let available = new.available + old.iter().map(|size| size.available).sum::<i32>();
    let mut spare = available - limits.available_min();
    for size in &mut sizes {
        let gone = spare.min(*size).max(0);
        *size -= gone;
        spare -= gone;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::{Limits, Size, new_size, old_sizes};

    fn size(wanted: i32, available: i32) -> Size {
        Size { wanted, available }
    }

    #[test]
    fn a_rollout_moves_within_its_limits() {
        let limits = |replicas, surge, unavailable| Limits { replicas, surge, unavailable };
        for (story, limits, old, new, new_then, old_then) in [
            ("the first revision starts at once", limits(3, 1, 0), vec![], size(0, 0), 3, vec![]),
            ("one more may exist", limits(3, 1, 0), vec![size(3, 3)], size(0, 0), 1, vec![3]),
            ("none may be missing before it is ready", limits(3, 1, 0), vec![size(3, 3)], size(1, 0), 1, vec![3]),
            ("it is ready: an old one goes", limits(3, 1, 0), vec![size(3, 3)], size(1, 1), 1, vec![2]),
            ("there is room again", limits(3, 1, 0), vec![size(2, 2)], size(1, 1), 2, vec![2]),
            ("the last step", limits(3, 1, 0), vec![size(1, 1)], size(3, 3), 3, vec![0]),
            ("one may be missing", limits(3, 0, 1), vec![size(3, 3)], size(0, 0), 0, vec![2]),
            ("broken old Pods go first", limits(3, 1, 1), vec![size(2, 0), size(2, 2)], size(0, 0), 0, vec![0, 2]),
            ("a broken new template stops", limits(10, 3, 2), vec![size(8, 8)], size(5, 0), 5, vec![8]),
            ("scaled down below the newest", limits(2, 1, 0), vec![size(0, 0)], size(5, 5), 2, vec![0]),
        ] {
            assert_eq!(new_size(limits, &old, new), new_then, "{story}: new");
            assert_eq!(old_sizes(limits, &old, new), old_then, "{story}: old");
        }
    }
}
