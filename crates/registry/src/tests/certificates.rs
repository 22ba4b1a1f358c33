//! Requests for certificates, and who may say what about them, over a real log.

use std::{sync::Arc, time::Duration};

use api::{
    Error, Key, Kind, Object, PatchKind, ReadAt, Reason, Subresource, Timestamp, Write,
    certificates_v1::{
        CertificateSigningRequest, CertificateSigningRequestSpec, ClusterTrustBundle, ClusterTrustBundleSpec,
    },
    kinds::{
        Resource as _,
        certificates::certificate_signing_request::{Approval, Ground, certificate, conditions},
    },
    rbac_v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject},
    x509::{Asked, Order, Request, Template, Usage},
};
use rcgen::{CertificateParams, DistinguishedName, DnType};
use rpc::identity::Authority;
use serde_json::json;

use super::House;
use crate::{Caller, Registry, User, WriteOptions, Written};

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

/// A request in PEM for a key of its own.
fn pem(common_name: &str, group: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap().into_bytes()
}

fn request(name: &str, signer: &str, request: Vec<u8>) -> CertificateSigningRequest {
    let spec = CertificateSigningRequestSpec {
        request: request.into(),
        signer_name: signer.to_owned(),
        usages: vec!["client auth".to_owned()],
        username: "root".to_owned(),
        groups: vec!["system:masters".to_owned()],
        ..CertificateSigningRequestSpec::default()
    };
    let mut request = CertificateSigningRequest { spec: Some(spec), ..CertificateSigningRequest::default() };
    name.clone_into(&mut request.metadata_mut().name);
    request
}

async fn create(registry: &Registry, object: impl Into<Object>) -> Result<Written, Error> {
    registry.submit(Write::Create(object.into()), WriteOptions::default()).await
}

fn of(written: &Written) -> CertificateSigningRequest {
    written.object.object().get::<CertificateSigningRequest>().unwrap().clone()
}

async fn present(registry: &Registry, name: &str) -> CertificateSigningRequest {
    let key = Key::cluster(Kind::CertificateSigningRequest, name);
    registry.get(&key, ReadAt::Latest).await.unwrap().object().get::<CertificateSigningRequest>().unwrap().clone()
}

/// Says something about a request through a part of it.
async fn says(
    registry: &Registry,
    name: &str,
    part: Subresource,
    said: &[(&str, &str)],
) -> Result<CertificateSigningRequest, Error> {
    let condition = |(kind, status): &(&str, &str)| json!({"type": kind, "status": status, "reason": "Test"});
    let conditions: Vec<_> = said.iter().map(condition).collect();
    let patch = json!({"metadata": {"annotations": {"said": part.word()}}, "status": {"conditions": conditions}});
    let key = Key::cluster(Kind::CertificateSigningRequest, name);
    registry.patch(&key, PatchKind::Merge, patch, part, WriteOptions::default()).await.map(|written| of(&written))
}

/// Somebody who has the rights to requests and their parts, and on signers some verb for some name.
pub(super) async fn somebody(root: &Registry, name: &str, signers: Option<(&str, &str)>) -> Registry {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let group = words(&["certificates.k8s.io"]);
    let resources = [
        "certificatesigningrequests",
        "certificatesigningrequests/approval",
        "certificatesigningrequests/status",
        "podcertificaterequests/status",
    ];
    let verbs = words(&["create", "get", "update", "patch"]);
    let bundles = PolicyRule {
        verbs: verbs.clone(),
        api_groups: group.clone(),
        resources: words(&["clustertrustbundles"]),
        ..PolicyRule::default()
    };
    let requests =
        PolicyRule { verbs, api_groups: group.clone(), resources: words(&resources), ..PolicyRule::default() };
    let of_signers = signers.map(|(verb, signer)| PolicyRule {
        verbs: words(&[verb]),
        api_groups: group,
        resources: words(&["signers"]),
        resource_names: words(&[signer]),
        ..PolicyRule::default()
    });
    let rules = [bundles, requests].into_iter().chain(of_signers).collect();
    let mut role = ClusterRole { rules, ..ClusterRole::default() };
    name.clone_into(&mut role.metadata_mut().name);
    create(root, role).await.unwrap();
    let subject = Subject { kind: "User".to_owned(), name: name.to_owned(), ..Subject::default() };
    let role_ref = RoleRef { kind: "ClusterRole".to_owned(), name: name.to_owned(), ..RoleRef::default() };
    let mut binding =
        ClusterRoleBinding { role_ref: Some(role_ref), subjects: vec![subject], ..ClusterRoleBinding::default() };
    name.clone_into(&mut binding.metadata_mut().name);
    create(root, binding).await.unwrap();
    let groups = vec!["system:authenticated".to_owned()];
    let extra = [("example.org/team".to_owned(), vec!["a".to_owned(), "b".to_owned()])].into();
    root.for_caller(Caller::User(Arc::new(User { name: name.to_owned(), uid: "u1".to_owned(), groups, extra })))
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>, reason: Reason) -> String {
    let error = outcome.unwrap_err();
    assert_eq!(error.reason, reason, "{error}");
    error.message
}

