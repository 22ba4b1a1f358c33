//! What stands behind the addresses of Services.

pub(crate) mod endpoint_slice;
