//! Webhooks behind real sockets and real certificates: those that answer, and those that would do harm.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::{Error, Key, Kind, Object, ReadAt, Reason, Subresource, Write, json};
use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::stream;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use registry::{Registry, Wanted, WriteOptions};
use rpc::identity::{Csr, Identity, KeyPair, Shared, Subject};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{House, Pki, Server, config_map};
use crate::Webhooks;

fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A server of webhooks.
struct Hooks {
    port: u16,
    connections: Arc<AtomicUsize>,
    ca_bundle: String,
}

impl Hooks {
    async fn serve(pki: &Pki, host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, connections) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let acceptor = TlsAcceptor::from(identity(pki, host).server(&[b"http/1.1"]).unwrap());
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let served = http1::Builder::new().serve_connection(TokioIo::new(tls), service_fn(answer));
                    let _ = served.await;
                });
            }
        });
        Self { port, connections, ca_bundle: encode(pki.0.certificate_pem().as_bytes()) }
    }

    /// The configuration of a webhook at a path of this server.
    fn at(&self, path: &str) -> Value {
        let client = json!({"url": format!("https://127.0.0.1:{}/{path}", self.port), "caBundle": self.ca_bundle});
        mutating(client)
    }
}

fn identity(pki: &Pki, host: &str) -> Arc<Shared> {
    let key = KeyPair::generate().unwrap();
    let request = Csr::from_der(&key.request().unwrap()).unwrap();
    let subject = Subject::Master { member: 1 };
    let chain = pki.0.issue(&request, &subject, &[host.to_owned()], Duration::from_secs(3600)).unwrap();
    Shared::new(Identity::new(&chain, &key, pki.0.certificate_pem()).unwrap()).unwrap()
}

fn mutating(client: Value) -> Value {
    let rule = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]});
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "hooks"},
        "webhooks": [{
            "name": "hook.example.com", "clientConfig": client, "rules": [rule], "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
        }],
    })
}

/// What the server answers, by the path.
async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let review: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((head.method.as_str(), &review["kind"]), ("POST", &"AdmissionReview".into()));
    assert_eq!(head.uri.query(), Some("timeout=1s"));
    assert!(head.headers.get("authorization").is_none(), "no identity is shown");
    let answered = |response: Value| {
        let mut review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response,
            "padding": review["request"]["uid"],
        });
        review["response"]["uid"] = review["padding"].take();
        Response::new(Body::from(review.to_string()))
    };
    let patched = |operations: Value| {
        let patch = encode(operations.to_string().as_bytes());
        answered(json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}))
    };
    Ok(match head.uri.path() {
        "/label" => patched(json!([{"op": "add", "path": "/metadata/labels", "value": {"seen": "yes"}}])),
        "/warn" => answered(json!({"allowed": true, "warnings": ["you were warned"]})),
        "/deny" => answered(json!({
            "allowed": false, "status": {"code": 403, "message": "never"}, "warnings": ["you were warned"],
        })),
        "/nonsense" => Response::new(Body::from("<html>")),
        "/elsewhere" => {
            let head = Response::builder().status(StatusCode::FOUND).header("location", "/label");
            head.body(Body::empty()).unwrap()
        }
        "/endless" => {
            let piece = || Ok::<_, Infallible>(Bytes::from_static(&[b' '; 65_536]));
            Response::new(Body::from_stream(stream::repeat_with(piece)))
        }
        "/silent" => std::future::pending().await,
        "/bomb" => {
            let grown = json!({"op": "add", "path": "/data/x", "value": "x".repeat(2 << 20)});
            patched(json!([grown]))
        }
        _ => answered(json!({"allowed": true})),
    })
}

async fn house() -> (House, Pki) {
    let (house, pki) = (House::new().await, Pki::new());
    house.registry.call_webhooks_by(Arc::new(Webhooks::default()));
    (house, pki)
}

async fn apply(registry: &Registry, manifest: Value) {
    let wanted = Wanted { manifest: manifest.into(), subresource: Subresource::None, force: true };
    let options = WriteOptions { field_manager: "test".to_owned(), ..WriteOptions::default() };
    registry.apply(wanted, "default", options).await.unwrap();
}

async fn create(registry: &Registry, name: &str) -> Result<Arc<Object>, Error> {
    let write = Write::Create(config_map(name, "1"));
    registry.submit(write, WriteOptions::default()).await.map(|written| written.object.object())
}