#[tokio::test]
async fn masters_say_who_asks_and_nobody_changes_what_was_asked() {
    let house = House::new().await;
    let ann = somebody(&house.registry, "ann", None).await;
    let made = of(&create(&ann, request("a", CLIENT, pem("ada", "readers"))).await.unwrap());
    let spec = made.spec.clone().unwrap();
    assert_eq!((spec.username.as_str(), spec.uid.as_str()), ("ann", "u1"));
    assert_eq!(spec.groups, ["system:authenticated"]);
    assert_eq!(spec.extra["example.org/team"].items, ["a", "b"]);
    let mut changed = made.clone();
    let other = changed.spec.get_or_insert_default();
    (other.username, other.request) = ("root".to_owned(), pem("root", "system:masters").into());
    changed.status.get_or_insert_default().certificate = "x".into();
    changed.metadata_mut().labels.insert("a".to_owned(), "b".to_owned());
    let write = Write::Update(changed.into(), Subresource::None);
    let stored = of(&ann.submit(write, WriteOptions::default()).await.unwrap());
    assert_eq!((stored.spec, stored.status), (made.spec, made.status));
    assert_eq!(stored.metadata.unwrap().labels["a"], "b");
}

#[tokio::test]
async fn nobody_asks_for_what_no_request_gives() {
    let house = House::new().await;
    for (name, group) in [
        ("ada", "system:masters"),
        ("ada", "system:kapelle:masters"),
        ("system:kapelle:master:0000000000000007", "a"),
        ("system:kapelle", "a"),
    ] {
        let told = refused(create(&house.registry, request("a", CLIENT, pem(name, group))).await, Reason::Forbidden);
        assert!(told.contains("kubernetes.io/kube-apiserver-client signer with"), "administrators neither: {told}");
    }
    // Others sign in their own name.
    create(&house.registry, request("b", "example.org/house", pem("ada", "system:masters"))).await.unwrap();
    let ours = pem("ada", "a");
    for (signer, bytes, field) in [
        (CLIENT, b"garbage".to_vec(), "spec.request"),
        (CLIENT, [&ours[..], &vec![b' '; 100_000]].concat(), "spec.request"),
        ("kubernetes.io/legacy-unknown", ours.clone(), "the legacy signerName is not allowed via this API version"),
        ("house", ours.clone(), "spec.signerName"),
        ("example/house", ours, "at least two segments"),
    ] {
        let told = refused(create(&house.registry, request("c", signer, bytes)).await, Reason::Invalid);
        assert!(told.contains(field), "{told}");
    }
}

#[tokio::test]
async fn approving_and_signing_are_rights_on_the_signer() {
    let house = House::new().await;
    let root = &house.registry;
    for (name, signer, allowed) in [
        ("none", None, false),
        ("signs", Some(("sign", CLIENT)), false),
        ("other", Some(("approve", "kubernetes.io/kubelet-serving")), false),
        ("foreign", Some(("approve", "example.org/*")), false),
        ("exact", Some(("approve", CLIENT)), true),
        ("domain", Some(("approve", "kubernetes.io/*")), true),
    ] {
        let somebody = somebody(root, name, signer).await;
        create(&somebody, request(name, CLIENT, pem("ada", "readers"))).await.unwrap();
        let approved = says(&somebody, name, Subresource::Approval, &[("Approved", "True")]).await;
        if allowed {
            let approved = approved.unwrap();
            assert_eq!(approved.metadata.unwrap().annotations["said"], "approval");
        } else {
            let told = refused(approved, Reason::Forbidden);
            assert!(told.contains("user not permitted to approve requests with signerName"), "{told}");
        }
        // Who approves does not sign.
        let both = [("Approved", "True"), ("Failed", "True")];
        let signed = says(&somebody, name, Subresource::Status, if allowed { &both } else { &both[1..] }).await;
        if name == "signs" {
            signed.unwrap();
            let told = refused(says(&somebody, name, Subresource::Status, &both).await, Reason::Invalid);
            assert!(told.contains("updates may not add a condition of type \"Approved\""), "{told}");
        } else {
            assert!(refused(signed, Reason::Forbidden).contains("user not permitted to sign requests"));
        }
    }
}

