//! The node controller: a node gets a part of the Pods' addresses, and one that falls silent is given up.
//!
//! There are two judgements. That nothing should be sent to a node's Pods is decided within seconds ([`SILENCE_MAX`]), or at
//! once if its process was seen to have ended, and taken back with the next sign of life. That its Pods should be replaced
//! elsewhere is decided much later ([`GRACE`]), so that a hiccup moves nothing.
//!
//! A node's state becomes taints, so that the scheduler avoids it and `pod_life.rs` evicts what does not tolerate it. The
//! Pods' own status is left as their node last reported it: only the node writes it, and what a lost node said is discounted
//! where it is read, by [`vouches`](super::vouches).

use std::time::Duration;

use api::{
    Key, Timestamp,
    conditions::{self, ConditionStatus, READY},
    core_v1::{Node, NodeCondition},
    kinds::Resource,
};

use super::{
    doubt, ranges,
    readiness::{GIVEN_UP, given_up_at},
    signs::{GRACE, SILENCE_MAX, Signs},
    taints,
};
use crate::{
    config::PodRange,
    plan::{Note, Plan},
    world::{Shift, World},
};

/// While silence is not believed, it is looked again after so long.
const DOUBT_LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some((object, node)) = world.find::<Node>(key) else { return plan };
    if node.metadata.as_ref().is_none_or(|meta| meta.deletion_timestamp.is_some() || meta.uid.is_empty()) {
        return plan;
    }
    settle_spec(node, world.nodes(), world.config.pods, now, &mut plan);
    let signs = Signs::of(world, node);
    let all = world.nodes().map(|node| (node, Signs::of(world, node)));
    match judge(signs, all, now) {
        Judgement::Heard { until } => {
            plan.again_at(until);
            revive(node, signs, now, &mut plan);
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

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<Node>() {
        look(key.clone());
    }
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

fn judge<'a>(signs: Signs, all: impl Iterator<Item = (&'a Node, Signs)>, now: Timestamp) -> Judgement {
    if signs.ended {
        return Judgement::Lost { why: "The node's process has ended: nobody listens at its address." };
    }
    let until = signs.last.after(SILENCE_MAX);
    if now < until {
        Judgement::Heard { until }
    } else if now < signs.last.after(GRACE) && doubt::is_here(all, now) {
        Judgement::Doubtful
    } else {
        Judgement::Lost { why: "The node stopped sending heartbeats." }
    }
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
fn revive(node: &Node, signs: Signs, now: Timestamp, plan: &mut Plan) {
    let Some(since) = given_up_at(node) else { return };
    if signs.heartbeat.is_none_or(|heard| heard <= since) {
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
fn settle_spec<'a>(
    node: &Node,
    nodes: impl Iterator<Item = &'a Node> + Clone,
    pods: PodRange,
    now: Timestamp,
    plan: &mut Plan,
) {
    let mut spec = node.spec.clone().unwrap_or_default();
    ranges::settle(&mut spec, pods, nodes.clone());
    taints::settle(node, nodes, &mut spec, now, plan);
    if node.spec.as_ref() != Some(&spec) {
        plan.update(Node { spec: Some(spec), ..node.clone() });
    }
}

#[cfg(test)]
mod tests;
