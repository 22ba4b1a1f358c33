//! Clients of the OCI registry: how they say who they are, and what rights they have in which repositories.

use api::{
    Kind, Object, Write,
    authentication_v1::TokenRequest,
    json::{Strictness, decode},
};
use axum::body::Body;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use images::Digest;
use registry::WriteOptions;
use rpc::{Client, Security};
use serde_json::{Value, json};

use super::{Server, soon};

const GROUP: &str = "rbac.authorization.k8s.io";
const MODULE: &[u8] = b"\0asm secret";

/// A server with the account `till` of `default`, which has some rights in repositories below `team/`.
struct Quay {
    server: Server,
    token: String,
}

impl Quay {
    async fn new() -> Self {
        let server = Server::new().await;
        let quay = Self { server, token: String::new() };
        for name in ["team", "mine"] {
            quay.create(Kind::Namespace, json!({"apiVersion": "v1", "metadata": {"name": name}})).await;
        }
        let metadata = json!({"name": "till", "namespace": "default"});
        quay.create(Kind::ServiceAccount, json!({"apiVersion": "v1", "metadata": metadata})).await;
        let account = api::Key::namespaced(Kind::ServiceAccount, "default", "till");
        let made = soon(quay.server.house.registry.create_token(&account, TokenRequest::default())).await.unwrap();
        let images = &quay.server.house.images;
        for name in ["team/app", "other/app", "solo"] {
            let pieces = futures::stream::iter([Ok::<_, String>(Bytes::from_static(MODULE))]);
            soon(images.push(name, "1", pieces)).await.unwrap();
        }
        Self { token: made.0.status.unwrap().token, ..quay }
    }

    async fn create(&self, kind: Kind, mut value: Value) {
        value["kind"] = kind.info().kind.into();
        let object: Object = decode(kind, &value, Strictness::Strict).unwrap().object;
        soon(self.server.house.registry.submit(Write::Create(object), WriteOptions::default())).await.unwrap();
    }

    /// Lets `till` do something with the images of a namespace.
    async fn allow(&self, namespace: &str, verbs: &[&str]) {
        let name = format!("{namespace}-{}", verbs.join("-"));
        let rules = json!([{"apiGroups": ["kapelle.dev"], "resources": ["images"], "verbs": verbs}]);
        let metadata = json!({"name": name, "namespace": namespace});
        let api_version = format!("{GROUP}/v1");
        self.create(Kind::Role, json!({"apiVersion": api_version, "metadata": metadata, "rules": rules})).await;
        let subjects = json!([{"kind": "ServiceAccount", "name": "till", "namespace": "default"}]);
        let role = json!({"apiGroup": GROUP, "kind": "Role", "name": name});
        let binding = json!({"apiVersion": api_version, "metadata": metadata, "roleRef": role, "subjects": subjects});
        self.create(Kind::RoleBinding, binding).await;
    }

    fn basic(&self, name: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{}", self.token)))
    }

    async fn ask(&self, line: &str, shown: &str, body: impl Into<Body>) -> (StatusCode, HeaderMap, Bytes) {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server.url));
        if !shown.is_empty() {
            request = request.header(header::AUTHORIZATION, shown);
        }
        let mut sender = self.server.sender(self.server.nobody()).await;
        let answer = soon(sender.send_request(request.body(body.into()).unwrap())).await.unwrap();
        let (head, body) = answer.into_parts();
        (head.status, head.headers, soon(body.collect()).await.unwrap().to_bytes())
    }

    async fn code(&self, line: &str) -> u16 {
        self.ask(line, &self.basic("anybody"), Body::empty()).await.0.as_u16()
    }
}

#[tokio::test]
async fn a_login_is_asked_for_and_taken_in_both_forms() {
    let quay = Quay::new().await;
    let (code, headers, body) = quay.ask("GET /v2/", "", Body::empty()).await;
    assert_eq!(code, StatusCode::UNAUTHORIZED);
    assert!(headers["www-authenticate"].to_str().unwrap().starts_with("Basic realm="), "{headers:?}");
    assert_eq!(headers["docker-distribution-api-version"], "registry/2.0");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["errors"][0]["code"], "UNAUTHORIZED");
    for shown in [quay.basic("docker"), quay.basic(""), format!("Bearer {}", quay.token)] {
        assert_eq!(quay.ask("GET /v2/", &shown, Body::empty()).await.0, StatusCode::OK);
    }
    let wrong = BASE64_STANDARD.encode("till:password");
    for shown in [format!("Basic {wrong}"), "Basic !".to_owned(), "Basic".to_owned()] {
        let (code, headers, _) = quay.ask("GET /v2/", &shown, Body::empty()).await;
        assert_eq!(code, StatusCode::UNAUTHORIZED, "{shown}");
        assert!(headers.contains_key("www-authenticate"), "{shown}");
    }
    // Names and passwords are for clients of the registry only.
    assert_eq!(quay.code("GET /api").await, 401);
}

