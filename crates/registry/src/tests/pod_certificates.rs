//! Requests for certificates of Pods: which nodes make, who signs, and what becomes of them, over a real log.

use std::{collections::BTreeSet, time::Duration};

use api::{
    Error, Key, Kind, Object, ReadAt, Reason, Subresource, Write,
    certificates_v1::{PodCertificateRequest, PodCertificateRequestSpec},
    core_v1::{
        Container, Node, Pod, PodCertificateProjection, PodSpec, ProjectedVolumeSource, ServiceAccount, Volume,
        VolumeMount, VolumeProjection, VolumeSource,
    },
    kinds::{
        Resource as _,
        certificates::pod_certificate_request::{CLIENT_POD_SIGNER, DENIED, ended, outcome},
    },
    selector::Fields,
    x509::{AlternativeNames, Asked, Order, Request, Template, Usage, der},
};
use rpc::identity::{Authority, KeyPair};

use super::{House, certificates::somebody, objects::list_query};
use crate::{Caller, ListQuery, Registry, WriteOptions};

fn named<T: api::kinds::Resource>(mut object: T, name: &str) -> T {
    name.clone_into(&mut object.metadata_mut().name);
    if T::KIND.info().namespaced {
        "default".clone_into(&mut object.metadata_mut().namespace);
    }
    object
}

/// A Pod that mounts certificates of a signer.
fn pod(name: &str, signer: &str) -> Pod {
    let wanted = PodCertificateProjection {
        signer_name: signer.to_owned(),
        key_type: "ECDSAP256".to_owned(),
        credential_bundle_path: "a".to_owned(),
        ..PodCertificateProjection::default()
    };
    let source = VolumeProjection { pod_certificate: Some(wanted.into()), ..VolumeProjection::default() };
    let projected = ProjectedVolumeSource { sources: vec![source], ..ProjectedVolumeSource::default() };
    let source = VolumeSource { projected: Some(Box::new(projected)), ..VolumeSource::default() };
    let mount = VolumeMount { name: "who".to_owned(), mount_path: "/who".to_owned(), ..VolumeMount::default() };
    let container =
        Container { name: "a".to_owned(), image: "a:1".to_owned(), volume_mounts: vec![mount], ..Container::default() };
    let spec = PodSpec {
        service_account_name: "till".to_owned(),
        node_name: "w1".to_owned(),
        containers: vec![container],
        volumes: vec![Volume { name: "who".to_owned(), volume_source: Some(source) }],
        ..PodSpec::default()
    };
    named(Pod { spec: Some(spec), ..Pod::default() }, name)
}

async fn create(registry: &Registry, object: impl Into<Object>) -> Result<Object, Error> {
    let written = registry.submit(Write::Create(object.into()), WriteOptions::default()).await?;
    Ok(Object::clone(&written.object.object()))
}

fn uid(object: &Object) -> String {
    object.metadata().unwrap().uid.clone()
}

/// What there is: two nodes, an account, and a Pod on the first node.
struct There {
    house: House,
    spec: PodCertificateRequestSpec,
}

impl There {
    async fn new() -> Self {
        let house = House::new().await;
        let root = &house.registry;
        let node = create(root, named(Node::default(), "w1")).await.unwrap();
        create(root, named(Node::default(), "w2")).await.unwrap();
        let account = create(root, named(ServiceAccount::default(), "till")).await.unwrap();
        let pod = create(root, pod("till-1", CLIENT_POD_SIGNER)).await.unwrap();
        let spec = PodCertificateRequestSpec {
            signer_name: CLIENT_POD_SIGNER.to_owned(),
            pod_name: "till-1".to_owned(),
            pod_uid: uid(&pod),
            service_account_name: "till".to_owned(),
            service_account_uid: uid(&account),
            node_name: "w1".to_owned(),
            node_uid: uid(&node),
            stub_pkcs10_request: KeyPair::generate().unwrap().request().unwrap().into(),
            ..PodCertificateRequestSpec::default()
        };
        Self { house, spec }
    }

    fn node(&self, name: &str) -> Registry {
        self.house.registry.for_caller(Caller::Node {
            name: name.to_owned(),
            uid: self.spec.node_uid.clone(),
            from: None,
        })
    }

