//! The one door to the cluster's state: gRPC, the Kubernetes REST API and an OCI registry on one port.
//!
//! [`Registry`] is the door, [`door`] what it decides, [`rest`] and the gRPC services what it looks like from outside.
//! Deciding what should happen next is the controllers'; agreeing on an order is `consensus`'; keeping is `store`'s.

pub mod blobs;
mod budget;
mod caller;
pub mod door;
mod gallery;
mod grpc;
mod oci;
mod open;
pub mod registry;
pub mod rest;
mod server;
#[cfg(test)]
mod tests;

pub use blobs::Blobs;
pub use caller::Caller;
pub use door::Cidr;
pub use gallery::{Alone, Others};
pub use open::{OpenError, open};
pub use registry::{Options, QUOTA_BYTES, Registry};
pub use server::{Parts, serve};