#[tokio::test]
async fn what_was_decided_stays() {
    let house = House::new().await;
    let root = &house.registry;
    create(root, request("a", CLIENT, pem("ada", "readers"))).await.unwrap();
    let approval = async |said: &[(&str, &str)]| says(root, "a", Subresource::Approval, said).await;
    for (said, why) in [
        (&[("Approved", "False")][..], "Unsupported value: \"False\""),
        (&[("Approved", "")], "status.conditions[0].status"),
        (&[("", "True")], "status.conditions[0].type"),
        (&[("Approved", "True"), ("Denied", "True")], "mutually exclusive"),
        (&[("Approved", "True"), ("Approved", "True")], "Duplicate value"),
    ] {
        let told = refused(approval(said).await, Reason::Invalid);
        assert!(told.contains(why), "{told}");
    }
    let approved = approval(&[("Approved", "True"), ("Seen", "Unknown")]).await.unwrap();
    let said = &conditions(&approved)[0];
    assert!(said.last_update_time.is_some() && said.last_transition_time.is_some());
    for said in [&[][..], &[("Denied", "True")], &[("Seen", "True")]] {
        let told = refused(approval(said).await, Reason::Invalid);
        assert!(told.contains("updates may not remove a condition of type \"Approved\""), "{told}");
    }
    // What a signer says of the approval counts for nothing, and a certificate is said once.
    let mut signed = present(root, "a").await;
    let status = signed.status.get_or_insert_default();
    "somebody".clone_into(&mut status.conditions[0].reason);
    let authority = Authority::found("house").unwrap();
    status.certificate = authority.certificate_pem().to_owned().into();
    let write = |object: &CertificateSigningRequest, part| {
        root.submit(Write::Update(object.clone().into(), part), WriteOptions::default())
    };
    let stored = of(&write(&signed, Subresource::Status).await.unwrap());
    assert_eq!(conditions(&stored)[0].reason, "Test");
    assert_eq!(certificate(&stored), authority.certificate_pem().as_bytes());
    let mut again = stored.clone();
    again.status.get_or_insert_default().certificate =
        Authority::found("b").unwrap().certificate_pem().to_owned().into();
    let told = refused(write(&again, Subresource::Status).await, Reason::Invalid);
    assert!(told.contains("may not modify existing certificate content"), "{told}");
    let stored = of(&write(&again, Subresource::Approval).await.unwrap());
    assert_eq!(certificate(&stored), authority.certificate_pem().as_bytes(), "through approval nobody signs");
}

#[tokio::test]
async fn a_certificate_is_issued_for_the_request_as_it_was_judged() {
    let house = House::new().await;
    let root = &house.registry;
    let authority = Authority::found("house").unwrap();
    let made = of(&create(root, request("a", CLIENT, pem("ada", "readers"))).await.unwrap());
    let asked = Request::read(&made.spec.as_ref().unwrap().request).unwrap();
    let from = root.now();
    let certificate_wanted = Template {
        subject: asked.subject.der,
        key: asked.key_der,
        pod: None,
        names: asked.names,
        usages: vec![Usage::ClientAuth],
        from,
        until: from.after(Duration::from_secs(600)),
    };
    let seen = present(root, "a").await;
    says(root, "a", Subresource::Approval, &[("Denied", "True")]).await.unwrap();
    let order = Order { request: Asked::Signing(seen), certificate: certificate_wanted };
    let late = root.issue(&authority, &order).await.unwrap_err();
    assert_eq!(late.reason, Reason::Conflict, "somebody has denied it meanwhile");
    let order = Order { request: Asked::Signing(present(root, "a").await), ..order };
    root.issue(&authority, &order).await.unwrap();
    let end = api::x509::end_of(certificate(&present(root, "a").await)).unwrap();
    assert_eq!(end, Timestamp(order.certificate.until.0 / 1000 * 1000));
}

#[tokio::test]
async fn who_vouches_for_a_signer_has_the_right_to() {
    let house = House::new().await;
    let root = &house.registry;
    let authority = Authority::found("house").unwrap().certificate_pem().to_owned();
    let bundle = |name: &str, signer: &str| {
        let (signer_name, trust_bundle) = (signer.to_owned(), authority.clone());
        let spec = Some(ClusterTrustBundleSpec { signer_name, trust_bundle });
        let mut bundle = ClusterTrustBundle { spec, ..ClusterTrustBundle::default() };
        name.clone_into(&mut bundle.metadata_mut().name);
        bundle
    };
    let ann = somebody(root, "ann", Some(("attest", "example.org/house"))).await;
    let bob = somebody(root, "bob", Some(("sign", "example.org/*"))).await;
    create(&bob, bundle("anybodys", "")).await.unwrap();
    let told = refused(create(&bob, bundle("example.org:house:1", "example.org/house")).await, Reason::Forbidden);
    assert!(told.contains("user not permitted to attest for signerName \"example.org/house\""), "{told}");
    create(&ann, bundle("example.org:house:1", "example.org/house")).await.unwrap();
    for (name, signer) in [("example.org:house:1", ""), ("house", "example.org/house"), ("Example", "")] {
        assert!(refused(create(root, bundle(name, signer)).await, Reason::Invalid).contains("metadata.name"));
    }
    let moved = Write::Update(bundle("example.org:house:1", "example.org/other").into(), Subresource::None);
    let told = refused(root.submit(moved, WriteOptions::default()).await, Reason::Invalid);
    assert!(told.contains("spec.signerName") && told.contains("field is immutable"), "{told}");
    let key = Key::cluster(Kind::ClusterTrustBundle, "example.org:house:1");
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    let labels = bob.patch(&key, PatchKind::Merge, label, Subresource::None, WriteOptions::default()).await;
    refused(labels, Reason::Forbidden);
}

