//! The table of controllers.

use api::{Key, Timestamp, well_known::DEFAULT_SCHEDULER};

use crate::{
    deployment, endpoint_slice, event_log, garbage, namespace, node, plan::Plan, pod_life, replica_set, scheduler,
    world::World,
};

/// Everybody who decides something. The order means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Controller {
    /// Replaces the Pods of one template by those of the next, through ReplicaSets.
    Deployment,
    /// Keeps a number of equal Pods.
    ReplicaSet,
    /// Chooses a node for a Pod.
    Scheduler,
    /// Lists the Pods behind a Service.
    EndpointSlice,
    /// Deletes what its owners left behind.
    Garbage,
    /// Empties a Namespace that is being deleted.
    Namespace,
    /// Gives a node its addresses and notices when it falls silent.
    Node,
    /// Takes Pods off nodes that are lost or not tolerated.
    PodLife,
    /// Forgets old Events.
    EventLog,
}

impl Controller {
    /// What should happen to bring the object of a task closer to what is wanted.
    pub(crate) fn reconcile(self, world: &World, key: &Key, now: Timestamp) -> Plan {
        match self {
            Self::Deployment => deployment::reconcile(world, key, now),
            Self::ReplicaSet => replica_set::reconcile(world, key, now),
            Self::Scheduler => scheduler::reconcile(world, key, now),
            Self::EndpointSlice => endpoint_slice::reconcile(world, key, now),
            Self::Garbage => garbage::reconcile(world, key, now),
            Self::Namespace => namespace::reconcile(world, key, now),
            Self::Node => node::reconcile(world, key, now),
            Self::PodLife => pod_life::reconcile(world, key, now),
            Self::EventLog => event_log::reconcile(world, key, now),
        }
    }

    /// How it is called in Events: as the part of Kubernetes that does the same.
    pub(crate) fn component(self) -> &'static str {
        match self {
            Self::Deployment => "deployment-controller",
            Self::ReplicaSet => "replicaset-controller",
            Self::Scheduler => DEFAULT_SCHEDULER,
            Self::EndpointSlice => "endpoint-slice-controller",
            Self::Garbage => "garbage-collector",
            Self::Namespace => "namespace-controller",
            Self::Node => "node-controller",
            Self::PodLife => "taint-eviction-controller",
            Self::EventLog => "event-controller",
        }
    }
}
