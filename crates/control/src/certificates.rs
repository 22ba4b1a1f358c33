//! Certificates that somebody asks for with a CertificateSigningRequest: which of them the cluster's authority signs, and when
//! the requests are forgotten. The signing itself is an effect, since only masters hold the key.

pub(crate) mod cleaning;
mod signers;
pub(crate) mod signing;
#[cfg(test)]
mod tests;

use api::{Key, certificates_v1::CertificateSigningRequest};

use crate::world::{Shift, World};

/// A request that is not being deleted.
fn present<'w>(world: &'w World, key: &Key) -> Option<&'w CertificateSigningRequest> {
    let is_there = |request: &&CertificateSigningRequest| {
        request.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_none())
    };
    world.get::<CertificateSigningRequest>(key).filter(is_there)
}

/// Names the request that changed.
fn concerns(shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<CertificateSigningRequest>() {
        look(key.clone());
    }
}
