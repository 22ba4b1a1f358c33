//! Changes over hosts: three masters and three workers, each in a network namespace of its own, keep-alive clients on every
//! worker's host, and everything that operators and accidents do to such a cluster while they ask.
//!
//! ```text
//! cargo test -p kapelle --test hosts -- --nocapture                        the short form, and its table
//! KAPELLE_HOSTS=long cargo test -p kapelle --test hosts -- --nocapture     and 300,000 requests through one long road
//! KAPELLE_HOSTS_ROWS=drain,rollout …                                       only the rows with such names
//! ```
//!
//! What is demanded of a row is a number of requests, never a speed; the times of the table are for reading. Making
//! namespaces needs root; without it these tests say so and do nothing, but never in CI.
#![expect(clippy::unwrap_used, reason = "tests")]

mod accidents;
mod http;
#[path = "../masters/lab.rs"]
#[expect(dead_code, reason = "some of it serves the tests of masters alone")]
mod lab;
mod load;
mod matrix;
#[path = "../patience.rs"]
mod patience;
mod road;
mod stage;
