//! The scenes, one a file.

pub(crate) mod custom;
pub(crate) mod list;
pub(crate) mod watch;
pub(crate) mod webhook;
pub(crate) mod writes;
