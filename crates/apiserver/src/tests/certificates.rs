//! Users whose certificates were asked for through the API.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use api::{
    Key, Kind, Object, Reason, Subresource, Timestamp,
    certificates_v1::{CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec},
    json,
    x509::{AlternativeNames, Request, Template, Usage, der},
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
