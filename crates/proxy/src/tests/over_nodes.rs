//! Services whose Pods are on several nodes: two proxies, of which only one knows the Pods as handlers.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use super::*;
use crate::{Aim, balance::Course, table::Endpoint};

/// A Service at a free port of an address, and two addresses for Pods.
async fn places(last: u8) -> (SocketAddr, SocketAddr, SocketAddr) {
    let pod = free(&format!("127.77.10.{last}")).await;
    (free(&format!("127.77.12.{last}")).await, pod, SocketAddr::new([127, 77, 11, last].into(), pod.port()))
}

fn table(vip: SocketAddr, pods: &[SocketAddr]) -> Table {
    let ready: Vec<_> = pods.iter().map(|pod| (*pod, true)).collect();
    Table::build(NODE, [&service(&vip.ip().to_string(), vip.port())], [&slice(&ready)])
}

/// A Pod that listens itself: `story` is called with each connection and its number.
fn listens<F: Future<Output = ()> + Send>(
    listener: TcpListener,
    story: impl Fn(TcpStream, usize) -> F + Send + Sync + Clone + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let story = story.clone();
            tokio::spawn(async move { story(stream, number).await });
        }
    })
}

async fn answer(stream: &mut TcpStream, text: &str) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
    stream.write_all(format!("{head}{text}").as_bytes()).await.unwrap();
}

#[tokio::test]
async fn an_open_connection_follows_its_service_from_one_node_to_several() {
    let (vip, a, b) = places(1).await;
    let (here, there) = (proxy(), proxy());
    here.register_local(pod("a"), a, says("a"));
    there.register_local(pod("b"), b, says("b"));
    here.update(table(vip, &[a]));
    let mut stream = TcpStream::connect(vip).await.unwrap();
    assert_eq!(ask(&mut stream).await, "a");

    here.update(table(vip, &[a, b]));
    let mut answers = [ask(&mut stream).await, ask(&mut stream).await];
    answers.sort();
    assert_eq!(answers, ["a", "b"]);

    here.update(table(vip, &[b]));
    here.unregister_local(a);
    assert_eq!([ask(&mut stream).await, ask(&mut stream).await], ["b", "b"]);
}

#[tokio::test]
async fn a_request_waits_for_the_table_when_its_pods_are_gone_already() {
    let (vip, old, new) = places(2).await;
    let (here, there) = (proxy(), proxy());
    there.register_local(pod("old"), old, says("old"));
    here.update(table(vip, &[old]));
    let mut stream = TcpStream::connect(vip).await.unwrap();
    assert_eq!(ask(&mut stream).await, "old");

    // The rollout is through on the other node before this one hears of it.
    there.register_local(pod("new"), new, says("new"));
    there.close_local(old);
    let asking = tokio::spawn(async move {
        let post = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody";
        exchange(&mut stream, post).await
    });
    while here.inner.balancer.changed.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    here.update(table(vip, &[new]));
    assert_eq!(asking.await.unwrap(), ("http/1.1 200 ok".into(), "new".into()));
}

#[tokio::test]
async fn what_a_pod_has_not_taken_goes_to_another_with_its_body() {
    let (vip, old, new) = places(3).await;
    let (here, there) = (proxy(), proxy());
    let echo: LocalHandler =
        Arc::new(|request: Request<Body>| std::future::ready(Response::new(request.into_body())).boxed());
    there.register_local(pod("old"), old, echo.clone());
    there.register_local(pod("new"), new, echo);
    there.close_local(old);
    here.update(table(vip, &[old, new]));
    let mut stream = TcpStream::connect(vip).await.unwrap();
    for _ in 0..4 {
        let post = "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
        stream.write_all(post.as_bytes()).await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
        let mut chunks = [0; 14];
        stream.read_exact(&mut chunks).await.unwrap();
        assert_eq!(&chunks, b"4\r\nbody\r\n0\r\n\r\n");
    }
}

