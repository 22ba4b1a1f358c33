//! Makes this node's sandboxes equal to the Pods that are bound to it.
//!
//! [`Brain`] decides: it sees Pods, and what became of images, containers and probes, and returns effects. It reads no
//! clock and touches nothing, so that a simulator can run it. [`driver`] carries the effects out with real images, volumes,
//! sandboxes and sockets, and talks to the masters.

mod addresses;
pub mod brain;
pub mod driver;

pub use brain::{Brain, Effect, Event};
