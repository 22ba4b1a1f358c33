//! When a master doubts itself: if most nodes fall silent at once, the fault is rather where they are listened to than with
//! all of them. The bounds are those of Kubernetes' zone disruption.

use std::time::Duration;

use api::{Timestamp, core_v1::Node, kinds::Resource};

use super::{GRACE, answers, given_up_at, last_sign};
use crate::world::World;

/// From so many nodes on, in a hundred, most of them are concerned.
const MOST_PERCENT: usize = 55;

/// Fewer nodes than this may fail at once without it being a sign of anything else, unless they are all.
const FEW: usize = 3;

/// A node that was not heard of for so long is late: two heartbeats of half a second are missing. Nodes fall silent one
/// after the other as seen from here, within the time between two heartbeats, so whoever judges the first must see that the
/// others are about to follow.
const LATE_AFTER: Duration = Duration::from_millis(1200);

/// Whether so many nodes fell silent at once that silence means nothing.
pub(super) fn is_here(world: &World, now: Timestamp) -> bool {
    let (mut silent, mut all) = (0, 0);
    for node in world.nodes().filter(|node| was_lately_heard(node, now)) {
        all += 1;
        let is_late = last_sign(world, node).after(LATE_AFTER) <= now;
        silent += usize::from(is_late && world.gone(node.name()).is_none());
    }
    are_most(silent, all)
}

/// Whether most nodes are lost, however long ago that was.
pub(super) fn most_are_lost(world: &World) -> bool {
    let lost = world.nodes().filter(|node| !answers(node)).count();
    are_most(lost, world.nodes().count())
}

/// Nodes that were lost long ago say nothing about what happens now.
fn was_lately_heard(node: &Node, now: Timestamp) -> bool {
    given_up_at(node).is_none_or(|since| now < since.after(GRACE))
}

fn are_most(some: usize, all: usize) -> bool {
    some == all || some >= FEW && some * 100 >= all * MOST_PERCENT
}
