//! PodCertificateRequests.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use crate::{
    Subresource, Timestamp,
    certificates_v1::{PodCertificateRequest, PodCertificateRequestSpec, PodCertificateRequestStatus},
    conditions::{self, ConditionStatus},
    error::Cause,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    meta_v1::Condition,
    table::{
        Cell, Column, Common, NONE,
        columns::{NAME, text},
        or,
    },
    validate::{
        Causes, Path,
        limits::{CERTIFICATE_CHAIN_BYTES_MAX, POD_REQUEST_BYTES_MAX},
        names::{self, Syntax},
        signer::{self, LIFE_MIN_S},
    },
    warnings::Warnings,
    x509::{self, Request},
};

/// Signs for Pods, which masters then know as their ServiceAccounts.
pub const CLIENT_POD_SIGNER: &str = "kubernetes.io/kube-apiserver-client-pod";

/// The condition that says that the certificate is there.
pub const ISSUED: &str = "Issued";
/// The condition that says that the signer gives none.
pub const DENIED: &str = "Denied";
/// The condition that says that the signer could give none.
pub const FAILED: &str = "Failed";
/// All conditions that there are; each of them is the end.
const OUTCOMES: [&str; 3] = [DENIED, FAILED, ISSUED];

/// The reason of a denial: the signer does not know what the Pod's author wants it to know.
pub const INVALID_ANNOTATIONS: &str = "InvalidUnverifiedUserAnnotations";

/// The longest life for which nobody asks another one, in seconds: Kubernetes' day.
const LIFE_S: i32 = 24 * 3600;

/// The longest uid, in bytes: Kubernetes' own.
const UID_BYTES_MAX: usize = 128;
/// The longest reason of a condition, in bytes: Kubernetes' own.
const REASON_BYTES_MAX: usize = 1 << 10;
/// The longest message of a condition, in bytes: Kubernetes' own.
const MESSAGE_BYTES_MAX: usize = 32 << 10;

/// A certificate is replaced so long after it begins at the earliest, and so long before it ends at the latest: Kubernetes' own.
const REFRESH_MARGIN: Duration = Duration::from_secs(600);
/// The clocks of a signer and a master may differ by so much: Kubernetes' own.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

const COLUMNS: &[Column] = &[
    NAME,
    text("PodName", "The Pod that is to have the certificate."),
    text("ServiceAccountName", "The ServiceAccount as which the Pod runs."),
    text("NodeName", "The node on which the Pod runs."),
    text("SignerName", "Who is to sign the certificate."),
    text("State", "Whether the request is Pending, Issued, Denied or Failed."),
    text("UnverifiedUserAnnotations", "What the Pod's author wants the signer to know."),
];

const SAMPLE: &str = "\
apiVersion: certificates.k8s.io/v1
kind: PodCertificateRequest
metadata:
  name: req-a1b2c
  namespace: default
spec:
  signerName: example.org/house
  podName: web-1
  podUID: 7b0f8a3e-8e0b-4b54-9e0a-2a8f6b1d7c11
  serviceAccountName: default
  serviceAccountUID: 1c6ad5a0-35c4-4b3c-bb2d-0e5f3f0a9d22
  nodeName: worker-1
  nodeUID: 4e1f9a67-2f6d-4e0d-8b5f-6f4f1c2b3a33
  maxExpirationSeconds: 86400
  unverifiedUserAnnotations: {example.org/tier: front}
  stubPKCS10Request: MIG6MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABM5BPshj2woUyzofmM/CFCWBpDg/Jhw7JDE5Z7DSKcEsH2TMBsTy+xcDUkgR3DrNpAmLEME+RZ0tgAy6gc5nRNCgADAKBggqhkjOPQQDAgNIADBFAiBIlHeunV131vMWzBITo181ADZUoP+c7Spgx4xF7aJJGwIhAPkqkvAAsYndQSmladGNWT8QqprKsL8UoY3/Sm5lUtms
";

