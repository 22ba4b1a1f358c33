//! Certificates that somebody asks for with a CertificateSigningRequest or for a Pod: which of them are approved by themselves,
//! which the cluster's authority signs, and when the requests are forgotten. The signing itself is an effect, since only masters
//! hold the key.

pub(crate) mod approving;
pub(crate) mod cleaning;
pub(crate) mod pod_cleaning;
pub(crate) mod pod_signing;
#[cfg(test)]
mod pod_tests;
mod signers;
pub(crate) mod signing;
#[cfg(test)]
mod tests;

use api::{Key, kinds::Resource};

use crate::world::{Shift, World};

/// A request that is not being deleted.
fn present<'w, T: Resource + 'static>(world: &'w World, key: &Key) -> Option<&'w T> {
    let is_there = |request: &&T| request.metadata().is_some_and(|meta| meta.deletion_timestamp.is_none());
    world.get::<T>(key).filter(is_there)
}

/// Names the request that changed.
fn concerns<T: Resource>(shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<T>() {
        look(key.clone());
    }
}
