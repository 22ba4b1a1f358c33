//! The one door to the cluster's state: gRPC, the Kubernetes REST API and an OCI registry on one port.
//!
//! [`Registry`] is the door, [`door`] what it decides, [`rest`] and the gRPC services what it looks like from outside.
//! Deciding what should happen next is the controllers'; agreeing on an order is `consensus`'; keeping is `store`'s.

pub mod door;
pub mod registry;
pub mod rest;

pub use registry::Registry;
