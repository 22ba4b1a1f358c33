//! Parts of the API that backends serve: over TLS and the agent of a node, which is this test itself. Each group of the backend
//! behaves in another way.

use std::{pin::Pin, sync::Arc, time::Duration};

use api::{
    Error, Key, Kind, Object, ReadAt, Subresource, Write,
    apiregistration_v1::{ApiService, ApiServiceSpec, ServiceReference},
    conditions::{self, READY},
    core_v1::{
        DaemonEndpoint, Node, NodeAddress, NodeDaemonEndpoints, ObjectReference, Service, ServicePort, ServiceSpec,
    },
    discovery_v1::{Endpoint, EndpointPort, EndpointSlice},
    meta_v1::ObjectMeta,
    well_known::SERVICE_NAME_LABEL,
};
use axum::body::Body;
use futures::Stream;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use registry::{Access, ResourceAttributes, WriteOptions};
use rpc::{
    Security,
    connections::ConnectionLimits,
    forward,
    identity::{Authority, Csr, Identity, KeyPair, Shared, Subject},
    services::{
        ForwardRequest, LogChunk, LogRequest,
        node_agent_server::{NodeAgent, NodeAgentServer},
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::{Status, Streaming};

use super::{Pki, Server, pod, soon};
use crate::BACKENDS_MAX;

/// How the backend is called in its certificate.
const HOST: &str = "backend.default.svc";

/// The groups, and how the backend behaves when it is asked what it offers there.
const GOOD: &str = "good.example.org";
const BAD: [(&str, &str); 4] = [
    ("endless.example.org", "longer than"),
    ("malformed.example.org", "no APIResourceList"),
    ("redirect.example.org", "bad status: 302"),
    ("slow.example.org", "nothing came within"),
];

/// A group of which nobody proves that it is who should serve it, and one behind a Service without anybody.
const FALSE: &str = "false.example.org";
const AWAY: &str = "away.example.org";

/// One whose schemas never end.
const LARGE: &str = "large.example.org";

/// An agent that leads every connection to the backend.
struct Agent(u16);

#[tonic::async_trait]
impl NodeAgent for Agent {
    type ReadLogStream = Pin<Box<dyn Stream<Item = Result<LogChunk, Status>> + Send>>;

    async fn read_log(&self, _: tonic::Request<LogRequest>) -> Result<tonic::Response<Self::ReadLogStream>, Status> {
        Err(Status::unimplemented("there are no logs"))
    }

    type ForwardStream = forward::Answers;

    async fn forward(
        &self,
        request: tonic::Request<Streaming<ForwardRequest>>,
    ) -> Result<tonic::Response<Self::ForwardStream>, Status> {
        let mut requests = request.into_inner();
        let first = forward::wanted(&mut requests).await.unwrap();
        assert_eq!((first.pod.as_str(), first.port), ("backend", 8443), "nobody else is reached");
        let stream = TcpStream::connect(("127.0.0.1", self.0)).await.unwrap();
        Ok(tonic::Response::new(forward::answers(first.data, requests, stream)))
    }
}

/// A certificate of an authority for the backend. Of its clients it believes those of the cluster.
fn certificate(authority: &Authority, cluster: &Pki) -> Arc<Shared> {
    let key = KeyPair::generate().unwrap();
    let (request, subject) = (Csr::from_der(&key.request().unwrap()).unwrap(), Subject::Master { member: 1 });
    let chain = authority.issue(&request, &subject, &[HOST.to_owned()], Duration::from_secs(3600)).unwrap();
    Shared::new(Identity::new(&chain, &key, cluster.0.certificate_pem()).unwrap()).unwrap()
}

/// Serves one request a connection.
async fn backend(listener: TcpListener, identity: Arc<Shared>) {
    let acceptor = TlsAcceptor::from(identity.server(&[b"http/1.1".as_slice()]).unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // Who does not believe the certificate hangs up.
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream).await;
            }
        });
    }
}

