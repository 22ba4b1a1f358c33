//! What a Deployment reports: counts, and how the rollout goes, in Kubernetes' words, so that `kubectl rollout status` and
//! whoever reads conditions understand.

use std::time::Duration;

use api::{
    Timestamp,
    apps_v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet},
    conditions::{self, ConditionStatus},
    kinds::{Resource, apps::deployment::PROGRESS_DEADLINE_SECONDS},
};

use super::{
    family::Family,
    history,
    rolling::{Limits, Size},
    wanted,
};
use crate::{plan::Plan, workloads::replicas::status::REPLICA_FAILURE};

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";

/// The reasons of `Progressing`.
const NEW_SET_CREATED: &str = "NewReplicaSetCreated";
const NEW_SET_FOUND: &str = "FoundNewReplicaSet";
const SET_UPDATED: &str = "ReplicaSetUpdated";
const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
const CREATE_FAILED: &str = "ReplicaSetCreateError";
const PAUSED: &str = "DeploymentPaused";
const RESUMED: &str = "DeploymentResumed";

/// A deadline of this many seconds means that there is none. Kubernetes' rule.
const NO_DEADLINE_S: i32 = i32::MAX;

/// Writes the status, and the number of the newest set with it, if they are not what they should be, and comes back when the
/// deadline passes. The number goes this way because an annotation that is written otherwise is a change of what is wanted.
pub(super) fn report(family: &Family<'_>, number: Option<String>, now: Timestamp, plan: &mut Plan) {
    let old = family.deployment.status.clone().unwrap_or_default();
    let mut new = counts(family, &old);
    set_available(&mut new, family.limits(), now);
    set_failure(family, &mut new);
    if let Some(deadline) = deadline(family) {
        set_progress(family, &old, &mut new, deadline, now);
        if let Some(time) = expiry(&new, deadline).filter(|time| *time > now) {
            plan.again_at(time);
        }
    } else {
        conditions::remove(&mut new.conditions, PROGRESSING);
    }
    let numbered = history::numbered(family, number);
    if new != old || numbered.metadata != family.deployment.metadata {
        plan.update_status(Deployment { status: Some(new), ..numbered });
    }
}

fn counts(family: &Family<'_>, old: &DeploymentStatus) -> DeploymentStatus {
    let sum = |of: fn(&api::apps_v1::ReplicaSetStatus) -> i32| {
        family.sets().filter_map(|set| set.status.as_ref()).map(of).sum::<i32>()
    };
    let total: i32 = family.sets().map(wanted).sum();
    let available = sum(|status| status.available_replicas);
    let updated = family.new.and_then(|set| set.status.as_ref()).map_or(0, |status| status.replicas);
    DeploymentStatus {
        observed_generation: family.meta.generation,
        replicas: sum(|status| status.replicas),
        updated_replicas: updated,
        ready_replicas: sum(|status| status.ready_replicas),
        available_replicas: available,
        unavailable_replicas: (total - available).max(0),
        terminating_replicas: Some(sum(|status| status.terminating_replicas.unwrap_or(0))),
        collision_count: if family.name_is_taken {
            Some(old.collision_count.unwrap_or(0) + 1)
        } else {
            old.collision_count
        },
        conditions: old.conditions.clone(),
    }
}

