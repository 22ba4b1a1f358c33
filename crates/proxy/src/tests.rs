//! Stories with real sockets on loopback.
#![expect(clippy::unwrap_used, reason = "tests")]

mod egress;
mod messages;
mod names;
mod over_nodes;
mod shield;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use api::{
    Key, Kind,
    core_v1::{ClientIpConfig, Service, ServicePort, ServiceSpec, SessionAffinityConfig},
    discovery_v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    kinds::Resource as _,
};
use bytes::Bytes;
use futures::FutureExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{Body, Config, LocalHandler, News, Proxy, Table};

/// The node that tables are for.
const NODE: &str = "here";

fn service(ip: &str, port: u16) -> Service {
    let spec = ServiceSpec {
        cluster_ip: ip.into(),
        ports: vec![ServicePort { port: port.into(), ..Default::default() }],
        ..Default::default()
    };
    let mut service = Service { spec: Some(spec), ..Default::default() };
    service.metadata_mut().name = "web".into();
    service.metadata_mut().namespace = "shop".into();
    service
}

fn slice(pods: &[(SocketAddr, bool)]) -> EndpointSlice {
    let endpoint = |(address, ready): &(SocketAddr, bool)| Endpoint {
        addresses: vec![address.ip().to_string()],
        conditions: Some(EndpointConditions { ready: Some(*ready), serving: Some(true), terminating: Some(!*ready) }),
        ..Default::default()
    };
    let port = EndpointPort { port: pods.first().map(|(address, _)| address.port().into()), ..Default::default() };
    let mut slice =
        EndpointSlice { endpoints: pods.iter().map(endpoint).collect(), ports: vec![port], ..Default::default() };
    slice.metadata_mut().namespace = "shop".into();
    slice.metadata_mut().labels = BTreeMap::from([("kubernetes.io/service-name".into(), "web".into())]);
    slice
}

fn says(word: &'static str) -> LocalHandler {
    Arc::new(move |_| {
        let body = Full::new(Bytes::from_static(word.as_bytes())).map_err(|never| match never {}).boxed_unsync();
        std::future::ready(Response::new(body)).boxed()
    })
}

fn empty() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync()
}

fn pod(name: &str) -> Key {
    Key::namespaced(Kind::Pod, "shop", name)
}

/// A proxy for which all addresses of these tests are those of other nodes' Pods.
fn proxy() -> Proxy {
    let proxy = Proxy::new(Config { allow_external: false }).0;
    proxy.learn(|ranges| ranges.elsewhere = vec!["127.64.0.0/10".parse().unwrap()]);
    proxy
}

async fn ask(stream: &mut TcpStream) -> String {
    exchange(stream, "GET / HTTP/1.1\r\nHost: web\r\n\r\n").await.1
}

/// The status line and the body of an answer.
async fn exchange(stream: &mut TcpStream, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = read_head(stream).await.to_ascii_lowercase();
    let length =
        head.split("content-length: ").nth(1).map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head.lines().next().unwrap_or_default().to_owned(), String::from_utf8(body).unwrap())
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    // One byte at a time, so that nothing of the body is taken along.
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// A free port of an address.
async fn free(ip: &str) -> SocketAddr {
    TcpListener::bind((ip, 0)).await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn requests_of_one_connection_take_turns_among_the_pods_of_this_node() {
    let (a, vip) = (free("127.77.0.1").await, free("127.77.1.1").await);
    let b = SocketAddr::new("127.77.0.2".parse().unwrap(), a.port());
    let proxy = proxy();
    proxy.register_local(pod("a"), a, says("a"));
    proxy.register_local(pod("b"), b, says("b"));
    proxy.update(Table::build(NODE, [&service("127.77.1.1", vip.port())], [&slice(&[(a, true), (b, true)])]));

    let mut stream = TcpStream::connect(vip).await.unwrap();
    let mut answers = [ask(&mut stream).await, ask(&mut stream).await];
    answers.sort();
    assert_eq!(answers, ["a", "b"]);

    // A Pod that is no longer ready gets nothing more, on the same connection.
    proxy.update(Table::build(NODE, [&service("127.77.1.1", vip.port())], [&slice(&[(a, true), (b, false)])]));
    assert!(proxy.drained(b) && !proxy.drained(a));
    assert_eq!([ask(&mut stream).await, ask(&mut stream).await], ["a", "a"]);
    assert_eq!(ask(&mut TcpStream::connect(b).await.unwrap()).await, "b", "its own address still answers");
}

#[tokio::test]
async fn other_pods_get_the_bytes_and_one_that_refuses_is_passed_over() {
    let listener = TcpListener::bind("127.77.0.3:0").await.unwrap();
    let up = listener.local_addr().unwrap();
    let down = SocketAddr::new("127.77.0.4".parse().unwrap(), up.port());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"raw").await.unwrap();
        }
    });
    let vip = free("127.77.1.2").await;
    let proxy = proxy();
    proxy.update(Table::build(NODE, [&service("127.77.1.2", vip.port())], [&slice(&[(up, true), (down, true)])]));
    for _ in 0..4 {
        let mut text = String::new();
        TcpStream::connect(vip).await.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "raw");
    }
}

