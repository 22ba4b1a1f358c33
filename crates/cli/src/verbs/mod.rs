//! One file a verb: its options, and what it does with them.

pub mod apply;
pub mod cluster;
pub mod delete;
pub mod describe;
pub mod get;
pub mod kubeconfig;
pub mod logs;
pub mod port_forward;
pub mod push;
pub mod rollout;
pub mod run;
pub mod scale;
pub mod token;
pub mod user;
pub mod why_not;