pub(crate) struct PodCertificateRequestStrategy;

impl Strategy for PodCertificateRequestStrategy {
    type Object = PodCertificateRequest;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, request: &mut PodCertificateRequest) {
        request.spec.get_or_insert_default().max_expiration_seconds.get_or_insert(LIFE_S);
    }

    fn validate(&self, causes: &mut Causes, request: &PodCertificateRequest) {
        validate_spec(causes, request.spec.as_ref().unwrap_or(&PodCertificateRequestSpec::default()));
    }

    fn validate_update(&self, causes: &mut Causes, old: &PodCertificateRequest, new: &PodCertificateRequest) {
        if old.spec != new.spec {
            causes.invalid_as(&Path::Root.field("spec"), "field is immutable");
        }
    }

    /// What may be said depends on what was said: see [`validate_part`].
    fn validate_status(&self, _: &mut Causes, _: &PodCertificateRequest) {}

    fn warn(&self, _: &mut Warnings, _: &PodCertificateRequest) {}

    fn prepare_for_create(&self, request: &mut PodCertificateRequest) {
        // Nobody issues what it asks for while it asks.
        request.status = None;
    }

    fn prepare_for_update(&self, new: &mut PodCertificateRequest, old: &PodCertificateRequest) {
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, request: &mut PodCertificateRequest, sent: &PodCertificateRequest) {
        request.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &PodCertificateRequest) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut PodCertificateRequest, _: i32) {}

    fn is_new_generation(&self, _: Option<&PodCertificateRequest>, _: &PodCertificateRequest, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut PodCertificateRequest) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &PodCertificateRequest) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        request: &mut PodCertificateRequest,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut request.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &PodCertificateRequest) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, request: &PodCertificateRequest, common: Common, _: Timestamp) -> Vec<Cell> {
        let none = PodCertificateRequestSpec::default();
        let spec = request.spec.as_ref().unwrap_or(&none);
        let annotations = spec.unverified_user_annotations.iter().map(|(key, value)| format!("{key}={value}"));
        let annotations: Vec<String> = annotations.collect();
        vec![
            common.name,
            or(&spec.pod_name, NONE).into(),
            or(&spec.service_account_name, NONE).into(),
            or(&spec.node_name, NONE).into(),
            or(&spec.signer_name, NONE).into(),
            outcome(request).map_or("Pending", |outcome| &outcome.r#type).into(),
            or(&annotations.join(","), NONE).into(),
        ]
    }

    fn fields(&self) -> Vec<&str> {
        vec!["spec.signerName", "spec.podName", "spec.nodeName"]
    }

    fn field<'a>(&self, request: &'a PodCertificateRequest, index: usize) -> Cow<'a, str> {
        let Some(spec) = &request.spec else { return Cow::default() };
        match index {
            0 => spec.signer_name.as_str().into(),
            1 => spec.pod_name.as_str().into(),
            2 => spec.node_name.as_str().into(),
            _ => Cow::default(),
        }
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