#[tokio::test]
async fn only_what_may_be_asked_twice_is_asked_again_after_a_connection_broke() {
    let (vip, _, _) = places(4).await;
    let breaking = TcpListener::bind("127.77.10.4:0").await.unwrap();
    let bad = breaking.local_addr().unwrap();
    let good = SocketAddr::new([127, 77, 11, 4].into(), bad.port());
    let broken = Arc::new(AtomicUsize::new(0));
    let count = broken.clone();
    listens(breaking, move |mut stream, _| {
        let count = count.clone();
        async move {
            read_head(&mut stream).await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (here, there) = (proxy(), proxy());
    there.register_local(pod("good"), good, says("good"));
    here.update(table(vip, &[bad, good]));
    let mut stream = TcpStream::connect(vip).await.unwrap();
    assert_eq!([ask(&mut stream).await, ask(&mut stream).await], ["good", "good"]);
    assert_eq!(broken.load(Ordering::SeqCst), 1, "the first went to the bad Pod first");

    let post = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n";
    let status = exchange(&mut TcpStream::connect(vip).await.unwrap(), post).await.0;
    assert_eq!(status, "http/1.1 502 bad gateway");
    assert_eq!(broken.load(Ordering::SeqCst), 2, "it was asked once");
}

#[tokio::test]
async fn connections_to_a_pod_are_used_again_until_it_closes_them() {
    let (vip, _, _) = places(5).await;
    let listener = TcpListener::bind("127.77.10.5:0").await.unwrap();
    let pod = listener.local_addr().unwrap();
    listens(listener, |mut stream, number| async move {
        for _ in 0..3 {
            if read_head(&mut stream).await.is_empty() {
                return;
            }
            answer(&mut stream, &number.to_string()).await;
        }
    });
    let here = proxy();
    here.update(table(vip, &[pod]));
    let mut answers = Vec::new();
    for _ in 0..6 {
        // Requests that may not be asked twice find the end of a connection all the same.
        let mut stream = TcpStream::connect(vip).await.unwrap();
        answers.push(exchange(&mut stream, "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n").await.1);
    }
    assert_eq!(answers, ["0", "0", "0", "1", "1", "1"]);
}

#[tokio::test]
async fn protocols_that_are_not_http_pass_untouched() {
    let (vip, _, _) = places(6).await;
    let listener = TcpListener::bind("127.77.10.6:0").await.unwrap();
    let pod = listener.local_addr().unwrap();
    listens(listener, |mut stream, _| async move {
        stream.write_all(b"220 ready\r\n").await.unwrap();
        let mut line = [0; 6];
        stream.read_exact(&mut line).await.unwrap();
        stream.write_all(&line).await.unwrap();
    });
    let here = proxy();
    here.update(table(vip, &[pod]));
    let (greeting, command) = (b"220 ready\r\n", b"QUIT\r\n");
    let mut stream = TcpStream::connect(vip).await.unwrap();
    let mut heard = vec![0; greeting.len()];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, greeting, "the server speaks first");
    stream.write_all(command).await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, command);

    let mut stream = TcpStream::connect(vip).await.unwrap();
    stream.write_all(command).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, [&greeting[..], command].concat(), "the client speaks first");
}

#[tokio::test]
async fn a_connection_may_become_a_tunnel() {
    let (vip, _, _) = places(7).await;
    let listener = TcpListener::bind("127.77.10.7:0").await.unwrap();
    let pod = listener.local_addr().unwrap();
    listens(listener, |mut stream, _| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        if head.starts_with("get") {
            assert!(head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
            let agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(agreed).await.unwrap();
        } else {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        }
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    });
    let here = proxy();
    here.update(table(vip, &[pod]));
    let upgrade = "GET /chat HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for (request, status) in
        [(upgrade, "HTTP/1.1 101"), ("CONNECT web:1 HTTP/1.1\r\nHost: web:1\r\n\r\n", "HTTP/1.1 200")]
    {
        let mut stream = TcpStream::connect(vip).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut stream).await;
        assert!(head.starts_with(status), "{head}");
        stream.write_all(b"\0echo").await.unwrap();
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"\0echo");
    }
}

/// A Pod on a node that is silent: packets to it are lost, since nobody accepts what fills its queue.
struct Silent {
    listener: TcpListener,
    waiting: Vec<TcpStream>,
}

impl Silent {
    async fn new(ip: &str, port: u16) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(SocketAddr::new(ip.parse().unwrap(), port)).unwrap();
        Self::fill(socket.listen(1).unwrap()).await
    }

    async fn fill(listener: TcpListener) -> Self {
        let at = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(at)).await {
            waiting.push(stream);
        }
        Self { listener, waiting }
    }
}

