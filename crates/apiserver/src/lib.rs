//! The one door to the cluster's state: gRPC, the Kubernetes REST API and an OCI registry on one port.
//!
//! [`Registry`] is the door, [`door`] what it decides, [`rest`] and the gRPC services what it looks like from outside.
//! Deciding what should happen next is the controllers'; agreeing on an order is `consensus`'; keeping is `store`'s.

mod access;
mod bearer;
pub mod blobs;
mod budget;
mod caller;
pub mod decoders;
pub mod door;
mod gallery;
mod gate;
mod grpc;
mod ids;
mod masters;
mod meant;
mod metered;
mod oci;
pub mod offline;
mod open;
pub mod registry;
mod reply;
pub mod rest;
mod restriction;
mod server;
#[cfg(test)]
mod tests;

pub use bearer::Bearers;
pub use blobs::Blobs;
pub use caller::Caller;
pub use consensus::Status as GroupStatus;
pub use door::Cidr;
pub use gallery::{Alone, Others};
pub use grpc::{Entrance, LEAF_LIFE};
pub use ids::{cluster_id, is_over, member_id};
pub use masters::{Masters, PEER_PROTOCOL};
pub use open::{Begin, Membership, OpenError, open};
pub use registry::{Options, QUOTA_BYTES, Registry, Sign};
pub use server::{Parts, serve};
