//! Fair shares: the levels and schemas that every cluster has, and whether the levels of schemas exist.

pub(crate) mod bootstrap;
pub(crate) mod dangling;
