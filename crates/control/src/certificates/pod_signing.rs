//! Signs certificates by which Pods are known to masters. Nobody approves them: who runs a Pod asks for it.

use std::time::Duration;

use api::{
    Key, Kind, Timestamp,
    certificates_v1::{PodCertificateRequest, PodCertificateRequestSpec},
    core_v1::{Namespace, Node, Pod, ServiceAccount},
    kinds::{
        Resource,
        certificates::pod_certificate_request::{
            CLIENT_POD_SIGNER, DENIED, FAILED, INVALID_ANNOTATIONS, ended, outcome,
        },
    },
    x509::{AlternativeNames, Asked, Order, PodIdentity, Request, Template, Usage, der},
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// The longest life of a certificate: Kubernetes' day. It is worth nothing without its Pod in any case.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Clocks may differ by so much: a certificate is valid from before it was signed, and that is part of its life. Masters refuse
/// five minutes.
const BACKDATED_MS: i64 = 2 * 60 * 1000;

/// Why nothing is signed.
struct Refusal {
    /// Whether the signer does not want to, or cannot.
    outcome: &'static str,
    /// One word for programs.
    reason: &'static str,
    /// What people read.
    message: String,
}

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let request = super::present::<PodCertificateRequest>(world, key).filter(|request| outcome(request).is_none());
    let Some((request, spec)) = request.and_then(|request| Some((request, request.spec.as_ref()?))) else {
        return plan;
    };
    // Somebody else signs it.
    if spec.signer_name != CLIENT_POD_SIGNER {
        return plan;
    }
    match template(world, request.namespace(), spec, now) {
        Ok(certificate) => plan.sign(Order { request: Asked::Pod(request.clone()), certificate }),
        Err(Refusal { outcome, reason, message }) => {
            plan.update_status(ended(request, outcome, reason, &message, now));
        }
    }
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    super::concerns::<PodCertificateRequest>(shift, look);
}

/// What is to be signed: the key, and which Pod it is, by what is there now.
fn template(
    world: &World,
    namespace: &str,
    spec: &PodCertificateRequestSpec,
    now: Timestamp,
) -> Result<Template, Refusal> {
    let denied = |reason, message: &str| Refusal { outcome: DENIED, reason, message: message.to_owned() };
    if !spec.unverified_user_annotations.is_empty() {
        return Err(denied(INVALID_ANNOTATIONS, "this signer knows no annotations; leave them out"));
    }
    let asked = Request::of_pod(&spec.stub_pkcs10_request);
    let asked = asked.map_err(|message| Refusal { outcome: FAILED, reason: "InvalidRequest", message })?;
    let subject = &asked.subject;
    let is_stub = subject.common_name.is_empty() && subject.organizations.is_empty() && subject.others.is_empty();
    if !is_stub || !asked.names.is_empty() {
        return Err(denied(
            "InvalidRequest",
            "stubPKCS10Request may name nobody: the certificate says which Pod it is of",
        ));
    }
    let pod =
        identity(world, namespace, spec).map_err(|message| Refusal { outcome: FAILED, reason: "NotThere", message })?;
    let asked_s = spec.max_expiration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let life = asked_s.map_or(LIFE_MAX, Duration::from_secs).min(LIFE_MAX);
    let from = Timestamp(now.0.saturating_sub(BACKDATED_MS) / 1000 * 1000);
    Ok(Template {
        // Whoever does not know the extension must not take the owner for anybody.
        subject: der::group(der::SEQUENCE, &[]),
        key: asked.key_der,
        pod: Some(pod),
        names: AlternativeNames::default(),
        usages: vec![Usage::DigitalSignature, Usage::ClientAuth],
        from,
        until: from.after(life),
    })
}

/// The Pod of which a request speaks, if it is there and all else is as the request says.
fn identity(world: &World, namespace: &str, spec: &PodCertificateRequestSpec) -> Result<PodIdentity, String> {
    let beside = |kind, name: &str| Key::namespaced(kind, namespace, name);
    let pod: &Pod = same(world, &beside(Kind::Pod, &spec.pod_name), &spec.pod_uid)?;
    let runs = pod.spec.as_ref().map(|spec| (spec.service_account_name.as_str(), spec.node_name.as_str()));
    if runs != Some((&spec.service_account_name, &spec.node_name)) {
        return Err(format!(
            "the Pod {:?} runs not as ServiceAccount {:?} on node {:?}",
            spec.pod_name, spec.service_account_name, spec.node_name
        ));
    }
    let account = beside(Kind::ServiceAccount, &spec.service_account_name);
    same::<ServiceAccount>(world, &account, &spec.service_account_uid)?;
    same::<Node>(world, &Key::cluster(Kind::Node, spec.node_name.as_str()), &spec.node_uid)?;
    let of = world.get::<Namespace>(&Key::cluster(Kind::Namespace, namespace));
    Ok(PodIdentity {
        namespace: namespace.to_owned(),
        namespace_uid: of.map_or("", Resource::uid).to_owned(),
        service_account_name: spec.service_account_name.clone(),
        service_account_uid: spec.service_account_uid.clone(),
        pod_name: spec.pod_name.clone(),
        pod_uid: spec.pod_uid.clone(),
        node_name: spec.node_name.clone(),
        node_uid: spec.node_uid.clone(),
    })
}

/// An object that is there, and is the one that is meant of all that had its name.
fn same<'w, T: Resource + 'static>(world: &'w World, key: &Key, uid: &str) -> Result<&'w T, String> {
    let found = world.get::<T>(key).filter(|found| found.uid() == uid && !uid.is_empty());
    found.ok_or_else(|| format!("there is no {} {:?} with uid {uid:?}", key.kind, key.name))
}
