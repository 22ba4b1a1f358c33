//! Nodes: which of them live, and what follows from that for their addresses, their taints and what they said of their Pods.

mod doubt;
pub(crate) mod health;
mod ranges;
mod readiness;
mod signs;
mod taints;

pub use self::signs::{GRACE, LATE_AFTER, SILENCE_MAX};
pub(crate) use self::{
    readiness::{is_given_up, pods_in_question, vouches},
    taints::{NO_EXECUTE, UNSCHEDULABLE},
};
