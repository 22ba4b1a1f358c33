//! The headings.

use super::Column;
use crate::Kind;

/// The columns of a kind, in order, wide ones included. Never empty. Exactly one has the format `name`.
#[must_use]
pub fn columns(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Namespace => NAMESPACE,
        Kind::Node => NODE,
        Kind::Pod => POD,
        Kind::Service => SERVICE,
        Kind::EndpointSlice => ENDPOINT_SLICE,
        Kind::ConfigMap => CONFIG_MAP,
        Kind::Secret => SECRET,
        Kind::Event => EVENT,
        Kind::Lease => LEASE,
        Kind::Deployment => DEPLOYMENT,
        Kind::ReplicaSet => REPLICA_SET,
    }
}

const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, r#type: "string", format: "", description, priority: 0 }
}

const fn integer(name: &'static str, description: &'static str) -> Column {
    Column { r#type: "integer", ..text(name, description) }
}

const fn wide(column: Column) -> Column {
    Column { priority: 1, ..column }
}

const NAME: Column = Column { format: "name", ..text("Name", "The object's name, unique in its namespace.") };
const AGE: Column = text("Age", "How long ago the object was created.");
const CONTAINERS: Column = wide(text("Containers", "The names of the containers in the template."));
const IMAGES: Column = wide(text("Images", "The images of the containers in the template."));
const SELECTOR: Column = wide(text("Selector", "The labels by which the object finds its Pods."));

const NAMESPACE: &[Column] = &[NAME, text("Status", "Active, or Terminating while its objects are deleted."), AGE];

const NODE: &[Column] = &[
    NAME,
    text("Status", "Whether the node is ready, and whether new Pods may come."),
    text("Roles", "What the labels node-role.kubernetes.io/ROLE say."),
    AGE,
    text("Version", "The version of the node's agent."),
    wide(text("Internal-IP", "The node's address inside the cluster.")),
    wide(text("External-IP", "The node's address outside the cluster.")),
    wide(text("OS-Image", "The node's operating system.")),
    wide(text("Kernel-Version", "The node's kernel.")),
    wide(text("Container-Runtime", "What runs the containers.")),
];

const POD: &[Column] = &[
    NAME,
    text("Ready", "How many of the containers are ready."),
    text("Status", "What the Pod as a whole does, in one word."),
    text("Restarts", "How often its containers were started again, and when last."),
    AGE,
    wide(text("IP", "The Pod's address.")),
    wide(text("Node", "The node on which it runs.")),
    wide(text("Nominated Node", "The node on which room is being made for it.")),
    wide(text("Readiness Gates", "How many of the conditions that others set are met.")),
];

const SERVICE: &[Column] = &[
    NAME,
    text("Type", "How the Service can be reached."),
    text("Cluster-IP", "Its address inside the cluster."),
    text("External-IP", "Its addresses outside the cluster."),
    text("Port(s)", "Its ports."),
    AGE,
    SELECTOR,
];

const ENDPOINT_SLICE: &[Column] = &[
    NAME,
    text("AddressType", "What the addresses are: IPv4, IPv6 or names."),
    text("Ports", "The ports of the endpoints."),
    text("Endpoints", "The addresses of the endpoints."),
    AGE,
];

const CONFIG_MAP: &[Column] = &[NAME, integer("Data", "How many keys it has."), AGE];

const SECRET: &[Column] = &[NAME, text("Type", "What it is for."), integer("Data", "How many keys it has."), AGE];

const EVENT: &[Column] = &[
    text("Last Seen", "How long ago it was last seen."),
    text("Type", "Normal or Warning."),
    text("Reason", "Why, in one word."),
    text("Object", "What it is about."),
    wide(text("Subobject", "Which part of the object it is about.")),
    wide(text("Source", "Who saw it.")),
    text("Message", "What happened."),
    wide(text("First Seen", "How long ago it was first seen.")),
    wide(integer("Count", "How often it was seen.")),
    wide(NAME),
];

const LEASE: &[Column] = &[NAME, text("Holder", "Who holds it."), AGE];

const DEPLOYMENT: &[Column] = &[
    NAME,
    text("Ready", "How many of the wanted Pods are ready."),
    integer("Up-to-date", "How many Pods are made from the current template."),
    integer("Available", "How many Pods have been ready for long enough."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const REPLICA_SET: &[Column] = &[
    NAME,
    integer("Desired", "How many Pods are wanted."),
    integer("Current", "How many Pods there are."),
    integer("Ready", "How many Pods are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
