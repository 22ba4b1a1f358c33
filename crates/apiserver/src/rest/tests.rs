//! The REST API over a real Registry and real sockets on loopback, driven request by request.

#![expect(clippy::unwrap_used, reason = "tests")]

mod apply;
mod cbor;
mod certificates;
mod custom;
mod forms;
mod openapi;
mod protobuf;
mod states;
mod versions;
mod yaml;

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use api::{Cidr, Timestamp};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use registry::{Caller, Membership, Options, QUOTA_BYTES};
use rpc::identity::Authority;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::aggregate::Aggregator;

/// The time, as far as these tests go.
const NOW: Timestamp = Timestamp(1_795_000_000_000);

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(180);

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

struct Server {
    origin: String,
    client: Client<HttpConnector, Body>,
    /// Where the log is; gone with the server.
    _dir: TempDir,
}

/// A cluster of one with the namespace `default`, and its REST API on a free port.
async fn start() -> Server {
    start_at(|| NOW).await
}

/// The same with a clock of its own.
async fn start_at(now: fn() -> Timestamp) -> Server {
    let dir = TempDir::new().unwrap();
    let service_cidr = Cidr::new(Ipv4Addr::new(127, 128, 0, 0), 12).unwrap();
    let options = Options { service_cidr, quota_bytes: QUOTA_BYTES, now };
    let registry = registry::open(dir.path(), options, Membership::default()).unwrap();
    registry.bootstrap().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let aggregator = Aggregator::new(&registry, Arc::new(Authority::found("test").unwrap()));
    let router = super::router(registry, aggregator).layer(asked_by_admin());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Server { origin, client: Client::builder(TokioExecutor::new()).build_http(), _dir: dir }
}

fn asked_by_admin() -> axum::Extension<Arc<Caller>> {
    axum::Extension(Arc::new(Caller::Admin { name: "tester".to_owned() }))
}

struct Answer {
    code: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code and what stands at some JSON pointers, for comparison in one piece.
    fn shows(&self, pointers: &[&str]) -> (u16, Vec<Value>) {
        let value = self.json();
        (self.code, pointers.iter().map(|pointer| value.pointer(pointer).cloned().unwrap_or_default()).collect())
    }
}

impl Server {
    /// Sends `METHOD PATH` with headers given as `name: value`.
    async fn send(&self, line: &str, headers: &[&str], body: impl Into<Body>) -> http::Response<hyper::body::Incoming> {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.origin));
        for (name, value) in headers.iter().map(|header| header.split_once(": ").unwrap()) {
            request = request.header(name, value);
        }
        let response = self.client.request(request.body(body.into()).unwrap());
        tokio::time::timeout(PATIENCE, response).await.expect("an answer in time").unwrap()
    }

    async fn ask(&self, line: &str, headers: &[&str], body: impl Into<Body>) -> Answer {
        let (head, body) = self.send(line, headers, body).await.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("a body in time").unwrap();
        Answer { code: head.status.as_u16(), headers: head.headers, body: body.to_bytes() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], Body::empty()).await
    }

    async fn watch(&self, path: &str, headers: &[&str]) -> Lines {
        let response = self.send(&format!("GET {path}"), headers, Body::empty()).await;
        assert_eq!(response.status(), 200);
        Lines { body: response.into_body(), unread: Vec::new() }
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(&format!("POST {path}"), &[], body.to_string()).await
    }
}

/// Reads lines of a watch as they come.
struct Lines {
    body: hyper::body::Incoming,
    unread: Vec<u8>,
}

impl Lines {
    /// The next line; `None` at a clean end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("a line in time")?;
            self.unread.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
        }
    }
}

fn config_map(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": name, "image": "hello:1" }] },
            },
        },
    })
}

