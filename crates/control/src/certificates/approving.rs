//! Approves what nodes ask for as clients of the masters, if who asks may have it: Kubernetes' csrapproving controller. Whether it
//! may is an effect, since rights are not known here.

use api::{
    Key, Timestamp,
    certificates_v1::CertificateSigningRequest,
    kinds::certificates::certificate_signing_request::{APPROVED, Approval, DENIED, FAILED, Ground, certificate, said},
};

use super::signers;
use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// A node asks for itself.
const SELF: Ground = Ground {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
};

/// Somebody asks for a node.
const ANY: Ground = Ground {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
};

pub(crate) fn reconcile(world: &World, key: &Key, _: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(request) = super::present(world, key).filter(|request| is_open(request)) else { return plan };
    let spec = request.spec.clone().unwrap_or_default();
    let Some(name) = signers::node_client(&spec) else { return plan };
    let grounds = if name == spec.username { vec![SELF, ANY] } else { vec![ANY] };
    plan.approve(Approval { request: request.clone(), grounds });
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    super::concerns::<CertificateSigningRequest>(shift, look);
}

/// Whether nobody has decided about a request.
fn is_open(request: &CertificateSigningRequest) -> bool {
    let is_said = [APPROVED, DENIED, FAILED].into_iter().any(|kind| said(request, kind).is_some());
    !is_said && certificate(request).is_empty()
}
