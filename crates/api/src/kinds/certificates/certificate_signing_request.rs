//! CertificateSigningRequests.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use crate::{
    Subresource, Timestamp,
    certificates_v1::{
        CertificateSigningRequest, CertificateSigningRequestCondition as Condition, CertificateSigningRequestSpec,
        CertificateSigningRequestStatus,
    },
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        Cell, Column, Common, NONE, age,
        columns::{AGE, NAME, text},
        or,
    },
    validate::{
        Causes, Path,
        limits::CONDITIONS_MAX,
        names::{self, Syntax},
        signer,
    },
    warnings::Warnings,
    x509,
};

/// Signs for users, who are not told apart from others by it.
pub const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// Signs for nodes as clients of the masters.
pub const KUBELET_CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// Signs for nodes as servers.
pub const KUBELET_SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";
/// Signs for anybody, and is of a version before this one.
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";

/// The condition that says that a certificate is to be issued.
pub const APPROVED: &str = "Approved";
/// The condition that says that none is to be issued.
pub const DENIED: &str = "Denied";
/// The condition that says that none can be issued.
pub const FAILED: &str = "Failed";

/// The reason of an approval that nobody gave by hand, in Kubernetes too.
const AUTO_APPROVED: &str = "AutoApproved";

/// The shortest life of a certificate that may be asked for, in seconds: Kubernetes' own.
const LIFE_MIN_S: i32 = 600;

/// All that a certificate may be for.
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

const COLUMNS: &[Column] = &[
    NAME,
    AGE,
    text("SignerName", "Who is to sign the certificate."),
    text("Requestor", "The user who asks."),
    text("RequestedDuration", "How long the certificate is to be valid."),
    text("Condition", "What was decided, and whether the certificate is there."),
];

const SAMPLE: &str = "\
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata:
  name: ada
spec:
  signerName: kubernetes.io/kube-apiserver-client
  usages: [client auth]
  expirationSeconds: 86400
  request: |
    LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIYU1JR0NBZ0VBTUNBeEVEQU9CZ05WQkFvTUIzSmxZV1JsY25N
    eEREQUtCZ05WQkFNTUEyRmtZVEJaTUJNRwpCeXFHU000OUFnRUdDQ3FHU000OUF3RUhBMElBQkRLSnB0K1htazZaenJ4eWdLYWFZ
    d29aSGZ2SVpNL1BnaUdkCkZqTitmbkU5YWVWMU5nVG1jY2M4WDNrQXdKSW5vMkZGbDJ6bG1DTFIxci9ycjVoSkx0K2dBREFLQmdn
    cWhrak8KUFFRREFnTkhBREJFQWlCSERPdGJqalo4c3FKek1FYVc5TS9SeS9rU1hzcGJZY3cwTUJrbVl3RDRpd0lnYnUzZApNUUoy
    a3VGQWhjak9QRzVNdnpGME0wQjg3UmIxdE5DTzFGbU9uaTQ9Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=
";

pub(crate) struct CertificateSigningRequestStrategy;

impl Strategy for CertificateSigningRequestStrategy {
    type Object = CertificateSigningRequest;

    fn name_syntax(&self) -> Syntax {
        names::path_segment
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut CertificateSigningRequest) {}

    fn validate(&self, causes: &mut Causes, request: &CertificateSigningRequest) {
        validate_spec(causes, request.spec.as_ref().unwrap_or(&CertificateSigningRequestSpec::default()));
    }

    fn validate_update(&self, _: &mut Causes, _: &CertificateSigningRequest, _: &CertificateSigningRequest) {}

    fn validate_status(&self, causes: &mut Causes, request: &CertificateSigningRequest) {
        validate_status(causes, request);
    }

    fn warn(&self, _: &mut Warnings, _: &CertificateSigningRequest) {}

    fn prepare_for_create(&self, request: &mut CertificateSigningRequest) {
        // Nobody approves what it asks for while it asks.
        request.status = None;
    }

    /// What was asked for stays, as what was decided about it.
    fn prepare_for_update(&self, new: &mut CertificateSigningRequest, old: &CertificateSigningRequest) {
        new.spec.clone_from(&old.spec);
        new.status.clone_from(&old.status);
    }

