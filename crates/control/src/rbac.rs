//! Rights by roles: what every cluster has of roles and bindings, and the roles that gather others.

pub(crate) mod aggregation;
pub(crate) mod bootstrap;
mod given;
