//! Users whose certificates were asked for through the API.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use api::{
    DeleteOptions, Key, Kind, Object, Reason, Subresource, Timestamp,
    certificates_v1::{CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec},
    json,
    x509::{AlternativeNames, PodIdentity, Request, Template, Usage, der},
    yaml,
};
use axum::body::Body;
use http::Method;
use rpc::{
    Client, Query, Security,
    identity::{Identity, KeyPair, Shared},
};
use tokio::io::AsyncReadExt as _;

use super::{Server, config_map, soon};

/// Ann's certificate for a while.
fn ann(server: &Server, life: Duration) -> Arc<Shared> {
    let key = KeyPair::generate().unwrap();
    let asked = Request::unproven(&key.request().unwrap()).unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let millis = |time: Duration| Timestamp(i64::try_from(time.as_millis()).unwrap());
    let template = Template {
        subject: der::group(der::SEQUENCE, &[der::attribute(&[0x55, 4, 3], der::UTF8_STRING, "ann")]),
        key: asked.key_der,
        pod: None,
        names: AlternativeNames::default(),
        usages: vec![Usage::ClientAuth],
        from: millis(now - Duration::from_secs(60)),
        until: millis(now + life),
    };
    let chain = server.pki.0.certify(&template).unwrap();
    Shared::new(Identity::new(&chain, &key, server.pki.0.certificate_pem()).unwrap()).unwrap()
}

fn object(kind: Kind, manifest: &str) -> Object {
    let value = yaml::documents(manifest).unwrap().remove(0);
    json::decode(kind, &value, json::Strictness::Strict).unwrap().object
}

fn client(server: &Server, identity: Arc<Shared>) -> Client {
    Client::connect_with(std::slice::from_ref(&server.url), Security::Tls(identity)).unwrap()
}

#[tokio::test]
async fn a_user_with_a_certificate_has_what_roles_give_over_grpc_too() {
    let server = Server::new().await;
    let ann = client(&server, ann(&server, Duration::from_secs(600)));
    let refused = ann.create(config_map("a", "1")).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Forbidden);
    assert!(refused.message.contains("User \"ann\" cannot create resource \"configmaps\""), "{refused}");
    let binding = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: ann}, \
                    roleRef: {kind: ClusterRole, name: edits}, subjects: [{kind: User, name: ann}]}";
    let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: edits}, \
                rules: [{apiGroups: [''], resources: [configmaps], verbs: [create, list]}]}";
    for (kind, manifest) in [(Kind::ClusterRole, role), (Kind::ClusterRoleBinding, binding)] {
        server.client().create(object(kind, manifest)).await.unwrap();
    }
    ann.create(config_map("a", "1")).await.unwrap();
    assert_eq!(ann.list(&Query::all(Kind::ConfigMap)).await.unwrap().items.len(), 1);
    assert!(ann.list(&Query::all(Kind::Secret)).await.is_err());
}

#[tokio::test]
async fn requests_are_made_and_approved_over_grpc() {
    let server = Server::new().await;
    let root = server.client();
    let kind = Kind::CertificateSigningRequest;
    let sample = object(kind, kind.sample());
    let mut made = root.create(sample).await.unwrap().get::<CertificateSigningRequest>().unwrap().clone();
    let Some(CertificateSigningRequestSpec { username, groups, .. }) = &made.spec else { panic!("{made:?}") };
    assert_eq!((username.as_str(), groups.len()), ("tester", 2));
    let condition = CertificateSigningRequestCondition {
        r#type: "Approved".to_owned(),
        status: "True".to_owned(),
        ..CertificateSigningRequestCondition::default()
    };
    made.status.get_or_insert_default().conditions.push(condition);
    let through_status = root.update(made.clone().into(), Subresource::Status).await.unwrap_err();
    assert!(through_status.message.contains("updates may not add a condition of type \"Approved\""));
    root.update(made.into(), Subresource::Approval).await.unwrap();
    let key = Key::cluster(kind, "ada");
    let stored = root.get(&key).await.unwrap().get::<CertificateSigningRequest>().unwrap().clone();
    assert!(stored.status.unwrap().conditions[0].last_update_time.is_some());
    let refused = client(&server, ann(&server, Duration::from_secs(600))).get(&key).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Forbidden);
    assert!(stored.metadata.unwrap().uid.len() == 36);
}

#[tokio::test]
async fn a_certificate_that_has_ended_counts_no_more_on_a_connection_that_stays_open() {
    let server = Server::new().await;
    let identity = ann(&server, Duration::from_secs(3));
    let mut idle = server.connect_as(identity.client()).await;
    let mut sender = server.sender(identity.client()).await;
    let path = format!("https://{}/apis/authentication.k8s.io/v1", server.address);
    let asked = http::Request::builder().method(Method::GET).uri(&path).body(Body::empty()).unwrap();
    assert_eq!(soon(sender.send_request(asked)).await.unwrap().status(), 200);
    // The settings of HTTP/2 are not sent to whoever has said nothing.
    let mut byte = [0];
    let ended = soon(idle.read(&mut byte)).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    while soon(sender.ready()).await.is_ok() && !sender.is_closed() {
        tokio::task::yield_now().await;
    }
    let late = client(&server, identity).list(&Query::all(Kind::ConfigMap)).await.unwrap_err();
    assert!(!matches!(late.reason, Reason::Forbidden), "nobody is asked what it may do: {late}");
}

