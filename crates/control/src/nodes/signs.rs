//! What was heard of a node, and how long it may be silent.

use std::time::Duration;

use api::{Timestamp, core_v1::Node, kinds::Resource};

use crate::world::World;

/// After which silence a node is late: two heartbeats are missing. Nodes fall silent one after the other as seen from here,
/// within the time between two heartbeats, so whoever judges the first must see that the others are about to follow.
pub const LATE_AFTER: Duration = Duration::from_millis(1200);

/// How long a node may be silent before nothing is sent to its Pods any more: three missed heartbeats, and the time of one
/// more for one that is late. Users are promised three seconds.
pub const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How long a node may be lost before its Pods are evicted: Kubernetes' `node-monitor-grace-period` of old.
pub const GRACE: Duration = Duration::from_secs(40);

/// What was heard of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    /// The last sign of life: a heartbeat, that the node registered, or at the earliest the time since which anybody listens.
    pub(super) last: Timestamp,
    /// The last heartbeat that really came.
    pub(super) heartbeat: Option<Timestamp>,
    /// Whether its process was seen to have ended, and nothing was heard since.
    pub(super) ended: bool,
}

impl Signs {
    pub(super) fn of(world: &World, node: &Node) -> Self {
        let registered = node.metadata.as_ref().and_then(|meta| meta.creation_timestamp.as_ref());
        Self {
            last: world.last_heartbeat(node.name()).max(registered.map(Timestamp::from).unwrap_or_default()),
            heartbeat: world.heard(node.name()),
            ended: world.gone(node.name()).is_some(),
        }
    }
}
