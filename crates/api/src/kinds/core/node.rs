//! Nodes.

use std::{borrow::Cow, collections::BTreeSet};

use prost::Message as _;

use crate::{
    Subresource, Timestamp, conditions,
    core_v1::{Node, NodeStatus, NodeSystemInfo, Taint},
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    selector::{self, Field},
    table::{
        Cell, Column, Common, NONE, UNKNOWN,
        columns::{AGE, NAME, text, wide},
        or,
    },
    validate::{
        Causes, Path, TAINT_EFFECTS,
        limits::{CONDITIONS_MAX, IMAGES_MAX, NODE_STATUS_BYTES_MAX, SMALL_LIST_MAX, TAINTS_MAX},
        names::{self, Syntax},
        resources,
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[
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

static FIELDS: &[Field<Node>] = selector::selectable! { node: Node;
    "spec.unschedulable" => selector::flag(node.spec.as_ref().is_some_and(|spec| spec.unschedulable));
};

const SAMPLE: &str = "\
apiVersion: v1
kind: Node
metadata:
  name: worker-1
  labels: {kubernetes.io/hostname: worker-1}
spec:
  podCIDR: 10.64.1.0/24
  taints:
  - {key: example.com/slow, effect: PreferNoSchedule}
status:
  capacity: {cpu: \"4\", memory: 8Gi}
  addresses:
  - {type: InternalIP, address: 192.0.2.1}
";

pub(crate) struct NodeStrategy;

impl Strategy for NodeStrategy {
    type Object = Node;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, node: &mut Node) {
        let spec = node.spec.get_or_insert_default();
        if spec.pod_cidrs.is_empty() && !spec.pod_cidr.is_empty() {
            spec.pod_cidrs.push(spec.pod_cidr.clone());
        }
        let status = node.status.get_or_insert_default();
        if status.allocatable.is_empty() {
            status.allocatable.clone_from(&status.capacity);
        }
    }

    fn validate(&self, causes: &mut Causes, node: &Node) {
        validate(causes, node);
    }

    fn validate_update(&self, causes: &mut Causes, old: &Node, new: &Node) {
        validate_update(causes, old, new);
    }

    fn validate_status(&self, causes: &mut Causes, node: &Node) {
        validate_status(causes, node);
    }

    fn warn(&self, _: &mut Warnings, _: &Node) {}

    /// A node reports itself, and comes with a status.
    fn prepare_for_create(&self, _: &mut Node) {}

    fn prepare_for_update(&self, new: &mut Node, old: &Node) {
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, node: &mut Node, sent: &Node) {
        node.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &Node) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut Node, _: i32) {}

    fn is_new_generation(&self, _: Option<&Node>, _: &Node, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut Node) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &Node) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, node: &mut Node, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut node.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &Node) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, node: &Node, common: Common, _: Timestamp) -> Vec<Cell> {
        row(node, common)
    }

    fn fields(&self) -> Vec<&str> {
        selector::paths(FIELDS)
    }

    fn field<'a>(&self, node: &'a Node, index: usize) -> Cow<'a, str> {
        selector::read(FIELDS, index, node)
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn validate(causes: &mut Causes, node: &Node) {
    let Some(spec) = &node.spec else { return };
    let at = Path::Root.field("spec");
    taints(causes, &spec.taints, &at.field("taints"));
    let few = causes.at_most(&at.field("podCIDRs"), spec.pod_cidrs.len(), 2);
    for (index, range) in spec.pod_cidrs.iter().enumerate().filter(|_| few) {
        if !is_cidr(range) {
            let why = "must be an address range in CIDR form (e.g. '10.9.8.0/24')";
            causes.invalid(&at.field("podCIDRs").index(index), range, why);
        }
    }
    if spec.pod_cidrs.first().is_some_and(|first| *first != spec.pod_cidr) {
        causes.invalid(&at.field("podCIDR"), &spec.pod_cidr, "must be the first of podCIDRs");
    }
    validate_status(causes, node);
}

fn validate_status(causes: &mut Causes, node: &Node) {
    let Some(status) = &node.status else { return };
    let at = Path::Root.field("status");
    if status.encoded_len() > NODE_STATUS_BYTES_MAX {
        causes.too_long(&at, NODE_STATUS_BYTES_MAX);
    }
    for (field, count, count_max) in [
        ("conditions", status.conditions.len(), CONDITIONS_MAX),
        ("addresses", status.addresses.len(), SMALL_LIST_MAX),
        ("images", status.images.len(), IMAGES_MAX),
    ] {
        causes.at_most(&at.field(field), count, count_max);
    }
    resources::list(causes, &status.capacity, &at.field("capacity"));
    resources::list(causes, &status.allocatable, &at.field("allocatable"));
}

fn validate_update(causes: &mut Causes, old: &Node, new: &Node) {
    let (Some(old), Some(new)) = (&old.spec, &new.spec) else { return };
    let at = Path::Root.field("spec");
    for (field, old, new) in
        [("podCIDR", &old.pod_cidr, &new.pod_cidr), ("providerID", &old.provider_id, &new.provider_id)]
    {
        if !old.is_empty() && old != new {
            causes.forbidden(&at.field(field), "may not change once set");
        }
    }
}

fn taints(causes: &mut Causes, taints: &[Taint], at: &Path<'_>) {
    let few = causes.at_most(at, taints.len(), TAINTS_MAX);
    for (index, taint) in taints.iter().enumerate().filter(|_| few) {
        let at = at.index(index);
        causes.required_syntax(&at.field("key"), &taint.key, names::qualified);
        causes.syntax(&at.field("value"), &taint.value, names::label_value);
        causes.required_one_of(&at.field("effect"), &taint.effect, &TAINT_EFFECTS);
        let same = |other: &&Taint| other.key == taint.key && other.effect == taint.effect;
        if taints[..index].iter().any(|other| same(&other)) {
            causes.duplicate(&at, format!("{}:{}", taint.key, taint.effect));
        }
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let bits_max = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= bits_max)
}

fn row(node: &Node, common: Common) -> Vec<Cell> {
    let none = NodeStatus::default();
    let status = node.status.as_ref().unwrap_or(&none);
    let no_info = NodeSystemInfo::default();
    let info = status.node_info.as_ref().unwrap_or(&no_info);
    let address = |kind| {
        let found = status.addresses.iter().find(|address| address.r#type == kind);
        found.map_or(NONE, |address| &address.address).into()
    };
    vec![
        common.name,
        status_word(node, status).into(),
        roles(node).into(),
        common.age,
        info.kubelet_version.as_str().into(),
        address("InternalIP"),
        address("ExternalIP"),
        or(&info.os_image, UNKNOWN).into(),
        or(&info.kernel_version, UNKNOWN).into(),
        or(&info.container_runtime_version, UNKNOWN).into(),
    ]
}

fn status_word(node: &Node, status: &NodeStatus) -> String {
    let word = match conditions::get(&status.conditions, conditions::READY).map(|ready| ready.status.as_str()) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let closed = node.spec.as_ref().is_some_and(|spec| spec.unschedulable);
    if closed { format!("{word},SchedulingDisabled") } else { word.to_owned() }
}

fn roles(node: &Node) -> String {
    let labels = node.metadata.iter().flat_map(|meta| &meta.labels);
    let role = |(key, value): (&String, &String)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None => (key == "kubernetes.io/role").then(|| value.clone()),
    };
    let mut roles: Vec<String> = labels.filter_map(role).filter(|role| !role.is_empty()).collect();
    roles.sort();
    roles.dedup();
    or(&roles.join(","), NONE).to_owned()
}