#[tokio::test]
async fn a_webhook_is_called_by_its_url_over_a_connection_that_is_kept() {
    let (house, pki) = house().await;
    let hooks = Hooks::serve(&pki, "127.0.0.1").await;
    apply(&house.registry, hooks.at("label")).await;
    for name in ["a", "b", "c"] {
        let object = create(&house.registry, name).await.unwrap();
        assert_eq!(object.metadata().unwrap().labels["seen"], "yes");
    }
    assert_eq!(hooks.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_webhook_behind_a_service_is_called_at_its_endpoints() {
    let (house, pki) = house().await;
    let hooks = Hooks::serve(&pki, "hook.default.svc").await;
    let service = json!({"namespace": "default", "name": "hook", "path": "/label"});
    let client = json!({"service": service, "caBundle": hooks.ca_bundle});
    apply(&house.registry, mutating(client)).await;
    let error = create(&house.registry, "a").await.unwrap_err();
    let failing = "Internal error occurred: failed calling webhook \"hook.example.com\": failed to call webhook: Post \
                   \"https://hook.default.svc:443/label?timeout=1s\": ";
    assert_eq!(error.message, format!("{failing}service \"hook\" not found"));
    let ports = json!([{"name": "https", "port": 443, "targetPort": 8443}]);
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"}, "spec": {"ports": ports}});
    apply(&house.registry, service).await;
    let error = create(&house.registry, "a").await.unwrap_err();
    assert_eq!(error.message, format!("{failing}no endpoints available for service \"hook\""));
    apply(
        &house.registry,
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
            "endpoints": [{"addresses": ["127.0.0.1"]}], "ports": [{"name": "https", "port": hooks.port}],
        }),
    )
    .await;
    let object = create(&house.registry, "a").await.unwrap();
    assert_eq!(object.metadata().unwrap().labels["seen"], "yes");
}

#[tokio::test]
async fn what_a_hostile_webhook_answers_is_refused_and_nothing_is_stored() {
    let (house, pki) = house().await;
    let hooks = Hooks::serve(&pki, "127.0.0.1").await;
    for (path, why) in [
        ("endless", "the answer is longer than 6291456 bytes"),
        ("silent", "context deadline exceeded"),
        ("elsewhere", "the server rejected our request for an unknown reason (HTTP status 302)"),
        ("nonsense", "json parse error: expected value at line 1 column 1"),
        ("bomb", "more than the limit of 1572864"),
    ] {
        apply(&house.registry, hooks.at(path)).await;
        let error = create(&house.registry, "a").await.unwrap_err();
        assert_eq!(error.reason, Reason::InternalError, "{error}");
        assert!(error.message.starts_with("Internal error occurred: "), "{error}");
        assert!(error.message.ends_with(why), "{error}");
    }
    let key = Key::namespaced(Kind::ConfigMap, "default", "a");
    assert_eq!(house.registry.get(&key, ReadAt::Latest).await.unwrap_err().reason, Reason::NotFound);
}

#[tokio::test]
async fn whom_a_call_does_not_believe_is_told_nothing() {
    let (house, pki) = house().await;
    let (hooks, other) = (Hooks::serve(&pki, "127.0.0.1").await, Pki::new());
    let url = format!("https://127.0.0.1:{}/allow", hooks.port);
    let foreign = encode(other.0.certificate_pem().as_bytes());
    for (client, why) in [
        (json!({"url": url, "caBundle": foreign}), "tls: failed to verify certificate: "),
        (json!({"url": url}), "tls: failed to verify certificate: "),
        (json!({"url": "https://127.0.0.1:1/allow", "caBundle": foreign}), "dial tcp 127.0.0.1:1: "),
        (json!({"url": "https://169.254.169.254/x"}), "169.254.169.254 is not at an address where a webhook can be"),
    ] {
        apply(&house.registry, mutating(client)).await;
        let error = create(&house.registry, "a").await.unwrap_err();
        assert!(error.message.contains(&format!("timeout=1s\": {why}")), "{error}");
    }
}

#[tokio::test]
async fn every_language_tells_what_a_webhook_says() {
    let server = Server::new().await;
    server.house.registry.call_webhooks_by(Arc::new(Webhooks::default()));
    let hooks = Hooks::serve(&server.pki, "127.0.0.1").await;
    apply(&server.house.registry, hooks.at("deny")).await;
    let told = "admission webhook \"hook.example.com\" denied the request: never";
    let error = server.client().create(config_map("a", "1")).await.unwrap_err();
    assert_eq!((error.reason, error.message.as_str()), (Reason::Forbidden, told));
    let mut sender = server.sender(server.pki.admin().client()).await;
    let mut post = async |dry: &str| {
        let uri = format!("{}/api/v1/namespaces/default/configmaps{dry}", server.url);
        let body = json::encode(&config_map("a", "1")).to_string();
        let request = Request::post(uri).header("content-type", "application/json").body(Body::from(body)).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        let warning = head.headers.get("warning").map(|value| value.to_str().unwrap().to_owned());
        (head.status.as_u16(), warning, body["message"].clone())
    };
    let warned = Some("299 - \"you were warned\"".to_owned());
    assert_eq!(post("").await, (403, warned.clone(), told.into()));
    apply(&server.house.registry, hooks.at("warn")).await;
    assert_eq!(post("?dryRun=All").await, (201, warned, Value::Null));
    assert!(server.client().create(config_map("a", "1")).await.is_ok());
}
