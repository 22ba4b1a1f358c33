//! What was heard of a node.

use api::{Timestamp, core_v1::Node, kinds::Resource};

use crate::world::World;

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
