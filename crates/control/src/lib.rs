//! What should happen next: every controller and the scheduler.
//!
//! [`Brain`] is a value: changes go in, writes come out. It keeps a `World`, which is everything observed under what was
//! decided but not yet observed, and a queue of tasks: one object in the eyes of one controller. A controller is a function
//! `reconcile(world, key, now) -> Plan`; it is asked whenever something that concerns its object changed, looks at the
//! present state only, and may be asked once too often without harm. The files read in this order: [`Brain`] (`brain.rs`),
//! `world.rs`, `controller.rs` (the table of controllers), then any controller. They stand in rooms:
//!
//! | room | who decides there |
//! |---|---|
//! | `workloads` | what makes, replaces and evicts Pods; `owned.rs` is what all owners of children share |
//! | `scheduler` | where a Pod runs |
//! | `nodes` | which nodes live, and which addresses and taints they have |
//! | `network` | what stands behind a Service |
//! | `identity` | who Pods are and whom they believe: what every namespace has for that |
//! | `certificates` | what the cluster's authority signs of what was asked for and approved |
//! | `policy` | what is told of policies |
//! | `aggregation` | who serves the versions of the API |
//! | `lifecycle` | when objects of any kind end: garbage collection, Namespaces, old Events |
//!
//! Everything is pure but [`driver`].

#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm))]

mod aggregation;
mod brain;
mod certificates;
mod config;
mod controller;
pub mod driver;
mod flight;
mod flow_control;
mod identity;
mod lifecycle;
mod names;
mod network;
mod nodes;
mod owners;
mod plan;
mod policy;
mod priorities;
mod queue;
mod quota;
mod rbac;
mod scheduler;
#[cfg(test)]
mod testing;
mod trigger;
mod workloads;
mod world;

/// Limits that depend on those of other crates. `testkit` sees both sides and asserts how.
pub mod limits {
    pub use crate::{
        flight::DOUBT,
        nodes::{GRACE, LATE_AFTER, SILENCE_MAX},
        plan::BURST_MAX,
    };
}

pub use brain::{Brain, Effect, Event};
pub use config::{Config, InvalidRange, PodRange};
pub use flight::Ticket;