/// The certificate of a Pod.
fn of_pod(server: &Server, pod: PodIdentity) -> Arc<Shared> {
    let key = KeyPair::generate().unwrap();
    let asked = Request::of_pod(&key.request().unwrap()).unwrap();
    let now = Timestamp::from(SystemTime::now());
    let template = Template {
        subject: der::group(der::SEQUENCE, &[]),
        key: asked.key_der,
        pod: Some(pod),
        names: AlternativeNames::default(),
        usages: vec![Usage::ClientAuth],
        from: Timestamp(now.0 - 60_000),
        until: now.after(Duration::from_secs(600)),
    };
    let chain = server.pki.0.certify(&template).unwrap();
    Shared::new(Identity::new(&chain, &key, server.pki.0.certificate_pem()).unwrap()).unwrap()
}

#[tokio::test]
async fn the_certificate_of_a_pod_counts_as_long_as_its_pod_and_account_are_there() {
    let server = Server::new().await;
    let root = server.client();
    let account = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: till, namespace: default}}";
    let account = root.create(object(Kind::ServiceAccount, account)).await.unwrap();
    let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: reads}, \
                rules: [{apiGroups: [''], resources: [configmaps], verbs: [list, watch]}]}";
    let binding = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: till}, \
                    roleRef: {kind: ClusterRole, name: reads}, \
                    subjects: [{kind: ServiceAccount, name: till, namespace: default}]}";
    for (kind, manifest) in [(Kind::ClusterRole, role), (Kind::ClusterRoleBinding, binding)] {
        root.create(object(kind, manifest)).await.unwrap();
    }
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: till-1, namespace: default}, \
               spec: {serviceAccountName: till, containers: [{name: a, image: 'a:1'}]}}";
    let uid = |object: &Object| object.metadata().unwrap().uid.clone();
    let made = root.create(object(Kind::Pod, pod)).await.unwrap();
    let identity = |pod: &Object, account: &Object| PodIdentity {
        namespace: "default".to_owned(),
        service_account_name: "till".to_owned(),
        service_account_uid: uid(account),
        pod_name: "till-1".to_owned(),
        pod_uid: uid(pod),
        ..PodIdentity::default()
    };
    let till = client(&server, of_pod(&server, identity(&made, &account)));
    till.list(&Query::all(Kind::ConfigMap)).await.unwrap();
    let refused = till.list(&Query::all(Kind::Secret)).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Forbidden);
    assert!(refused.message.contains("system:serviceaccount:default:till"), "{refused}");
    for wrong in [
        PodIdentity { pod_uid: "another".to_owned(), ..identity(&made, &account) },
        PodIdentity { pod_uid: String::new(), ..identity(&made, &account) },
        PodIdentity { pod_name: "till-2".to_owned(), ..identity(&made, &account) },
        PodIdentity { service_account_uid: "another".to_owned(), ..identity(&made, &account) },
        PodIdentity { namespace: "kube-system".to_owned(), ..identity(&made, &account) },
    ] {
        let refused = client(&server, of_pod(&server, wrong)).list(&Query::all(Kind::ConfigMap)).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Unauthorized, "{refused}");
    }
    // What was answered for as long as it lasts ends with the Pod, and the open connection is nobody's.
    let mut sender = server.sender(of_pod(&server, identity(&made, &account)).client()).await;
    let path = |watch: bool| format!("https://{}/api/v1/configmaps?watch={watch}", server.address);
    let ask = |watch| http::Request::builder().method(Method::GET).uri(path(watch)).body(Body::empty()).unwrap();
    let watch = soon(sender.send_request(ask(true))).await.unwrap();
    assert_eq!(watch.status(), 200);
    let mut watch = watch.into_body();
    root.delete(&made.key(), &DeleteOptions { grace_period_s: Some(0), ..DeleteOptions::default() }).await.unwrap();
    let ended = async {
        while let Some(frame) = http_body_util::BodyExt::frame(&mut watch).await {
            if frame.is_err() {
                break;
            }
        }
    };
    soon(ended).await;
    assert_eq!(soon(sender.send_request(ask(false))).await.unwrap().status(), 401);
    let again = root.create(object(Kind::Pod, pod)).await.unwrap();
    assert_eq!(till.list(&Query::all(Kind::ConfigMap)).await.unwrap_err().reason, Reason::Unauthorized, "a namesake");
    client(&server, of_pod(&server, identity(&again, &account))).list(&Query::all(Kind::ConfigMap)).await.unwrap();
    root.delete(&account.key(), &DeleteOptions::default()).await.unwrap();
    let refused = client(&server, of_pod(&server, identity(&again, &account)));
    assert_eq!(refused.list(&Query::all(Kind::ConfigMap)).await.unwrap_err().reason, Reason::Unauthorized);
}