async fn answer(mut stream: TlsStream<TcpStream>) {
    let shown = stream.get_ref().1.peer_certificates().map(|chain| Subject::of(&chain[0]).is_ok());
    assert_eq!(shown, Some(false), "masters show a certificate that names nobody");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split([' ', '?']).nth(1).unwrap();
    let (group, rest) = path.trim_start_matches("/apis/").split_once('/').unwrap_or_default();
    let group_version = format!("{group}/v1");
    let list = json!({
        "groupVersion": group_version,
        "resources": [{"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["list"]}],
    });
    let said = |head: &str| head.lines().filter(|line| line.starts_with("x-")).collect::<Vec<_>>().join("\n");
    match (group, rest) {
        ("endless.example.org", _) => return endless(stream).await,
        ("slow.example.org", _) => return std::future::pending().await,
        ("malformed.example.org", _) => write(&mut stream, "200 OK", "", "<html>hello</html>").await,
        ("redirect.example.org", _) | (_, "v1/elsewhere") => {
            write(&mut stream, "302 Found", "Location: https://127.0.0.1/\r\n", "").await;
        }
        (_, "v1") => write(&mut stream, "200 OK", "", &list.to_string()).await,
        (_, "v1/whoami") => write(&mut stream, "200 OK", "", &said(&head)).await,
        (_, "v1/echo") => {
            let upgrade = "Connection: Upgrade\r\nUpgrade: echo\r\n";
            stream.write_all(format!("HTTP/1.1 101 -\r\n{upgrade}\r\n").as_bytes()).await.unwrap();
            let byte = stream.read_u8().await.unwrap();
            stream.write_u8(byte).await.unwrap();
        }
        (_, "v1/watch") => {
            let event = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
            stream.write_all(event.as_bytes()).await.unwrap();
            std::future::pending().await
        }
        ("", rest) if rest.contains(LARGE) => return endless(stream).await,
        ("", rest) if rest.starts_with("openapi/v3/") => {
            write(&mut stream, "200 OK", "", r#"{"openapi": "3.0.0", "of": "good"}"#).await
        }
        _ => write(&mut stream, "404 Not Found", "", "nothing").await,
    }
    let _ = stream.shutdown().await;
}

async fn write(stream: &mut TlsStream<TcpStream>, code: &str, headers: &str, body: &str) {
    let length = body.len();
    let answer = format!("HTTP/1.1 {code}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

async fn endless(mut stream: TlsStream<TcpStream>) {
    let piece = format!("400\r\n{}\r\n", " ".repeat(0x400));
    let mut going = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    while going.is_ok() {
        going = stream.write_all(piece.as_bytes()).await;
    }
}

fn meta(name: &str) -> ObjectMeta {
    ObjectMeta { name: name.to_owned(), namespace: "default".to_owned(), ..ObjectMeta::default() }
}

fn service(name: &str) -> Object {
    let ports = vec![ServicePort { port: 443, ..ServicePort::default() }];
    let spec = ServiceSpec { ports, ..ServiceSpec::default() };
    Service { metadata: Some(meta(name)), spec: Some(spec), status: None }.into()
}

/// The backend's Pod behind its Service.
fn slice() -> Object {
    let mut metadata = meta("backend");
    metadata.labels.insert(SERVICE_NAME_LABEL.to_owned(), "backend".to_owned());
    let pod = ObjectReference { kind: "Pod".into(), name: "backend".into(), ..ObjectReference::default() };
    let endpoint = Endpoint { addresses: vec!["127.64.0.9".to_owned()], target_ref: Some(pod), ..Endpoint::default() };
    let port = EndpointPort { name: Some(String::new()), port: Some(8443), ..EndpointPort::default() };
    let (endpoints, ports) = (vec![endpoint], vec![port]);
    EndpointSlice { metadata: Some(metadata), endpoints, ports, address_type: "IPv4".to_owned() }.into()
}

fn name_of(group: &str) -> String {
    format!("v1.{group}")
}

fn api_service(group: &str, service: &str, authority: &Authority) -> Object {
    let to = ServiceReference { namespace: "default".to_owned(), name: service.to_owned(), port: Some(443) };
    let spec = ApiServiceSpec {
        group: group.to_owned(),
        version: "v1".to_owned(),
        service: Some(to),
        ca_bundle: authority.certificate_pem().as_bytes().to_vec().into(),
        group_priority_minimum: 100,
        version_priority: 100,
        ..ApiServiceSpec::default()
    };
    let metadata = ObjectMeta { name: name_of(group), ..ObjectMeta::default() };
    ApiService { metadata: Some(metadata), spec: Some(spec), status: None }.into()
}

impl Server {
    async fn create(&self, object: Object) -> Object {
        let write = Write::Create(object);
        let written = self.house.registry.submit(write, WriteOptions::default()).await.unwrap();
        Object::clone(&written.object.object())
    }

    /// A node whose agent is this test, which leads all connections to a port of this host.
    async fn with_node(&self, port: u16) {
        let registry = &self.house.registry;
        let master = self.pki.identity(&Subject::Master { member: registry.status().member.0 });
        registry.introduce(master);
        let uid = registry.ensure_node("n1", std::net::Ipv4Addr::LOCALHOST).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let agent = i32::from(listener.local_addr().unwrap().port());
        let identity = self.pki.identity(&Subject::Node { name: "n1".to_owned(), uid });
        let incoming = rpc::incoming(listener, &Security::Tls(identity), ConnectionLimits::for_files(16_384)).unwrap();
        let serving = tonic::transport::Server::builder().add_service(NodeAgentServer::new(Agent(port)));
        tokio::spawn(serving.serve_with_incoming(incoming));
        let found = registry.get(&Key::cluster(Kind::Node, "n1"), ReadAt::Latest).await.unwrap().object();
        let mut node = found.get::<Node>().unwrap().clone();
        let status = node.status.get_or_insert_default();
        status.addresses = vec![NodeAddress { r#type: "InternalIP".to_owned(), address: "127.0.0.1".to_owned() }];
        let kubelet_endpoint = Some(DaemonEndpoint { port: agent });
        status.daemon_endpoints = Some(NodeDaemonEndpoints { kubelet_endpoint });
        conditions::set(&mut status.conditions, conditions::new(READY, true.into(), "Test", "", registry.now()));
        registry.submit(Write::Update(node.into(), Subresource::Status), WriteOptions::default()).await.unwrap();
        let mut pod = self.create(pod("backend")).await;
        if let Object::Pod(pod) = &mut pod {
            pod.spec.get_or_insert_default().node_name = "n1".to_owned();
        }
        registry.submit(Write::Update(pod, Subresource::Binding), WriteOptions::default()).await.unwrap();
    }

    /// Waits until a backend was asked, and answers how it answers.
    async fn answered(&self, group: &str) -> Result<(), String> {
        let (mut answers, name) = (self.aggregator.answers(), name_of(group));
        let answers = soon(answers.wait_for(|answers| answers.contains_key(&name))).await.unwrap();
        answers[&name].clone()
    }

    async fn request(&self, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.connect().await)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::get(path).header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        soon(sender.send_request(request.body(Body::empty()).unwrap())).await.unwrap()
    }

    async fn ask_with(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let response = self.request(path, headers).await;
        let code = response.status().as_u16();
        let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn ask(&self, path: &str) -> (u16, String) {
        self.ask_with(path, &[]).await
    }
}

/// A server whose backend serves some groups.
async fn street(groups: &[&str]) -> Server {
    let server = Server::new().await;
    let (authority, stranger) = (Authority::found("backend").unwrap(), Authority::found("stranger").unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.with_node(listener.local_addr().unwrap().port()).await;
    tokio::spawn(backend(listener, certificate(&authority, &server.pki)));
    for object in [service("backend"), service("nobody"), slice()] {
        server.create(object).await;
    }
    for group in groups {
        let (to, believed) = match *group {
            AWAY => ("nobody", &authority),
            FALSE => ("backend", &stranger),
            _ => ("backend", &authority),
        };
        server.create(api_service(group, to, believed)).await;
    }
    server
}

#[tokio::test]
async fn what_a_backend_serves_is_listed_and_used_as_if_the_masters_served_it() {
    let server = street(&[GOOD]).await;
    assert_eq!(server.answered(GOOD).await, Ok(()));
    let (code, groups) = server.ask("/apis").await;
    assert!(code == 200 && groups.contains(r#""groupVersion":"good.example.org/v1""#), "{groups}");
    assert_eq!(server.ask("/apis/good.example.org").await.0, 200);
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let (_, aggregated) = server.ask_with("/apis", &[("accept", accept)]).await;
    let aggregated: Value = serde_json::from_str(&aggregated).unwrap();
    let own = aggregated["items"].as_array().unwrap().last().unwrap();
    assert_eq!(own["metadata"]["name"], GOOD);
    assert_eq!(own["versions"][0]["freshness"], "Current");
    assert_eq!(own["versions"][0]["resources"][0]["responseKind"]["kind"], "Thing");
    assert_eq!(server.ask("/apis/good.example.org/v1/nothing").await, (404, "nothing".to_owned()));
    assert_eq!(server.ask("/apis/good.example.org/v2").await.0, 404);

    let forged = [("X-Remote-User", "root"), ("x-remote-group", "system:masters"), ("X-Remote-Extra-A", "b")];
    let (_, told) = server.ask_with("/apis/good.example.org/v1/whoami?a=b", &forged).await;
    let told: Vec<&str> = told.lines().filter(|line| line.starts_with("x-remote")).collect();
    let groups = ["x-remote-group: system:masters", "x-remote-group: system:authenticated"];
    assert_eq!(told, [["x-remote-user: tester"].as_slice(), &groups].concat());
    for path in ["/apis/good.example.org/v1/..", "/apis/good.example.org/v1/%2e%2e/v1/whoami"] {
        assert_eq!(server.ask(path).await.0, 400, "{path}");
    }
    let (code, why) = server.ask("/apis/good.example.org/v1/elsewhere").await;
    assert!(code == 503 && why.contains("attempted to redirect"), "{code} {why}");

    let (code, why) = server.ask("/apis/good.example.org/v1/echo").await;
    assert!(code == 503 && why.contains("nobody had asked"), "{code} {why}");
    let mut watch = server.request("/apis/good.example.org/v1/watch", &[]).await.into_body();
    let event = soon(watch.frame()).await.unwrap().unwrap();
    assert_eq!(event.data_ref().map(|event| &event[..]), Some(&b"first"[..]), "it is there before the answer ends");

    let mut stream = server.connect().await;
    let upgrade = "GET /apis/good.example.org/v1/echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream.write_u8(7).await.unwrap();
    assert_eq!(soon(stream.read_u8()).await.unwrap(), 7);
}

#[tokio::test]
async fn schemas_of_a_backend_stand_in_the_index() {
    let server = street(&[GOOD, LARGE]).await;
    assert_eq!(server.answered(GOOD).await, Ok(()));
    assert_eq!(server.answered(LARGE).await, Ok(()), "who has no schemas that can be kept is of use all the same");
    let (_, index) = server.ask("/openapi/v3").await;
    let index: Value = serde_json::from_str(&index).unwrap();
    let url = index["paths"]["apis/good.example.org/v1"]["serverRelativeURL"].as_str().unwrap();
    let (code, document) = server.ask(url).await;
    assert!(code == 200 && document.contains(r#""of": "good""#), "{code} {document}");
    assert_eq!(index["paths"].get("apis/large.example.org/v1"), None);
    assert_eq!(server.ask("/openapi/v3/apis/large.example.org/v1").await.0, 404);
}

#[tokio::test]
async fn who_answers_nonsense_or_is_not_who_it_should_be_harms_nobody_else() {
    let groups: Vec<&str> = BAD.iter().map(|(group, _)| *group).chain([GOOD, FALSE, AWAY]).collect();
    let server = street(&groups).await;
    assert_eq!(server.answered(GOOD).await, Ok(()), "one does not wait for another");
    for (group, why) in BAD.into_iter().chain([(FALSE, "certificate"), (AWAY, "no endpoints available")]) {
        let told = server.answered(group).await.unwrap_err();
        assert!(told.starts_with("failing or missing response from https://") && told.contains(why), "{group}: {told}");
    }
    for group in [FALSE, AWAY] {
        let (code, status) = server.ask(&format!("/apis/{group}/v1/things")).await;
        let status: Value = serde_json::from_str(&status).unwrap();
        assert_eq!((code, &status["reason"]), (503, &"ServiceUnavailable".into()), "{status}");
    }
    let (code, groups) = server.ask("/apis").await;
    assert!(code == 200 && groups.contains(AWAY) && groups.contains("apps/v1"), "{groups}");
    assert_eq!(server.ask("/api/v1/namespaces").await.0, 200);
}

#[tokio::test]
async fn a_backend_is_used_by_whoever_may_and_goes_with_its_object() {
    let server = street(&[GOOD]).await;
    assert_eq!(server.answered(GOOD).await, Ok(()));
    let registry = &server.house.registry;
    let caller = super::node_caller(registry, "n2").await;
    let refused = registry
        .for_caller(caller)
        .authorise(Access::Resource(ResourceAttributes { group: GOOD, ..ResourceAttributes::default() }))
        .await;
    assert_eq!(refused.map_err(|error: Error| error.reason), Err(api::Reason::Forbidden));
    let key = Key::cluster(Kind::ApiService, name_of(GOOD));
    let delete = Write::Delete(key, api::DeleteOptions::default());
    registry.submit(delete, WriteOptions::default()).await.unwrap();
    let mut answers = server.aggregator.answers();
    soon(answers.wait_for(|answers| answers.is_empty())).await.unwrap();
    soon(async {
        while server.ask("/apis/good.example.org/v1").await.0 != 404 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn more_backends_than_there_may_be_are_told_so() {
    let server = Server::new().await;
    let authority = Authority::found("backend").unwrap();
    for number in 0..=BACKENDS_MAX {
        server.create(api_service(&format!("g{number:03}.example.org"), "nobody", &authority)).await;
    }
    let last = format!("g{BACKENDS_MAX:03}.example.org");
    let told = server.answered(&last).await.unwrap_err();
    assert!(told.contains("there are more than 64 APIServices"), "{told}");
    let within = format!("g{:03}.example.org", BACKENDS_MAX - 1);
    let told = server.answered(&within).await.unwrap_err();
    assert!(told.contains("not found"), "{told}");
}
