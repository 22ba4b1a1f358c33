//! The whole road with real processes: `kapelle dev` as users start it, driven by `kubectl`, by `kapelle` and over HTTP.
//!
//! Every test has a cluster of its own, with addresses of its own in 127.0.0.0/8. Nothing here sleeps: everything waits for
//! something that can be seen, and gives up with what it saw last.
#![expect(clippy::unwrap_used, reason = "tests")]

mod access;
mod admission;
mod aggregation;
mod bad_guests;
mod bad_input;
mod certificates;
mod checklist;
mod cli;
mod client;
mod cluster;
mod crash;
mod demo;
mod egress;
mod fair_shares;
mod floods;
mod in_cluster;
mod kubectl;
mod kubernetes_service;
mod load;
#[path = "../patience.rs"]
mod patience;
mod pod_certificates;
mod pods;
mod port_forward;
mod refresh;
mod script;
mod strangers;