#[tokio::test]
async fn the_pods_of_a_silent_node_are_passed_over_until_it_answers_again() {
    let (vip, good, _) = places(8).await;
    let first = Silent::new("127.77.11.8", good.port()).await;
    let second = Silent::new("127.77.11.9", good.port()).await;
    let (dead, also) = (first.listener.local_addr().unwrap(), second.listener.local_addr().unwrap());
    let (here, there) = (proxy(), proxy());
    there.register_local(pod("good"), good, says("good"));
    let mut slice = slice(&[(good, true), (dead, true), (also, true)]);
    for (endpoint, node) in slice.endpoints.iter_mut().zip(["up", "down", "down"]) {
        endpoint.node_name = Some(node.into());
    }
    here.update(Table::build(NODE, [&service(&vip.ip().to_string(), vip.port())], [&slice]));
    let mut stream = TcpStream::connect(vip).await.unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&mut stream).await, "good");
    }
    let is_trusted =
        |address| here.inner.balancer.peers.get(&Endpoint { address, node: Some("down".into()) }).is_trusted();
    assert!(!is_trusted(dead) && !is_trusted(also), "one of them was enough to know the other");

    drop((first.waiting, second.waiting));
    let accept = |listener: TcpListener| listens(listener, |_, _| async {});
    accept(first.listener);
    accept(second.listener);
    while !is_trusted(dead) || !is_trusted(also) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_request_whose_node_falls_silent_is_answered_by_another_pod() {
    let (vip, good, _) = places(12).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new([127, 77, 9, 12].into(), good.port())).unwrap();
    let listener = socket.listen(1).unwrap();
    let bad = listener.local_addr().unwrap();
    let (here, there) = (proxy(), proxy());
    there.register_local(pod("good"), good, says("good"));
    here.update(table(vip, &[bad, good]));
    let asking = tokio::spawn(async move { ask(&mut TcpStream::connect(vip).await.unwrap()).await });
    let (mut taken, _) = listener.accept().await.unwrap();
    assert!(read_head(&mut taken).await.starts_with("GET / "), "the bad Pod has the request");
    let _silent = Silent::fill(listener).await;
    assert_eq!(asking.await.unwrap(), "good");
}

#[tokio::test]
async fn a_pod_that_refuses_is_remembered_alone() {
    let (vip, good, bad) = places(10).await;
    let (here, there) = (proxy(), proxy());
    there.register_local(pod("good"), good, says("good"));
    here.update(table(vip, &[good, bad]));
    let mut stream = TcpStream::connect(vip).await.unwrap();
    for _ in 0..4 {
        assert_eq!(ask(&mut stream).await, "good");
    }
    let is_trusted = |address| here.inner.balancer.peers.get(&Endpoint { address, node: None }).is_trusted();
    assert!(is_trusted(good) && !is_trusted(bad));
    let mut course = Course::new(Aim::Address(vip), [127, 0, 0, 1].into());
    assert_eq!(here.inner.balancer.next(&mut course).unwrap().address(), good, "nobody runs into it again");

    there.register_local(pod("bad"), bad, says("better"));
    while !is_trusted(bad) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn no_request_fails_while_pods_come_and_go_on_two_nodes() {
    const CLIENTS: usize = 8;
    const CHANGES: u8 = 40;
    let port = free("127.77.20.0").await.port();
    let vip = free("127.77.12.20").await;
    let at = |number: u8| SocketAddr::from(([127, 77, 20, number], port));
    let nodes = [proxy(), proxy()];
    let home = |number: u8| &nodes[usize::from(number % 2)];
    // Only the first node has the Service's address here: in one process it cannot be on both.
    let update = |pods: std::ops::Range<u8>| nodes[0].update(table(vip, &pods.map(at).collect::<Vec<_>>()));
    (0..4).for_each(|number| home(number).register_local(pod("p"), at(number), says("p")));
    update(0..4);

    let done = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let done = done.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(vip).await.unwrap();
                while done.load(Ordering::SeqCst) < usize::from(CHANGES) {
                    assert_eq!(ask(&mut stream).await, "p");
                }
            })
        })
        .collect();
    for change in 0..CHANGES {
        home(change + 4).register_local(pod("p"), at(change + 4), says("p"));
        // The Pod goes before its table says so, as it does for whoever hears late.
        home(change).close_local(at(change));
        home(change).unregister_local(at(change));
        tokio::task::yield_now().await;
        update(change + 1..change + 5);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        done.fetch_add(1, Ordering::SeqCst);
    }
    for client in clients {
        client.await.unwrap();
    }
}
