//! Signs what was approved, or says why that cannot be.

use api::{
    Key, Timestamp,
    certificates_v1::{CertificateSigningRequest, CertificateSigningRequestCondition as Condition},
    kinds::certificates::certificate_signing_request::{APPROVED, DENIED, FAILED, certificate, said},
    x509::{Asked, Order},
};

use super::signers;
use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// The reason of a request that a signer refuses, in Kubernetes too.
const REFUSED: &str = "SignerValidationFailure";

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(request) = super::present(world, key).filter(|request| is_wanted(request)) else { return plan };
    match signers::template(world, request, now) {
        // Somebody else signs it.
        None => {}
        Some(Ok(certificate)) => plan.sign(Order { request: Asked::Signing(request.clone()), certificate }),
        Some(Err(why)) => {
            plan.update_status(failed(request, why, now));
        }
    }
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    super::concerns::<CertificateSigningRequest>(shift, look);
}

/// Whether a request was approved and nothing has come of it yet.
fn is_wanted(request: &CertificateSigningRequest) -> bool {
    let is = |kind| said(request, kind).is_some();
    is(APPROVED) && !is(DENIED) && !is(FAILED) && certificate(request).is_empty()
}

fn failed(request: &CertificateSigningRequest, message: String, now: Timestamp) -> CertificateSigningRequest {
    let mut request = request.clone();
    request.status.get_or_insert_default().conditions.push(Condition {
        r#type: FAILED.to_owned(),
        status: "True".to_owned(),
        reason: REFUSED.to_owned(),
        message,
        last_update_time: Some(now.into()),
        last_transition_time: Some(now.into()),
    });
    request
}
