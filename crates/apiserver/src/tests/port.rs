//! One port for everything, and how it closes.

use axum::body::Body;
use futures::StreamExt as _;
use http::{Request, Response, Version};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rpc::services::objects_client::ObjectsClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::{Server, config_map, soon};
use crate::server::HEAD_BYTES_MAX;

/// The address with its query is part of the head.
#[tokio::test]
async fn a_head_has_so_many_bytes() {
    let server = Server::new().await;
    for (bytes, answer) in [(HEAD_BYTES_MAX / 2, "HTTP/1.1 200"), (HEAD_BYTES_MAX, "HTTP/1.1 431")] {
        let mut stream = server.connect().await;
        let head = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(bytes));
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answered = [0; 12];
        soon(stream.read_exact(&mut answered)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answered), answer, "{bytes} bytes");
    }
}

/// One request over a connection of its own.
async fn send(server: &Server, version: Version, request: Request<Body>) -> Response<Incoming> {
    let stream = TokioIo::new(server.connect().await);
    if version == Version::HTTP_2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        return sender.send_request(request).await.unwrap();
    }
    let (mut sender, connection) = http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

/// GET, as a client of the server's address sends it.
fn get(server: &Server, version: Version, path: &str) -> Request<Body> {
    let (uri, host) = match version {
        Version::HTTP_2 => (format!("{}{path}", server.url), None),
        _ => (path.to_owned(), Some(server.address.to_string())),
    };
    let mut request = Request::get(uri).body(Body::empty()).unwrap();
    let host = host.map(|host| host.parse().unwrap());
    request.headers_mut().extend(host.map(|host| (http::header::HOST, host)));
    request
}

async fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(server.url.clone()).unwrap();
    let stream = server.connect().await;
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: http::Uri| std::future::ready(once.take().ok_or("connected once")));
    endpoint.connect_with_connector(connector).await.unwrap()
}

async fn http(server: &Server, version: Version, path: &str) -> (u16, String) {
    let response = send(server, version, get(server, version, path)).await;
    assert_eq!(response.version(), version);
    let code = response.status().as_u16();
    (code, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn every_language_is_spoken_on_one_port() {
    let server = Server::new().await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        assert_eq!(http(&server, version, "/livez").await, (200, "ok".to_owned()));
        assert_eq!(http(&server, version, "/v2/").await, (200, "{}".to_owned()));
        assert_eq!(http(&server, version, "/v2x").await.0, 404);
    }
    let channel = channel(&server).await;
    let asked = HealthCheckRequest { service: "kapelle.api.v1.Objects".to_owned() };
    let health = HealthClient::new(channel.clone()).check(asked).await.unwrap().into_inner();
    assert_eq!(health.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);

    let message_request = Some(MessageRequest::ListServices(String::new()));
    let asked = ServerReflectionRequest { host: String::new(), message_request };
    let asked = futures::stream::iter([asked]);
    let mut answers = ServerReflectionClient::new(channel).server_reflection_info(asked).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("a list of services")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"kapelle.api.v1.Objects") && names.contains(&"kapelle.api.v1.Logs"), "{names:?}");
}

#[tokio::test]
async fn an_earlier_state_is_listed_exactly() {
    let server = Server::new().await;
    let then = server.client().create(config_map("a", "1")).await.unwrap().revision().unwrap().to_string();
    server.client().create(config_map("b", "1")).await.unwrap();
    let mut client = ObjectsClient::new(channel(&server).await);
    let request = |revision: &str, matching: &str| rpc::services::ListRequest {
        kind: "ConfigMap".to_owned(),
        resource_version: revision.to_owned(),
        resource_version_match: matching.to_owned(),
        ..Default::default()
    };
    for (matching, count) in [("Exact", 1), ("NotOlderThan", 2), ("", 2)] {
        let page = client.list(request(&then, matching)).await.unwrap().into_inner();
        assert_eq!(page.items.len(), count, "{matching}");
    }
    for (revision, matching) in [("", "Exact"), ("0", "Exact"), ("1", "Newest")] {
        let refused = client.list(request(revision, matching)).await.unwrap_err();
        assert!(refused.message().contains("resource_version_match"), "{refused}");
    }
}

#[tokio::test]
async fn open_watches_do_not_keep_the_port_open() {
    let server = Server::new().await;
    let channel = channel(&server).await;
    let mut client = ObjectsClient::new(channel);
    let asked = rpc::services::WatchRequest { kind: "Pod".to_owned(), allow_bookmarks: true, ..Default::default() };
    let mut watch = client.watch(asked).await.unwrap().into_inner();
    assert!(soon(watch.message()).await.unwrap().unwrap().events[0].initial_events_end);
    let path = "/api/v1/pods?watch=true&resourceVersion=0&allowWatchBookmarks=true";
    let response = send(&server, Version::HTTP_11, get(&server, Version::HTTP_11, path)).await;
    let mut lines = response.into_body().into_data_stream();

    server.shutdown.cancel();

    soon(server.running).await.unwrap().unwrap();
    let last = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(last.events[0].r#type(), rpc::services::watch_event::Type::Bookmark);
    assert!(soon(watch.message()).await.unwrap().is_none());
    let line = soon(lines.next()).await.unwrap().unwrap();
    assert!(line.starts_with(br#"{"type":"BOOKMARK""#) || line.starts_with(br#"{"object""#), "{line:?}");
    assert!(soon(lines.next()).await.is_none());
}