#[tokio::test]
async fn documents_describe_the_server() {
    let server = start().await;
    let aggregated = "accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let discovered = server.ask("GET /apis", &[aggregated], Body::empty()).await;
    assert_eq!(
        discovered.header(header::CONTENT_TYPE),
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let known = format!("if-none-match: {}", discovered.header(header::ETAG));
    assert_eq!(server.ask("GET /apis", &[aggregated, &known], Body::empty()).await.code, 304);

    let cases = [
        ("/version/", "/minor", json!("32")),
        ("/api", "/versions/0", json!("v1")),
        ("/apis", "/kind", json!("APIGroupList")),
        ("/apis/apps", "/preferredVersion/groupVersion", json!("apps/v1")),
        ("/api/v1", "/groupVersion", json!("v1")),
        ("/apis/nope/v1/things", "/reason", json!("NotFound")),
    ];
    for (path, pointer, expected) in cases {
        assert_eq!(server.get(path).await.json().pointer(pointer), Some(&expected), "{path}");
    }
    assert_eq!(server.get("/livez").await.body, "ok");
    assert_eq!(server.get("/readyz").await.code, 200);
    assert_eq!(server.ask("PUT /version", &[], Body::empty()).await.code, 405);
}

#[tokio::test]
async fn an_object_lives_from_create_to_delete() {
    let server = start().await;
    let created = server.post(CONFIG_MAPS, &config_map("c1", json!({ "a": "b" }))).await;
    assert_eq!(created.shows(&["/kind", "/metadata/namespace", "/data/a"]).0, 201);
    assert!(created.json()["metadata"]["uid"].is_string());
    let again = server.post(CONFIG_MAPS, &config_map("c1", json!({}))).await;
    assert_eq!(
        again.shows(&["/kind", "/reason", "/code"]),
        (409, vec![json!("Status"), json!("AlreadyExists"), json!(409)])
    );

    let one = format!("{CONFIG_MAPS}/c1");
    let merge = "content-type: application/merge-patch+json";
    let patched = server.ask(&format!("PATCH {one}"), &[merge], r#"{"data":{"a":null,"x":"y"}}"#).await;
    assert_eq!(patched.shows(&["/data"]), (200, vec![json!({ "x": "y" })]));
    let stale = created.json().to_string();
    assert_eq!(server.ask(&format!("PUT {one}"), &[], stale).await.shows(&["/reason"]), (409, vec![json!("Conflict")]));
    let yaml = "kind: ConfigMap\nmetadata:\n  name: c1\ndata:\n  k: v\n";
    let put = server.ask(&format!("PUT {one}"), &["content-type: application/yaml"], yaml).await;
    assert_eq!(put.shows(&["/data"]), (200, vec![json!({ "k": "v" })]));

    let gone = server.ask(&format!("DELETE {one}"), &[], Body::empty()).await;
    assert_eq!(
        gone.shows(&["/status", "/details/uid"]),
        (200, vec![json!("Success"), created.json()["metadata"]["uid"].clone()])
    );
    let missing = server.get(&one).await.shows(&["/message", "/details/kind"]);
    assert_eq!(missing, (404, vec![json!("configmaps \"c1\" not found"), json!("configmaps")]));
}

#[tokio::test]
async fn dry_runs_change_nothing() {
    let server = start().await;
    let dry = server.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("c1", json!({}))).await;
    assert_eq!(dry.code, 201);
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/c1")).await.code, 404);
    server.post(CONFIG_MAPS, &config_map("c1", json!({}))).await;
    let options = r#"{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]}"#;
    assert_eq!(server.ask(&format!("DELETE {CONFIG_MAPS}/c1"), &[], options).await.code, 200);
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/c1")).await.code, 200);
    assert_eq!(server.post(&format!("{CONFIG_MAPS}?dryRun=Maybe"), &config_map("c2", json!({}))).await.code, 400);
}

#[tokio::test]
async fn unknown_fields_are_refused_told_or_ignored() {
    let server = start().await;
    let mut typo = config_map("c1", json!({}));
    typo["dataa"] = json!({});
    let strict = server.post(&format!("{CONFIG_MAPS}?dryRun=All&fieldValidation=Strict"), &typo).await;
    assert_eq!(strict.code, 400);
    assert!(strict.json()["message"].as_str().unwrap().contains("unknown field \"dataa\""), "{:?}", strict.body);
    let warned = server.post(&format!("{CONFIG_MAPS}?dryRun=All&fieldValidation=Warn"), &typo).await;
    assert!(warned.header(header::WARNING).starts_with("299 - \"unknown field \\\"dataa\\\""), "{:?}", warned.headers);
    let ignored = server.post(&format!("{CONFIG_MAPS}?dryRun=All&fieldValidation=Ignore"), &typo).await;
    assert_eq!((ignored.code, ignored.header(header::WARNING)), (201, ""));
}

#[tokio::test]
async fn whoever_wants_no_mistake_hears_of_all_at_once() {
    let server = start().await;
    let twice = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","name":"c"},"dataa":{},"data":{"k":"1","k":"2"},"x":1}"#;
    let path = format!("POST {CONFIG_MAPS}?fieldValidation=Strict");
    let refused = server.ask(&path, &[], twice).await;
    let message = "strict decoding error: unknown field \"dataa\" (did you mean \"data\"?), unknown field \"x\", \
                   duplicate field \"metadata.name\", duplicate field \"data.k\"";
    assert_eq!(refused.shows(&["/message"]), (400, vec![json!(message)]));

    server.post(CONFIG_MAPS, &config_map("a", json!({}))).await;
    server.post(DEPLOYMENTS, &deployment("web")).await;
    let merge = ["content-type: application/merge-patch+json"];
    for (path, patch, faults) in [
        (
            format!("{CONFIG_MAPS}/a"),
            r#"{"dataa":{},"data":{"k":"1","k":"2"},"x":1}"#,
            ["duplicate field \"data.k\"", "unknown field \"dataa\" (did you mean \"data\"?)", "unknown field \"x\""],
        ),
        (
            format!("{DEPLOYMENTS}/web/scale"),
            r#"{"spec":{"replicas":1,"replicas":1,"y":1},"x":1}"#,
            ["duplicate field \"spec.replicas\"", "unknown field \"spec.y\"", "unknown field \"x\""],
        ),
    ] {
        let refused = server.ask(&format!("PATCH {path}?fieldValidation=Strict"), &merge, patch).await;
        let said = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(refused.code == 400 && faults.iter().all(|fault| said.contains(fault)), "{path}: {said}");
        let warned = server.ask(&format!("PATCH {path}"), &merge, patch).await;
        let warnings = warned.headers.get_all(header::WARNING).iter();
        let warnings: Vec<String> = warnings.map(|warning| warning.to_str().unwrap().replace('\\', "")).collect();
        assert_eq!((warned.code, warnings.len()), (200, faults.len()), "{path}: {warnings:?}");
        assert!(faults.iter().all(|fault| warnings.iter().any(|warning| warning.contains(fault))), "{warnings:?}");
    }
}

#[tokio::test]
async fn who_reports_on_a_namespace_may_annotate_it() {
    let server = start().await;
    let patch =
        json!({"metadata": {"annotations": {"who": "me"}, "labels": {"not": "so"}}, "status": {"phase": "Active"}});
    let headers = ["content-type: application/merge-patch+json"];
    let patched = server.ask("PATCH /api/v1/namespaces/default/status", &headers, patch.to_string()).await;
    assert_eq!(
        patched.shows(&["/metadata/annotations/who", "/metadata/labels/not"]),
        (200, vec![json!("me"), Value::Null])
    );
}

#[tokio::test]
async fn bad_input_is_named() {
    let server = start().await;
    let huge = vec![b' '; registry::budget::BODY_BYTES_MAX + 1];
    let elsewhere = config_map("c1", json!({})).to_string().replace("c1\"", "c1\",\"namespace\":\"other\"");
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "c1" } }).to_string();
    let cases: [(&str, &str, Body, u16, &str); 9] = [
        ("POST", CONFIG_MAPS, huge.into(), 413, "limit"),
        ("POST", CONFIG_MAPS, "{".into(), 400, "not JSON"),
        ("POST", CONFIG_MAPS, elsewhere.into(), 400, "does not match the namespace on the URL (default)"),
        ("POST", CONFIG_MAPS, pod.into(), 400, "v1 Pod"),
        ("GET", "/api/v1/pods?labelSelector=a%20b%20c", Body::empty(), 400, "a b c"),
        ("GET", "/api/v1/pods?fieldSelector=spec.colour%3Dred", Body::empty(), 400, "spec.colour"),
        ("GET", "/api/v1/pods?limit=many", Body::empty(), 400, "limit"),
        ("GET", "/api/v1/pods?continue=nonsense", Body::empty(), 400, "continue"),
        ("POST", "/api/v1/configmaps", "{}".into(), 405, "method"),
    ];
    for (method, path, body, code, says) in cases {
        let answer = server.ask(&format!("{method} {path}"), &[], body).await;
        assert_eq!(answer.code, code, "{method} {path}: {:?}", answer.body);
        assert!(answer.json()["message"].as_str().unwrap().contains(says), "{method} {path}: {:?}", answer.body);
    }
    for (headers, code) in [("content-type: application/xml", 415), ("accept: application/xml", 406)] {
        let answer = server.ask(&format!("POST {CONFIG_MAPS}"), &[headers], "{}").await;
        assert_eq!(answer.code, code, "{headers}");
    }
}

