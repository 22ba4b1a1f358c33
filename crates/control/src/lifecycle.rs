//! When objects end, whatever their kind.

pub(crate) mod definition;
pub(crate) mod event_log;
pub(crate) mod garbage;
pub(crate) mod namespace;