    /// A signer says everything but what was approved or denied.
    fn update_status(&self, request: &mut CertificateSigningRequest, sent: &CertificateSigningRequest) {
        let mut said = sent.status.clone();
        for decided in [APPROVED, DENIED] {
            let before = conditions(request).iter().filter(|condition| condition.r#type == decided);
            let places = said.iter_mut().flat_map(|said| &mut said.conditions);
            let places = places.filter(|condition| condition.r#type == decided);
            places.zip(before).for_each(|(place, before)| place.clone_from(before));
        }
        request.status = said;
        take_labels(request, sent);
    }

    fn scale(&self, _: &CertificateSigningRequest) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut CertificateSigningRequest, _: i32) {}

    fn is_new_generation(
        &self,
        _: Option<&CertificateSigningRequest>,
        _: &CertificateSigningRequest,
        _: Subresource,
    ) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut CertificateSigningRequest) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &CertificateSigningRequest) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        request: &mut CertificateSigningRequest,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut request.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &CertificateSigningRequest) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, request: &CertificateSigningRequest, common: Common, _: Timestamp) -> Vec<Cell> {
        let none = CertificateSigningRequestSpec::default();
        let spec = request.spec.as_ref().unwrap_or(&none);
        let life = spec.expiration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let life = life.map_or(NONE.to_owned(), |seconds| age::human(Duration::from_secs(seconds)));
        vec![
            common.name,
            common.age,
            or(&spec.signer_name, NONE).into(),
            spec.username.as_str().into(),
            life.into(),
            condition(request).into(),
        ]
    }

    fn fields(&self) -> Vec<&str> {
        vec!["spec.signerName"]
    }

    fn field<'a>(&self, request: &'a CertificateSigningRequest, index: usize) -> Cow<'a, str> {
        let spec = request.spec.as_ref().filter(|_| index == 0);
        spec.map_or("", |spec| &spec.signer_name).into()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

/// What was decided about a request.
#[must_use]
pub fn conditions(request: &CertificateSigningRequest) -> &[Condition] {
    request.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
}

/// The condition of a type, if it was said.
#[must_use]
pub fn said<'a>(request: &'a CertificateSigningRequest, of: &str) -> Option<&'a Condition> {
    conditions(request).iter().find(|condition| condition.r#type == of)
}

/// The certificate that was issued; empty if none was.
#[must_use]
pub fn certificate(request: &CertificateSigningRequest) -> &[u8] {
    request.status.as_ref().map(|status| &status.certificate[..]).unwrap_or_default()
}

/// A request that is approved if its sender may claim one of some grounds, which only who knows everybody's rights can say.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// The request as it was when that was decided; another state of it is not approved.
    pub request: CertificateSigningRequest,
    /// The grounds, in the order in which they are looked at.
    pub grounds: Vec<Ground>,
}

/// Why a request may be approved by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The part of requests that its sender must have the right to create.
    pub subresource: &'static str,
    /// What is said of the approval.
    pub message: &'static str,
}

impl Approval {
    /// The request, approved.
    #[must_use]
    pub fn on(&self, ground: Ground, now: Timestamp) -> CertificateSigningRequest {
        let mut request = self.request.clone();
        request.status.get_or_insert_default().conditions.push(Condition {
            r#type: APPROVED.to_owned(),
            status: "True".to_owned(),
            reason: AUTO_APPROVED.to_owned(),
            message: ground.message.to_owned(),
            last_update_time: Some(now.into()),
            last_transition_time: Some(now.into()),
        });
        request
    }
}

/// The request as it is when what somebody sent decides about it.
#[must_use]
pub fn decided(old: &CertificateSigningRequest, sent: &CertificateSigningRequest) -> CertificateSigningRequest {
    let mut new = old.clone();
    let status = new.status.get_or_insert_default();
    status.conditions = conditions(sent).to_vec();
    take_labels(&mut new, sent);
    new
}

/// Says of conditions when they were written, where their writer does not.
pub fn stamp(new: &mut CertificateSigningRequest, old: &CertificateSigningRequest, now: Timestamp) {
    for condition in new.status.iter_mut().flat_map(|status| &mut status.conditions) {
        condition.last_update_time.get_or_insert_with(|| now.into());
        if condition.last_transition_time.is_none() {
            let same = |before: &&Condition| before.r#type == condition.r#type && before.status == condition.status;
            let since = conditions(old).iter().find(same).and_then(|before| before.last_transition_time);
            condition.last_transition_time = Some(since.unwrap_or_else(|| now.into()));
        }
    }
}

/// What a client says of itself with a part of the object, it says of the object.
fn take_labels(request: &mut CertificateSigningRequest, sent: &CertificateSigningRequest) {
    let (metadata, sent) = (request.metadata.get_or_insert_default(), sent.metadata.clone().unwrap_or_default());
    (metadata.labels, metadata.annotations) = (sent.labels, sent.annotations);
}

