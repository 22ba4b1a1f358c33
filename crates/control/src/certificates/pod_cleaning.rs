//! Forgets requests for Pods' certificates: whoever asked has the certificate by then, or asks again. Those of a Pod that is gone
//! go with it, since it owns them.

use std::time::Duration;

use api::{Key, Timestamp, certificates_v1::PodCertificateRequest};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// How long a request is kept, whatever became of it: Kubernetes' own.
const KEPT: Duration = Duration::from_secs(15 * 60);

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(request) = super::present::<PodCertificateRequest>(world, key) else { return plan };
    let created = request.metadata.as_ref().and_then(|meta| meta.creation_timestamp.as_ref()).map(Timestamp::from);
    match created.map(|created| created.after(KEPT)) {
        Some(end) if end > now => plan.again_at(end),
        Some(_) | None => {
            plan.delete(request);
        }
    }
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    super::concerns::<PodCertificateRequest>(shift, look);
}
