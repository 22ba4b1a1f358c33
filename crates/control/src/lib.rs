//! What should happen next: every controller and the scheduler.
//!
//! [`Brain`] is a value: changes go in, writes come out. It keeps a `World`, which is everything observed under what was
//! decided but not yet observed, and a queue of tasks: one object in the eyes of one controller. A controller is a function
//! `reconcile(world, key, now) -> Plan`; it is asked whenever something that concerns its object changed, looks at the
//! present state only, and may be asked once too often without harm. The files read in this order: [`Brain`] (`brain.rs`),
//! `world.rs`, `controller.rs` (the table of controllers), `trigger.rs` (who is concerned by a change), then any controller.
//!
//! Everything is pure but [`driver`].

mod brain;
mod config;
mod controller;
mod deployment;
pub mod driver;
mod endpoint_slice;
mod event_log;
mod flight;
mod garbage;
mod names;
mod namespace;
mod node;
mod plan;
mod pod_life;
mod queue;
mod replica_set;
mod scheduler;
#[cfg(test)]
mod testing;
mod trigger;
mod world;

pub use brain::{Brain, Effect, Event, Ticket};
pub use config::{Config, InvalidRange, PodRange};