/// A request with the usages of a client of the masters.
fn of_node(name: &str, signer: &str, common_name: &str) -> CertificateSigningRequest {
    let mut request = request(name, signer, pem(common_name, "system:nodes"));
    request.spec.get_or_insert_default().usages = vec!["digital signature".to_owned(), "client auth".to_owned()];
    request
}

fn as_node(name: &str) -> Caller {
    Caller::Node { name: name.to_owned(), uid: format!("{name}-uid"), from: None }
}

#[tokio::test]
async fn a_node_asks_for_itself_and_reads_what_it_asked() {
    let house = House::new().await;
    let root = &house.registry;
    let w1 = root.for_caller(as_node("w1"));
    let w2 = root.for_caller(as_node("w2"));
    let (kubelet, serving) = ("kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving");
    for (signer, name, why) in [
        (kubelet, "system:node:w2", "can only create a node CSR with CN=system:node:w1"),
        (serving, "system:node:w2", "can only create a node CSR with CN=system:node:w1"),
        (kubelet, "root", "can only create a node CSR"),
        (CLIENT, "system:node:w1", "a node asks only the signers"),
        ("example.org/house", "system:node:w1", "a node asks only the signers"),
    ] {
        let error = create(&w1, of_node("x", signer, name)).await.unwrap_err();
        assert!(error.reason == Reason::Forbidden && error.message.contains(why), "{error}");
    }
    let made = of(&create(&w1, of_node("own", kubelet, "system:node:w1")).await.unwrap());
    assert_eq!(made.spec.unwrap().username, "system:node:w1");
    let key = Key::cluster(Kind::CertificateSigningRequest, "own");
    w1.get(&key, ReadAt::Latest).await.unwrap();
    assert_eq!(w2.get(&key, ReadAt::Latest).await.unwrap_err().reason, Reason::NotFound);
    let approved = says(&w1, "own", Subresource::Approval, &[("Approved", "True")]).await.unwrap_err();
    assert_eq!(approved.reason, Reason::Forbidden, "nodes decide nothing");
}

#[tokio::test]
async fn a_request_is_approved_by_itself_if_a_role_gives_its_sender_the_certificate() {
    let house = House::new().await;
    let root = &house.registry;
    let w1 = root.for_caller(as_node("w1"));
    let made = of(&create(&w1, of_node("own", "kubernetes.io/kube-apiserver-client-kubelet", "system:node:w1"))
        .await
        .unwrap());
    let ground = |subresource| Ground { subresource, message: subresource };
    let approval = Approval { request: made, grounds: vec![ground("selfnodeclient"), ground("nodeclient")] };
    let refused = root.approve(&approval).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Forbidden);
    assert!(refused.message.contains("subject access review was not approved"), "{refused}");
    let rule = PolicyRule {
        verbs: vec!["create".to_owned()],
        api_groups: vec!["certificates.k8s.io".to_owned()],
        resources: vec!["certificatesigningrequests/nodeclient".to_owned()],
        ..PolicyRule::default()
    };
    let mut role = ClusterRole { rules: vec![rule], ..ClusterRole::default() };
    role.metadata_mut().name = "any".to_owned();
    create(root, role).await.unwrap();
    let subject = Subject { kind: "Group".to_owned(), name: "system:nodes".to_owned(), ..Subject::default() };
    let role_ref = RoleRef { kind: "ClusterRole".to_owned(), name: "any".to_owned(), ..RoleRef::default() };
    let mut binding =
        ClusterRoleBinding { role_ref: Some(role_ref), subjects: vec![subject], ..ClusterRoleBinding::default() };
    binding.metadata_mut().name = "any".to_owned();
    create(root, binding).await.unwrap();
    let approved = root.approve(&approval).await.unwrap();
    let said = conditions(approved.get::<CertificateSigningRequest>().unwrap());
    assert_eq!((said[0].r#type.as_str(), said[0].reason.as_str()), ("Approved", "AutoApproved"));
    assert_eq!(said[0].message, "nodeclient", "the ground that holds is told");
    let again = root.approve(&approval).await.unwrap_err();
    assert_eq!(again.reason, Reason::Conflict, "another state of it is not approved");
}
