//! Several masters and workers as real processes, each in a network namespace of its own with an address of its own, as on
//! hosts of their own.
//!
//! Making namespaces needs root; without it these tests say so and do nothing, but never in CI.
#![expect(clippy::unwrap_used, reason = "tests")]

mod egress;
mod faults;
mod history;
mod hostile;
mod identities;
mod identity;
mod kills;
mod lab;
mod members;
mod moves;
mod newcomers;
mod nodes;
mod outage;
#[path = "../patience.rs"]
mod patience;
mod tokens;
mod upkeep;
mod writers;