fn set_available(status: &mut DeploymentStatus, limits: Limits, now: Timestamp) {
    let enough = status.available_replicas >= limits.available_min();
    let (reason, message) = if enough {
        ("MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    conditions::set(&mut status.conditions, conditions::new(AVAILABLE, enough.into(), reason, message, now));
}

/// Passes on that a set's writes are refused.
fn set_failure(family: &Family<'_>, status: &mut DeploymentStatus) {
    let of = |set: &ReplicaSet| conditions::get(&set.status.as_ref()?.conditions, REPLICA_FAILURE).cloned();
    let newest_first = family.new.into_iter().chain(family.old.iter().rev().copied());
    let Some(failure) = newest_first.filter_map(of).next() else {
        conditions::remove(&mut status.conditions, REPLICA_FAILURE);
        return;
    };
    let condition = DeploymentCondition {
        r#type: failure.r#type,
        status: failure.status,
        reason: failure.reason,
        message: failure.message,
        last_update_time: failure.last_transition_time,
        last_transition_time: failure.last_transition_time,
    };
    conditions::set(&mut status.conditions, condition);
}

/// How the rollout goes: what to say of it, and whether the clock of the deadline starts anew.
struct Progress {
    status: ConditionStatus,
    reason: &'static str,
    message: String,
    anew: bool,
}

fn set_progress(
    family: &Family<'_>,
    old: &DeploymentStatus,
    new: &mut DeploymentStatus,
    deadline: Duration,
    now: Timestamp,
) {
    let current = conditions::get(&old.conditions, PROGRESSING);
    let Some(progress) = progress(family, current, [old, new], deadline, now) else { return };
    let Progress { status, reason, message, anew } = progress;
    let mut condition: DeploymentCondition = conditions::new(PROGRESSING, status, reason, &message, now);
    if !anew {
        conditions::set(&mut new.conditions, condition);
        return;
    }
    if let Some(current) = current.filter(|current| current.status == status.word()) {
        condition.last_transition_time = current.last_transition_time;
    }
    conditions::remove(&mut new.conditions, PROGRESSING);
    new.conditions.push(condition);
}

fn progress(
    family: &Family<'_>,
    current: Option<&DeploymentCondition>,
    [old, new]: [&DeploymentStatus; 2],
    deadline: Duration,
    now: Timestamp,
) -> Option<Progress> {
    let reason = current.map_or("", |current| &current.reason);
    let holds = |reason, message: String| {
        Some(Progress { status: ConditionStatus::True, reason, message, anew: reason != NEW_SET_AVAILABLE })
    };
    let unclear = |reason, message: &str| {
        Some(Progress { status: ConditionStatus::Unknown, reason, message: message.to_owned(), anew: false })
    };
    if family.spec.paused {
        return unclear(PAUSED, "Deployment is paused");
    }
    if reason == PAUSED {
        return unclear(RESUMED, "Deployment is resumed").map(|progress| Progress { anew: true, ..progress });
    }
    let Some(set) = family.new else { return creation(family) };
    let name = set.name();
    if is_complete(family, new) {
        return holds(NEW_SET_AVAILABLE, format!("ReplicaSet \"{name}\" has successfully progressed."));
    }
    // A finished rollout stays finished when Pods come and go; only another template begins a new one.
    if reason == NEW_SET_AVAILABLE && old.updated_replicas == old.replicas && new.updated_replicas == new.replicas {
        return None;
    }
    match current {
        None if is_fresh(set) => holds(NEW_SET_CREATED, format!("Created new replica set \"{name}\"")),
        None => holds(NEW_SET_FOUND, format!("Found new replica set \"{name}\"")),
        Some(_) if has_moved(old, new) => holds(SET_UPDATED, format!("ReplicaSet \"{name}\" is progressing.")),
        Some(current) if is_overdue(current, deadline, now) => Some(Progress {
            status: ConditionStatus::False,
            reason: DEADLINE_EXCEEDED,
            message: format!("ReplicaSet \"{name}\" has timed out progressing."),
            anew: false,
        }),
        Some(current) if current.reason == NEW_SET_AVAILABLE || current.reason == CREATE_FAILED => {
            holds(NEW_SET_CREATED, format!("Created new replica set \"{name}\""))
        }
        Some(_) => None,
    }
}

/// There is no set of the present template: either it is being created or that was refused.
fn creation(family: &Family<'_>) -> Option<Progress> {
    let message = family.trouble?.to_owned();
    Some(Progress { status: ConditionStatus::False, reason: CREATE_FAILED, message, anew: false })
}

fn is_complete(family: &Family<'_>, status: &DeploymentStatus) -> bool {
    let replicas = family.limits().replicas;
    [status.updated_replicas, status.replicas, status.available_replicas].iter().all(|count| *count == replicas)
        && family.new.is_some_and(|set| Size::of(set).wanted == replicas)
}

/// Whether a set has done nothing yet, so that it was made for this rollout.
fn is_fresh(set: &ReplicaSet) -> bool {
    set.status.as_ref().is_none_or(|status| status.replicas == 0)
}

fn has_moved(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let outdated = |status: &DeploymentStatus| status.replicas - status.updated_replicas;
    new.updated_replicas > old.updated_replicas
        || outdated(new) < outdated(old)
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

fn deadline(family: &Family<'_>) -> Option<Duration> {
    let seconds = family.spec.progress_deadline_seconds.unwrap_or(PROGRESS_DEADLINE_SECONDS);
    (seconds != NO_DEADLINE_S).then(|| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn is_overdue(current: &DeploymentCondition, deadline: Duration, now: Timestamp) -> bool {
    let since = current.last_update_time.as_ref().map(Timestamp::from);
    let may_expire = current.reason != NEW_SET_AVAILABLE;
    current.reason == DEADLINE_EXCEEDED || (may_expire && since.is_some_and(|since| now >= since.after(deadline)))
}

/// When the rollout will be overdue if nothing moves.
fn expiry(status: &DeploymentStatus, deadline: Duration) -> Option<Timestamp> {
    let current = conditions::get(&status.conditions, PROGRESSING)?;
    let running = ![NEW_SET_AVAILABLE, DEADLINE_EXCEEDED, PAUSED].contains(&current.reason.as_str());
    let since = current.last_update_time.as_ref().filter(|_| running)?;
    Some(Timestamp::from(since).after(deadline))
}