#[tokio::test]
async fn an_address_without_pods_refuses_and_one_that_is_gone_is_closed() {
    let vip = free("127.77.1.3").await;
    let proxy = proxy();
    proxy.update(Table::build(NODE, [&service("127.77.1.3", vip.port())], []));
    let mut text = String::new();
    let refused = TcpStream::connect(vip).await.unwrap().read_to_string(&mut text).await;
    assert!(refused.is_err() || text.is_empty());

    proxy.update(Table::default());
    tokio::task::yield_now().await;
    while TcpStream::connect(vip).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn pods_reach_services_by_name() {
    let (a, vip) = (free("127.77.0.5").await, free("127.77.1.5").await);
    let proxy = proxy();
    proxy.register_local(pod("a"), a, says("hello"));
    proxy.update(Table::build(NODE, [&service("127.77.1.5", vip.port())], [&slice(&[(a, true)])]));

    let send = |url: String| {
        let body: Body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
        proxy.send(Request::get(url).body(body).unwrap(), "shop", [127, 0, 0, 1].into())
    };
    for host in ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local", "127.77.1.5"] {
        let answer = send(format!("http://{host}:{}/", vip.port())).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
    let error = |url: &str| send(url.to_owned()).map(|result| result.map(drop).unwrap_err().to_string());
    assert_eq!(
        error("http://example.com/").await,
        "example.com is no Service, and hosts outside the cluster are not allowed"
    );
    assert!(error("http://web:1/").await.contains("has no port 1"));
    assert!(error("https://web/").await.contains("https"));
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_is_told_with_the_remedy() {
    let taken = TcpListener::bind("127.77.1.6:0").await.unwrap();
    let (proxy, mut problems) = Proxy::new(Config { allow_external: false });
    proxy.update(Table::build(NODE, [&service("127.77.1.6", taken.local_addr().unwrap().port())], []));
    let Some(News::Failed(problem)) = problems.recv().await else { panic!("a problem is told") };
    assert_eq!(problem.about, Key::namespaced(Kind::Service, "shop", "web"));
    assert!(problem.message.contains("another process listens there"), "{}", problem.message);
}

#[test]
fn traffic_goes_to_the_ready_or_else_to_those_that_still_answer() {
    let at = |last: u8| SocketAddr::from(([127, 0, 0, last], 80));
    let to = |pods: &[(SocketAddr, bool)]| {
        let table = Table::build(NODE, [&service("127.1.0.1", 8080)], [&slice(pods)]);
        let route = table.route(SocketAddr::from(([127, 1, 0, 1], 8080))).unwrap();
        route.endpoints.iter().map(|endpoint| endpoint.address).collect::<Vec<_>>()
    };
    assert_eq!(to(&[(at(1), true), (at(2), false)]), [at(1)]);
    assert_eq!(to(&[(at(1), false), (at(2), false)]), [at(1), at(2)]);
    assert!(to(&[]).is_empty());
}

#[tokio::test]
async fn an_address_that_comes_later_is_listened_on_without_any_change_of_the_table() {
    let taken = TcpListener::bind("127.77.1.7:0").await.unwrap();
    let vip = taken.local_addr().unwrap();
    let (proxy, mut news) = Proxy::new(Config { allow_external: false });
    proxy.register_local(pod("a"), free("127.77.0.7").await, says("a"));
    proxy.update(Table::build(NODE, [&service("127.77.1.7", vip.port())], []));
    assert!(matches!(news.recv().await, Some(News::Failed(_))));
    drop(taken);
    assert_eq!(news.recv().await, Some(News::Mended(vip)));
    assert!(TcpStream::connect(vip).await.is_ok());
}

#[test]
fn a_sticky_client_stays_with_its_pod_for_as_long_as_the_service_says() {
    let mut service = service("127.1.0.1", 8080);
    let spec = service.spec.as_mut().unwrap();
    spec.session_affinity = "ClientIP".into();
    let client_ip = Some(ClientIpConfig { timeout_seconds: Some(60) });
    spec.session_affinity_config = Some(SessionAffinityConfig { client_ip });
    let pods = [1, 2, 3].map(|last| (SocketAddr::from(([127, 0, 0, last], 80)), true));
    let vip = SocketAddr::from(([127, 1, 0, 1], 8080));
    let (client, start) = ("127.0.0.9".parse().unwrap(), Instant::now());
    let pick = |table: &Table, seconds| {
        let route = table.route(vip).unwrap();
        route.endpoints[route.turn(client, start + Duration::from_secs(seconds)).unwrap()].address
    };

    let table = Table::build(NODE, [&service], [&slice(&pods[..2])]);
    assert!((0..10).all(|second| pick(&table, second) == pods[0].0));
    let mut grown = Table::build(NODE, [&service], [&slice(&pods)]);
    grown.inherit(&table);
    assert_eq!(pick(&grown, 30), pods[0].0, "also when the Service grows");
    assert_ne!(pick(&grown, 91), pods[0].0, "but not for ever");
}

#[test]
fn traffic_that_must_stay_on_the_node_goes_to_its_pods_or_to_nobody() {
    let mut service = service("127.1.0.1", 8080);
    service.spec.as_mut().unwrap().internal_traffic_policy = Some("Local".into());
    let pods = [1, 2].map(|last| (SocketAddr::from(([127, 0, 0, last], 80)), true));
    let on = |nodes: [&str; 2]| {
        let mut slice = slice(&pods);
        slice.endpoints.iter_mut().zip(nodes).for_each(|(endpoint, node)| endpoint.node_name = Some(node.into()));
        let table = Table::build(NODE, [&service], [&slice]);
        let route = table.route(SocketAddr::from(([127, 1, 0, 1], 8080))).unwrap();
        route.endpoints.iter().map(|endpoint| endpoint.address).collect::<Vec<_>>()
    };
    assert_eq!(on([NODE, "there"]), [pods[0].0]);
    assert!(on(["there", "there"]).is_empty());
}
