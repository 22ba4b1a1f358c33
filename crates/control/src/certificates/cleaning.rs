//! Forgets requests for certificates: when nobody has decided for long, some time after it was decided, and when the certificate
//! has ended.

use std::time::Duration;

use api::{
    Key, Timestamp,
    certificates_v1::CertificateSigningRequest,
    kinds::certificates::certificate_signing_request::{APPROVED, DENIED, FAILED, certificate, conditions, said},
    x509,
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// How long a request waits for a decision: Kubernetes' own.
const PENDING: Duration = Duration::from_secs(24 * 3600);

/// How long what was issued, denied or has failed is kept for whoever asked: Kubernetes' own.
const DONE: Duration = Duration::from_secs(3600);

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(request) = super::present(world, key) else { return plan };
    match end(request) {
        Some(end) if end <= now => {
            plan.delete(request);
        }
        Some(end) => plan.again_at(end),
        None => {}
    }
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    super::concerns::<CertificateSigningRequest>(shift, look);
}

/// When a request is forgotten, as it is now.
fn end(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let updated = |kind| said(request, kind)?.last_update_time.as_ref().map(Timestamp::from);
    let certificate = certificate(request);
    let issued = if certificate.is_empty() { None } else { updated(APPROVED) };
    let done = [issued, updated(DENIED), updated(FAILED)].into_iter().flatten().map(|at| at.after(DONE));
    let created = request.metadata.as_ref().and_then(|meta| meta.creation_timestamp.as_ref()).map(Timestamp::from);
    let pending = created.filter(|_| conditions(request).is_empty()).map(|at| at.after(PENDING));
    let ended = x509::end_of(certificate).filter(|_| said(request, APPROVED).is_some());
    done.chain(pending).chain(ended).min()
}
