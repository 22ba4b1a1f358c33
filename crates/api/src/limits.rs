//! How many of what one object may have. Everything that somebody looks at in a loop has a limit, so that a short request never
//! becomes long work; each is far above what people write, and named in the error.

/// Labels of an object, and labels that a selector names.
pub const LABELS_MAX: usize = 256;
/// Owners of an object. Each is looked up when one of them goes.
pub const OWNERS_MAX: usize = 64;
/// Finalizers of an object.
pub const FINALIZERS_MAX: usize = 64;
/// Expressions of a selector, and terms of an affinity: each is tried on every object or node.
pub const TERMS_MAX: usize = 64;
/// Values of one expression of a selector.
pub const TERM_VALUES_MAX: usize = 1_024;
/// Keys of a ConfigMap or Secret: each may become a file or a variable on every node.
pub const DATA_KEYS_MAX: usize = 10_000;

/// Containers of a Pod, and as many that only initialise it. Each is a sandbox of its own.
pub const CONTAINERS_MAX: usize = 128;
/// Variables of a container that are named one by one.
pub const ENV_MAX: usize = 1_024;
/// ConfigMaps and Secrets that a container takes as variables. Each is read when it starts.
pub const ENV_FROM_MAX: usize = 64;
/// Words of a container's command, and as many of its arguments.
pub const WORDS_MAX: usize = 4_096;
/// Ports that a container names.
pub const CONTAINER_PORTS_MAX: usize = 128;
/// Volumes of a Pod, mounts of a container, sources of a projected volume.
pub const VOLUMES_MAX: usize = 256;
/// Files that are picked from one ConfigMap or Secret, or made from the Pod's fields.
pub const ITEMS_MAX: usize = 1_024;
/// Tolerations of a Pod, and taints of a node: each is tried on each of the other.
pub const TAINTS_MAX: usize = 128;
/// Spread constraints of a Pod.
pub const SPREADS_MAX: usize = 16;
/// Headers of a probe, secrets for pulling, aliases of hosts, gates and their like.
pub const SMALL_LIST_MAX: usize = 64;

/// Ports of a Service: each is a listener on every node. As many as an EndpointSlice has.
pub const SERVICE_PORTS_MAX: usize = 100;
/// Ports of one EndpointSlice: what Kubernetes' API promises.
pub const SLICE_PORTS_MAX: usize = 100;
/// Endpoints of one EndpointSlice: Kubernetes' limit. Who has more writes several slices.
pub const ENDPOINTS_MAX: usize = 1_000;
/// Addresses of one endpoint: Kubernetes' limit.
pub const ADDRESSES_MAX: usize = 100;

/// The authorities by which a backend of the API is believed, in bytes.
pub const API_SERVICE_BUNDLE_BYTES_MAX: usize = 256 << 10;

/// The authorities of a ClusterTrustBundle, in bytes: Kubernetes' limit.
pub const TRUST_BUNDLE_BYTES_MAX: usize = 1 << 20;

/// The request within a PodCertificateRequest, in bytes: Kubernetes' limit.
pub const POD_REQUEST_BYTES_MAX: usize = 10 << 10;
/// The certificates that a PodCertificateRequest is answered with, in bytes: Kubernetes' limit.
pub const CERTIFICATE_CHAIN_BYTES_MAX: usize = 100 << 10;

/// Conditions of any status.
pub const CONDITIONS_MAX: usize = 64;
/// Images that a node reports.
pub const IMAGES_MAX: usize = 1_024;
/// The status of a Pod, in bytes: a node writes it for each of its Pods.
pub const POD_STATUS_BYTES_MAX: usize = 128 << 10;
/// The status of a node, in bytes.
pub const NODE_STATUS_BYTES_MAX: usize = 512 << 10;
/// An Event, in bytes: some lines for people to read.
pub const EVENT_BYTES_MAX: usize = 16 << 10;

/// Rules of a role.
pub const RULES_MAX: usize = 1_024;
/// Words in one list of a rule: verbs, groups, resources, names, paths.
pub const RULE_WORDS_MAX: usize = 1_024;
/// Subjects of a binding.
pub const SUBJECTS_MAX: usize = 1_024;

/// Groups of a User: each is looked up with each of its requests.
pub const USER_GROUPS_MAX: usize = 64;

// A Service's ports are those of its slices.
const _: () = assert!(SERVICE_PORTS_MAX <= SLICE_PORTS_MAX);
