//! What is accepted and kept although it means nothing to a Wasm Pod: said aloud, never silently.

use crate::Object;

/// One sentence for each field of the object that will have no effect: `spec.hostAliases: ignored: …`.
#[must_use]
pub fn of(_object: &Object) -> Vec<String> {
    Vec::new()
}
