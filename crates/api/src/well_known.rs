//! Names that several parts of the cluster must spell alike: namespaces and what each of them has, the scheduler, labels, taints, annotations and finalizers. Types of
//! conditions are in [`crate::conditions`].

/// The namespace of what names none.
pub const DEFAULT_NAMESPACE: &str = "default";
/// The namespace of what belongs to the cluster itself.
pub const SYSTEM_NAMESPACE: &str = "kube-system";
/// The namespace of what everybody may read.
pub const PUBLIC_NAMESPACE: &str = "kube-public";
/// The namespace of the Leases by which nodes say that they are alive. Each is named like its node.
pub const NODE_LEASE_NAMESPACE: &str = "kube-node-lease";
/// The namespaces that every cluster has, in the order in which they are made. None may be deleted.
pub const NAMESPACES: [&str; 4] = [DEFAULT_NAMESPACE, SYSTEM_NAMESPACE, PUBLIC_NAMESPACE, NODE_LEASE_NAMESPACE];

/// The ServiceAccount that every namespace has, and that a Pod has which names none.
pub const DEFAULT_SERVICE_ACCOUNT: &str = "default";
/// The type of Secrets that are to hold the token of a ServiceAccount, the annotation that names it, and the one that says which
/// of all that had the name.
pub const ACCOUNT_TOKEN_TYPE: &str = "kubernetes.io/service-account-token";
/// See [`ACCOUNT_TOKEN_TYPE`].
pub const ACCOUNT_NAME_ANNOTATION: &str = "kubernetes.io/service-account.name";
/// See [`ACCOUNT_TOKEN_TYPE`].
pub const ACCOUNT_UID_ANNOTATION: &str = "kubernetes.io/service-account.uid";
/// The ConfigMap in every namespace that holds the certificate of the cluster's authority.
pub const ROOT_CA_CONFIG_MAP: &str = "kube-root-ca.crt";
/// Under which key it does.
pub const ROOT_CA_KEY: &str = "ca.crt";
/// Where programs of Pods look for the token of their ServiceAccount, and for what they need beside it.
pub const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The ConfigMap in [`SYSTEM_NAMESPACE`] that tells backends of the API by what they know masters, and who asks.
pub const EXTENSION_AUTHENTICATION_CONFIG_MAP: &str = "extension-apiserver-authentication";

/// The name in the certificate with which masters pass requests on to backends of the API.
pub const FRONT_PROXY: &str = "system:kapelle:front-proxy";
/// The header in which they tell the user who asks.
pub const REMOTE_USER_HEADER: &str = "X-Remote-User";
/// The header in which they tell that user's groups, one in each.
pub const REMOTE_GROUP_HEADER: &str = "X-Remote-Group";
/// How headers begin that tell more of the user. Masters send none.
pub const REMOTE_EXTRA_HEADER_PREFIX: &str = "X-Remote-Extra-";

/// The scheduler that a Pod names if it means the cluster's own.
pub const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// The Pod may take the place of others with a lower priority.
pub const PREEMPT_LOWER: &str = "PreemptLowerPriority";
/// The Pod waits for a place.
pub const PREEMPT_NEVER: &str = "Never";

/// The label by which selectors find a Namespace by its name.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The label by which an EndpointSlice names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// The label by which users say that Endpoints are not to be shown as EndpointSlices.
pub const SKIP_MIRROR_LABEL: &str = "endpointslice.kubernetes.io/skip-mirror";
/// The label by which affinities and spread constraints find a node by its name.
pub const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";

/// The taint of a node that says it cannot run Pods.
pub const NOT_READY_TAINT: &str = "node.kubernetes.io/not-ready";
/// The taint of a node that says nothing.
pub const UNREACHABLE_TAINT: &str = "node.kubernetes.io/unreachable";

/// The annotation that numbers a Deployment's ReplicaSets.
pub const REVISION_ANNOTATION: &str = "deployment.kubernetes.io/revision";
/// The annotation that keeps the manifest that was applied last.
pub const LAST_APPLIED_ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Holds an object until what it owns is deleted.
pub const FOREGROUND_FINALIZER: &str = "foregroundDeletion";
/// Holds an object until what it owns no longer names it as owner.
pub const ORPHAN_FINALIZER: &str = "orphan";

/// The machine for which this program was built, by the name that Go, and so Kubernetes' clients, have for it.
pub const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    std::env::consts::ARCH
};