#[tokio::test]
async fn rights_are_those_of_the_namespace_that_a_repository_begins_with() {
    let quay = Quay::new().await;
    let read = |name: &str| format!("GET /v2/{name}/manifests/1");
    assert_eq!(quay.code(&read("team/app")).await, 403, "none yet");
    quay.allow("team", &["get"]).await;
    assert_eq!(quay.code(&read("team/app")).await, 200);
    assert_eq!(quay.code("GET /v2/team/app/tags/list").await, 200);
    for other in ["other/app", "solo", "teams/app"] {
        assert_eq!(quay.code(&read(other)).await, 403, "{other}");
    }
    assert_eq!(quay.code("GET /v2/_catalog").await, 403);
    // Content that another repository has is not to be had through this one.
    let digest = Digest::of(MODULE);
    assert_eq!(quay.code(&format!("GET /v2/team/app/blobs/{digest}")).await, 200);
    assert_eq!(quay.code(&format!("GET /v2/team/new/blobs/{digest}")).await, 404);
    assert_eq!(quay.code("POST /v2/team/app/blobs/uploads/").await, 403);
    assert_eq!(quay.code("DELETE /v2/team/app/manifests/1").await, 403);
    quay.allow("team", &["create"]).await;
    assert_eq!(quay.code("POST /v2/team/app/blobs/uploads/").await, 202);
    assert_eq!(quay.code("DELETE /v2/team/app/manifests/1").await, 403);
    quay.allow("team", &["delete"]).await;
    assert_eq!(quay.code("DELETE /v2/team/app/manifests/1").await, 202);
}

#[tokio::test]
async fn a_mount_asks_for_the_right_to_read_where_it_takes_from() {
    let quay = Quay::new().await;
    quay.allow("mine", &["get", "create"]).await;
    let digest = Digest::of(MODULE);
    let mount = format!("POST /v2/mine/app/blobs/uploads/?mount={digest}&from=team%2Fapp");
    assert_eq!(quay.code(&mount).await, 202, "an upload begins instead");
    assert_eq!(quay.code(&format!("GET /v2/mine/app/blobs/{digest}")).await, 404);
    quay.allow("team", &["get"]).await;
    assert_eq!(quay.code(&mount).await, 201);
    let (code, _, body) = quay.ask(&format!("GET /v2/mine/app/blobs/{digest}"), &quay.basic("x"), Body::empty()).await;
    assert_eq!((code, &body[..]), (StatusCode::OK, MODULE));
}

#[tokio::test]
async fn grpc_asks_for_the_same_rights() {
    let quay = Quay::new().await;
    let security = Security::bearer(quay.server.pki.0.certificate_pem(), &quay.token).unwrap();
    let client = Client::connect_with(std::slice::from_ref(&quay.server.url), security).unwrap();
    let digest = Digest::of(MODULE).to_string();
    let forbidden = api::Reason::Forbidden;
    let push = |name: &'static str| client.push(name, "2", Bytes::from_static(MODULE));
    assert_eq!(client.manifest("team/app", "1", false).await.unwrap_err().reason, forbidden);
    assert_eq!(client.blob("team/app", &digest, false).await.map(drop).unwrap_err().reason, forbidden);
    assert_eq!(push("team/app").await.unwrap_err().reason, forbidden);
    quay.allow("team", &["get", "create"]).await;
    client.manifest("team/app", "1", false).await.unwrap();
    client.blob("team/app", &digest, false).await.map(drop).unwrap();
    let missing = client.blob("team/new", &digest, false).await.map(drop).unwrap_err();
    assert_eq!(missing.reason, api::Reason::NotFound);
    push("team/app").await.unwrap();
    for (name, outcome) in [
        ("other/app", push("other/app").await.map(drop)),
        ("solo", client.manifest("solo", "1", false).await.map(drop)),
    ] {
        assert_eq!(outcome.unwrap_err().reason, forbidden, "{name}");
    }
    let told = client.announce("team/app", "1", "https://127.0.0.1:1").await.unwrap_err();
    assert_eq!(told.reason, forbidden, "masters tell each other");
}