    fn request(&self, name: &str, change: impl FnOnce(&mut PodCertificateRequestSpec)) -> PodCertificateRequest {
        let mut spec = self.spec.clone();
        change(&mut spec);
        named(PodCertificateRequest { spec: Some(spec), ..PodCertificateRequest::default() }, name)
    }
}

fn key(name: &str) -> Key {
    Key::namespaced(Kind::PodCertificateRequest, "default", name)
}

async fn present(registry: &Registry, name: &str) -> Result<PodCertificateRequest, Error> {
    let found = registry.get(&key(name), ReadAt::Latest).await?;
    Ok(found.object().get::<PodCertificateRequest>().unwrap().clone())
}

#[tokio::test]
async fn a_node_asks_for_its_own_pods_as_what_they_are() {
    let there = There::new().await;
    let w1 = there.node("w1");
    create(&w1, there.request("good", |_| {})).await.unwrap();
    let refused = async |change: fn(&mut PodCertificateRequestSpec), reason: Reason, why: &str| {
        let error = create(&w1, there.request("bad", change)).await.unwrap_err();
        assert!(error.reason == reason && error.message.contains(why), "{why}: {error}");
    };
    refused(|spec| spec.node_name = "w2".to_owned(), Reason::Forbidden, "which is not the requesting node \"w1\"")
        .await;
    refused(|spec| spec.node_uid = "other".to_owned(), Reason::Conflict, "names Node \"w1\"").await;
    refused(|spec| spec.pod_name = "till-2".to_owned(), Reason::Conflict, "there is no Pod \"till-2\"").await;
    refused(|spec| spec.pod_uid = "other".to_owned(), Reason::Conflict, "names Pod \"till-1\"").await;
    refused(|spec| spec.service_account_name = "root".to_owned(), Reason::Forbidden, "differs from running pod").await;
    refused(|spec| spec.service_account_uid = "other".to_owned(), Reason::Conflict, "names ServiceAccount").await;
    refused(
        |spec| spec.signer_name = "example.org/house".to_owned(),
        Reason::Forbidden,
        "does not mount a podCertificate projected volume for signer \"example.org/house\"",
    )
    .await;
    refused(|spec| spec.stub_pkcs10_request = "forged".into(), Reason::Invalid, "must be a valid PKCS#10 CSR").await;
    // The Pod is another node's, or only shown.
    let w2 = there.node("w2");
    let of_w2 = there.request("bad", |spec| spec.node_name = "w2".to_owned());
    assert!(create(&w2, of_w2).await.is_err());
    let mut mirror = pod("mirror", CLIENT_POD_SIGNER);
    mirror.metadata_mut().annotations.insert("kubernetes.io/config.mirror".to_owned(), "x".to_owned());
    let mirror = create(&there.house.registry, mirror).await.unwrap();
    let mut of_mirror = there.request("bad", |spec| spec.pod_name = "mirror".to_owned());
    of_mirror.spec.as_mut().unwrap().pod_uid = uid(&mirror);
    assert!(create(&w1, of_mirror).await.unwrap_err().message.contains("is a mirror pod"));
}

#[tokio::test]
async fn a_node_reads_its_own_requests_and_says_nothing_of_them() {
    let there = There::new().await;
    let (w1, w2) = (there.node("w1"), there.node("w2"));
    let made = create(&w1, there.request("good", |_| {})).await.unwrap();
    assert!(present(&w1, "good").await.is_ok());
    assert_eq!(present(&w2, "good").await.unwrap_err().reason, Reason::NotFound);
    let list = async |node: &Registry, fields: &str| {
        let fields = Fields::parse(Kind::PodCertificateRequest, fields).unwrap();
        let query = ListQuery { fields, ..list_query(Kind::PodCertificateRequest) };
        node.list(query).await.map(|page| page.items.len()).map_err(|error| error.reason)
    };
    assert_eq!(list(&w1, "spec.nodeName=w1").await, Ok(1));
    assert_eq!(list(&w2, "spec.nodeName=w2").await, Ok(0));
    for (node, fields) in
        [(&w1, ""), (&w1, "spec.nodeName=w2"), (&w2, "spec.nodeName=w1"), (&w1, "spec.podName=till-1")]
    {
        assert_eq!(list(node, fields).await, Err(Reason::Forbidden), "{fields}");
    }
    let request = made.get::<PodCertificateRequest>().unwrap();
    let denied = ended(request, DENIED, "Why", "", w1.now());
    for write in [
        Write::Update(denied.into(), Subresource::Status),
        Write::Update(made.clone(), Subresource::None),
        Write::Delete(key("good"), api::DeleteOptions::default()),
    ] {
        let error = w1.submit(write, WriteOptions::default()).await.unwrap_err();
        assert_eq!(error.reason, Reason::Forbidden, "{error}");
    }
    let account = Key::namespaced(Kind::ServiceAccount, "default", "till");
    assert!(w1.get(&account, ReadAt::Latest).await.is_ok(), "its Pod runs as that");
    assert!(w2.get(&account, ReadAt::Latest).await.is_err());
}

