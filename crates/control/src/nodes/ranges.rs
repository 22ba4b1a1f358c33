//! Which part of the Pods' addresses a node gets.

use std::collections::BTreeSet;

use api::{
    Cidr,
    core_v1::{Node, NodeSpec},
};

use crate::config::PodRange;

/// Gives a node a part of the Pods' range, if it has none yet and there is one left.
pub(super) fn settle<'a>(spec: &mut NodeSpec, pods: PodRange, nodes: impl Iterator<Item = &'a Node>) {
    if spec.pod_cidr.is_empty() {
        spec.pod_cidr = free(pods, nodes).unwrap_or_default();
        spec.pod_cidrs = Some(spec.pod_cidr.clone()).filter(|part| !part.is_empty()).into_iter().collect();
    }
}

/// The first part of the Pods' range that shares no address with any node's.
fn free<'a>(pods: PodRange, nodes: impl Iterator<Item = &'a Node>) -> Option<String> {
    let specs = nodes.filter_map(|node| node.spec.as_ref());
    let taken: BTreeSet<Cidr> = specs.filter_map(|spec| spec.pod_cidr.parse().ok()).collect();
    let is_free = |part: &Cidr| !taken.iter().any(|taken| taken.overlaps(*part));
    pods.parts().find(is_free).map(|part| part.to_string())
}
