//! Nodes: each gets a part of the Pods' addresses, and one that falls silent is given up.
//!
//! There are two judgements. That nothing should be sent to a node's Pods is decided within seconds ([`SILENCE_MAX`]), or at
//! once if its process was seen to have ended, and taken back with the next sign of life. That its Pods should be replaced
//! elsewhere is decided much later ([`GRACE`]), so that a hiccup moves nothing.
//!
//! A node's state becomes taints, so that the scheduler avoids it and `pod_life.rs` evicts what does not tolerate it. The
//! Pods' own status is left as their node last reported it: only the node writes it, and what a lost node said is discounted
//! where it is read, by [`vouches`].

mod doubt;
mod taints;

use std::{collections::BTreeSet, time::Duration};

use api::{
    Cidr, Key, Timestamp,
    conditions::{self, ConditionStatus, READY},
    core_v1::{Node, NodeCondition, Pod},
    kinds::Resource,
    pod,
};

pub(crate) use self::taints::{NO_EXECUTE, UNSCHEDULABLE};
use crate::{
    plan::{Note, Plan},
    world::World,
};

/// How long a node may be silent before nothing is sent to its Pods any more: three missed heartbeats of half a second, and
/// half a second for one that is late. Users are promised three seconds.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// How long a node may be lost before its Pods are evicted: Kubernetes' `node-monitor-grace-period` of old.
const GRACE: Duration = Duration::from_secs(40);

/// While silence is not believed, it is looked again after so long.
const DOUBT_LOOK_EVERY: Duration = Duration::from_millis(500);

/// The reason with which this controller gives a node up, by which it knows its own judgement again.
const GIVEN_UP: &str = "NodeStatusUnknown";

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some((object, node)) = world.find::<Node>(key) else { return plan };
    if node.metadata.as_ref().is_none_or(|meta| meta.deletion_timestamp.is_some() || meta.uid.is_empty()) {
        return plan;
    }
    settle_spec(world, node, now, &mut plan);
    match judge(world, node, now) {
        Judgement::Heard { until } => {
            plan.again_at(until);
            revive(world, node, now, &mut plan);
        }
        Judgement::Doubtful => plan.again_at(now.after(DOUBT_LOOK_EVERY)),
        Judgement::Lost { why } => {
            if give_up(node, why, now, &mut plan) {
                let message = format!("Node {} status is now: NodeNotReady", node.name());
                plan.note(Note::warning(object, "NodeNotReady", message));
            }
        }
    }
    plan
}

/// What a node's signs of life say.
enum Judgement {
    /// It lives; if nothing is heard until then, it is silent.
    Heard { until: Timestamp },
    /// It is silent, but so many others are too that the fault may be here.
    Doubtful,
    /// It is lost.
    Lost { why: &'static str },
}

fn judge(world: &World, node: &Node, now: Timestamp) -> Judgement {
    if world.gone(node.name()).is_some() {
        return Judgement::Lost { why: "The node's process has ended: nobody listens at its address." };
    }
    let last = last_sign(world, node);
    let until = last.after(SILENCE_MAX);
    if now < until {
        Judgement::Heard { until }
    } else if now < last.after(GRACE) && doubt::is_here(world, now) {
        Judgement::Doubtful
    } else {
        Judgement::Lost { why: "The node stopped sending heartbeats." }
    }
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
fn give_up(node: &Node, why: &str, now: Timestamp, plan: &mut Plan) -> bool {
    let mut lost = node.clone();
    let all = &mut lost.status.get_or_insert_default().conditions;
    let unknown = |kind: &str| conditions::new(kind, ConditionStatus::Unknown, GIVEN_UP, why, now);
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
    let Some(since) = given_up_at(node) else { return };
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

/// Since when this controller has given a node up.
fn given_up_at(node: &Node) -> Option<Timestamp> {
    let given_up = ready(node).filter(|ready| ready.reason == GIVEN_UP)?;
    Some(given_up.last_transition_time.as_ref().map(Timestamp::from).unwrap_or_default())
}

/// Gives the node its addresses and the taints that follow from its state.
fn settle_spec(world: &World, node: &Node, now: Timestamp, plan: &mut Plan) {
    let mut spec = node.spec.clone().unwrap_or_default();
    if spec.pod_cidr.is_empty() {
        spec.pod_cidr = free_range(world).unwrap_or_default();
        spec.pod_cidrs = Some(spec.pod_cidr.clone()).filter(|part| !part.is_empty()).into_iter().collect();
    }
    taints::settle(world, node, &mut spec, now, plan);
    if node.spec.as_ref() != Some(&spec) {
        plan.update(Node { spec: Some(spec), ..node.clone() });
    }
}

/// The first part of the Pods' range that shares no address with any node's.
fn free_range(world: &World) -> Option<String> {
    let specs = world.nodes().filter_map(|node| node.spec.as_ref());
    let taken: BTreeSet<Cidr> = specs.filter_map(|spec| spec.pod_cidr.parse().ok()).collect();
    let is_free = |part: &Cidr| !taken.iter().any(|taken| taken.overlaps(*part));
    world.config.pods.parts().find(is_free).map(|part| part.to_string())
}

#[cfg(test)]
mod tests;