fn condition(request: &CertificateSigningRequest) -> String {
    let is = |kind| said(request, kind).is_some();
    let decided = match (is(DENIED), is(APPROVED)) {
        (true, _) => DENIED,
        (false, true) => APPROVED,
        (false, false) => "Pending",
    };
    let failed = if is(FAILED) { ",Failed" } else { "" };
    let issued = if certificate(request).is_empty() { "" } else { ",Issued" };
    format!("{decided}{failed}{issued}")
}

fn validate_spec(causes: &mut Causes, spec: &CertificateSigningRequestSpec) {
    let at = Path::Root.field("spec");
    if let Err(why) = x509::Request::read(&spec.request) {
        causes.invalid_as(&at.field("request"), why);
    }
    let usages = at.field("usages");
    if spec.usages.is_empty() {
        causes.required(&usages, "");
    }
    let few = causes.at_most(&usages, spec.usages.len(), USAGES.len());
    for (index, usage) in spec.usages.iter().enumerate().filter(|_| few) {
        causes.one_of(&usages.index(index), usage, &USAGES);
        if spec.usages[..index].contains(usage) {
            causes.duplicate(&usages.index(index), usage);
        }
    }
    let signer = at.field("signerName");
    if spec.signer_name == LEGACY_SIGNER {
        let why = "the legacy signerName is not allowed via this API version";
        causes.invalid(&signer, &spec.signer_name, why);
    } else {
        signer::name(causes, &spec.signer_name, &signer);
    }
    if let Some(life_s @ ..LIFE_MIN_S) = spec.expiration_seconds {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        causes.invalid(&at.field("expirationSeconds"), life_s, why);
    }
}

fn validate_status(causes: &mut Causes, request: &CertificateSigningRequest) {
    let status = Path::Root.field("status");
    let at = status.field("conditions");
    let conditions = conditions(request);
    if causes.at_most(&at, conditions.len(), CONDITIONS_MAX) {
        for (index, condition) in conditions.iter().enumerate() {
            validate_condition(causes, condition, &conditions[..index], &at.index(index));
        }
    }
    let certificate = certificate(request);
    if let Some(why) = x509::fault_of_certificates(certificate).filter(|_| !certificate.is_empty()) {
        causes.invalid(&status.field("certificate"), "<certificate data>", why);
    }
}

fn validate_condition(causes: &mut Causes, condition: &Condition, before: &[Condition], at: &Path<'_>) {
    let kind = condition.r#type.as_str();
    if kind.is_empty() {
        causes.required(&at.field("type"), "");
    }
    let statuses: &[&str] =
        if [APPROVED, DENIED, FAILED].contains(&kind) { &["True"] } else { &["False", "True", "Unknown"] };
    if condition.status.is_empty() {
        causes.required(&at.field("status"), "");
    } else {
        causes.one_of(&at.field("status"), &condition.status, statuses);
    }
    let excluded = match kind {
        APPROVED => DENIED,
        DENIED => APPROVED,
        _ => "",
    };
    if before.iter().any(|other| !excluded.is_empty() && other.r#type == excluded) {
        causes.invalid(&at.field("type"), kind, "Approved and Denied conditions are mutually exclusive");
    }
    if before.iter().any(|other| other.r#type == kind) {
        causes.duplicate(&at.field("type"), kind);
    }
}

/// Judges what a write to a part changes: what was decided stays, each part says its own, and a certificate is said once.
pub(crate) fn validate_part(
    causes: &mut Causes,
    old: &CertificateSigningRequest,
    new: &CertificateSigningRequest,
    part: Subresource,
) {
    validate_status(causes, new);
    let status = Path::Root.field("status");
    let at = status.field("conditions");
    for kind in [APPROVED, DENIED, FAILED] {
        let of = |request| conditions(request).iter().filter(|condition| condition.r#type == kind);
        let (before, after) = (of(old).count(), of(new).count());
        if after < before {
            causes.forbidden(&at, format_args!("updates may not remove a condition of type {kind:?}"));
        } else if part != Subresource::Approval && kind != FAILED && after > before {
            causes.forbidden(&at, format_args!("updates may not add a condition of type {kind:?}"));
        }
    }
    if certificate(old) != certificate(new) && !certificate(old).is_empty() {
        causes.forbidden(&status.field("certificate"), "updates may not modify existing certificate content");
    }
}

/// The status of a request whose certificate was issued.
#[must_use]
pub fn issued(request: &CertificateSigningRequest, certificate: Vec<u8>) -> CertificateSigningRequest {
    let status = request.status.clone().unwrap_or_default();
    let status = CertificateSigningRequestStatus { certificate: certificate.into(), ..status };
    CertificateSigningRequest { status: Some(status), ..request.clone() }
}
