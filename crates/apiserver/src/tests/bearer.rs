//! Administrators who show a token instead of a certificate.

use std::sync::Arc;

use api::{Kind, Reason};
use axum::body::Body;
use futures::StreamExt as _;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::SendRequest;
use registry::{Caller, budget::ADDRESS_REQUESTS_MAX};
use rpc::{
    Client, Query, Security,
    identity::{Authority, Subject},
};
use rustls::ClientConfig;

use super::{LIMITS, Server, TOKEN, config_map, flood::unfinished, node_caller, soon};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// [`TOKEN`], and one that nobody has made.
const RIGHT: &str = "Bearer kapelle_admin_0ne";
const WRONG: &str = "Bearer kapelle_admin_tw0";

/// A request that shows something, or nothing.
fn asking(server: &Server, method: Method, path: &str, shown: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", server.url));
    if !shown.is_empty() {
        request = request.header(header::AUTHORIZATION, shown);
    }
    request.body(Body::empty()).unwrap()
}

/// What a request is answered.
async fn told(sender: &mut SendRequest<Body>, request: Request<Body>) -> StatusCode {
    soon(sender.send_request(request)).await.unwrap().status()
}

impl Server {
    fn by_token(&self, authority: &Authority, token: &str) -> Client {
        let security = Security::bearer(authority.certificate_pem(), token).unwrap();
        Client::connect_with(std::slice::from_ref(&self.url), security).unwrap()
    }

    async fn node(&self) -> Arc<ClientConfig> {
        let Caller::Node { name, uid, .. } = node_caller(&self.house.registry, "w1").await else { panic!("a node") };
        self.pki.identity(&Subject::Node { name, uid }).client()
    }
}

#[tokio::test]
async fn a_token_is_as_good_as_a_certificate_and_a_wrong_one_is_refused_whoever_shows_it() {
    let server = Server::new().await;
    let (nobody, admin, node) = (server.nobody(), server.pki.admin().client(), server.node().await);
    for (who, config, shown, code) in [
        ("nobody", &nobody, RIGHT, 200),
        ("nobody", &nobody, WRONG, 401),
        ("nobody", &nobody, "Basic YTpi", 401),
        ("nobody", &nobody, "", 401),
        ("an administrator", &admin, RIGHT, 200),
        ("an administrator", &admin, WRONG, 401),
        ("an administrator", &admin, "", 200),
        ("a node, whose certificate goes first", &node, RIGHT, 403),
        ("a node", &node, WRONG, 401),
    ] {
        let mut sender = server.sender(config.clone()).await;
        let told = told(&mut sender, asking(&server, Method::GET, MAPS, shown)).await;
        assert_eq!(told, code, "{who} shows {shown:?}");
    }
    let mut sender = server.sender(nobody).await;
    for (path, shown, code) in [
        ("/livez", "", 200),
        ("/livez", RIGHT, 200),
        ("/livez", WRONG, 401),
        ("/v2/", "", 401),
        ("/v2/", RIGHT, 200),
        ("/v2/", WRONG, 401),
    ] {
        assert_eq!(told(&mut sender, asking(&server, Method::GET, path, shown)).await, code, "{path} {shown:?}");
    }
}

#[tokio::test]
async fn an_administrator_is_known_by_token_over_grpc() {
    let server = Server::new().await;
    let admin = server.by_token(&server.pki.0, TOKEN);
    // Longer than what is read of somebody unknown.
    admin.create(config_map("large", &"x".repeat(100 << 10))).await.unwrap();
    assert_eq!(admin.list(&Query::all(Kind::ConfigMap)).await.unwrap().items.len(), 1);
    assert_eq!(admin.manifest("hello", "v1", false).await.unwrap_err().reason, Reason::NotFound);
    let mut watch = Box::pin(admin.watch(Query::all(Kind::ConfigMap), None));
    assert!(soon(watch.next()).await.unwrap().is_ok());

    let wrong = server.by_token(&server.pki.0, "kapelle_admin_tw0");
    let error = wrong.list(&Query::all(Kind::ConfigMap)).await.unwrap_err();
    assert_eq!(error.reason, Reason::Unauthorized);
    assert!(error.message.contains("none of this cluster"), "{error}");
    // A server that the authority does not vouch for is not shown the token.
    let elsewhere = server.by_token(&Authority::found("other").unwrap(), TOKEN);
    let error = elsewhere.list(&Query::all(Kind::ConfigMap)).await.unwrap_err();
    assert!(error.message.contains("another cluster"), "{error}");
}

