//! The table of controllers. Each is a module with two functions: `reconcile`, which decides about one object, and `concerns`,
//! which names the objects to look at because of a change.

use api::{Key, Timestamp, well_known::DEFAULT_SCHEDULER};

use crate::{
    aggregation, certificates, flow_control, identity, lifecycle, network, nodes,
    plan::Plan,
    policy, priorities, quota, rbac, scheduler, workloads,
    world::{Shift, World},
};

macro_rules! controllers {
    ($($(#[$what:meta])* $name:ident: $($module:ident)::+, $component:expr;)*) => {
        #[expect(clippy::enum_variant_names, reason = "a ReplicationController is called so")]
        /// Everybody who decides something. A change is shown to them in this order, which means nothing otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Controller {
            $($(#[$what])* $name,)*
        }

        impl Controller {
            /// Every controller.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),*];

            /// What should happen to bring the object of a task closer to what is wanted.
            pub(crate) fn reconcile(self, world: &World, key: &Key, now: Timestamp) -> Plan {
                match self { $(Self::$name => $($module)::+::reconcile(world, key, now),)* }
            }

            /// Calls `look` with each object that has to be looked at because something changed. Naming too many costs a
            /// look; naming too few leaves something undone forever.
            pub(crate) fn concerns(self, world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
                match self { $(Self::$name => $($module)::+::concerns(world, shift, look),)* }
            }

            /// How it is called in Events: as the part of Kubernetes that does the same.
            pub(crate) fn component(self) -> &'static str {
                match self { $(Self::$name => $component,)* }
            }
        }
    };
}

controllers! {
    /// Deletes what its owners left behind.
    Garbage: lifecycle::garbage, "garbage-collector";
    /// Empties a Namespace that is being deleted.
    Namespace: lifecycle::namespace, "namespace-controller";
    /// Decides whether a kind that a user defines is served, and ends its objects with it.
    Definition: lifecycle::definition, "customresourcedefinition-controller";
    /// Makes the ServiceAccount that every namespace has.
    ServiceAccount: identity::service_account, "serviceaccount-controller";
    /// Publishes the certificate of the cluster's authority in every namespace.
    RootCa: identity::root_ca, "root-ca-certificate-publisher-controller";
    /// Tells backends of the API by what they know masters.
    ExtensionAuthentication: identity::extension_authentication, "cluster-authentication-trust-controller";
    /// Says who serves the versions of the API, and whether they do.
    ApiService: aggregation, "kube-aggregator";
    /// Approves requests for certificates of nodes.
    CertificateApproving: certificates::approving, "certificatesigningrequest-approving-controller";
    /// Signs certificates that were asked for and approved.
    CertificateSigning: certificates::signing, "certificatesigningrequest-signing-controller";
    /// Forgets requests for certificates that are done with.
    CertificateCleaning: certificates::cleaning, "certificatesigningrequest-cleaner-controller";
    /// Signs certificates by which Pods are known to masters.
    PodCertificateSigning: certificates::pod_signing, "podcertificaterequest-signing-controller";
    /// Forgets requests for Pods' certificates.
    PodCertificateCleaning: certificates::pod_cleaning, "podcertificaterequest-cleaner-controller";
    /// Forgets old Events.
    EventLog: lifecycle::event_log, "event-controller";
    /// Keeps a number of equal Pods.
    ReplicaSet: workloads::replica_set, "replicaset-controller";
    /// Keeps a number of equal Pods, as it was done before.
    ReplicationController: workloads::replication_controller, "replication-controller";
    /// Lists the Pods behind a Service.
    EndpointSlice: network::endpoint_slice, "endpoint-slice-controller";
    /// Lists the Pods behind a Service as it was done before.
    Endpoints: network::endpoints, "endpoint-controller";
    /// Shows the endpoints that users list to proxies.
    EndpointSliceMirroring: network::endpoint_slice_mirroring, "endpoint-slice-mirroring-controller";
    /// Keeps the Service by which the masters are reached.
    KubernetesService: network::kubernetes_service, "kube-apiserver";
    /// Tells what is doubtful in policies.
    PolicyStatus: policy::policy_status, "validatingadmissionpolicy-status-controller";
    /// Counts what ResourceQuotas limit.
    ResourceQuota: quota, "resourcequota-controller";
    /// Makes the roles and bindings that every cluster has.
    BootstrapRoles: rbac::bootstrap, "rbac-bootstrap";
    /// Gathers the rules of ClusterRoles in others.
    ClusterRoleAggregation: rbac::aggregation, "clusterrole-aggregation-controller";
    /// Makes and keeps the priority levels and flow schemas that every cluster has.
    BootstrapFlowControl: flow_control::bootstrap, "priority-and-fairness-config-producer";
    /// Says whether the levels of flow schemas exist.
    DanglingFlowSchema: flow_control::dangling, "priority-and-fairness-config-consumer";
    /// Makes the PriorityClasses that every cluster has.
    SystemPriorities: priorities, "scheduling-bootstrap";
    /// Takes Pods off nodes that are lost or not tolerated.
    PodLife: workloads::pod_life, "taint-eviction-controller";
    /// Chooses a node for a Pod.
    Scheduler: scheduler, DEFAULT_SCHEDULER;
    /// Replaces the Pods of one template by those of the next, through ReplicaSets.
    Deployment: workloads::deployment, "deployment-controller";
    /// Gives a node its addresses and notices when it falls silent.
    Node: nodes::health, "node-controller";
}
