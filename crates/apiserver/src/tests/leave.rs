//! Nobody gets anything, whichever way it is asked: every path, method and service, found in the tables that they are
//! served from, so that a new one that forgets to ask for leave is found here.

use std::{convert::Infallible, sync::Arc};

use api::{Key, Kind, Served, Write, authentication_v1::TokenRequest};
use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use prost::Message as _;
use registry::{Caller, Masters, WriteOptions};
use rpc::identity::Authority;

use super::{House, config_map, node_caller, pod, soon};
use crate::{Entrance, grpc::JOIN_BYTES_MAX, server::Languages};

/// What everybody may ask: the same as in Kubernetes, and to come in with a token.
const PUBLIC_PATHS: [&str; 6] =
    ["/version", "/healthz", "/livez", "/readyz", "/.well-known/openid-configuration", "/openid/v1/jwks"];
const PUBLIC_METHODS: [&str; 3] =
    ["/kapelle.api.v1.Join/Join", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];

struct Street {
    house: House,
    languages: Languages,
}

/// A house in which a ConfigMap, a Pod and a namespace are, all called `there`.
async fn street() -> Street {
    let house = House::new().await;
    for object in [config_map("there", "1"), pod("there")] {
        house.registry.submit(Write::Create(object), WriteOptions::default()).await.unwrap();
    }
    // The keys of ServiceAccounts are made for the first who asks for a token.
    house.registry.sign_by(&Authority::found("test").unwrap()).unwrap();
    let account = Key::namespaced(Kind::ServiceAccount, "default", "none");
    house.registry.create_token(&account, TokenRequest::default()).await.unwrap_err();
    let languages = Languages::new(house.registry.clone(), house.aggregator(), house.images.clone(), None).await;
    Street { house, languages }
}

/// A body that never ends and never comes: whoever waits for it waits for ever.
fn endless() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
}

impl Street {
    async fn ask(&self, caller: Caller, request: Request<Body>) -> Response<Body> {
        soon(self.languages.answer(request, Arc::new(caller), [127, 0, 0, 1].into())).await.unwrap()
    }

    /// What nobody is answered, whole, and that the state was not looked at for it.
    async fn nobody(&self, request: Request<Body>) -> (StatusCode, String, Bytes) {
        let (line, looks) = (format!("{} {}", request.method(), request.uri()), self.house.registry.looks());
        let (head, body) = self.ask(Caller::Nobody, request).await.into_parts();
        assert_eq!(self.house.registry.looks(), looks, "{line}: the state was looked at");
        let status = head.headers.get("grpc-status").map_or("", |value| value.to_str().unwrap()).to_owned();
        (head.status, status, soon(body.collect()).await.unwrap().to_bytes())
    }
}

fn rest(method: &Method, path: &str) -> Request<Body> {
    let json = if *method == Method::PATCH { "application/json-patch+json" } else { "application/json" };
    Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, json).body(endless()).unwrap()
}

fn grpc(path: &str, body: Body) -> Request<Body> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/grpc").header(header::TE, "trailers");
    request.body(body).unwrap()
}

/// Every path of a kind, with an object that is there or one that is not.
fn paths(served: impl Into<Served>, name: &str) -> Vec<String> {
    let info = served.into().info();
    let root = if info.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", info.group) };
    let root = format!("{root}/{}", info.version);
    let within = if info.namespaced { format!("{root}/namespaces/default") } else { root.clone() };
    let one = format!("{within}/{}/{name}", info.plural);
    let parts = info.subresources.iter().map(|part| format!("{one}/{}", part.word()));
    let all = format!("{root}/{}", info.plural);
    let many = format!("{within}/{}", info.plural);
    let watch = format!("{many}?watch=true&fieldSelector=metadata.name%3D{name}");
    [all, many, watch, one.clone()].into_iter().chain(parts).collect()
}

const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

