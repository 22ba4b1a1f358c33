//! The one table of kinds. Discovery, storage keys, codecs, the command line and the tests read off it.
//!
//! A kind is one row here and one file below, which answers what is peculiar to it: see `strategy`. What objects of all kinds
//! have alike is in [`crate::object`]. A kind is stored in one group and version, that of its row; where it is served in
//! others too, each of those is a row of the second table and a file with its `conversion`.

mod conversion;
mod custom;
mod deletion;
pub mod reviews;
mod strategy;

/// Kinds of the group `admissionregistration.k8s.io`.
pub(crate) mod admissionregistration {
    pub(crate) mod mutating_admission_policy;
    pub(crate) mod mutating_admission_policy_binding;
    pub(crate) mod mutating_webhook_configuration;
    pub(crate) mod validating_admission_policy;
    pub(crate) mod validating_admission_policy_binding;
    pub(crate) mod validating_webhook_configuration;
}

/// Kinds of the group `apiextensions.k8s.io`.
pub mod apiextensions {
    pub mod custom_resource_definition;
}

/// Kinds of the group `apiregistration.k8s.io`.
pub mod apiregistration {
    pub mod api_service;
}

/// Kinds of the group `apps`.
pub mod apps {
    pub(crate) mod controller_revision;
    pub mod deployment;
    pub(crate) mod replica_set;
}

/// Kinds of the group `certificates.k8s.io`.
pub mod certificates {
    pub mod certificate_signing_request;
    pub(crate) mod cluster_trust_bundle;
    mod issuing;
    pub mod pod_certificate_request;
}

/// Kinds of the group `coordination.k8s.io`.
pub(crate) mod coordination {
    pub(crate) mod lease;
}

/// Kinds of the core group.
pub mod core {
    pub mod component_status;
    pub(crate) mod config_map;
    pub(crate) mod endpoints;
    pub(crate) mod event;
    pub mod limit_range;
    pub mod namespace;
    pub(crate) mod node;
    pub mod pod;
    pub(crate) mod pod_template;
    pub(crate) mod replication_controller;
    pub(crate) mod resource_quota;
    pub(crate) mod secret;
    pub mod service;
    pub(crate) mod service_account;
}

/// Kinds of the group `discovery.k8s.io`.
pub(crate) mod discovery {
    pub(crate) mod endpoint_slice;
}

/// Kinds of the group `events.k8s.io`.
pub(crate) mod events {
    pub(crate) mod event;
}

/// Kinds of the group `flowcontrol.apiserver.k8s.io`.
pub mod flowcontrol {
    pub mod flow_schema;
    pub mod priority_level_configuration;
}

/// Kinds of the group `kapelle.dev`.
pub mod identity {
    pub mod user;
}

/// Kinds of the group `rbac.authorization.k8s.io`.
pub(crate) mod rbac {
    pub(crate) mod cluster_role;
    pub(crate) mod cluster_role_binding;
    pub(crate) mod role;
    pub(crate) mod role_binding;
}

/// Kinds of the group `scheduling.k8s.io`.
pub mod scheduling {
    pub mod priority_class;
}

/// Kinds of the group `storagemigration.k8s.io`.
pub(crate) mod storagemigration {
    pub(crate) mod storage_version_migration;
}

pub use crate::object::{Kind, KindInfo, Object, Resource, Source};
pub use strategy::{Allocation, Scale};

