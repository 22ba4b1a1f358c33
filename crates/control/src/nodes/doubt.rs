//! When a master doubts itself: if most nodes fall silent at once, the fault is rather where they are listened to than with
//! all of them. The bounds are those of Kubernetes' zone disruption.

use api::{Timestamp, core_v1::Node};

use super::{
    readiness::{answers, given_up_at},
    signs::{GRACE, LATE_AFTER, Signs},
};

/// From which share of all nodes on, in percent, it counts as most of them.
const MOST_PERCENT: usize = 55;

/// Fewer nodes than this may fail at once without it being a sign of anything else, unless they are all.
const FEW: usize = 3;

/// Whether so many nodes fell silent at once that silence means nothing.
pub(super) fn is_here<'a>(nodes: impl Iterator<Item = (&'a Node, Signs)>, now: Timestamp) -> bool {
    let (mut silent, mut all) = (0, 0);
    for (_, signs) in nodes.filter(|(node, _)| was_lately_heard(node, now)) {
        all += 1;
        let is_late = signs.last.after(LATE_AFTER) <= now;
        silent += usize::from(is_late && !signs.ended);
    }
    are_most(silent, all)
}

/// Whether most nodes are lost, however long ago that was.
pub(super) fn most_are_lost<'a>(nodes: impl Iterator<Item = &'a Node>) -> bool {
    let (mut lost, mut all) = (0, 0);
    for node in nodes {
        all += 1;
        lost += usize::from(!answers(node));
    }
    are_most(lost, all)
}

/// Nodes that were lost long ago say nothing about what happens now.
fn was_lately_heard(node: &Node, now: Timestamp) -> bool {
    given_up_at(node).is_none_or(|since| now < since.after(GRACE))
}

fn are_most(some: usize, all: usize) -> bool {
    some == all || some >= FEW && some * 100 >= all * MOST_PERCENT
}