#[tokio::test]
async fn a_token_is_asked_about_before_the_body_comes() {
    let server = Server::new().await;
    // The certificate would be let in, and the body waited for.
    let mut sender = server.sender(server.pki.admin().client()).await;
    for content in ["application/json", "application/grpc"] {
        let mut request = asking(&server, Method::POST, MAPS, WRONG);
        request.headers_mut().insert(header::CONTENT_TYPE, content.parse().unwrap());
        *request.body_mut() = unfinished(0);
        let answer = soon(sender.send_request(request)).await.unwrap();
        let grpc = answer.headers().get("grpc-status").map(|code| code.as_bytes());
        assert!(answer.status() == 401 || grpc == Some(b"16"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_token_opens_nothing_to_web_pages() {
    let server = Server::new().await;
    let mut sender = server.sender(server.nobody()).await;
    let request = |uri: &str, content: &str, origin: &str| {
        let request = Request::post(uri).header(header::AUTHORIZATION, RIGHT).header(header::CONTENT_TYPE, content);
        request.header(header::ORIGIN, origin).body(Body::empty()).unwrap()
    };
    let (own, maps) = (format!("https://{}", server.address), format!("{}{MAPS}", server.url));
    for (uri, origin) in [
        (maps.as_str(), "https://evil.example"),
        ("https://evil.example/api/v1/namespaces/default/configmaps", "https://evil.example"),
    ] {
        assert_eq!(told(&mut sender, request(uri, "application/json", origin)).await, 403, "{uri} {origin}");
    }
    // Of somebody unknown who speaks gRPC the name is not asked: it may be joining.
    let list = "https://evil.example/kapelle.api.v1.Objects/List";
    let answer = soon(sender.send_request(request(list, "application/grpc", "https://evil.example"))).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "7");
    assert_ne!(told(&mut sender, request(&maps, "application/json", &own)).await, 403);
}

/// Whoever shows a token came without a certificate, but does not stay among those who have none: else every newcomer could
/// take its place, and the places of its requests.
#[tokio::test]
async fn those_who_show_nothing_keep_no_administrator_with_a_token_out() {
    let server = Server::new().await;
    let mut admin = server.sender(server.nobody()).await;
    let path = "/api/v1/configmaps?watch=true&resourceVersion=0&allowWatchBookmarks=true";
    let watch = soon(admin.send_request(asking(&server, Method::GET, path, RIGHT))).await.unwrap();
    assert_eq!(watch.status(), 200);
    let mut lines = watch.into_body().into_data_stream();
    let mut idle = server.sender(server.nobody()).await;
    assert_eq!(told(&mut idle, asking(&server, Method::GET, MAPS, RIGHT)).await, 200);

    let mut crowd = Vec::new();
    for _ in 0..10 * LIMITS.nobody.all {
        crowd.push(server.sender(server.nobody()).await);
    }
    // Questions without end, until one address may ask no more without showing anything.
    let (mut sender, mut other) = (server.sender(server.nobody()).await, server.sender(server.nobody()).await);
    let mut held = Vec::new();
    while told(&mut other, asking(&server, Method::GET, "/livez", "")).await != 429 {
        let mut request = asking(&server, Method::POST, "/grpc.health.v1.Health/Check", "");
        request.headers_mut().insert(header::CONTENT_TYPE, "application/grpc".parse().unwrap());
        *request.body_mut() = unfinished(0);
        held.push(sender.send_request(request));
        assert!(held.len() < 100 * ADDRESS_REQUESTS_MAX, "at some time it is enough");
    }

    assert_eq!(told(&mut idle, asking(&server, Method::GET, MAPS, RIGHT)).await, 200);
    server.by_token(&server.pki.0, TOKEN).create(config_map("seen", "1")).await.unwrap();
    let is_new = |line: Option<Result<bytes::Bytes, _>>| line.unwrap().unwrap().windows(4).any(|word| word == b"seen");
    soon(async { while !is_new(lines.next().await) {} }).await;
    drop((crowd, held));
}
