//! The scheduler: filter → score → bind, one Pod at a time over a world that already contains what was decided before.
//!
//! A Pod that fits nowhere is told why, and looked at again when a node changes or another Pod makes room.

mod demands;
mod filter;
mod score;
mod selector;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use api::{
    Key, Object, Subresource, Timestamp, Write,
    conditions::{self, ConditionStatus, POD_SCHEDULED},
    core_v1::{Node, Pod, PodSpec},
    kinds::Resource,
    pod,
    well_known::DEFAULT_SCHEDULER,
};

use self::{demands::Demands, filter::Misfit};
use crate::{
    names,
    plan::{Note, Plan},
    world::{Shift, World},
};

/// How many nodes that fit are compared. On a large cluster the best of all is hardly better than the best of these, and
/// finding it costs far more.
const CANDIDATES_MAX: usize = 128;

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some((object, pod)) = world.find::<Pod>(key) else { return plan };
    let Some(spec) = pod.spec.as_ref().filter(|spec| waits(pod, spec)) else { return plan };
    if !matches!(spec.scheduler_name.as_str(), "" | DEFAULT_SCHEDULER) {
        // Whoever it waits for may say more, and is not interrupted.
        if pod::condition(pod, POD_SCHEDULED).is_none() {
            let message = format!(
                "waiting for the scheduler {:?}, which is not part of this cluster; run it, or create the Pod with schedulerName {DEFAULT_SCHEDULER}",
                spec.scheduler_name
            );
            say_unscheduled(pod, "WaitingForScheduler", &message, now, &mut plan);
        }
        return plan;
    }
    if !spec.scheduling_gates.is_empty() {
        let message = "Scheduling is blocked due to non-empty scheduling gates";
        say_unscheduled(pod, "SchedulingGated", message, now, &mut plan);
        return plan;
    }
    match choose(world, &Demands::of(world, pod, spec)) {
        Ok(node) => {
            let message = format!("Successfully assigned {}/{} to {node}", pod.namespace(), pod.name());
            plan.step(bind(pod, node)).then(Note::normal(object, "Scheduled", message));
        }
        Err(message) => {
            if say_unscheduled(pod, "Unschedulable", &message, now, &mut plan) {
                plan.note(Note::warning(object, "FailedScheduling", message));
            }
        }
    }
    plan
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if shift.states::<Pod>().any(|pod| pod::node_name(pod).is_none()) {
        look(shift.key.clone());
    }
    // A Pod that left its node makes room, and so may whatever happened to a node.
    let occupies = |pod: &&Pod| pod::node_name(pod).is_some() && !pod::is_terminal(pod);
    let left = shift.was().filter(occupies).is_some() && shift.became().filter(occupies).is_none();
    if left || shift.became::<Node>().is_some() {
        world.unbound().for_each(|key| look(key.clone()));
    }
}

/// Whether the Pod waits for a node. One that was not stored yet cannot be bound.
fn waits(pod: &Pod, spec: &PodSpec) -> bool {
    spec.node_name.is_empty() && pod::is_active(pod) && !pod.uid().is_empty()
}

/// The best node, or why there is none.
fn choose<'a>(world: &'a World, demands: &Demands<'_>) -> Result<&'a str, String> {
    let nodes: Vec<&Node> = world.nodes().collect();
    let start = if nodes.len() > CANDIDATES_MAX { somewhere(demands.pod, nodes.len()) } else { 0 };
    let mut misfits: BTreeMap<Misfit, usize> = BTreeMap::new();
    let mut fitting = Vec::new();
    for node in nodes[start..].iter().chain(&nodes[..start]) {
        match filter::check(demands, node, world.load(node.name())) {
            Ok(()) => fitting.push(*node),
            Err(reasons) => reasons.into_iter().for_each(|reason| *misfits.entry(reason).or_default() += 1),
        }
        if fitting.len() == CANDIDATES_MAX {
            break;
        }
    }
    let best = fitting.into_iter().max_by_key(|node| score::of(demands, node, world.load(node.name())));
    best.map(Resource::name).ok_or_else(|| explain(nodes.len(), &misfits))
}

/// A place to begin in a long list of nodes, another for each Pod.
fn somewhere(pod: &Pod, nodes: usize) -> usize {
    usize::try_from(names::fnv64(&[pod.uid().as_bytes()]) % nodes as u64).unwrap_or(0)
}

fn explain(nodes: usize, misfits: &BTreeMap<Misfit, usize>) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let reasons: Vec<String> = misfits.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    format!("0/{nodes} nodes are available: {}.", reasons.join(", "))
}

fn bind(pod: &Pod, node: &str) -> Write {
    let mut binding = Pod::default();
    // Only this incarnation; but a label that changes meanwhile is no reason to decide again, and stays as it is.
    let meta = binding.metadata_mut();
    (meta.name, meta.namespace, meta.uid) = (pod.name().to_owned(), pod.namespace().to_owned(), pod.uid().to_owned());
    binding.spec.get_or_insert_default().node_name = node.to_owned();
    Write::Update(Object::from(binding), Subresource::Binding)
}

/// Reports why the Pod waits. Says whether that is news.
fn say_unscheduled(pod: &Pod, reason: &str, message: &str, now: Timestamp, plan: &mut Plan) -> bool {
    let mut reported = pod.clone();
    let condition = conditions::new(POD_SCHEDULED, ConditionStatus::False, reason, message, now);
    let news = pod::set_condition(&mut reported, condition);
    if news {
        plan.update_status(reported);
    }
    news
}
