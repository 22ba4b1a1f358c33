//! One port for everything, and how it closes.

use axum::body::Body;
use futures::StreamExt as _;
use http::{Request, Version};
use http_body_util::BodyExt as _;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rpc::services::objects_client::ObjectsClient;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::{Server, soon};

async fn http(server: &Server, version: Version, path: &str) -> (u16, String) {
    let mut builder = Client::builder(TokioExecutor::new());
    let client = builder.http2_only(version == Version::HTTP_2).build_http::<Body>();
    let request = Request::get(format!("{}{path}", server.url)).body(Body::empty()).unwrap();
    let response = client.request(request).await.unwrap();
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
    let channel = tonic::transport::Endpoint::from_shared(server.url.clone()).unwrap().connect().await.unwrap();
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
async fn open_watches_do_not_keep_the_port_open() {
    let server = Server::new().await;
    let channel = tonic::transport::Endpoint::from_shared(server.url.clone()).unwrap().connect().await.unwrap();
    let mut client = ObjectsClient::new(channel);
    let asked = rpc::services::WatchRequest { kind: "Pod".to_owned(), allow_bookmarks: true, ..Default::default() };
    let mut watch = client.watch(asked).await.unwrap().into_inner();
    assert!(soon(watch.message()).await.unwrap().unwrap().events[0].initial_events_end);
    let rest = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let url = format!("{}/api/v1/pods?watch=true&resourceVersion=0&allowWatchBookmarks=true", server.url);
    let response = rest.request(Request::get(url).body(Body::empty()).unwrap()).await.unwrap();
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
