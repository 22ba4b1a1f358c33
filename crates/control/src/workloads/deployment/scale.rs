//! Another number of replicas, also in the middle of a rollout: then every set gets its share, so that a broken new template
//! does not take all of the growth.

use std::cmp::Reverse;

use api::{apps_v1::ReplicaSet, kinds::Resource};

use super::{
    family::{DESIRED, Edits, Family, MAX, marked},
    rolling::Limits,
    wanted,
};

/// Whether the user wants another number than the one for which the sets were sized.
pub(super) fn was_asked_for(family: &Family<'_>) -> bool {
    let replicas = family.limits().replicas;
    family.active().iter().any(|set| marked(set, DESIRED).is_some_and(|desired| desired != replicas))
}

/// Sizes all sets for the number that is wanted now.
pub(super) fn all(family: &Family<'_>, edits: &mut Edits) {
    let limits = family.limits();
    let active = family.active();
    let latest = family.new.or_else(|| family.old.last().copied());
    if let [only] = *active {
        edits.resize_anyway(family, only, limits.replicas);
    } else if let Some(set) = latest.filter(|_| active.is_empty()) {
        edits.resize(family, set, limits.replicas);
    } else if family.new.is_some_and(|new| is_saturated(new, limits)) {
        active.iter().filter(|set| !is_new(family, set)).for_each(|set| edits.resize(family, set, 0));
        family.new.into_iter().for_each(|set| edits.resize_anyway(family, set, limits.replicas));
    } else {
        let shares: Vec<Share> = active.iter().map(|set| Share::of(set)).collect();
        for (set, size) in active.iter().zip(proportional(limits, &shares)) {
            edits.resize_anyway(family, set, size);
        }
    }
}

fn is_new(family: &Family<'_>, set: &ReplicaSet) -> bool {
    family.new.is_some_and(|new| new.name() == set.name())
}

fn is_saturated(set: &ReplicaSet, limits: Limits) -> bool {
    let available = set.status.as_ref().map_or(0, |status| status.available_replicas);
    wanted(set) == limits.replicas && marked(set, DESIRED) == Some(limits.replicas) && available == limits.replicas
}

/// A set's part of the whole.
#[derive(Clone, Copy, Debug)]
struct Share {
    wanted: i32,
    /// The whole of which it was a part.
    of: Option<i32>,
}

impl Share {
    fn of(set: &ReplicaSet) -> Self {
        Self { wanted: wanted(set), of: marked(set, MAX) }
    }
}

/// The new sizes of sets, given the oldest first. Larger sets move first, and what rounding leaves goes to the largest.
fn proportional(limits: Limits, shares: &[Share]) -> Vec<i32> {
    let allowed = if limits.replicas > 0 { limits.total_max() } else { 0 };
    let total: i32 = shares.iter().map(|share| share.wanted).sum();
    let change = allowed - total;
    let mut order: Vec<usize> = (0..shares.len()).collect();
    // Among equals the newer grows first and the older shrinks first.
    order.sort_by_key(|&index| {
        let age = i64::try_from(index).unwrap_or(0);
        (Reverse(shares[index].wanted), if change > 0 { -age } else { age })
    });
    let mut sizes: Vec<i32> = shares.iter().map(|share| share.wanted).collect();
    let mut left = change;
    for &index in &order {
        let fraction = fraction(shares[index], allowed, total);
        let part = if change > 0 { fraction.clamp(0, left) } else { fraction.clamp(left, 0) };
        sizes[index] += part;
        left -= part;
    }
    if let Some(&largest) = order.first() {
        sizes[largest] = (sizes[largest] + left).max(0);
    }
    sizes
}

/// By how much a set changes to keep its part of the whole, rounded to the nearest.
fn fraction(share: Share, allowed: i32, total: i32) -> i32 {
    let whole = i64::from(share.of.unwrap_or(total).max(1));
    let scaled = (2 * i64::from(share.wanted) * i64::from(allowed) + whole) / (2 * whole);
    i32::try_from(scaled).unwrap_or(i32::MAX) - share.wanted
}

#[cfg(test)]
mod tests {
    use super::{Limits, Share, proportional};

    #[test]
    fn growth_and_shrinkage_are_shared() {
        let share = |wanted, of| Share { wanted, of: Some(of) };
        for (story, replicas, surge, shares, then) in [
            ("10 and 3 surging become 15 and 3", 15, 3, vec![share(8, 13), share(5, 13)], vec![11, 7]),
            ("halved", 5, 1, vec![share(8, 13), share(5, 13)], vec![4, 2]),
            ("to nothing", 0, 0, vec![share(3, 4), share(1, 4)], vec![0, 0]),
            ("equals: the newer grows", 3, 0, vec![share(1, 2), share(1, 2)], vec![1, 2]),
        ] {
            let limits = Limits { replicas, surge, unavailable: 0 };
            assert_eq!(proportional(limits, &shares), then, "{story}");
        }
    }
}
