//! What is reported of a number of equal Pods.

use std::time::Duration;

use api::{
    Timestamp,
    apps_v1::{ReplicaSetCondition, ReplicaSetStatus},
    conditions::{self, ConditionStatus},
    core_v1::Pod,
    pod,
};

use super::{Replicated, Wanted};
use crate::plan::Plan;

/// The condition under which it is said that writes are refused.
pub(crate) const REPLICA_FAILURE: &str = "ReplicaFailure";

/// Writes the status if it is not what it should be, and comes back when a Pod becomes available by mere waiting. What a Pod
/// says of itself counts if it is `vouched` for; `trouble` is why writes for the set are refused.
pub(super) fn report<T: Replicated>(
    set: &T,
    pods: &[&Pod],
    vouched: impl Fn(&Pod) -> bool,
    trouble: Option<&str>,
    now: Timestamp,
    plan: &mut Plan,
) {
    let Some(wanted) = set.wanted() else { return };
    let old = set.status();
    let mut new = counts(&wanted, pods, vouched, now);
    new.observed_generation = set.metadata().map_or(0, |meta| meta.generation);
    new.conditions.clone_from(&old.conditions);
    set_failure(old.replicas < wanted.replicas, trouble, now, &mut new.conditions);
    if let Some(time) = next_available(wanted.min_ready_s, pods, now) {
        plan.again_at(time);
    }
    let reported = set.with_status(new);
    if reported != *set {
        plan.update_status(reported);
    }
}

/// How many Pods there are of each sort.
fn counts(wanted: &Wanted<'_>, pods: &[&Pod], vouched: impl Fn(&Pod) -> bool, now: Timestamp) -> ReplicaSetStatus {
    let labels = wanted.template.and_then(|template| template.metadata.as_ref()).map(|meta| &meta.labels);
    let labelled = |pod: &&Pod| {
        let own = pod.metadata.as_ref().map(|meta| &meta.labels);
        labels.into_iter().flatten().all(|(key, value)| own.and_then(|own| own.get(key)) == Some(value))
    };
    let is_available = |pod: &Pod| pod::is_available(pod, wanted.min_ready_s, now) && vouched(pod);
    let active = || pods.iter().copied().filter(|pod| pod::is_active(pod));
    let terminating = pods.iter().filter(|pod| pod::is_terminating(pod) && !pod::is_terminal(pod)).count();
    ReplicaSetStatus {
        replicas: count(active()),
        fully_labeled_replicas: count(active().filter(labelled)),
        ready_replicas: count(active().filter(|pod| pod::is_ready(pod) && vouched(pod))),
        available_replicas: count(active().filter(|pod| is_available(pod))),
        terminating_replicas: Some(i32::try_from(terminating).unwrap_or(i32::MAX)),
        observed_generation: 0,
        conditions: Vec::new(),
    }
}

fn count<'a>(pods: impl Iterator<Item = &'a Pod>) -> i32 {
    i32::try_from(pods.count()).unwrap_or(i32::MAX)
}

fn set_failure(few: bool, trouble: Option<&str>, now: Timestamp, all: &mut Vec<ReplicaSetCondition>) {
    match trouble {
        Some(message) => {
            let reason = if few { "FailedCreate" } else { "FailedDelete" };
            conditions::set(all, conditions::new(REPLICA_FAILURE, ConditionStatus::True, reason, message, now));
        }
        None => _ = conditions::remove(all, REPLICA_FAILURE),
    }
}

/// When the next Pod that is ready will have been so for `minReadySeconds`.
fn next_available(min_ready_s: i32, pods: &[&Pod], now: Timestamp) -> Option<Timestamp> {
    let wait = Duration::from_secs(u64::try_from(min_ready_s).unwrap_or(0));
    let waits = |pod: &&&Pod| pod::is_active(pod) && pod::is_ready(pod) && !pod::is_available(pod, min_ready_s, now);
    let since = |pod: &&Pod| pod::condition(pod, conditions::READY)?.last_transition_time.as_ref().map(Timestamp::from);
    pods.iter().filter(waits).filter_map(since).map(|since| since.after(wait)).min()
}