#[tokio::test]
async fn lists_come_in_pages_tables_and_metadata() {
    let server = start().await;
    for name in ["a", "b", "c"] {
        server.post(CONFIG_MAPS, &config_map(name, json!({ "k": "v" }))).await;
    }
    let page = server.get(&format!("{CONFIG_MAPS}?limit=2")).await.json();
    assert_eq!(page["metadata"]["remainingItemCount"], 1);
    let token = page["metadata"]["continue"].as_str().unwrap();
    let rest = server.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.json();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert!(rest["items"][0].get("kind").is_none());

    let accept = format!("accept: {TABLE}");
    let table = server.ask(&format!("GET {CONFIG_MAPS}"), &[&accept], Body::empty()).await;
    let pointers =
        ["/kind", "/columnDefinitions/0/name", "/rows/1/cells/0", "/rows/1/object/kind", "/rows/1/object/data"];
    let words = |words: [&str; 4]| words.map(Value::from).into_iter().chain([Value::Null]).collect::<Vec<_>>();
    assert_eq!(table.shows(&pointers), (200, words(["Table", "Name", "b", "PartialObjectMetadata"])));
    let whole = format!("GET {CONFIG_MAPS}?includeObject=Object");
    let table = server.ask(&whole, &[&accept], Body::empty()).await;
    assert_eq!(table.shows(&["/rows/0/object/data/k"]), (200, vec![json!("v")]));

    let partial = "accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = server.ask(&format!("GET {CONFIG_MAPS}"), &[partial], Body::empty()).await.json();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0].get("data").is_none());
}

