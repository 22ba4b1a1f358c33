//! The scenes, one a file.

pub(crate) mod gap;
pub(crate) mod gets;
pub(crate) mod in_process;
pub(crate) mod list;
pub(crate) mod neighbours;
pub(crate) mod puts;
pub(crate) mod restart;
pub(crate) mod rights;
pub(crate) mod watch;
