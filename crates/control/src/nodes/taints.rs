//! The taints that follow from a node's state.

use api::{
    Timestamp, conditions,
    core_v1::{Node, NodeSpec, Taint},
    well_known::{NOT_READY_TAINT, UNREACHABLE_TAINT},
};

use super::{
    doubt,
    readiness::{given_up_at, ready},
    signs::GRACE,
};
use crate::plan::Plan;

/// The taint of a node that is closed for maintenance.
pub(crate) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

const NO_SCHEDULE: &str = "NoSchedule";
pub(crate) const NO_EXECUTE: &str = "NoExecute";

/// What a node says of itself and what keeps new Pods away from it because of that.
const TROUBLES: [(&str, &str); 3] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];

/// The users' taints, and those that follow from the node's state. One that is there already keeps its time.
pub(super) fn settle<'a>(
    node: &Node,
    nodes: impl Iterator<Item = &'a Node>,
    spec: &mut NodeSpec,
    now: Timestamp,
    plan: &mut Plan,
) {
    let wanted = wanted(node, nodes, spec, now, plan);
    let is = |taint: &Taint, (key, effect): (&str, &str)| taint.key == key && taint.effect == effect;
    spec.taints.retain(|taint| !is_ours(taint) || wanted.iter().any(|wanted| is(taint, *wanted)));
    for (key, effect) in wanted {
        if !spec.taints.iter().any(|taint| is(taint, (key, effect))) {
            let (key, effect) = (key.to_owned(), effect.to_owned());
            spec.taints.push(Taint { key, effect, value: String::new(), time_added: Some(now.into()) });
        }
    }
}

fn is_ours(taint: &Taint) -> bool {
    let known = [NOT_READY_TAINT, UNREACHABLE_TAINT, UNSCHEDULABLE].into_iter();
    known.chain(TROUBLES.into_iter().map(|(_, key)| key)).any(|key| taint.key == key)
}

fn wanted<'a>(
    node: &Node,
    nodes: impl Iterator<Item = &'a Node>,
    spec: &NodeSpec,
    now: Timestamp,
    plan: &mut Plan,
) -> Vec<(&'static str, &'static str)> {
    let mut wanted = Vec::new();
    match ready(node).map(|ready| ready.status.as_str()) {
        Some("False") => wanted.extend([(NOT_READY_TAINT, NO_SCHEDULE), (NOT_READY_TAINT, NO_EXECUTE)]),
        Some("Unknown") => {
            wanted.push((UNREACHABLE_TAINT, NO_SCHEDULE));
            if must_leave(node, nodes, now, plan) {
                wanted.push((UNREACHABLE_TAINT, NO_EXECUTE));
            }
        }
        _ => {}
    }
    let conditions = node.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let troubles = TROUBLES.iter().filter(|(kind, _)| conditions::is_true(conditions, kind));
    wanted.extend(troubles.map(|(_, key)| (*key, NO_SCHEDULE)));
    if spec.unschedulable {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    wanted
}

/// Whether the Pods of a node that is lost should go elsewhere: after a grace period, and not while most nodes are lost, for
/// then there is nowhere to go, or the fault is here.
fn must_leave<'a>(node: &Node, nodes: impl Iterator<Item = &'a Node>, now: Timestamp, plan: &mut Plan) -> bool {
    let due = given_up_at(node).unwrap_or_default().after(GRACE);
    if now < due {
        plan.again_at(due);
        return false;
    }
    if doubt::most_are_lost(nodes) {
        plan.again_at(now.after(GRACE));
        return has_left(node);
    }
    true
}

/// Whether it was decided before that its Pods should go elsewhere.
fn has_left(node: &Node) -> bool {
    let taints = node.spec.iter().flat_map(|spec| &spec.taints);
    taints.into_iter().any(|taint| taint.key == UNREACHABLE_TAINT && taint.effect == NO_EXECUTE)
}
