//! Which of the nodes that fit is best: first what the user would rather have, then not all eggs in one basket, then the
//! emptier node.

use std::cmp::Reverse;

use api::{core_v1::Node, kinds::Resource};

use super::{
    demands::{self, Demands},
    filter,
};
use crate::{names, world::Load};

/// Reasons for a node, the weightiest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score {
    discouraged: Reverse<usize>,
    liked: i64,
    skew: Reverse<u64>,
    /// How many Pods of the same owner are there already.
    siblings: Reverse<u64>,
    /// How full it will be in its scarcest resource, in thousandths: balances CPU, memory and number at once.
    fullness: Reverse<u128>,
    /// Makes the choice definite, and another for each Pod.
    lot: u64,
}

/// Thousandths in a whole.
const WHOLE: u128 = 1000;

pub(super) fn of(demands: &Demands<'_>, node: &Node, load: Option<&Load>) -> Score {
    let siblings = demands.owner.and_then(|owner| load?.by_owner.get(owner).copied());
    let uid = demands.pod.uid();
    Score {
        discouraged: Reverse(filter::discouragements(demands.spec, node)),
        liked: demands::preference(demands, node),
        skew: Reverse(
            demands.spread.iter().map(|spread| spread.skew_on(node).unwrap_or(u64::MAX / 2)).max().unwrap_or(0),
        ),
        siblings: Reverse(siblings.unwrap_or(0)),
        fullness: Reverse(load.map_or(WHOLE, |load| {
            let after = load.requested + demands.requests;
            let cpu = share(after.cpu.0, load.room.cpu.0);
            let memory = share(after.memory.0, load.room.memory.0);
            cpu.max(memory).max(share(load.running + 1, load.pods_max))
        })),
        lot: names::fnv64(&[uid.as_bytes(), node.name().as_bytes()]),
    }
}

fn share(used: u64, room: u64) -> u128 {
    u128::from(used) * WHOLE / u128::from(room.max(1))
}