/// What became of a request; `None` as long as nobody has said.
#[must_use]
pub fn outcome(request: &PodCertificateRequest) -> Option<&Condition> {
    let said = request.status.iter().flat_map(|status| &status.conditions);
    said.filter(|said| said.status == "True").find(|said| OUTCOMES.contains(&said.r#type.as_str()))
}

fn validate_spec(causes: &mut Causes, spec: &PodCertificateRequestSpec) {
    let at = Path::Root.field("spec");
    signer::name(causes, &spec.signer_name, &at.field("signerName"));
    signer::annotations(causes, &spec.unverified_user_annotations, &at.field("unverifiedUserAnnotations"));
    for (field, name) in
        [("podName", &spec.pod_name), ("serviceAccountName", &spec.service_account_name), ("nodeName", &spec.node_name)]
    {
        causes.syntax(&at.field(field), name, names::dns_subdomain);
    }
    for (field, uid) in
        [("podUID", &spec.pod_uid), ("serviceAccountUID", &spec.service_account_uid), ("nodeUID", &spec.node_uid)]
    {
        let at = at.field(field);
        if uid.is_empty() {
            causes.invalid(&at, uid, "must not be empty");
        } else if uid.len() > UID_BYTES_MAX {
            causes.too_long(&at, UID_BYTES_MAX);
        }
    }
    let (life, longest) = (spec.max_expiration_seconds, signer::life_max_s(&spec.signer_name));
    match life {
        None => causes.required(&at.field("maxExpirationSeconds"), "must be set"),
        Some(life) if (LIFE_MIN_S..=longest).contains(&life) => {}
        Some(life) => {
            let why = format!("must be in the range [{LIFE_MIN_S}, {longest}]");
            causes.invalid(&at.field("maxExpirationSeconds"), life, why);
        }
    }
    let stub = &spec.stub_pkcs10_request;
    let field = at.field("stubPKCS10Request");
    if stub.is_empty() {
        causes.required(&field, "a PKCS#10 request in DER, signed with the key");
    } else if stub.len() > POD_REQUEST_BYTES_MAX {
        causes.too_long(&field, POD_REQUEST_BYTES_MAX);
    } else if let Err(why) = Request::of_pod(stub) {
        causes.invalid_as(&field, why);
    }
}

/// Judges what a write to the status changes: nothing, or it is the end, and fits what was asked for.
pub(crate) fn validate_part(causes: &mut Causes, old: &PodCertificateRequest, new: &PodCertificateRequest) {
    let none = PodCertificateRequestStatus::default();
    let (before, after) = (old.status.as_ref().unwrap_or(&none), new.status.as_ref().unwrap_or(&none));
    let status = Path::Root.field("status");
    validate_conditions(causes, &after.conditions, &status.field("conditions"));
    if !causes.is_empty() {
        return;
    }
    match outcome(new).map(|outcome| outcome.r#type.as_str()) {
        _ if outcome(old).is_some() => {
            if before != after {
                causes.invalid_as(&status, "immutable after PodCertificateRequest is issued, denied, or failed");
            }
        }
        Some(ISSUED) => validate_issued(causes, new, after),
        Some(_) => {
            let alone = PodCertificateRequestStatus { conditions: after.conditions.clone(), ..Default::default() };
            if *after != alone {
                let why = "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
                causes.invalid_as(&status, why);
            }
        }
        None => {
            if before != after {
                let why = "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"";
                causes.invalid_as(&status, why);
            }
        }
    }
}

/// There is one at most, it is true, and it is complete.
fn validate_conditions(causes: &mut Causes, conditions: &[Condition], at: &Path<'_>) {
    // One more than there may be is looked at, so that it can be named.
    if !causes.at_most(at, conditions.len(), OUTCOMES.len()) {
        return;
    }
    for (index, condition) in conditions.iter().enumerate() {
        let at = at.index(index);
        let kind = condition.r#type.as_str();
        if !OUTCOMES.contains(&kind) {
            causes.unsupported(&at.field("type"), kind, &OUTCOMES);
        } else if index > 0 {
            let why = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            causes.invalid(&at.field("type"), kind, why);
        }
        causes.one_of(&at.field("status"), &condition.status, &["True"]);
        causes.not_negative(&at.field("observedGeneration"), condition.observed_generation);
        if condition.last_transition_time.is_none() {
            causes.required(&at.field("lastTransitionTime"), "");
        }
        validate_reason(causes, &condition.reason, &at.field("reason"));
        if condition.message.len() > MESSAGE_BYTES_MAX {
            causes.too_long(&at.field("message"), MESSAGE_BYTES_MAX);
        }
    }
}

fn validate_reason(causes: &mut Causes, reason: &str, at: &Path<'_>) {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b',' | b':');
    let begins = reason.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    let ends = reason.as_bytes().last().is_some_and(|last| last.is_ascii_alphanumeric() || *last == b'_');
    if reason.is_empty() {
        causes.required(at, "");
    } else if reason.len() > REASON_BYTES_MAX {
        causes.too_long(at, REASON_BYTES_MAX);
    } else if !(begins && ends && reason.bytes().all(is_inside)) {
        let why = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric \
                   characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name', or 'MY_NAME', or \
                   'MyName', or 'ReasonA,ReasonB', or 'ReasonA:ReasonB')";
        causes.invalid(at, reason, why);
    }
}

/// The certificate is for the key, and lives as long as was asked for and as is said.
fn validate_issued(causes: &mut Causes, request: &PodCertificateRequest, status: &PodCertificateRequestStatus) {
    let root = Path::Root.field("status");
    let at = root.field("certificateChain");
    if status.certificate_chain.len() > CERTIFICATE_CHAIN_BYTES_MAX {
        return causes.too_long(&at, CERTIFICATE_CHAIN_BYTES_MAX);
    }
    let leaf = match x509::Leaf::of_chain(&status.certificate_chain) {
        Ok(leaf) => leaf,
        Err(why) => return causes.invalid(&at, &status.certificate_chain, why),
    };
    for (name, why) in leaf.doubtful_names() {
        causes.invalid(&at, name, why);
    }
    let none = PodCertificateRequestSpec::default();
    let spec = request.spec.as_ref().unwrap_or(&none);
    match Request::of_pod(&spec.stub_pkcs10_request) {
        Ok(asked) if asked.key_der == leaf.key_der => {}
        Ok(_) | Err(_) => {
            let why = "leaf certificate was not issued to the requested public key";
            causes.invalid(&at, &status.certificate_chain, why);
        }
    }
    if causes.is_empty() {
        validate_times(causes, &leaf, spec.max_expiration_seconds.unwrap_or(LIFE_S), status);
    }
}

fn validate_times(causes: &mut Causes, leaf: &x509::Leaf, life_max_s: i32, status: &PodCertificateRequestStatus) {
    let root = Path::Root.field("status");
    let consistent = "must be present and consistent with the issued certificate";
    let within = "must be present and in the range [notbefore+10min, notafter-10min]";
    let times = [
        ("notBefore", &status.not_before, consistent),
        ("notAfter", &status.not_after, consistent),
        ("beginRefreshAt", &status.begin_refresh_at, within),
    ];
    for (field, _, why) in times.iter().filter(|(_, time, _)| time.is_none()) {
        causes.required(&root.field(field), why);
    }
    let [Some(from), Some(until), Some(refresh)] = times.map(|(_, time, _)| time.as_ref().map(Timestamp::from)) else {
        return;
    };
    let mut wrong = |field: &str, time: Timestamp, why: &str| {
        causes.invalid(&root.field(field), format_args!("{time}"), why);
    };
    if from != leaf.from {
        return wrong("notBefore", from, "must be set to the NotBefore time encoded in the leaf certificate");
    }
    if until != leaf.until {
        return wrong("notAfter", until, "must be set to the NotAfter time encoded in the leaf certificate");
    }
    if refresh < from.after(REFRESH_MARGIN) {
        return wrong("beginRefreshAt", refresh, "must be at least 10 minutes after status.notBefore");
    }
    if refresh.after(REFRESH_MARGIN) > until {
        return wrong("beginRefreshAt", refresh, "must be at least 10 minutes before status.notAfter");
    }
    let life_s = until.since(from).as_secs();
    let at = root.field("certificateChain");
    if life_s < u64::from(LIFE_MIN_S.unsigned_abs()) {
        causes.invalid(&at, format_args!("{life_s}s"), "leaf certificate lifetime must be >= 1 hour");
    } else if life_s > u64::from(life_max_s.unsigned_abs()) {
        let why = format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({life_max_s})");
        causes.invalid(&at, format_args!("{life_s}s"), why);
    }
}

/// What is wrong with a certificate that is issued at some time: it must begin then.
#[must_use]
pub fn untimely(old: &PodCertificateRequest, new: &PodCertificateRequest, now: Timestamp) -> Vec<Cause> {
    let mut causes = Causes::default();
    let from = new.status.as_ref().and_then(|status| status.not_before.as_ref()).map(Timestamp::from);
    if let (Some(from), None) = (from, outcome(old))
        && from.since(now).max(now.since(from)) >= CLOCK_SKEW
    {
        let why = "must be set to within 5 minutes of kube-apiserver's current time";
        causes.invalid(&Path::Root.field("status").field("notBefore"), format_args!("{from}"), why);
    }
    causes.told()
}

/// A request of which a signer says what became.
#[must_use]
pub fn ended(
    request: &PodCertificateRequest,
    as_what: &str,
    reason: &str,
    why: &str,
    now: Timestamp,
) -> PodCertificateRequest {
    let said = conditions::new(as_what, ConditionStatus::True, reason, why, now);
    let status = PodCertificateRequestStatus { conditions: vec![said], ..PodCertificateRequestStatus::default() };
    PodCertificateRequest { status: Some(status), ..request.clone() }
}

/// A request whose certificate was issued. It is to be replaced in the middle of its life.
#[must_use]
pub fn issued(request: &PodCertificateRequest, chain: String, now: Timestamp) -> PodCertificateRequest {
    let mut issued = ended(request, ISSUED, "Issued", "the certificate is in status.certificateChain", now);
    let status = issued.status.get_or_insert_default();
    if let Ok(leaf) = x509::Leaf::of_chain(&chain) {
        status.not_before = Some(leaf.from.into());
        status.begin_refresh_at = Some(leaf.from.after(leaf.until.since(leaf.from) / 2).into());
        status.not_after = Some(leaf.until.into());
    }
    status.certificate_chain = chain;
    issued
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};

    use super::*;
    use crate::{
        Object, defaults,
        fixtures::object,
        validate::{create, update, update_part},
    };

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn lines(causes: &[Cause]) -> String {
        causes.iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect()
    }

    fn sample(change: impl FnOnce(&mut PodCertificateRequestSpec)) -> PodCertificateRequest {
        let mut sample = object(SAMPLE);
        defaults::apply(&mut sample);
        let mut request = sample.get::<PodCertificateRequest>().unwrap().clone();
        let spec = request.spec.as_mut().unwrap();
        spec.stub_pkcs10_request = BASE64_STANDARD.decode(&spec.stub_pkcs10_request).unwrap().into();
        change(spec);
        request
    }

    fn new(change: impl FnOnce(&mut PodCertificateRequestSpec)) -> String {
        lines(&create(&sample(change).into()))
    }

    /// What is wrong with a status that is said of a request.
    fn said(old: &PodCertificateRequest, status: PodCertificateRequestStatus) -> String {
        let new = PodCertificateRequest { status: Some(status), ..old.clone() };
        lines(&update_part(&old.clone().into(), &new.into(), Subresource::Status))
    }

    #[test]
    fn a_request_names_a_pod_and_proves_a_key() {
        assert_eq!(new(|_| {}), "");
        assert_eq!(sample(|_| {}).spec.unwrap().max_expiration_seconds, Some(86_400));
        let range = "must be in the range [3600, 7862400]";
        let of_kubernetes = "must be in the range [3600, 86400]";
        for (told, why) in [
            (new(|spec| spec.max_expiration_seconds = Some(3599)), range),
            (new(|spec| spec.max_expiration_seconds = Some(7_862_401)), range),
            (
                new(|spec| {
                    spec.max_expiration_seconds = Some(86_401);
                    CLIENT_POD_SIGNER.clone_into(&mut spec.signer_name);
                }),
                of_kubernetes,
            ),
            (
                new(|spec| {
                    spec.max_expiration_seconds = Some(86_401);
                    "sub.kubernetes.io/a".clone_into(&mut spec.signer_name);
                }),
                of_kubernetes,
            ),
            (new(|spec| spec.pod_uid.clear()), "spec.podUID: Invalid value: \"\": must not be empty"),
            (new(|spec| spec.node_uid = "u".repeat(129)), "spec.nodeUID: Too long: may not be more than 128 bytes"),
            (new(|spec| spec.service_account_name = "A".to_owned()), "spec.serviceAccountName: Invalid value: \"A\""),
            (new(|spec| spec.signer_name = "house".to_owned()), "spec.signerName: Invalid value"),
            (
                new(|spec| drop(spec.unverified_user_annotations.insert("tier".to_owned(), String::new()))),
                "must be a domain-prefixed key (such as \"acme.io/foo\")",
            ),
            (new(|spec| spec.stub_pkcs10_request.clear()), "spec.stubPKCS10Request: Required value"),
            (new(|spec| spec.stub_pkcs10_request = "garbage".into()), "must be a valid PKCS#10 CSR"),
            (new(|spec| spec.stub_pkcs10_request = vec![0; POD_REQUEST_BYTES_MAX + 1].into()), "Too long"),
            (
                new(|spec| {
                    let mut forged = spec.stub_pkcs10_request.to_vec();
                    *forged.last_mut().unwrap() ^= 1;
                    spec.stub_pkcs10_request = forged.into();
                }),
                "spec.stubPKCS10Request: Invalid value: invalid signature",
            ),
        ] {
            assert!(told.contains(why) && told.lines().count() == 1, "{why}: {told}");
        }
        let changed = sample(|spec| spec.pod_uid.push('0'));
        let told = lines(&update(&sample(|_| {}).into(), &changed.into()));
        assert_eq!(told, "spec: Invalid value: field is immutable\n");
    }

    /// A request for a key, and a certificate for that from some second on for some seconds.
    fn signed(from_s: i64, life_s: i64, host: &str) -> (PodCertificateRequest, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let stub = params.serialize_request(&key).unwrap().der().to_vec();
        let at = |seconds: i64| {
            std::time::SystemTime::UNIX_EPOCH
                + Duration::from_secs(u64::try_from(NOW.0 / 1000 + from_s + seconds).unwrap())
        };
        (params.not_before, params.not_after) = (at(0).into(), at(life_s).into());
        if !host.is_empty() {
            params.subject_alt_names.push(SanType::DnsName(host.try_into().unwrap()));
        }
        let chain = params.self_signed(&key).unwrap().pem();
        (sample(|spec| spec.stub_pkcs10_request = stub.into()), chain)
    }

    fn status(request: &PodCertificateRequest, chain: &str) -> PodCertificateRequestStatus {
        issued(request, chain.to_owned(), NOW).status.unwrap()
    }

    #[test]
    fn what_is_issued_is_for_the_key_and_lives_as_it_says() {
        let (request, chain) = signed(-120, 7200, "");
        let good = status(&request, &chain);
        assert_eq!(said(&request, good.clone()), "");
        let differs = |change: &dyn Fn(&mut PodCertificateRequestStatus)| {
            let mut status = good.clone();
            change(&mut status);
            said(&request, status)
        };
        let seconds = |time: &Option<crate::meta_v1::Time>, more: i64| {
            time.map(|time| crate::meta_v1::Time { seconds: time.seconds + more, ..time })
        };
        for (told, why) in [
            (
                differs(&|status| status.not_before = seconds(&status.not_before, 1)),
                "NotBefore time encoded in the leaf",
            ),
            (differs(&|status| status.not_after = seconds(&status.not_after, -1)), "NotAfter time encoded in the leaf"),
            (differs(&|status| status.not_after = None), "status.notAfter: Required value"),
            (differs(&|status| status.begin_refresh_at = None), "in the range [notbefore+10min, notafter-10min]"),
            (
                differs(&|status| status.begin_refresh_at = seconds(&status.not_before, 599)),
                "must be at least 10 minutes after status.notBefore",
            ),
            (
                differs(&|status| status.begin_refresh_at = seconds(&status.not_after, -599)),
                "must be at least 10 minutes before status.notAfter",
            ),
            (differs(&|status| status.certificate_chain.clear()), "must contain at least one certificate"),
            (
                differs(&|status| status.certificate_chain = status.certificate_chain.replace("CERTIFICATE", "X")),
                "must consist entirely of CERTIFICATE PEM blocks",
            ),
            (
                differs(&|status| {
                    status.certificate_chain.push_str(&x509::pem::encode("CERTIFICATE", b"nothing"));
                }),
                "intermediate certificate does not parse as valid X.509",
            ),
            (
                differs(&|status| status.certificate_chain = " ".repeat(CERTIFICATE_CHAIN_BYTES_MAX + 1)),
                "status.certificateChain: Too long",
            ),
            (said(&sample(|_| {}), good.clone()), "leaf certificate was not issued to the requested public key"),
        ] {
            assert!(told.contains(why), "{why}: {told}");
        }
        for (life_s, host, why) in [
            (3599, "", "leaf certificate lifetime must be >= 1 hour"),
            (86_401, "", "leaf certificate lifetime must be <= spec.maxExpirationSeconds (86400)"),
            (7200, "a..b", "leaf certificate's DNSName should not contain '..'"),
            (7200, ".b", "leaf certificate's DNSName should not start or end with '.'"),
        ] {
            let (request, chain) = signed(-120, life_s, host);
            let told = said(&request, status(&request, &chain));
            assert!(told.contains(why), "{told}");
        }
        for (from_s, is_now) in [(-299, true), (299, true), (-300, false), (300, false)] {
            let (request, chain) = signed(from_s, 7200, "");
            let new = PodCertificateRequest { status: Some(status(&request, &chain)), ..request.clone() };
            assert_eq!(untimely(&request, &new, NOW).is_empty(), is_now, "{from_s}");
            assert!(untimely(&new, &new, NOW).is_empty(), "what was issued stays");
        }
    }

    #[test]
    fn a_request_ends_once() {
        let (request, chain) = signed(-120, 7200, "");
        let denied = ended(&request, DENIED, "UnsupportedKeyType", "use another", NOW);
        let of = |request: &PodCertificateRequest| request.status.clone().unwrap();
        assert_eq!(said(&request, of(&denied)), "");
        assert_eq!(said(&denied, of(&denied)), "");
        let immutable = "status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed\n";
        assert_eq!(said(&denied, status(&request, &chain)), immutable);
        assert_eq!(said(&denied, PodCertificateRequestStatus::default()), immutable);
        let beside = PodCertificateRequestStatus { certificate_chain: chain, ..of(&denied) };
        assert!(said(&request, beside).contains("must be empty when denying or failing"));
        let half = PodCertificateRequestStatus { not_before: Some(NOW.into()), ..Default::default() };
        assert!(said(&request, half).contains("status is immutable unless transitioning to"));
        let with = |change: &dyn Fn(&mut Vec<Condition>)| {
            let mut status = of(&denied);
            change(&mut status.conditions);
            said(&request, status)
        };
        for (told, why) in [
            (with(&|all| all[0].status = "False".to_owned()), "Unsupported value: \"False\""),
            (
                with(&|all| all[0].r#type = "Approved".to_owned()),
                "supported values: \"Denied\", \"Failed\", \"Issued\"",
            ),
            (
                with(&|all| all.push(Condition { r#type: FAILED.to_owned(), ..all[0].clone() })),
                "There may be at most one",
            ),
            (with(&|all| all[0].reason.clear()), "status.conditions[0].reason: Required value"),
            (with(&|all| all[0].reason = "no reason".to_owned()), "a condition reason must start with"),
            (with(&|all| all[0].last_transition_time = None), "lastTransitionTime: Required value"),
            (with(&|all| *all = vec![all[0].clone(); 4]), "Too many: 4"),
        ] {
            assert!(told.contains(why), "{why}: {told}");
        }
        assert_eq!(Object::from(denied).metadata().unwrap().name, "req-a1b2c");
    }
}
