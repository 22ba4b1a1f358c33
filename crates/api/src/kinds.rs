//! The one table of kinds. Discovery, storage keys, codecs, the command line and the tests read off it.
//!
//! A kind is one row here and one file below, which answers what is peculiar to it: see `strategy`. What objects of all kinds
//! have alike is in [`crate::object`].

mod deletion;
mod strategy;

/// Kinds of the group `apps`.
pub mod apps {
    pub mod deployment;
    pub(crate) mod replica_set;
}

/// Kinds of the group `coordination.k8s.io`.
pub(crate) mod coordination {
    pub(crate) mod lease;
}

/// Kinds of the core group.
pub mod core {
    pub(crate) mod config_map;
    pub(crate) mod event;
    pub mod namespace;
    pub(crate) mod node;
    pub mod pod;
    pub(crate) mod secret;
    pub mod service;
}

/// Kinds of the group `discovery.k8s.io`.
pub(crate) mod discovery {
    pub(crate) mod endpoint_slice;
}

pub use crate::object::{Kind, KindInfo, Object, Resource};
pub use strategy::{Allocation, Scale};

/// Hands the rows to a macro: the number that stands for the kind in the log and in snapshots, the kind, the type of its
/// objects, its strategy, and its names.
macro_rules! table {
    ($then:ident) => {
        $then! {
            1 Namespace: core_v1::Namespace, core::namespace::NamespaceStrategy, {
                "" "v1", "namespaces" ("namespace") ["ns"], false,
                in [], with [Status, Finalize], "kapelle.core.v1.Namespace"
            };
            2 Node: core_v1::Node, core::node::NodeStrategy, {
                "" "v1", "nodes" ("node") ["no"], false,
                in [], with [Status], "kapelle.core.v1.Node"
            };
            3 Pod: core_v1::Pod, core::pod::PodStrategy, {
                "" "v1", "pods" ("pod") ["po"], true,
                in ["all"], with [Status, Log, Binding, Eviction], "kapelle.core.v1.Pod"
            };
            4 Service: core_v1::Service, core::service::ServiceStrategy, {
                "" "v1", "services" ("service") ["svc"], true,
                in ["all"], with [Status], "kapelle.core.v1.Service"
            };
            5 EndpointSlice: discovery_v1::EndpointSlice, discovery::endpoint_slice::EndpointSliceStrategy, {
                "discovery.k8s.io" "v1", "endpointslices" ("endpointslice") [], true,
                in [], with [], "kapelle.discovery.v1.EndpointSlice"
            };
            6 ConfigMap: core_v1::ConfigMap, core::config_map::ConfigMapStrategy, {
                "" "v1", "configmaps" ("configmap") ["cm"], true,
                in [], with [], "kapelle.core.v1.ConfigMap"
            };
            7 Secret: core_v1::Secret, core::secret::SecretStrategy, {
                "" "v1", "secrets" ("secret") [], true,
                in [], with [], "kapelle.core.v1.Secret"
            };
            8 Event: core_v1::Event, core::event::EventStrategy, {
                "" "v1", "events" ("event") ["ev"], true,
                in [], with [], "kapelle.core.v1.Event"
            };
            9 Lease: coordination_v1::Lease, coordination::lease::LeaseStrategy, {
                "coordination.k8s.io" "v1", "leases" ("lease") [], true,
                in [], with [], "kapelle.coordination.v1.Lease"
            };
            10 Deployment: apps_v1::Deployment, apps::deployment::DeploymentStrategy, {
                "apps" "v1", "deployments" ("deployment") ["deploy"], true,
                in ["all"], with [Status, Scale], "kapelle.apps.v1.Deployment"
            };
            11 ReplicaSet: apps_v1::ReplicaSet, apps::replica_set::ReplicaSetStrategy, {
                "apps" "v1", "replicasets" ("replicaset") ["rs"], true,
                in ["all"], with [Status, Scale], "kapelle.apps.v1.ReplicaSet"
            };
        }
    };
}

mod dispatch;
mod parts;
#[cfg(test)]
mod tests;
