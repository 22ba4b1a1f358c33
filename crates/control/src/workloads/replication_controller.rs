//! ReplicationControllers: keep a number of equal Pods, as ReplicaSets do.

#[cfg(test)]
mod tests;

use api::{
    Key, Timestamp,
    apps_v1::{ReplicaSetCondition, ReplicaSetStatus},
    core_v1::{ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus},
    selector::Labels,
};

use super::{
    owned::Selects,
    replicas::{self, Replicated, Wanted},
};
use crate::{
    plan::Plan,
    world::{Shift, World},
};

impl Selects for ReplicationController {
    /// An empty selector would mean every Pod, so it means none.
    fn selector(&self) -> Option<Labels> {
        let labels = &self.spec.as_ref()?.selector;
        (!labels.is_empty()).then(|| Labels::from_map(labels))
    }
}

impl Replicated for ReplicationController {
    fn wanted(&self) -> Option<Wanted<'_>> {
        let spec = self.spec.as_ref()?;
        let replicas = spec.replicas.unwrap_or(1);
        Some(Wanted { replicas, min_ready_s: spec.min_ready_seconds, template: spec.template.as_ref() })
    }

    fn status(&self) -> ReplicaSetStatus {
        let status = self.status.clone().unwrap_or_default();
        ReplicaSetStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            terminating_replicas: None,
            observed_generation: status.observed_generation,
            conditions: status.conditions.into_iter().map(told_by_a_set).collect(),
        }
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        let status = ReplicationControllerStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            observed_generation: status.observed_generation,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            conditions: status.conditions.into_iter().map(told_by_a_controller).collect(),
        };
        Self { status: Some(status), ..self.clone() }
    }
}

fn told_by_a_set(condition: ReplicationControllerCondition) -> ReplicaSetCondition {
    let ReplicationControllerCondition { r#type, status, last_transition_time, reason, message } = condition;
    ReplicaSetCondition { r#type, status, last_transition_time, reason, message }
}

fn told_by_a_controller(condition: ReplicaSetCondition) -> ReplicationControllerCondition {
    let ReplicaSetCondition { r#type, status, last_transition_time, reason, message } = condition;
    ReplicationControllerCondition { r#type, status, last_transition_time, reason, message }
}

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    replicas::reconcile::<ReplicationController>(world, key, now)
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    replicas::concerns::<ReplicationController>(world, shift, look);
}
