//! What Pods reach, and what they do not.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::Request;
use http_body_util::BodyExt as _;
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::{NODE, empty, free, pod, proxy, says, service, slice};
use crate::{Config, Denied, Proxy, SendError, Table};

/// A Pod that sends requests.
const SHOP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 77, 0, 200));

#[tokio::test]
async fn pods_do_not_reach_programs_of_the_host() {
    let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = host.local_addr().unwrap().port();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = host.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        }
    });
    let (proxy, _problems) = Proxy::new(Config { allow_external: true });
    // Whoever may write EndpointSlices could lead a Service to the host.
    let vip = free("127.77.1.7").await;
    let to_host = SocketAddr::from(([127, 0, 0, 1], port));
    proxy.update(Table::build(NODE, [&service("127.77.1.7", vip.port())], [&slice(&[(to_host, true)])]));
    let forms = [
        "127.0.0.1",
        "localhost",
        "LocalHost.",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "127.0.0.53",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "user@127.0.0.1",
        "169.254.169.254",
    ];
    let urls = forms.iter().map(|host| format!("http://{host}:{port}/"));
    for url in urls.chain([format!("http://web:{}/", vip.port())]) {
        let answer = proxy.send(Request::get(&url).body(empty()).unwrap(), "shop", SHOP).await;
        let refused = matches!(answer, Err(SendError::Denied(_) | SendError::NoEndpoint(_) | SendError::Service(_)));
        assert!(refused, "{url}: {:?}", answer.map(|answer| answer.status()));
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0, "no connection was made");
}

#[tokio::test]
async fn what_a_pod_calls_localhost_is_the_pod() {
    let own = free("127.77.0.200").await;
    let proxy = proxy();
    proxy.register_local(pod("own"), own, says("neighbour"));
    for host in ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "127.77.0.200"] {
        let request = Request::get(format!("http://{host}:{}/", own.port())).body(empty()).unwrap();
        let answer = proxy.send(request, "shop", SHOP).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "neighbour", "{host}");
    }
}

#[tokio::test]
async fn a_pods_own_socket_is_reached_while_it_listens() {
    let socket = TcpListener::bind("127.77.0.8:0").await.unwrap().local_addr().unwrap();
    let proxy = proxy();
    proxy.learn(|ranges| ranges.here = vec!["127.77.0.0/16".parse().unwrap()]);
    let way = || proxy.way(socket, SHOP);
    assert_eq!(way(), Err(Denied::Nobody(socket)));
    let twice = [proxy.listening(socket), proxy.listening(socket)];
    assert_eq!(way(), Ok(socket));
    let [one, other] = twice;
    drop(one);
    assert_eq!(way(), Ok(socket));
    drop(other);
    assert_eq!(way(), Err(Denied::Nobody(socket)));
}
