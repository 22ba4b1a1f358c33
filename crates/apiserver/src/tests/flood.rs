//! Callers who ask too much, too slowly, or nothing at all.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, stream::FuturesUnordered};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use registry::{Caller, budget::ADDRESS_REQUESTS_MAX};
use rpc::identity::Subject;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{LIMITS, Server, node_caller, soon};

/// Where nodes write.
const EVENTS: &str = "/api/v1/namespaces/default/events";

impl Server {
    async fn is_answered(&self) {
        let (client, query) = (self.client(), rpc::Query::all(api::Kind::Namespace));
        assert!(soon(client.list(&query)).await.is_ok());
    }
}

fn post(server: &Server, body: Body) -> Request<Body> {
    Request::builder().method(Method::POST).uri(format!("{}{EVENTS}", server.url)).body(body).unwrap()
}

/// A body that brings some bytes and then never ends.
pub(super) fn unfinished(pieces: usize) -> Body {
    let piece = Bytes::from(vec![b' '; 64 << 10]);
    let sent = futures::stream::iter((0..pieces).map(move |_| Ok::<_, Infallible>(Frame::data(piece.clone()))));
    Body::new(StreamBody::new(sent.chain(futures::stream::pending())))
}

/// 600 bodies that never came took every place that users have.
#[tokio::test]
async fn slow_requests_without_a_certificate_leave_administrators_their_share() {
    let server = Server::new().await;
    let (mut senders, mut answers) = (Vec::new(), FuturesUnordered::new());
    for _ in 0..LIMITS.nobody.all {
        let mut sender = server.sender(server.nobody()).await;
        answers.extend((0..150).map(|_| sender.send_request(post(&server, unfinished(0)))));
        senders.push(sender);
    }
    let refused: Vec<_> = soon(answers.take(600 - ADDRESS_REQUESTS_MAX).collect()).await;
    // Streams beyond those that are allowed are reset.
    let status = |answer: &Result<http::Response<_>, _>| answer.as_ref().map_or(429, |answer| answer.status().as_u16());
    assert!(refused.iter().all(|answer| [429, 401].contains(&status(answer))), "{refused:?}");
    server.is_answered().await;
}

/// Bodies of unknown length counted as 16 KiB each, whatever came.
#[tokio::test]
async fn bodies_of_unknown_length_count_as_they_come() {
    let server = Server::new().await;
    let Caller::Node { name, uid, .. } = node_caller(&server.house.registry, "w1").await else { panic!("a node") };
    let node = server.pki.identity(&Subject::Node { name, uid });
    let mut sender = server.sender(node.client()).await;
    // 2.9 MiB each.
    let mut answers: FuturesUnordered<_> =
        (0..16).map(|_| sender.send_request(post(&server, unfinished(46)))).collect();
    let refused = soon(answers.next()).await.unwrap().unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    server.is_answered().await;
}

/// Without a certificate nothing long is read, however it is sent.
#[tokio::test]
async fn nobody_sends_long_bodies() {
    let server = Server::new().await;
    let mut sender = server.sender(server.nobody()).await;
    let answer = soon(sender.send_request(post(&server, unfinished(2)))).await.unwrap();
    assert!(matches!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNAUTHORIZED), "{answer:?}");
}

#[tokio::test]
async fn silent_connections_give_way_and_never_lock_anybody_out() {
    let server = Server::new().await;
    let (mut silent, mut nobody) = (Vec::new(), Vec::new());
    for _ in 0..10 * LIMITS.arriving.all {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    for _ in 0..10 * LIMITS.nobody.all {
        nobody.push(server.connect_as(server.nobody()).await);
    }
    server.is_answered().await;
    // The oldest were closed to make room.
    assert_eq!(soon(silent[0].read(&mut [0])).await.unwrap_or(0), 0);
}

/// A watch is busy though nothing happens; whoever has nothing to do gives way to it.
#[tokio::test]
async fn watches_stay_when_the_room_is_full() {
    let server = Server::new().await;
    let mut watch = server.sender(server.pki.admin().client()).await;
    let path = "/api/v1/pods?watch=true&resourceVersion=0&allowWatchBookmarks=true";
    let request = Request::get(format!("{}{path}", server.url)).body(Body::empty()).unwrap();
    let mut lines = soon(watch.send_request(request)).await.unwrap().into_body().into_data_stream();
    let mut all = Vec::new();
    for _ in 0..3 * LIMITS.admins.all {
        let mut idle = server.connect_as(server.pki.admin().client()).await;
        idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 15];
        soon(idle.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        all.push(idle);
    }
    server.client().create(super::pod("p")).await.unwrap();
    assert!(soon(lines.next()).await.unwrap().is_ok());
}
