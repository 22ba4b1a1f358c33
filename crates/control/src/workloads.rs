//! What makes Pods, replaces them and takes them away.

pub(crate) mod deployment;
mod owned;
pub(crate) mod pod_life;
pub(crate) mod replica_set;
mod replicas;
pub(crate) mod replication_controller;
