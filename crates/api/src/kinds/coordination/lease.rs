//! Leases.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    coordination_v1::Lease,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        Cell, Column, Common,
        columns::{AGE, NAME, text},
    },
    validate::{
        Causes, Path,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[NAME, text("Holder", "Who holds it."), AGE];

const SAMPLE: &str = "\
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata:
  name: scheduler
  namespace: kube-system
spec:
  holderIdentity: master-1
  leaseDurationSeconds: 40
  renewTime: \"2026-11-23T12:00:00.000000Z\"
  leaseTransitions: 1
";

pub(crate) struct LeaseStrategy;

impl Strategy for LeaseStrategy {
    type Object = Lease;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut Lease) {}

    fn validate(&self, causes: &mut Causes, lease: &Lease) {
        validate(causes, lease);
    }

    fn validate_update(&self, _: &mut Causes, _: &Lease, _: &Lease) {}

    fn validate_status(&self, _: &mut Causes, _: &Lease) {}

    fn warn(&self, _: &mut Warnings, _: &Lease) {}

    fn prepare_for_create(&self, _: &mut Lease) {}

    fn prepare_for_update(&self, _: &mut Lease, _: &Lease) {}

    fn update_status(&self, _: &mut Lease, _: &Lease) {}

    fn scale(&self, _: &Lease) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut Lease, _: i32) {}

    fn is_new_generation(&self, _: Option<&Lease>, _: &Lease, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut Lease) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &Lease) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, lease: &mut Lease, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut lease.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &Lease) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, lease: &Lease, common: Common, _: Timestamp) -> Vec<Cell> {
        let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
        vec![common.name, holder.unwrap_or("").into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a Lease, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn validate(causes: &mut Causes, lease: &Lease) {
    let Some(spec) = &lease.spec else { return };
    let at = Path::Root.field("spec");
    if let Some(seconds @ ..=0) = spec.lease_duration_seconds {
        causes.invalid(&at.field("leaseDurationSeconds"), seconds, "must be greater than 0");
    }
    if let Some(transitions) = spec.lease_transitions {
        causes.not_negative(&at.field("leaseTransitions"), transitions.into());
    }
}