#[tokio::test]
async fn nobody_is_told_the_same_on_every_path_whether_something_is_there_or_not() {
    let street = street().await;
    let mut told = std::collections::BTreeSet::new();
    for served in Served::all() {
        for (there, missing) in paths(served, "there").iter().zip(paths(served, "missing")) {
            for method in METHODS {
                let answers = [rest(&method, there), rest(&method, &missing)].map(|request| street.nobody(request));
                let [one, other] = answers;
                let (one, other) = (one.await, other.await);
                assert_eq!(one.0, StatusCode::UNAUTHORIZED, "{method} {there}");
                assert_eq!(one, other, "{method} {there}");
                told.insert(one.2);
            }
        }
    }
    assert_eq!(told.len(), 1, "one answer for all: {told:?}");
    for path in ["/", "/api", "/apis", "/apis/apps/v1", "/openapi/v2", "/openapi/v3", "/metrics", "/api/v1/nothing"] {
        assert_eq!(street.nobody(rest(&Method::GET, path)).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    for review in ["selfsubjectaccessreviews", "selfsubjectrulesreviews"] {
        let path = format!("/apis/authorization.k8s.io/v1/{review}");
        assert_eq!(street.nobody(rest(&Method::POST, &path)).await.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in PUBLIC_PATHS {
        let answer = street.ask(Caller::Nobody, rest(&Method::GET, path)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn nobody_is_told_the_same_by_every_grpc_method() {
    let street = street().await;
    let services = prost_types::FileDescriptorSet::decode(rpc::DESCRIPTORS).unwrap();
    let mut count = 0;
    for file in &services.file {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                count += 1;
                if PUBLIC_METHODS.contains(&path.as_str()) {
                    continue;
                }
                let (_, status, _) = street.nobody(grpc(&path, endless())).await;
                assert_eq!(status, (tonic::Code::Unauthenticated as i32).to_string(), "{path}");
            }
        }
    }
    assert!(count > 20, "every service is described: {count}");
    for path in [
        "/kapelle.api.v1.New/Method",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ] {
        let (_, status, _) = street.nobody(grpc(path, endless())).await;
        assert_eq!(status, "16", "{path}");
    }
}

#[tokio::test]
async fn nobody_reads_or_writes_images() {
    let street = street().await;
    let digest = format!("sha256:{}", "0".repeat(64));
    for path in
        ["/v2", "/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/1", "/v2/a/blobs/uploads/", "/v2/a/x"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("/v2/a/blobs/{digest}")])
    {
        for method in METHODS {
            let (status, _, body) = street.nobody(rest(&method, &path)).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert!(body.starts_with(br#"{"errors":[{"code":"UNAUTHORIZED""#), "{body:?}");
        }
    }
}

#[tokio::test]
async fn a_node_writes_no_images_and_does_not_touch_the_group_of_masters() {
    let street = street().await;
    let node = node_caller(&street.house.registry, "w1").await;
    let node = || node.clone();
    let put = street.ask(node(), rest(&Method::PUT, "/v2/a/manifests/1")).await;
    assert_eq!(put.status(), StatusCode::FORBIDDEN);
    assert_eq!(street.ask(node(), rest(&Method::GET, "/v2/")).await.status(), StatusCode::OK);
    for method in ["Cluster/Promote", "Cluster/Backup", "Cluster/NewOne", "Images/Push", "Images/NewOne"] {
        let answer = street.ask(node(), grpc(&format!("/kapelle.api.v1.{method}"), endless())).await;
        assert_eq!(answer.headers()["grpc-status"], "7", "{method}");
    }
}

#[tokio::test]
async fn a_node_cannot_tell_a_foreign_pod_from_none() {
    let street = street().await;
    let node = node_caller(&street.house.registry, "w1").await;
    let node = || node.clone();
    for (line, body) in [("DELETE", ""), ("PATCH /status", r#"[{"op":"test","path":"/kind","value":"Pod"}]"#)] {
        let (method, part) = line.split_once(' ').unwrap_or((line, ""));
        let mut told = Vec::new();
        for name in ["there", "missing"] {
            let mut request = rest(&method.parse().unwrap(), &format!("/api/v1/namespaces/default/pods/{name}{part}"));
            *request.body_mut() = Body::from(body);
            let (head, body) = street.ask(node(), request).await.into_parts();
            let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            told.push((head.status, text.replace(name, "NAME")));
        }
        assert_eq!(told[0], told[1]);
        assert_eq!(told[0].0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn what_is_refused_is_refused_before_its_body_is_there() {
    let street = street().await;
    let node = node_caller(&street.house.registry, "w1").await;
    for line in ["POST /api/v1/namespaces/default/configmaps", "PUT /api/v1/namespaces/default/configmaps/there"] {
        let (method, path) = line.split_once(' ').unwrap();
        let answer = street.ask(node.clone(), rest(&method.parse().unwrap(), path)).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{line}");
    }
}

#[tokio::test]
async fn no_error_shows_what_a_secret_holds() {
    let street = street().await;
    let mut secret = api::core_v1::Secret::default();
    api::kinds::Resource::metadata_mut(&mut secret).name = "mine".to_owned();
    api::kinds::Resource::metadata_mut(&mut secret).namespace = "default".to_owned();
    secret.data.insert("password".to_owned(), "hunter-two!".into());
    street.house.registry.submit(Write::Create(secret.into()), WriteOptions::default()).await.unwrap();
    let shown = ["hunter-two!", "aHVudGVyLXR3byE"];
    for to in [
        "/immutable",
        "/kind",
        "/apiVersion",
        "/type",
        "/data",
        "/metadata",
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/uid",
        "/metadata/resourceVersion",
        "/metadata/generation",
        "/metadata/generateName",
        "/metadata/creationTimestamp",
        "/metadata/labels",
        "/metadata/labels/x",
        "/metadata/finalizers",
        "/metadata/ownerReferences",
        "/data/password/x",
    ] {
        let labels = r#"{"op":"add","path":"/metadata/labels","value":{}}"#;
        let patch = format!(r#"[{labels},{{"op":"copy","from":"/data/password","path":"{to}"}}]"#);
        let mut request = rest(&Method::PATCH, "/api/v1/namespaces/default/secrets/mine");
        *request.body_mut() = Body::from(patch);
        let (head, body) = street.ask(Caller::Admin { name: "tester".to_owned() }, request).await.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        assert!(head.status.is_client_error(), "{to}: {text}");
        assert!(!shown.iter().any(|secret| text.contains(secret)), "{to}: {text}");
    }
}

#[tokio::test]
async fn who_wants_to_come_in_says_little() {
    let street = street().await;
    let entrance = Entrance {
        authority: Arc::new(Authority::found("test").unwrap()),
        masters: Masters::default(),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        node_prefix: 24,
        service_cidr: "10.96.0.0/12".parse().unwrap(),
        leaf_life: crate::LEAF_LIFE,
    };
    let House { registry, images, .. } = &street.house;
    let aggregator = street.house.aggregator();
    let languages = Languages::new(registry.clone(), aggregator, images.clone(), Some(entrance)).await;
    let street = Street { languages, ..street };
    let join = |bytes: usize| {
        let request = rpc::services::JoinRequest { node_name: "n".repeat(bytes), ..Default::default() };
        let message = request.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        grpc("/kapelle.api.v1.Join/Join", Body::from([&[0], length.as_slice(), &message].concat()))
    };
    for (bytes, code) in [(1_000, "3"), (JOIN_BYTES_MAX, "11")] {
        let answer = street.ask(Caller::Nobody, join(bytes)).await;
        assert_eq!(answer.headers()["grpc-status"], code, "{bytes} bytes");
    }
}
