//! Which Pods get certificates, and when requests for them are forgotten.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use api::{
    Key, Kind, Object, Write,
    certificates_v1::{PodCertificateRequest, PodCertificateRequestSpec},
    core_v1::{Node, Pod, PodSpec, ServiceAccount},
    kinds::{
        Resource as _,
        certificates::pod_certificate_request::{CLIENT_POD_SIGNER, ended, outcome},
    },
    x509::{Template, Usage},
};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use crate::{
    controller::Controller,
    plan::Plan,
    testing::{NOW, plan, world},
};

/// A request in DER that names nobody, or somebody.
fn stub(name: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn spec() -> PodCertificateRequestSpec {
    PodCertificateRequestSpec {
        signer_name: CLIENT_POD_SIGNER.to_owned(),
        pod_name: "till-1".to_owned(),
        pod_uid: "p1".to_owned(),
        service_account_name: "till".to_owned(),
        service_account_uid: "a1".to_owned(),
        node_name: "w1".to_owned(),
        node_uid: "n1".to_owned(),
        max_expiration_seconds: Some(7200),
        stub_pkcs10_request: stub("").into(),
        unverified_user_annotations: [].into(),
    }
}

fn request(spec: PodCertificateRequestSpec) -> PodCertificateRequest {
    let mut request = PodCertificateRequest { spec: Some(spec), ..PodCertificateRequest::default() };
    let meta = request.metadata_mut();
    (meta.name, meta.namespace, meta.uid) = ("req-1".to_owned(), "shop".to_owned(), "r1".to_owned());
    meta.creation_timestamp = Some(NOW.into());
    request
}

fn key() -> Key {
    Key::namespaced(Kind::PodCertificateRequest, "shop", "req-1")
}

/// The Pod, its account and its node.
fn there() -> [Object; 3] {
    let runs = PodSpec { service_account_name: "till".to_owned(), node_name: "w1".to_owned(), ..PodSpec::default() };
    let mut pod = Pod { spec: Some(runs), ..Pod::default() };
    let meta = pod.metadata_mut();
    (meta.name, meta.namespace, meta.uid) = ("till-1".to_owned(), "shop".to_owned(), "p1".to_owned());
    let mut account = ServiceAccount::default();
    let meta = account.metadata_mut();
    (meta.name, meta.namespace, meta.uid) = ("till".to_owned(), "shop".to_owned(), "a1".to_owned());
    let mut node = Node::default();
    (node.metadata_mut().name, node.metadata_mut().uid) = ("w1".to_owned(), "n1".to_owned());
    [pod.into(), account.into(), node.into()]
}

fn signing(request: PodCertificateRequest) -> Plan {
    plan(&world(there().into_iter().chain([request.into()])), Controller::PodCertificateSigning, &key())
}

/// What is signed, or how it ends, with the reason.
fn decided(spec: PodCertificateRequestSpec) -> Result<Template, (String, String)> {
    let plan = signing(request(spec));
    if let Some(order) = plan.order {
        assert!(plan.steps.is_empty());
        return Ok(order.certificate);
    }
    let [step] = &plan.steps[..] else { panic!("nothing is done: {plan}") };
    let Write::Update(Object::PodCertificateRequest(request), _) = &step.write else { panic!("{plan}") };
    let said = outcome(request).unwrap();
    Err((said.r#type.clone(), said.reason.clone()))
}

#[test]
fn a_pod_gets_a_certificate_that_says_which_pod_it_is_and_names_nobody() {
    let signed = decided(spec()).unwrap();
    let pod = signed.pod.unwrap();
    assert_eq!(
        [&pod.namespace, &pod.service_account_name, &pod.service_account_uid, &pod.pod_name],
        ["shop", "till", "a1", "till-1"]
    );
    assert_eq!([&pod.pod_uid, &pod.node_name, &pod.node_uid], ["p1", "w1", "n1"]);
    assert_eq!(signed.subject, [0x30, 0], "no name");
    assert_eq!(signed.usages, [Usage::DigitalSignature, Usage::ClientAuth]);
    assert_eq!(signed.until.since(signed.from), Duration::from_secs(7200));
    assert!(NOW.since(signed.from) >= Duration::from_secs(120) && NOW.since(signed.from) < Duration::from_secs(300));
    let long = decided(PodCertificateRequestSpec { max_expiration_seconds: None, ..spec() }).unwrap();
    assert_eq!(long.until.since(long.from), Duration::from_secs(86_400));
}

#[test]
fn only_what_is_there_as_it_is_named_is_signed_for() {
    let change = |change: fn(&mut PodCertificateRequestSpec)| {
        let mut spec = spec();
        change(&mut spec);
        decided(spec).unwrap_err()
    };
    let not_there = ("Failed".to_owned(), "NotThere".to_owned());
    for made in [
        change(|spec| spec.pod_name = "till-2".to_owned()),
        change(|spec| spec.pod_uid = "p2".to_owned()),
        change(|spec| spec.pod_uid = String::new()),
        change(|spec| spec.service_account_name = "root".to_owned()),
        change(|spec| spec.service_account_uid = "a2".to_owned()),
        change(|spec| spec.node_name = "w2".to_owned()),
        change(|spec| spec.node_uid = "n2".to_owned()),
    ] {
        assert_eq!(made, not_there);
    }
    let annotated = change(|spec| drop(spec.unverified_user_annotations.insert("a.b/c".to_owned(), String::new())));
    assert_eq!(annotated, ("Denied".to_owned(), "InvalidUnverifiedUserAnnotations".to_owned()));
    let named = change(|spec| spec.stub_pkcs10_request = stub("system:admin").into());
    assert_eq!(named, ("Denied".to_owned(), "InvalidRequest".to_owned()));
    let garbage = change(|spec| spec.stub_pkcs10_request = "garbage".into());
    assert_eq!(garbage, ("Failed".to_owned(), "InvalidRequest".to_owned()));
}

#[test]
fn each_request_is_decided_once_and_by_its_signer() {
    assert_eq!(signing(request(spec())).to_string(), "sign PodCertificateRequest shop/req-1\n");
    let other = PodCertificateRequestSpec { signer_name: "example.org/house".to_owned(), ..spec() };
    assert_eq!(signing(request(other)).to_string(), "");
    for said in ["Issued", "Denied", "Failed"] {
        assert_eq!(signing(ended(&request(spec()), said, "Why", "", NOW)).to_string(), "", "{said}");
    }
    let mut leaving = request(spec());
    leaving.metadata_mut().deletion_timestamp = Some(NOW.into());
    assert_eq!(signing(leaving).to_string(), "");
}

#[test]
fn requests_are_forgotten_after_a_quarter_of_an_hour() {
    for request in [request(spec()), ended(&request(spec()), "Issued", "Issued", "", NOW)] {
        let world = world([request.into()]);
        let again = plan(&world, Controller::PodCertificateCleaning, &key()).again.unwrap();
        assert_eq!(again.since(NOW), Duration::from_secs(900));
        assert_eq!(
            Controller::PodCertificateCleaning.reconcile(&world, &key(), again).to_string(),
            "delete PodCertificateRequest shop/req-1\n"
        );
    }
}