#[tokio::test]
async fn signing_is_a_right_on_the_signer() {
    let there = There::new().await;
    let root = &there.house.registry;
    for (name, signers, allowed) in [
        ("none", None, false),
        ("approves", Some(("approve", "example.org/house")), false),
        ("other", Some(("sign", "example.org/other")), false),
        ("exact", Some(("sign", "example.org/house")), true),
        ("domain", Some(("sign", "example.org/*")), true),
    ] {
        let somebody = somebody(root, name, signers).await;
        let made = there.request(name, |spec| spec.signer_name = "example.org/house".to_owned());
        let made = create(root, made).await.unwrap();
        let denied = ended(made.get::<PodCertificateRequest>().unwrap(), DENIED, "Why", "", root.now());
        let write = Write::Update(denied.into(), Subresource::Status);
        let said = somebody.submit(write, WriteOptions::default()).await;
        if allowed {
            said.unwrap();
        } else {
            let error = said.unwrap_err();
            let why = format!("spec.signerName: Forbidden: User {name:?} is not permitted to \"sign\" for signer");
            assert!(error.reason == Reason::Invalid && error.message.contains(&why), "{error}");
        }
    }
}

#[tokio::test]
async fn what_is_issued_is_complete_and_said_once() {
    let there = There::new().await;
    let root = &there.house.registry;
    let made = create(root, there.request("a", |_| {})).await.unwrap().get::<PodCertificateRequest>().unwrap().clone();
    let asked = Request::of_pod(&made.spec.as_ref().unwrap().stub_pkcs10_request).unwrap();
    let from = root.now();
    let certificate = Template {
        subject: der::group(der::SEQUENCE, &[]),
        key: asked.key_der,
        pod: None,
        names: AlternativeNames::default(),
        usages: vec![Usage::ClientAuth],
        from,
        until: from.after(Duration::from_secs(3600)),
    };
    let authority = Authority::found("house").unwrap();
    let order = Order { request: Asked::Pod(made), certificate };
    root.issue(&authority, &order).await.unwrap();
    assert!(root.issue(&authority, &order).await.is_err(), "it was answered");
    let issued = present(root, "a").await.unwrap();
    assert_eq!(outcome(&issued).unwrap().r#type, "Issued");
    let status = issued.status.clone().unwrap();
    let seconds = [status.not_before, status.begin_refresh_at, status.not_after].map(|time| time.unwrap().seconds);
    assert_eq!([seconds[1] - seconds[0], seconds[2] - seconds[0]], [1800, 3600]);
    let again = ended(&issued, DENIED, "Why", "", from);
    let error =
        root.submit(Write::Update(again.into(), Subresource::Status), WriteOptions::default()).await.unwrap_err();
    assert!(error.message.contains("immutable after PodCertificateRequest is issued"), "{error}");
    // One that begins at another time is refused.
    let made = create(root, there.request("b", |_| {})).await.unwrap().get::<PodCertificateRequest>().unwrap().clone();
    let mut early = order.certificate.clone();
    early.key = Request::of_pod(&made.spec.as_ref().unwrap().stub_pkcs10_request).unwrap().key_der;
    early.from = api::Timestamp(from.0 - 301_000);
    let refused = root.issue(&authority, &Order { request: Asked::Pod(made), certificate: early }).await.unwrap_err();
    assert!(refused.message.contains("within 5 minutes of kube-apiserver's current time"), "{refused}");
    let fields: BTreeSet<&str> = refused.causes.iter().map(|cause| cause.field.as_str()).collect();
    assert_eq!(fields, ["status.notBefore"].into());
}
