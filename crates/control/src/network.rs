//! What stands behind the addresses of Services.

pub(crate) mod endpoint_slice;
pub(crate) mod endpoint_slice_mirroring;
pub(crate) mod endpoints;
pub(crate) mod kubernetes_service;
mod slices;
