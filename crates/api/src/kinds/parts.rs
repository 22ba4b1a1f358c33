//! Parts that single kinds have: what `scale` shows, and the rules of `binding` and `finalize`.

use super::{
    Object,
    certificates::{certificate_signing_request, pod_certificate_request},
    core::{namespace, pod},
};
use crate::{
    Subresource,
    autoscaling_v1::{Scale, ScaleSpec, ScaleStatus},
    certificates_v1::{CertificateSigningRequest, PodCertificateRequest},
    core_v1::{Namespace, Pod},
    meta_v1::ObjectMeta,
    validate::{Causes, Path, meta},
};

impl Object {
    /// The part `scale`, as clients of `autoscaling/v1` read it; `None` for kinds without one.
    #[must_use]
    pub fn as_scale(&self) -> Option<Scale> {
        let scale = self.scale()?;
        let full = self.metadata().cloned().unwrap_or_default();
        let metadata = ObjectMeta {
            name: full.name,
            namespace: full.namespace,
            uid: full.uid,
            resource_version: full.resource_version,
            creation_timestamp: full.creation_timestamp,
            ..ObjectMeta::default()
        };
        Some(Scale {
            metadata: Some(metadata),
            spec: Some(ScaleSpec { replicas: scale.wanted.unwrap_or(1) }),
            status: Some(ScaleStatus { replicas: scale.present, selector: scale.selector }),
        })
    }

    /// Judges a Pod that the scheduler has given a node.
    pub(crate) fn validate_binding(&self, causes: &mut Causes, old: &Self) {
        match (old.get::<Pod>(), self.get::<Pod>()) {
            (Some(old), Some(new)) => pod::validate_binding(causes, old, new),
            (None, _) | (_, None) => {
                causes.forbidden(&Path::Root.field("spec").field("nodeName"), "only Pods are bound to nodes");
            }
        }
    }

    /// Judges what is said about a request for a certificate through a part of it; whether this is one.
    pub(crate) fn validate_decision(&self, causes: &mut Causes, old: &Self, part: Subresource) -> bool {
        if let (Some(old), Some(new)) = (old.get::<PodCertificateRequest>(), self.get()) {
            pod_certificate_request::validate_part(causes, old, new);
            return true;
        }
        let (Some(old), Some(new)) = (old.get::<CertificateSigningRequest>(), self.get()) else { return false };
        // Who decides may label what it decides about.
        let none = ObjectMeta::default();
        let labels = &self.metadata().unwrap_or(&none).labels;
        meta::labels(causes, labels, &Path::Root.field("metadata").field("labels"));
        certificate_signing_request::validate_part(causes, old, new, part);
        true
    }

    /// Judges what a Namespace waits for.
    pub(crate) fn validate_finalizers(&self, causes: &mut Causes) {
        match self.get::<Namespace>() {
            Some(found) => namespace::validate_finalizers(causes, found),
            None => causes.forbidden(&Path::Root.field("spec"), "only a Namespace has spec.finalizers"),
        }
    }
}