#[tokio::test]
async fn selections_are_deleted_together() {
    let server = start().await;
    for name in ["a", "b", "c"] {
        let mut object = config_map(name, json!({}));
        object["metadata"]["labels"] = json!({ "half": if name == "c" { "second" } else { "first" } });
        server.post(CONFIG_MAPS, &object).await;
    }
    let deleted = server.ask(&format!("DELETE {CONFIG_MAPS}?labelSelector=half+in+(first)"), &[], Body::empty()).await;
    assert_eq!(deleted.json()["items"].as_array().unwrap().len(), 2);
    let left = server.get(CONFIG_MAPS).await.json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    assert_eq!(left["items"][0]["metadata"]["name"], "c");
}

#[tokio::test]
async fn deployments_scale_through_their_subresource() {
    let server = start().await;
    assert_eq!(server.post(DEPLOYMENTS, &deployment("web")).await.code, 201);
    let scale = format!("{DEPLOYMENTS}/web/scale");
    let read = server.get(&scale).await;
    let pointers = ["/kind", "/spec/replicas", "/status/replicas", "/status/selector"];
    assert_eq!(read.shows(&pointers), (200, vec![json!("Scale"), json!(1), json!(0), json!("app=web")]));
    for media in ["merge-patch", "strategic-merge-patch"] {
        let media = format!("content-type: application/{media}+json");
        let patched = server.ask(&format!("PATCH {scale}"), &[&media], r#"{"spec":{"replicas":3}}"#).await;
        assert_eq!(patched.shows(&["/spec/replicas"]), (200, vec![json!(3)]));
    }
    let stale = server.ask(&format!("PUT {scale}"), &[], read.body).await;
    assert_eq!(stale.shows(&["/reason"]), (409, vec![json!("Conflict")]));
    assert_eq!(server.get(&format!("{DEPLOYMENTS}/web")).await.json()["spec"]["replicas"], 3);
}

#[tokio::test]
async fn fields_that_nobody_knows_are_told_or_refused_of_subresources_too() {
    let server = start().await;
    server.post(DEPLOYMENTS, &deployment("web")).await;
    let pods = "/api/v1/namespaces/default/pods";
    let spec = json!({ "containers": [{ "name": "c", "image": "hello:1" }] });
    server.post(pods, &json!({ "metadata": { "name": "p" }, "spec": spec })).await;
    let (put, merge) = ("content-type: application/json", "content-type: application/merge-patch+json");
    let scale = |replicas: u8| format!(r#"{{"spec":{{"replicas":{replicas},"replica":1}}}}"#);
    let cases = [
        (format!("PUT {DEPLOYMENTS}/web/scale"), put, scale(2), "spec.replica"),
        (format!("PATCH {DEPLOYMENTS}/web/scale"), merge, scale(3), "spec.replica"),
        (format!("POST {pods}/p/binding"), put, r#"{"target":{"name":"n1"},"targt":{}}"#.to_owned(), "targt"),
        (format!("POST {pods}/p/eviction"), put, r#"{"deleteOption":{}}"#.to_owned(), "deleteOption"),
    ];
    for (line, media, body, field) in cases {
        let says = format!("unknown field \"{field}\"");
        let strict = server.ask(&format!("{line}?fieldValidation=Strict"), &[media], body.clone()).await;
        let message = strict.json()["message"].as_str().unwrap().to_owned();
        assert!(strict.code == 400 && message.contains(&says), "{line}: {message}");
        let warned = server.ask(&line, &[media], body).await;
        let warning = warned.header(header::WARNING).replace('\\', "");
        assert!(warned.code < 300 && warning.contains(&says), "{line}: {} {warning}", warned.code);
    }
}

#[tokio::test]
async fn watches_tell_changes_in_order() {
    let server = start().await;
    server.post(CONFIG_MAPS, &config_map("old", json!({}))).await;
    let mut lines = server.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion=0"), &[]).await;
    let first = lines.next().await.unwrap();
    assert_eq!((&first["type"], &first["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("old")));
    assert_eq!(first["object"]["kind"], "ConfigMap");
    let created = server.post(CONFIG_MAPS, &config_map("new", json!({}))).await.json();
    server.ask(&format!("DELETE {CONFIG_MAPS}/new"), &[], Body::empty()).await;
    assert_eq!(lines.next().await.unwrap(), json!({ "type": "ADDED", "object": created }));
    let last = lines.next().await.unwrap();
    assert_eq!((&last["type"], &last["object"]["metadata"]["name"]), (&json!("DELETED"), &json!("new")));
    assert_ne!(last["object"]["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn objects_enter_and_leave_a_selection() {
    let server = start().await;
    server.post(CONFIG_MAPS, &config_map("c", json!({}))).await;
    let path = format!("{CONFIG_MAPS}?watch=1&labelSelector=on");
    let mut lines = server.watch(&path, &[]).await;
    let merge = ["content-type: application/merge-patch+json"];
    for patch in [r#"{"metadata":{"labels":{"on":"1"}}}"#, r#"{"metadata":{"labels":{"on":null}}}"#] {
        server.ask(&format!("PATCH {CONFIG_MAPS}/c"), &merge, patch).await;
    }
    assert_eq!(lines.next().await.unwrap()["type"], "ADDED");
    assert_eq!(lines.next().await.unwrap()["type"], "DELETED");
}

#[tokio::test]
async fn streaming_lists_end_with_a_bookmark() {
    let server = start().await;
    server.post(CONFIG_MAPS, &config_map("c", json!({}))).await;
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut lines = server.watch(&format!("{CONFIG_MAPS}?{query}"), &[]).await;
    assert_eq!(lines.next().await.unwrap()["type"], "ADDED");
    let bookmark = lines.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert!(bookmark["object"]["metadata"]["resourceVersion"].is_string());
}

#[tokio::test]
async fn table_watches_say_their_columns_once_and_end_cleanly() {
    let server = start().await;
    for name in ["a", "b"] {
        server.post(CONFIG_MAPS, &config_map(name, json!({}))).await;
    }
    let accept = format!("accept: {TABLE}");
    let mut lines = server.watch(&format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1"), &[&accept]).await;
    let (first, second) = (lines.next().await.unwrap(), lines.next().await.unwrap());
    assert_eq!(first["object"]["columnDefinitions"][0]["name"], "Name");
    assert_eq!(second["object"]["columnDefinitions"], Value::Null);
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn pods_are_bound_and_evicted() {
    let server = start().await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({
        "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "p" },
        "spec": { "containers": [{ "name": "c", "image": "hello:1" }] },
    });
    assert_eq!(server.post(pods, &pod).await.code, 201);
    let binding = json!({ "kind": "Binding", "apiVersion": "v1", "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n1" } });
    assert_eq!(server.post(&format!("{pods}/p/binding"), &binding).await.code, 201);
    assert_eq!(server.get(&format!("{pods}/p")).await.json()["spec"]["nodeName"], "n1");
    assert_eq!(server.post(&format!("{pods}/p/binding"), &binding).await.code, 409);
    let eviction =
        json!({ "kind": "Eviction", "apiVersion": "policy/v1", "deleteOptions": { "gracePeriodSeconds": 0 } });
    assert_eq!(server.post(&format!("{pods}/p/eviction"), &eviction).await.code, 201);
    assert_eq!(server.get(&format!("{pods}/p")).await.code, 404);
}

#[tokio::test]
async fn protobuf_is_read_whatever_is_answered() {
    let server = start().await;
    let protobuf = ["content-type: application/vnd.kubernetes.protobuf", "accept: application/json"];
    let metadata = api::meta_v1::ObjectMeta { name: "c1".to_owned(), ..Default::default() };
    let data = [("a".to_owned(), "b".to_owned())].into();
    let object = api::core_v1::ConfigMap { metadata: Some(metadata), data, ..Default::default() };
    let created = server.ask(&format!("POST {CONFIG_MAPS}"), &protobuf, enveloped("v1", "ConfigMap", &object)).await;
    assert_eq!(created.shows(&["/kind", "/data/a"]), (201, vec![json!("ConfigMap"), json!("b")]));
    let wrong = server.ask(&format!("POST {CONFIG_MAPS}"), &protobuf, enveloped("v1", "Secret", &object)).await;
    assert_eq!(wrong.code, 400);

    let options = api::meta_v1::DeleteOptions { dry_run: vec!["All".to_owned()], ..Default::default() };
    let one = format!("DELETE {CONFIG_MAPS}/c1");
    for (options, left) in [(options, 200), (Default::default(), 404)] {
        let deleted = server.ask(&one, &protobuf, enveloped("v1", "DeleteOptions", &options)).await;
        assert_eq!(deleted.shows(&["/status"]), (200, vec![json!("Success")]));
        assert_eq!(server.get(&format!("{CONFIG_MAPS}/c1")).await.code, left);
    }
}

fn enveloped(api_version: &str, kind: &str, message: &impl prost::Message) -> Bytes {
    let raw = message.encode_to_vec().into();
    api::envelope::encode(&api::envelope::Envelope { api_version: api_version.to_owned(), kind: kind.to_owned(), raw })
}

#[tokio::test]
async fn an_administrator_is_told_what_may_be_done() {
    let server = start().await;
    let review = json!({ "spec": { "resourceAttributes": { "verb": "create", "resource": "pods" } } });
    let access = server.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await;
    assert_eq!(access.shows(&["/status/allowed", "/spec"]), (201, vec![json!(true), review["spec"].clone()]));
    let myself = server.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await;
    assert_eq!(myself.shows(&["/status/userInfo/username"]), (201, vec![json!("tester")]));
    let table = ["accept: application/json;as=Table;v=v1;g=meta.k8s.io"];
    let line = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(server.ask(line, &table, review.to_string()).await.code, 406, "a review has no metadata to show");
}

#[tokio::test]
async fn a_log_that_nobody_writes_yet_is_a_clear_error() {
    let server = start().await;
    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(server.get(&format!("{pods}/p/log?follow=true")).await.code, 404);
    let spec = json!({ "containers": [{ "name": "a", "image": "x:1" }, { "name": "b", "image": "x:1" }] });
    server.post(pods, &json!({ "metadata": { "name": "p" }, "spec": spec })).await;
    let cases = [
        ("", "choose one of: [a b]"),
        ("?container=c", "container c is not valid"),
        ("?container=a", "does not have a host assigned"),
        ("?tailLines=-1", "tailLines"),
        ("?sinceTime=yesterday", "sinceTime"),
    ];
    for (query, says) in cases {
        let answer = server.get(&format!("{pods}/p/log{query}")).await;
        assert_eq!(answer.code, 400, "{query}");
        assert!(answer.json()["message"].as_str().unwrap().contains(says), "{query}: {:?}", answer.body);
    }
}

#[tokio::test]
async fn the_parts_of_the_control_plane_are_read_and_nothing_else() {
    const PARTS: &str = "/api/v1/componentstatuses";
    let server = start().await;
    let list = server.get(&format!("{PARTS}?limit=1")).await;
    assert_eq!(list.header(header::WARNING), "299 - \"v1 ComponentStatus is deprecated in v1.19+\"");
    let names = ["/items/0/metadata/name", "/items/1/metadata/name", "/items/2/metadata/name", "/kind"];
    let expected = ["controller-manager", "etcd-0", "scheduler", "ComponentStatusList"].map(Value::from);
    assert_eq!(list.shows(&names), (200, expected.to_vec()));
    let one = server.get(&format!("{PARTS}/etcd-0")).await;
    let healthy = json!({ "type": "Healthy", "status": "True", "message": "ok" });
    assert_eq!(one.shows(&["/conditions"]), (200, vec![json!([healthy])]));
    let selected = server.get(&format!("{PARTS}?fieldSelector=metadata.name%3Dscheduler")).await.json();
    assert_eq!(selected["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.get(&format!("{PARTS}/etcd-1")).await.code, 404);
    let object = json!({ "apiVersion": "v1", "kind": "ComponentStatus", "metadata": { "name": "scheduler" } });
    for line in ["POST ", "DELETE ", "GET ?watch=true", "PUT /scheduler", "PATCH /scheduler", "DELETE /scheduler"] {
        let line = line.replacen(' ', &format!(" {PARTS}"), 1);
        let refused = server.ask(&line, &["content-type: application/json"], object.to_string()).await;
        assert_eq!(refused.shows(&["/reason"]), (405, vec![json!("MethodNotAllowed")]), "{line}");
    }
}

#[tokio::test]
async fn namespaces_are_not_deleted_together() {
    let server = start().await;
    assert_eq!(server.ask("DELETE /api/v1/namespaces", &[], Body::empty()).await.code, 405);
    assert_eq!(server.get("/api/v1/namespaces/default").await.code, 200);
}
