//! Whether a node answers, as the others ask about it.

use api::{
    Timestamp,
    conditions::{self, ConditionStatus, READY},
    core_v1::{Node, NodeCondition, Pod},
};

use crate::world::{Shift, World};

/// The reason with which this controller gives a node up, by which it knows its own judgement again.
pub(super) const GIVEN_UP: &str = "NodeStatusUnknown";

/// Whether a Pod's node is there and not known to be lost, so that what it last reported of the Pod still counts.
pub(crate) fn vouches(node: Option<&Node>) -> bool {
    node.is_some_and(answers)
}

/// The Pods of a node that began or ceased to answer: what it last reported of them counts from now on, or no longer.
pub(crate) fn pods_in_question<'w>(world: &'w World, shift: &Shift) -> impl Iterator<Item = &'w Pod> {
    let turned = vouches(shift.was()) != vouches(shift.became());
    turned.then(|| world.pods_on(&shift.key.name)).into_iter().flatten()
}

/// Whether a node was given up, so that a sign of life from it is news.
pub(crate) fn is_given_up(node: &Node) -> bool {
    ready(node).is_some_and(|ready| ready.reason == GIVEN_UP)
}

/// Whether a node is not known to be lost.
pub(super) fn answers(node: &Node) -> bool {
    ready(node).is_none_or(|ready| ready.status != ConditionStatus::Unknown.word())
}

pub(super) fn ready(node: &Node) -> Option<&NodeCondition> {
    conditions::get(&node.status.as_ref()?.conditions, READY)
}

/// Since when this controller has given a node up.
pub(super) fn given_up_at(node: &Node) -> Option<Timestamp> {
    let given_up = ready(node).filter(|ready| ready.reason == GIVEN_UP)?;
    Some(given_up.last_transition_time.as_ref().map(Timestamp::from).unwrap_or_default())
}
