//! ReplicaSets: keeps a number of equal Pods, for a Deployment or for itself.

#[cfg(test)]
mod tests;

use api::{
    Key, Timestamp,
    apps_v1::{ReplicaSet, ReplicaSetStatus},
    selector::Labels,
};

use super::{
    owned::{Child, Selects},
    replicas::{self, Replicated, Wanted},
};
use crate::{
    plan::Plan,
    world::{Shift, World},
};

impl Selects for ReplicaSet {
    fn selector(&self) -> Option<Labels> {
        Labels::from_optional(self.spec.as_ref()?.selector.as_ref()).ok()
    }
}

impl Child for ReplicaSet {
    fn is_active(&self) -> bool {
        self.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_none())
    }
}

impl Replicated for ReplicaSet {
    fn wanted(&self) -> Option<Wanted<'_>> {
        let spec = self.spec.as_ref()?;
        let replicas = spec.replicas.unwrap_or(1);
        Some(Wanted { replicas, min_ready_s: spec.min_ready_seconds, template: spec.template.as_ref() })
    }

    fn status(&self) -> ReplicaSetStatus {
        self.status.clone().unwrap_or_default()
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        Self { status: Some(status), ..self.clone() }
    }
}

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    replicas::reconcile::<ReplicaSet>(world, key, now)
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    replicas::concerns::<ReplicaSet>(world, shift, look);
}
