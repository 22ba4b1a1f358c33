//! Nodes: each gets a part of the Pods' addresses, and one that falls silent is given up.
//!
//! A node's state becomes taints, so that the scheduler avoids it and `pod_life.rs` evicts what does not tolerate it. The
//! Pods' own status is left as their node last reported it: only the node writes it, and what a lost node said is discounted
//! where it is read, by [`vouches`].

use std::{collections::BTreeSet, time::Duration};

use api::{
    Key, Timestamp,
    conditions::{self, ConditionStatus},
    core_v1::{Node, NodeCondition, NodeSpec, Pod, Taint},
    kinds::Resource,
    pod,
};

use crate::{
    plan::{Note, Plan},
    world::World,
};

/// How long a node may be silent before it is given up: Kubernetes' `node-monitor-grace-period` of old, four missed
/// heartbeats of ten seconds.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// The taint of a node that does not answer.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// The taint of a node that says that it is not ready.
const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// The taint of a node that is closed for maintenance.
pub(crate) const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

const NO_SCHEDULE: &str = "NoSchedule";
pub(crate) const NO_EXECUTE: &str = "NoExecute";

const READY: &str = "Ready";

/// The reason with which this controller gives a node up, by which it knows its own judgement again.
const GIVEN_UP: &str = "NodeStatusUnknown";

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some((object, node)) = world.find::<Node>(key) else { return plan };
    if node.metadata.as_ref().is_none_or(|meta| meta.deletion_timestamp.is_some() || meta.uid.is_empty()) {
        return plan;
    }
    settle_spec(world, node, now, &mut plan);
    let silent_at = last_sign(world, node).after(SILENCE_MAX);
    if now < silent_at {
        plan.again_at(silent_at);
        revive(world, node, now, &mut plan);
    } else if give_up(node, now, &mut plan) {
        let message = format!("Node {} status is now: NodeNotReady", node.name());
        plan.note(Note::warning(object, "NodeNotReady", message));
    }
    plan
}

/// Whether a node was given up, so that a sign of life from it is news.
pub(crate) fn is_silent(world: &World, key: &Key) -> bool {
    world.get::<Node>(key).and_then(ready).is_some_and(|ready| ready.reason == GIVEN_UP)
}

/// Whether a node is not known to be lost.
pub(crate) fn answers(node: &Node) -> bool {
    ready(node).is_none_or(|ready| ready.status != ConditionStatus::Unknown.word())
}

/// Whether a Pod's node is there and not known to be lost, so that what it last reported of the Pod still counts.
pub(crate) fn vouches(world: &World, pod: &Pod) -> bool {
    pod::node_name(pod).and_then(|node| world.named::<Node>("", node)).is_some_and(answers)
}

fn ready(node: &Node) -> Option<&NodeCondition> {
    conditions::get(&node.status.as_ref()?.conditions, READY)
}

/// The last sign of life: a heartbeat, or that the node registered.
fn last_sign(world: &World, node: &Node) -> Timestamp {
    let registered = node.metadata.as_ref().and_then(|meta| meta.creation_timestamp.as_ref());
    world.last_heartbeat(node.name()).max(registered.map(Timestamp::from).unwrap_or_default())
}

/// Nobody knows anything about the node any more. Says whether that is news.
fn give_up(node: &Node, now: Timestamp, plan: &mut Plan) -> bool {
    let mut lost = node.clone();
    let all = &mut lost.status.get_or_insert_default().conditions;
    let message = "The node stopped sending heartbeats.";
    let unknown = |kind: &str| conditions::new(kind, ConditionStatus::Unknown, GIVEN_UP, message, now);
    let news = conditions::set::<NodeCondition>(all, unknown(READY));
    let others: Vec<String> = all.iter().map(|condition| condition.r#type.clone()).collect();
    let changed = others.iter().fold(news, |changed, kind| conditions::set(all, unknown(kind)) || changed);
    if changed {
        plan.update_status(lost);
    }
    news
}

/// A node that was given up and has been heard since is ready again; if it is not, it will say so itself.
fn revive(world: &World, node: &Node, now: Timestamp, plan: &mut Plan) {
    let Some(given_up) = ready(node).filter(|ready| ready.reason == GIVEN_UP) else { return };
    let since = given_up.last_transition_time.as_ref().map(Timestamp::from).unwrap_or_default();
    if world.heard(node.name()).is_none_or(|heard| heard <= since) {
        return;
    }
    let mut back = node.clone();
    let message = "The node sends heartbeats again.";
    for condition in &mut back.status.get_or_insert_default().conditions {
        let status = ConditionStatus::from(condition.r#type == READY);
        *condition = conditions::new(&condition.r#type, status, "HeartbeatsResumed", message, now);
    }
    plan.update_status(back);
}

/// Gives the node its addresses and the taints that follow from its state.
fn settle_spec(world: &World, node: &Node, now: Timestamp, plan: &mut Plan) {
    let mut spec = node.spec.clone().unwrap_or_default();
    if spec.pod_cidr.is_empty() {
        let taken: BTreeSet<&str> =
            world.nodes().filter_map(|node| node.spec.as_ref()).map(|spec| spec.pod_cidr.as_str()).collect();
        let free = world.config.pods.parts().find(|part| !taken.contains(part.as_str()));
        spec.pod_cidr = free.unwrap_or_default();
        spec.pod_cidrs = Some(spec.pod_cidr.clone()).filter(|part| !part.is_empty()).into_iter().collect();
    }
    spec.taints = taints(node, &spec, now);
    if node.spec.as_ref() != Some(&spec) {
        plan.update(Node { spec: Some(spec), ..node.clone() });
    }
}

/// The users' taints, and those that follow from the node's state. One that is there already keeps its time.
fn taints(node: &Node, spec: &NodeSpec, now: Timestamp) -> Vec<Taint> {
    let mut wanted = Vec::new();
    match ready(node).map(|ready| ready.status.as_str()) {
        Some("False") => wanted.extend([(NOT_READY, NO_SCHEDULE), (NOT_READY, NO_EXECUTE)]),
        Some("Unknown") => wanted.extend([(UNREACHABLE, NO_SCHEDULE), (UNREACHABLE, NO_EXECUTE)]),
        _ => {}
    }
    if spec.unschedulable {
        wanted.push((UNSCHEDULABLE, NO_SCHEDULE));
    }
    let ours = |taint: &Taint| [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&taint.key.as_str());
    let is = |taint: &Taint, (key, effect): (&str, &str)| taint.key == key && taint.effect == effect;
    let kept = |taint: &&Taint| !ours(taint) || wanted.iter().any(|wanted| is(taint, *wanted));
    let mut taints: Vec<Taint> = spec.taints.iter().filter(kept).cloned().collect();
    for (key, effect) in wanted.iter().copied() {
        if !taints.iter().any(|taint| is(taint, (key, effect))) {
            let (key, effect) = (key.to_owned(), effect.to_owned());
            taints.push(Taint { key, effect, value: String::new(), time_added: Some(now.into()) });
        }
    }
    taints
}

#[cfg(test)]
mod tests;
