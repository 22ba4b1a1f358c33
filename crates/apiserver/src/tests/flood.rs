//! Callers who ask too much, too slowly, or nothing at all.

use std::{convert::Infallible, sync::mpsc};

use api::{Key, Kind, Reason};
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt as _, future::join_all, stream::FuturesUnordered};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use registry::{Caller, budget::ADDRESS_REQUESTS_MAX};
use rpc::{Security, identity::Subject};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{LIMITS, Server, connect, node_caller, soon};

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

/// More requests at once than any connection takes.
const FLOOD: usize = 1500;

/// How often the tasks of a client have their turn until all that they can write is written.
const TURNS: usize = 2000;

/// Makes the server stand still for a client on a thread of its own.
struct Brake(tokio::sync::mpsc::UnboundedSender<(mpsc::Sender<()>, mpsc::Receiver<()>)>);

impl Brake {
    /// The server stands still until what is answered here is dropped. What a client sends meanwhile arrives all at once.
    fn pull(&self) -> mpsc::Sender<()> {
        let ((stands, stood), (release, released)) = (mpsc::channel(), mpsc::channel());
        self.0.send((stands, released)).unwrap();
        stood.recv().unwrap();
        release
    }
}

/// Serves a client that is on a thread of its own.
async fn serve<F: Future<Output = ()>>(client: impl FnOnce(Brake) -> F + Send + 'static) {
    let (pull, mut pulled) = tokio::sync::mpsc::unbounded_channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(client(Brake(pull)));
    });
    while let Some((stands, released)) = pulled.recv().await {
        stands.send(()).unwrap();
        // The server's tasks are this thread's.
        let _ = released.recv();
    }
    thread.join().unwrap();
}

/// Until all is written that can be.
async fn written(mut sent: impl Future + Unpin) {
    for _ in 0..TURNS {
        assert!(futures::poll!(&mut sent).is_pending(), "the server stands still");
        tokio::task::yield_now().await;
    }
}

/// Hundreds of short requests at once looked like an attack: the connection was closed, and what was under way on it was lost.
#[tokio::test]
async fn who_asks_much_at_once_waits_or_is_told_so_and_keeps_its_connection() {
    let server = Server::new().await;
    let Caller::Node { name, uid, .. } = node_caller(&server.house.registry, "w1").await else { panic!("a node") };
    for subject in [Subject::Node { name, uid }, Subject::Admin { name: "root".to_owned() }] {
        let (security, url) = (Security::Tls(server.pki.identity(&subject)), server.url.clone());
        serve(move |brake| async move {
            let (client, key) = (rpc::Client::connect_with(&[url], security).unwrap(), Key::cluster(Kind::Node, "w1"));
            soon(client.get(&key)).await.unwrap();
            let mut all = join_all((0..FLOOD).map(|_| client.get(&key)));
            let released = brake.pull();
            written(&mut all).await;
            drop(released);
            let answers = soon(all).await;
            let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
            assert!(refused.len() < FLOOD, "somebody is answered");
            for error in refused {
                assert_eq!(error.reason, Reason::TooManyRequests, "{subject:?}: {error:?}");
            }
        })
        .await;
    }
}

/// Whoever gave up twenty requests before the server had looked at them lost its connection.
#[tokio::test]
async fn who_gives_up_many_requests_keeps_its_connection() {
    let server = Server::new().await;
    let (config, address, uri) = (server.pki.admin().client(), server.address, format!("{}/livez", server.url));
    serve(move |brake| async move {
        let stream = TokioIo::new(connect(address, config).await);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let ask = || Request::get(&uri).body(Body::empty()).unwrap();
        assert_eq!(soon(sender.send_request(ask())).await.unwrap().status(), StatusCode::OK);
        let released = brake.pull();
        let mut given_up = join_all((0..200).map(|_| sender.send_request(ask())));
        written(&mut given_up).await;
        drop(given_up);
        written(std::future::pending::<()>()).await;
        drop(released);
        assert_eq!(soon(sender.send_request(ask())).await.unwrap().status(), StatusCode::OK);
    })
    .await;
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
