//! Pods whose node is lost or does not want them: evicts what does not tolerate its node's taints, and removes what no node
//! will ever remove.

use std::time::Duration;

use api::{
    Key, Timestamp,
    core_v1::{Node, Pod, Taint, Toleration},
    kinds::Resource,
    pod,
};

use crate::{
    nodes::NO_EXECUTE,
    plan::{Note, Plan},
    world::{Shift, World},
};

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some((object, pod)) = world.find::<Pod>(key).filter(|(_, pod)| !pod.uid().is_empty()) else { return plan };
    let Some(node) = pod::node_name(pod) else {
        // No node has ever seen it, so none will say that it has stopped.
        if pod::is_terminating(pod) {
            plan.delete_now(pod);
        }
        return plan;
    };
    let Some(node) = world.named::<Node>("", node) else {
        let message = format!("Deleted because its node {node} does not exist any more");
        plan.delete_now(pod).then(Note::warning(object, "NodeLost", message));
        return plan;
    };
    if !pod::is_active(pod) {
        return plan;
    }
    match eviction(pod, node) {
        Some(time) if time <= now => {
            let message = format!("Marking for deletion Pod {}/{}", pod.namespace(), pod.name());
            plan.delete(pod).then(Note::normal(object, "TaintManagerEviction", message));
        }
        Some(time) => plan.again_at(time),
        None => {}
    }
    plan
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<Pod>() {
        look(key.clone());
    }
    // Of a node it matters whether it is there and what taints it has.
    if shift.was().map(taints) != shift.became().map(taints) {
        world.pods_on(&shift.key.name).for_each(|pod| look(pod.key()));
    }
}

/// When a Pod has to leave its node; never, if it tolerates all taints for good.
fn eviction(pod: &Pod, node: &Node) -> Option<Timestamp> {
    let tolerations = pod.spec.as_ref().map_or(&[][..], |spec| &spec.tolerations);
    let evicting = taints(node).iter().filter(|taint| taint.effect == NO_EXECUTE);
    evicting.filter_map(|taint| limit(tolerations, taint)).min()
}

fn taints(node: &Node) -> &[Taint] {
    node.spec.as_ref().map_or(&[], |spec| &spec.taints)
}

/// Until when a taint is tolerated; `None` is for good. Of several tolerations the shortest counts, as in Kubernetes.
fn limit(tolerations: &[Toleration], taint: &Taint) -> Option<Timestamp> {
    let added = taint.time_added.as_ref().map(Timestamp::from).unwrap_or_default();
    let mut covering = tolerations.iter().filter(|toleration| pod::tolerates(toleration, taint)).peekable();
    if covering.peek().is_none() {
        return Some(added);
    }
    let seconds = covering.filter_map(|toleration| toleration.toleration_seconds).min()?;
    Some(added.after(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
}

#[cfg(test)]
mod tests;
