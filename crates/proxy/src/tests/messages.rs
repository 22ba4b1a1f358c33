//! What clients and Pods see of each other, on one node and over two.

use futures::stream;
use http::{HeaderMap, HeaderValue};
use http_body_util::StreamBody;
use hyper::body::Frame;

use super::*;
use crate::BoxError;

/// A Service with one Pod, on the node that answers for the Service or on another one.
struct Pair {
    vip: SocketAddr,
    pod: SocketAddr,
    here: Proxy,
    there: Proxy,
}

async fn pair(last: u8, is_far: bool, handler: LocalHandler) -> Pair {
    let (vip, at) = (free(&format!("127.77.32.{last}")).await, free(&format!("127.77.30.{last}")).await);
    let (here, there) = (proxy(), proxy());
    if is_far { &there } else { &here }.register_local(pod("p"), at, handler);
    here.update(Table::build(NODE, [&service(&vip.ip().to_string(), vip.port())], [&slice(&[(at, true)])]));
    Pair { vip, pod: at, here, there }
}

/// Everything that is answered until the connection is closed.
async fn all(to: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Answers with what the request said about its client.
fn echo_forwarded() -> LocalHandler {
    Arc::new(|request: Request<Body>| {
        let header = |name: &str| {
            let values = request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.collect::<Vec<_>>().join("|")
        };
        let names = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
        let text = names.map(header).join("\n");
        std::future::ready(Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync())).boxed()
    })
}

#[tokio::test]
async fn a_pod_sees_the_client_of_its_service_and_nobody_can_pretend_to_be_another() {
    let node = [127, 77, 33, 1].into();
    let forged = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n\r\n";
    for (last, is_far) in [(1, false), (2, true)] {
        let pair = pair(last, is_far, echo_forwarded()).await;
        pair.here.set_nodes(Some(node), [].into());
        pair.there.set_nodes(None, [node].into());
        let answer = all(pair.vip, forged).await;
        let wanted = "\r\n\r\nfor=127.0.0.1;host=\"web\";proto=http\n127.0.0.1\nweb\nhttp";
        assert!(answer.ends_with(wanted), "{answer}");
        let answer = all(pair.pod, forged).await;
        assert!(answer.ends_with(wanted), "also at the Pod's own address: {answer}");

        let mut request = Request::get(format!("http://web:{}/", pair.vip.port())).body(empty()).unwrap();
        request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static("9.9.9.9"));
        let answer = pair.here.send(request, "shop", [127, 0, 0, 7].into()).await.unwrap();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.contains("\n9.9.9.9, 127.0.0.7\n"), "a Pod adds itself: {text}");
    }
}

#[tokio::test]
async fn requests_that_are_not_in_order_are_answered_with_what_is_wrong() {
    let pair = pair(3, false, says("ok")).await;
    let long = "x".repeat(70_000);
    let ok = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), "400"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nHost: web\r\nA: {long}\r\n\r\n"), "431"),
        (format!("GET /{long} HTTP/1.1\r\nHost: web\r\n\r\n"), "414"),
        ("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(), "501"),
        ("GET / HTTP/3.0\r\nHost: web\r\n\r\n".to_owned(), "505"),
        (
            "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_owned(),
            "400",
        ),
        ("GET / HTTP/1.1\r\nHost: web\r\nExpect: gold\r\n\r\n".to_owned(), "417"),
    ] {
        let answer = all(pair.vip, &format!("{ok}{request}")).await;
        let lines: Vec<&str> = answer.lines().filter(|line| line.contains("HTTP/1.1 ")).collect();
        let [first, second] = lines[..] else { panic!("{answer}") };
        assert!(first.ends_with("200 OK") && second.contains(status), "{status}: {answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_reaches_a_client_that_is_still_sending() {
    let pair = pair(4, false, says("enough")).await;
    let mut stream = TcpStream::connect(pair.vip).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: web\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[0; 999_999]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("enough"), "{answer}");
}

