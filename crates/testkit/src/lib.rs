//! A simulator that runs the shipped brains under virtual time.
//!
//! [`Cluster`] is a whole cluster as a value: the controllers of `control` and the decisions of `registry` as they ship, over the
//! real state of `store`, with simulated workers. [`scenario`] tells stories about it in text files, [`trial`] plays with it
//! from a seed, with everything going wrong that can. After every step a checker looks whether something is not as it must
//! always be, and at the end of a trial whether everything has become what was wanted. [`masters`] does the same to what is
//! below: members of `consensus` with `store` on disks that crash and nets that fail.

mod agenda;
mod checker;
mod cluster;
pub mod fuzz;
mod hands;
mod limits;
pub mod masters;
pub mod memory;
mod prng;
#[cfg(test)]
mod rights;
pub mod scenario;
mod settled;
pub mod trial;
mod worker;

pub use cluster::{Cluster, Weather};
pub use prng::Prng;
pub use worker::Behaviour;