/// Hands the rows to a macro: the number that stands for the kind in the log and in snapshots, the kind, the type of its
/// objects, its strategy, and its names. A row may end with what is not usual: `verbs`, if not everything can be done with the
/// objects that can be done with what is stored; their `source`, if they are not stored; `deprecated`, with the sentence
/// that each request is answered with; and how manifests call it, where our language spells that otherwise.
macro_rules! table {
    ($then:ident) => {
        $then! {
            // Deleting all Namespaces in one request is nobody's wish.
            1 Namespace: core_v1::Namespace, core::namespace::NamespaceStrategy, {
                "" "v1", "namespaces" ("namespace") ["ns"], false,
                in [], with [Status, Finalize], "kapelle.core.v1.Namespace",
                verbs [Create, Delete, Get, List, Patch, Update, Watch]
            };
            2 Node: core_v1::Node, core::node::NodeStrategy, {
                "" "v1", "nodes" ("node") ["no"], false,
                in [], with [Status, Proxy], "kapelle.core.v1.Node"
            };
            3 Pod: core_v1::Pod, core::pod::PodStrategy, {
                "" "v1", "pods" ("pod") ["po"], true,
                in ["all"], with [Status, Log, Binding, Eviction, Attach, Exec, Portforward, Proxy],
                "kapelle.core.v1.Pod"
            };
            4 Service: core_v1::Service, core::service::ServiceStrategy, {
                "" "v1", "services" ("service") ["svc"], true,
                in ["all"], with [Status, Proxy], "kapelle.core.v1.Service"
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
            12 ServiceAccount: core_v1::ServiceAccount, core::service_account::ServiceAccountStrategy, {
                "" "v1", "serviceaccounts" ("serviceaccount") ["sa"], true,
                in [], with [Token], "kapelle.core.v1.ServiceAccount"
            };
            13 PodTemplate: core_v1::PodTemplate, core::pod_template::PodTemplateStrategy, {
                "" "v1", "podtemplates" ("podtemplate") [], true,
                in [], with [], "kapelle.core.v1.PodTemplate"
            };
            14 ControllerRevision: apps_v1::ControllerRevision, apps::controller_revision::ControllerRevisionStrategy, {
                "apps" "v1", "controllerrevisions" ("controllerrevision") [], true,
                in [], with [], "kapelle.apps.v1.ControllerRevision"
            };
            15 Role: rbac_v1::Role, rbac::role::RoleStrategy, {
                "rbac.authorization.k8s.io" "v1", "roles" ("role") [], true,
                in [], with [], "kapelle.rbac.v1.Role"
            };
            16 ClusterRole: rbac_v1::ClusterRole, rbac::cluster_role::ClusterRoleStrategy, {
                "rbac.authorization.k8s.io" "v1", "clusterroles" ("clusterrole") [], false,
                in [], with [], "kapelle.rbac.v1.ClusterRole"
            };
            17 RoleBinding: rbac_v1::RoleBinding, rbac::role_binding::RoleBindingStrategy, {
                "rbac.authorization.k8s.io" "v1", "rolebindings" ("rolebinding") [], true,
                in [], with [], "kapelle.rbac.v1.RoleBinding"
            };
            18 ClusterRoleBinding: rbac_v1::ClusterRoleBinding, rbac::cluster_role_binding::ClusterRoleBindingStrategy, {
                "rbac.authorization.k8s.io" "v1", "clusterrolebindings" ("clusterrolebinding") [], false,
                in [], with [], "kapelle.rbac.v1.ClusterRoleBinding"
            };
            19 ReplicationController: core_v1::ReplicationController, core::replication_controller::ReplicationControllerStrategy, {
                "" "v1", "replicationcontrollers" ("replicationcontroller") ["rc"], true,
                in ["all"], with [Status, Scale], "kapelle.core.v1.ReplicationController"
            };
            20 Endpoints: core_v1::Endpoints, core::endpoints::EndpointsStrategy, {
                "" "v1", "endpoints" ("endpoints") ["ep"], true,
                in [], with [], "kapelle.core.v1.Endpoints"
            };
            21 StorageVersionMigration: storagemigration_v1::StorageVersionMigration, storagemigration::storage_version_migration::StorageVersionMigrationStrategy, {
                "storagemigration.k8s.io" "v1", "storageversionmigrations" ("storageversionmigration") [], false,
                in [], with [Status], "kapelle.storagemigration.v1.StorageVersionMigration"
            };
            22 ComponentStatus: core_v1::ComponentStatus, core::component_status::ComponentStatusStrategy, {
                "" "v1", "componentstatuses" ("componentstatus") ["cs"], false,
                in [], with [], "kapelle.core.v1.ComponentStatus",
                verbs [Get, List], source Health, deprecated "v1 ComponentStatus is deprecated in v1.19+"
            };
            23 CustomResourceDefinition: apiextensions_v1::CustomResourceDefinition, apiextensions::custom_resource_definition::CustomResourceDefinitionStrategy, {
                "apiextensions.k8s.io" "v1", "customresourcedefinitions" ("customresourcedefinition") ["crd", "crds"], false,
                in ["api-extensions"], with [Status], "kapelle.apiextensions.v1.CustomResourceDefinition"
            };
            30 ValidatingWebhookConfiguration: admissionregistration_v1::ValidatingWebhookConfiguration, admissionregistration::validating_webhook_configuration::ValidatingWebhookConfigurationStrategy, {
                "admissionregistration.k8s.io" "v1", "validatingwebhookconfigurations" ("validatingwebhookconfiguration") [], false,
                in ["api-extensions"], with [], "kapelle.admissionregistration.v1.ValidatingWebhookConfiguration"
            };
            31 MutatingWebhookConfiguration: admissionregistration_v1::MutatingWebhookConfiguration, admissionregistration::mutating_webhook_configuration::MutatingWebhookConfigurationStrategy, {
                "admissionregistration.k8s.io" "v1", "mutatingwebhookconfigurations" ("mutatingwebhookconfiguration") [], false,
                in ["api-extensions"], with [], "kapelle.admissionregistration.v1.MutatingWebhookConfiguration"
            };
            32 ValidatingAdmissionPolicy: admissionregistration_v1::ValidatingAdmissionPolicy, admissionregistration::validating_admission_policy::ValidatingAdmissionPolicyStrategy, {
                "admissionregistration.k8s.io" "v1", "validatingadmissionpolicies" ("validatingadmissionpolicy") [], false,
                in ["api-extensions"], with [Status], "kapelle.admissionregistration.v1.ValidatingAdmissionPolicy"
            };
            33 ValidatingAdmissionPolicyBinding: admissionregistration_v1::ValidatingAdmissionPolicyBinding, admissionregistration::validating_admission_policy_binding::ValidatingAdmissionPolicyBindingStrategy, {
                "admissionregistration.k8s.io" "v1", "validatingadmissionpolicybindings" ("validatingadmissionpolicybinding") [], false,
                in ["api-extensions"], with [], "kapelle.admissionregistration.v1.ValidatingAdmissionPolicyBinding"
            };
            34 MutatingAdmissionPolicy: admissionregistration_v1::MutatingAdmissionPolicy, admissionregistration::mutating_admission_policy::MutatingAdmissionPolicyStrategy, {
                "admissionregistration.k8s.io" "v1", "mutatingadmissionpolicies" ("mutatingadmissionpolicy") [], false,
                in ["api-extensions"], with [], "kapelle.admissionregistration.v1.MutatingAdmissionPolicy"
            };
            35 MutatingAdmissionPolicyBinding: admissionregistration_v1::MutatingAdmissionPolicyBinding, admissionregistration::mutating_admission_policy_binding::MutatingAdmissionPolicyBindingStrategy, {
                "admissionregistration.k8s.io" "v1", "mutatingadmissionpolicybindings" ("mutatingadmissionpolicybinding") [], false,
                in ["api-extensions"], with [], "kapelle.admissionregistration.v1.MutatingAdmissionPolicyBinding"
            };
            40 ApiService: apiregistration_v1::ApiService, apiregistration::api_service::ApiServiceStrategy, {
                "apiregistration.k8s.io" "v1", "apiservices" ("apiservice") [], false,
                in ["api-extensions"], with [Status], "kapelle.apiregistration.v1.APIService",
                called "APIService"
            };
            41 CertificateSigningRequest: certificates_v1::CertificateSigningRequest, certificates::certificate_signing_request::CertificateSigningRequestStrategy, {
                "certificates.k8s.io" "v1", "certificatesigningrequests" ("certificatesigningrequest") ["csr"], false,
                in [], with [Status, Approval], "kapelle.certificates.v1.CertificateSigningRequest"
            };
            42 ClusterTrustBundle: certificates_v1::ClusterTrustBundle, certificates::cluster_trust_bundle::ClusterTrustBundleStrategy, {
                "certificates.k8s.io" "v1", "clustertrustbundles" ("clustertrustbundle") [], false,
                in [], with [], "kapelle.certificates.v1.ClusterTrustBundle"
            };
            43 PodCertificateRequest: certificates_v1::PodCertificateRequest, certificates::pod_certificate_request::PodCertificateRequestStrategy, {
                "certificates.k8s.io" "v1", "podcertificaterequests" ("podcertificaterequest") [], true,
                in [], with [Status], "kapelle.certificates.v1.PodCertificateRequest"
            };
            44 FlowSchema: flowcontrol_v1::FlowSchema, flowcontrol::flow_schema::FlowSchemaStrategy, {
                "flowcontrol.apiserver.k8s.io" "v1", "flowschemas" ("flowschema") [], false,
                in [], with [Status], "kapelle.flowcontrol.v1.FlowSchema"
            };
            45 PriorityLevelConfiguration: flowcontrol_v1::PriorityLevelConfiguration, flowcontrol::priority_level_configuration::PriorityLevelConfigurationStrategy, {
                "flowcontrol.apiserver.k8s.io" "v1", "prioritylevelconfigurations" ("prioritylevelconfiguration") [], false,
                in [], with [Status], "kapelle.flowcontrol.v1.PriorityLevelConfiguration"
            };
            46 ResourceQuota: core_v1::ResourceQuota, core::resource_quota::ResourceQuotaStrategy, {
                "" "v1", "resourcequotas" ("resourcequota") ["quota"], true,
                in [], with [Status], "kapelle.core.v1.ResourceQuota"
            };
            47 LimitRange: core_v1::LimitRange, core::limit_range::LimitRangeStrategy, {
                "" "v1", "limitranges" ("limitrange") ["limits"], true,
                in [], with [], "kapelle.core.v1.LimitRange"
            };
            48 PriorityClass: scheduling_v1::PriorityClass, scheduling::priority_class::PriorityClassStrategy, {
                "scheduling.k8s.io" "v1", "priorityclasses" ("priorityclass") ["pc"], false,
                in [], with [], "kapelle.scheduling.v1.PriorityClass"
            };
            50 User: identity_v1::User, identity::user::UserStrategy, {
                "kapelle.dev" "v1", "users" ("user") [], false,
                in [], with [Token], "kapelle.identity.v1.User"
            };
        }
    };
}

/// Hands the rows of the other groups and versions to a macro: the name of the version, the kind that it serves, the type of its
/// objects, its conversion, and what the version is called. All else is as in the kind's own row.
macro_rules! versions {
    ($then:ident) => {
        $then! {
            EventsV1: Event, events_v1::Event, events::event::EventConversion, {
                "events.k8s.io" "v1", "kapelle.events.v1.Event"
            };
        }
    };
}

mod dispatch;
mod parts;
#[cfg(test)]
mod tests;
