//! This node as the masters see it: what it is and has, how it is, and that it lives.
//!
//! [`status`] writes the Node's status, [`heartbeats`] say that it lives; both tell what [`health`] knows, and what [`machine`]
//! reads off the host. [`masters`] knows who may ask this node for anything.

pub(crate) mod disk;
pub(crate) mod health;
pub(crate) mod heartbeats;
pub(crate) mod machine;
pub(crate) mod masters;
pub(crate) mod status;

use api::{Cidr, core_v1::Node};

/// The range of addresses that a node was given for its Pods.
pub(crate) fn range(node: &Node) -> Option<Cidr> {
    node.spec.as_ref()?.pod_cidr.parse().ok()
}
