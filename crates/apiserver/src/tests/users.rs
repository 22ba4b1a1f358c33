//! Users who show a token, in every language, and what becomes of what they have open when they are revoked.

use std::{sync::Arc, time::Duration};

use api::{
    DeleteOptions, Key, Kind, Object, Served, Write,
    authentication_v1::TokenRequest,
    authorization_v1::{FieldSelectorAttributes, ResourceAttributes, SubjectAccessReviewSpec},
    json::{self, Strictness},
};
use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use registry::WriteOptions;
use rpc::{Client, Query, Security};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Server, soon};

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// A user and an account who may watch ConfigMaps.
const OBJECTS: [(&str, &str, &str); 4] = [
    ("kapelle.dev/v1", "User", r#"{"metadata": {"name": "ann"}, "spec": {"groups": ["devs"]}}"#),
    ("v1", "ServiceAccount", r#"{"metadata": {"name": "till", "namespace": "default"}}"#),
    (
        RBAC,
        "ClusterRole",
        r#"{"metadata": {"name": "watches"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["watch"]}]}"#,
    ),
    (
        RBAC,
        "ClusterRoleBinding",
        r#"{"metadata": {"name": "watches"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "watches"}, "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "devs"}, {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:serviceaccounts"}]}"#,
    ),
];

fn ann() -> Key {
    Key::cluster(Kind::User, "ann")
}

fn till() -> Key {
    Key::namespaced(Kind::ServiceAccount, "default", "till")
}

async fn server() -> Server {
    let server = Server::new().await;
    for (api_version, kind, text) in OBJECTS {
        let mut value: Value = serde_json::from_str(text).unwrap();
        (value["apiVersion"], value["kind"]) = (api_version.into(), kind.into());
        let served = Served::from_api_version(api_version, kind).unwrap();
        create(&server, json::decode(served, &value, Strictness::Strict).unwrap().object).await;
    }
    server
}

async fn create(server: &Server, object: Object) {
    soon(server.house.registry.submit(Write::Create(object), WriteOptions::default())).await.unwrap();
}

async fn revoke(server: &Server, key: Key) {
    let write = Write::Delete(key, DeleteOptions::default());
    soon(server.house.registry.submit(write, WriteOptions::default())).await.unwrap();
}

async fn token(server: &Server, key: &Key) -> String {
    let made = soon(server.house.registry.create_token(key, TokenRequest::default())).await.unwrap();
    made.0.status.unwrap().token
}

async fn asked(
    server: &Server,
    config: &Arc<ClientConfig>,
    (method, path): (Method, &str),
    token: &str,
    body: &Value,
) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", server.url));
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())).unwrap();
    let answer = soon(server.sender(config.clone()).await.send_request(request)).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = soon(body.collect()).await.unwrap().to_bytes();
    (head.status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_user_is_somebody_over_rest_and_grpc_until_it_is_revoked() {
    let server = server().await;
    let (nobody, admin) = (server.nobody(), server.pki.admin().client());
    let post = |path| (Method::POST, path);
    let path = "/apis/kapelle.dev/v1/users/ann/token";
    let (code, made) = asked(&server, &admin, post(path), "", &json!({"spec": {"expirationSeconds": 600}})).await;
    assert_eq!(
        (code.as_u16(), &made["kind"], &made["spec"]["expirationSeconds"]),
        (201, &json!("TokenRequest"), &json!(600))
    );
    let token = made["status"]["token"].as_str().unwrap().to_owned();
    let (code, answer) =
        asked(&server, &nobody, post("/apis/authentication.k8s.io/v1/selfsubjectreviews"), &token, &json!({})).await;
    assert_eq!(code, 201);
    assert_eq!(answer["status"]["userInfo"]["username"], "ann");
    assert_eq!(answer["status"]["userInfo"]["groups"], json!(["devs", "system:authenticated"]));
    let review = json!({"spec": {"token": token}});
    let (_, answer) = asked(&server, &admin, post("/apis/authentication.k8s.io/v1/tokenreviews"), "", &review).await;
    assert_eq!(
        (&answer["status"]["authenticated"], &answer["status"]["user"]["username"]),
        (&json!(true), &json!("ann"))
    );
    assert_eq!(asked(&server, &nobody, post(path), &token, &json!({})).await.0, 403, "not for itself either");

    let security = Security::bearer(server.pki.0.certificate_pem(), &token).unwrap();
    let client = Client::connect_with(std::slice::from_ref(&server.url), security).unwrap();
    let error = client.list(&Query::all(Kind::ConfigMap)).await.unwrap_err();
    assert!(error.message.contains("User \"ann\" cannot list"), "{error}");
    let error = client.request_token(&ann(), Default::default()).await.unwrap_err();
    assert!(error.message.contains("users/token"), "{error}");
    let again = server.client().request_token(&ann(), Default::default()).await.unwrap();
    assert!(again.token.len() > 100 && again.expiration_timestamp.is_some());

    revoke(&server, ann()).await;
    let (code, answer) = asked(&server, &nobody, (Method::GET, "/api"), &token, &Value::Null).await;
    assert_eq!(code, 401);
    assert!(answer["message"].as_str().unwrap().contains("its User \"ann\" was deleted"), "{answer}");
    assert_eq!(client.list(&Query::all(Kind::ConfigMap)).await.unwrap_err().reason, api::Reason::Unauthorized);
}

/// Browsers cannot set the header of a WebSocket: the token comes among its protocols, and ends what it began all the same.
#[tokio::test]
async fn a_watch_over_a_websocket_ends_with_whose_token_opened_it() {
    let server = server().await;
    for key in [ann(), till()] {
        let shown = BASE64_URL_SAFE_NO_PAD.encode(token(&server, &key).await);
        let mut stream = server.connect_as(server.nobody()).await;
        let head = format!(
            "GET /api/v1/configmaps?watch=true HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.{shown}, binary.k8s.io\r\n\r\n",
            server.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut begun = [0; 12];
        soon(stream.read_exact(&mut begun)).await.unwrap();
        assert_eq!(&begun, b"HTTP/1.1 101", "{key}");
        revoke(&server, key.clone()).await;
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(1), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{key}: it goes on");
    }
}

#[tokio::test]
async fn grpc_answers_who_may_do_what() {
    let server = server().await;
    let asked = |verb: &str| SubjectAccessReviewSpec {
        user: "ann".to_owned(),
        groups: vec!["devs".to_owned()],
        resource_attributes: Some(ResourceAttributes {
            verb: verb.to_owned(),
            resource: "configmaps".to_owned(),
            namespace: "default".to_owned(),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    };
    let allowed = server.client().review_access(asked("watch")).await.unwrap();
    assert!(
        allowed.allowed && allowed.reason.contains("ClusterRole \"watches\" to Group \"devs\": {APIGroups"),
        "{allowed:?}"
    );
    let refused = server.client().review_access(asked("list")).await.unwrap();
    assert!(!refused.allowed && refused.reason.contains("nearest comes ClusterRoleBinding \"watches\""), "{refused:?}");
    let selector = |raw: &str| FieldSelectorAttributes { raw_selector: raw.to_owned(), ..Default::default() };
    let of_node = |raw: &str| SubjectAccessReviewSpec {
        user: "system:node:w1".to_owned(),
        groups: vec!["system:nodes".to_owned()],
        resource_attributes: Some(ResourceAttributes {
            verb: "list".to_owned(),
            resource: "pods".to_owned(),
            field_selector: Some(selector(raw)),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    };
    let own = server.client().review_access(of_node("spec.nodeName=w1")).await.unwrap();
    let others = server.client().review_access(of_node("spec.nodeName=w2")).await.unwrap();
    assert!(own.allowed && !others.allowed, "{own:?} {others:?}");
    let error = server.client().review_access(of_node("")).await.unwrap_err();
    assert!(error.message.contains("requirements or rawSelector is required"), "{error}");
    let error = server.client().review_access(SubjectAccessReviewSpec::default()).await.unwrap_err();
    assert!(error.message.contains("spec.resourceAttributes"), "{error}");
    let security = Security::bearer(server.pki.0.certificate_pem(), &token(&server, &ann()).await).unwrap();
    let client = Client::connect_with(std::slice::from_ref(&server.url), security).unwrap();
    assert_eq!(client.review_access(asked("list")).await.unwrap_err().reason, api::Reason::Forbidden);
}
