//! ClusterTrustBundles.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    certificates_v1::{ClusterTrustBundle, ClusterTrustBundleSpec},
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        Cell, Column, Common, NONE,
        columns::{NAME, text},
        or,
    },
    validate::{
        Causes, Path,
        limits::TRUST_BUNDLE_BYTES_MAX,
        names::{self, Syntax},
        signer,
    },
    warnings::Warnings,
    x509,
};

const COLUMNS: &[Column] = &[NAME, text("SignerName", "Whose authorities they are.")];

const SAMPLE: &str = "\
apiVersion: certificates.k8s.io/v1
kind: ClusterTrustBundle
metadata:
  name: house
spec:
  trustBundle: |
    -----BEGIN CERTIFICATE-----
    MIIBdzCCAR2gAwIBAgIUCttIYVojXxXKZCyPJ14QlRq+m3UwCgYIKoZIzj0EAwIw
    EDEOMAwGA1UEAwwFaG91c2UwIBcNMjYxMTMwMTkwODI2WhgPMjEyNjExMDYxOTA4
    MjZaMBAxDjAMBgNVBAMMBWhvdXNlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
    Momm35eaTpnOvHKApppjChkd+8hkz8+CIZ0WM35+cT1p5XU2BOZxxzxfeQDAkiej
    YUWXbOWYItHWv+uvmEku36NTMFEwHQYDVR0OBBYEFFlQCI+1DJq+6GTF25dpX3KI
    EEipMB8GA1UdIwQYMBaAFFlQCI+1DJq+6GTF25dpX3KIEEipMA8GA1UdEwEB/wQF
    MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAPig7QOikSwSTssLlh5dx3RB0HzUGFHq
    WpJ61X4Xd/LEAiAewDe9Cj+7uzDYwmi4kTCzLa5i6+c8vhjZJAjKcB+uwg==
    -----END CERTIFICATE-----
";

pub(crate) struct ClusterTrustBundleStrategy;

impl Strategy for ClusterTrustBundleStrategy {
    type Object = ClusterTrustBundle;

    /// What belongs to a signer has colons in its name: see `validate`.
    fn name_syntax(&self) -> Syntax {
        names::path_segment
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut ClusterTrustBundle) {}

    fn validate(&self, causes: &mut Causes, bundle: &ClusterTrustBundle) {
        let signer = signer_of(bundle);
        let name = bundle.metadata.as_ref().map_or("", |meta| &meta.name);
        validate_name(causes, name, signer);
        let at = Path::Root.field("spec");
        if !signer.is_empty() {
            signer::name(causes, signer, &at.field("signerName"));
        }
        let (at, text) = (at.field("trustBundle"), text_of(bundle));
        if text.len() > TRUST_BUNDLE_BYTES_MAX {
            causes.too_long(&at, TRUST_BUNDLE_BYTES_MAX);
            return;
        }
        for fault in x509::faults_of_authorities(text.as_bytes()) {
            causes.invalid(&at, "<value omitted>", fault);
        }
    }

    fn validate_update(&self, causes: &mut Causes, old: &ClusterTrustBundle, new: &ClusterTrustBundle) {
        if signer_of(old) != signer_of(new) {
            let at = Path::Root.field("spec");
            causes.invalid(&at.field("signerName"), signer_of(new), "field is immutable");
        }
    }

    fn validate_status(&self, _: &mut Causes, _: &ClusterTrustBundle) {}

    fn warn(&self, _: &mut Warnings, _: &ClusterTrustBundle) {}

    fn prepare_for_create(&self, _: &mut ClusterTrustBundle) {}

    fn prepare_for_update(&self, _: &mut ClusterTrustBundle, _: &ClusterTrustBundle) {}

    fn update_status(&self, _: &mut ClusterTrustBundle, _: &ClusterTrustBundle) {}

    fn scale(&self, _: &ClusterTrustBundle) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut ClusterTrustBundle, _: i32) {}

    fn is_new_generation(&self, _: Option<&ClusterTrustBundle>, _: &ClusterTrustBundle, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut ClusterTrustBundle) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ClusterTrustBundle) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        bundle: &mut ClusterTrustBundle,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut bundle.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ClusterTrustBundle) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, bundle: &ClusterTrustBundle, common: Common, _: Timestamp) -> Vec<Cell> {
        vec![common.name, or(signer_of(bundle), NONE).into()]
    }

    fn fields(&self) -> Vec<&str> {
        vec!["spec.signerName"]
    }

    fn field<'a>(&self, bundle: &'a ClusterTrustBundle, index: usize) -> Cow<'a, str> {
        if index == 0 { signer_of(bundle).into() } else { Cow::default() }
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn signer_of(bundle: &ClusterTrustBundle) -> &str {
    bundle.spec.as_ref().map_or("", |spec| &spec.signer_name)
}

fn text_of(bundle: &ClusterTrustBundle) -> &str {
    bundle.spec.as_ref().map_or("", |ClusterTrustBundleSpec { trust_bundle, .. }| trust_bundle)
}

/// The name says whose authorities they are, so that nobody finds those of another under it.
fn validate_name(causes: &mut Causes, name: &str, signer: &str) {
    let at = Path::Root.field("metadata");
    let at = at.field("name");
    if signer.is_empty() {
        if name.contains(':') {
            causes.invalid(&at, name, "ClusterTrustBundle without signer name must not have \":\" in its name");
        } else {
            causes.syntax(&at, name, names::dns_subdomain);
        }
        return;
    }
    let prefix = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&prefix) {
        Some(rest) => names::dns_subdomain(rest).into_iter().for_each(|why| causes.invalid(&at, name, why)),
        None => {
            let why = format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}");
            causes.invalid(&at, name, why);
        }
    }
}
