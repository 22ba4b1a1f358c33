//! What is filled in where a manifest is silent: Kubernetes' own defaults, so that what is read back is what its users
//! expect, and everything behind the door can rely on the fields being there.
//!
//! Included are what Kubernetes' admission and creation strategies add without asking anybody: default tolerations, the
//! first phase, a Namespace's label and finalizer. What needs the rest of the cluster (addresses, uids, times) is not here.

pub(crate) mod pod;

use crate::{Object, core_v1};

/// How many replicas, if nobody says.
pub(crate) const REPLICAS: i32 = 1;

/// Fills in what the manifest leaves open, as Kubernetes does. Idempotent: applied again, it changes nothing.
pub fn apply(object: &mut Object) {
    object.apply_defaults();
}

/// Sets a text that is empty.
pub(crate) fn text(field: &mut String, default: &str) {
    if field.is_empty() {
        default.clone_into(field);
    }
}

/// Sets a number that is zero, in fields where zero means nothing.
pub(crate) fn number(field: &mut i32, default: i32) {
    if *field == 0 {
        *field = default;
    }
}

/// A template without a spec stays as it is: validation says what is missing.
pub(crate) fn template(template: Option<&mut core_v1::PodTemplateSpec>) {
    if let Some(spec) = template.and_then(|template| template.spec.as_mut()) {
        pod::spec(spec);
    }
}

#[cfg(test)]
mod tests;