/// Answers with a body and trailers that no header names.
fn trailing() -> LocalHandler {
    Arc::new(|_| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("42"));
        trailers.append("x-sum", HeaderValue::from_static("43"));
        trailers.insert("content-length", HeaderValue::from_static("7"));
        let frames = [Frame::data(Bytes::from_static(b"body")), Frame::trailers(trailers)];
        let body = StreamBody::new(stream::iter(frames.map(Ok::<_, BoxError>))).boxed_unsync();
        std::future::ready(Response::new(body)).boxed()
    })
}

#[tokio::test]
async fn trailers_arrive_although_nobody_announced_them() {
    for (last, is_far) in [(5, false), (6, true)] {
        let pair = pair(last, is_far, trailing()).await;
        let ask = "GET / HTTP/1.1\r\nHost: web\r\n\r\n";
        let last = "GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
        let answer = all(pair.vip, &format!("{ask}{last}")).await;
        let end = "\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 42\r\nx-sum: 43\r\n\r\n";
        assert_eq!(answer.matches(end).count(), 2, "{answer}");
        assert!(answer.ends_with(end), "{answer}");
        let old = all(pair.vip, "GET / HTTP/1.0\r\n\r\n").await;
        assert!(old.ends_with("\r\n\r\nbody"), "HTTP/1.0 has no place for them: {old}");
    }
}

/// Answers with the body and the trailers of the request.
fn echo() -> LocalHandler {
    Arc::new(|request: Request<Body>| {
        async move {
            let body = request.into_body().collect().await.unwrap();
            let trailers: Vec<String> = body
                .trailers()
                .into_iter()
                .flatten()
                .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
                .collect();
            let text = format!("{} {}", String::from_utf8_lossy(&body.to_bytes()), trailers.join(" "));
            Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync())
        }
        .boxed()
    })
}

#[tokio::test]
async fn trailers_of_requests_arrive_although_nobody_announced_them() {
    for (last, is_far) in [(7, false), (8, true)] {
        let pair = pair(last, is_far, echo()).await;
        for method in ["POST", "GET"] {
            let head = format!("{method} / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n");
            let body = "4\r\nbody\r\n0\r\nx-sum: 42\r\nx-sum: 43\r\n\r\n";
            // The second goes over the same connection between the nodes.
            let answer = all(pair.vip, &format!("{head}\r\n{body}{head}Connection: close\r\n\r\n{body}")).await;
            assert_eq!(answer.matches("\r\n\r\nbody x-sum=42 x-sum=43").count(), 2, "{method} {is_far}: {answer}");
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("44"));
        let frames = [Frame::data(Bytes::from_static(b"mine")), Frame::trailers(trailers)];
        let body = StreamBody::new(stream::iter(frames.map(Ok::<_, BoxError>))).boxed_unsync();
        let request = Request::post(format!("http://web:{}/", pair.vip.port())).body(body).unwrap();
        let answer = pair.here.send(request, "shop", [127, 77, 0, 9].into()).await.unwrap();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(text, "mine x-sum=44", "of a Pod");
    }
}

#[tokio::test]
async fn a_request_with_trailers_goes_to_the_next_pod_with_them() {
    let (vip, a) = (free("127.77.32.9").await, free("127.77.30.9").await);
    let b = SocketAddr::new([127, 77, 30, 10].into(), a.port());
    let (here, there) = (proxy(), proxy());
    for (name, at) in [("a", a), ("b", b)] {
        there.register_local(pod(name), at, echo());
    }
    there.close_local(a);
    let slice = slice(&[(a, true), (b, true)]);
    here.update(Table::build(NODE, [&service(&vip.ip().to_string(), vip.port())], [&slice]));
    let request = "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 42\r\n\r\n";
    for _ in 0..4 {
        let answer = all(vip, request).await;
        assert!(answer.ends_with("body x-sum=42"), "{answer}");
    }
}
