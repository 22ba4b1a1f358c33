//! Rules of the parts that single kinds have: `binding` and `finalize`.

use super::{
    Object,
    core::{namespace, pod},
};
use crate::{
    core_v1::{Namespace, Pod},
    validate::{Causes, Path},
};

impl Object {
    /// Judges a Pod that the scheduler has given a node.
    pub(crate) fn validate_binding(&self, causes: &mut Causes, old: &Self) {
        match (old.get::<Pod>(), self.get::<Pod>()) {
            (Some(old), Some(new)) => pod::validate_binding(causes, old, new),
            (None, _) | (_, None) => {
                causes.forbidden(&Path::Root.field("spec").field("nodeName"), "only Pods are bound to nodes");
            }
        }
    }

    /// Judges what a Namespace waits for.
    pub(crate) fn validate_finalizers(&self, causes: &mut Causes) {
        match self.get::<Namespace>() {
            Some(found) => namespace::validate_finalizers(causes, found),
            None => causes.forbidden(&Path::Root.field("spec"), "only a Namespace has spec.finalizers"),
        }
    }
}
