//! What guests reach and what they do not, by every interface that connects.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::cluster::{Cluster, http_get};

/// A program of the host that answers HTTP and counts who connects to it.
struct Daemon {
    address: SocketAddr,
    seen: Arc<AtomicUsize>,
}

impl Daemon {
    fn on(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        let count = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.unwrap().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { address, seen }
    }
}

/// Three ways to connect in one Pod, and a server of its own beside them; and two more ways in another.
const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: dial}
spec:
  containers:
  - {name: dial, image: 'dial:v1', ports: [{containerPort: 8080}]}
  - {name: echo, image: 'echo-tcp:v1', env: [{name: PORT, value: '7000'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: dial-p3, labels: {app: dial-p3}}
spec:
  containers:
  - {name: dial, image: 'dial-p3:v1', ports: [{containerPort: 8080}]}
  - {name: echo, image: 'echo-tcp:v1', env: [{name: PORT, value: '7000'}]}
---
apiVersion: v1
kind: Service
metadata: {name: dial-p3}
spec:
  selector: {app: dial-p3}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: alias}
spec: {type: ExternalName, externalName: localhost}
---
apiVersion: v1
kind: Service
metadata: {name: inner}
spec: {type: ExternalName, externalName: dial-p3.default.svc.cluster.local}
";

struct Story {
    cluster: Cluster,
}

impl Story {
    fn begin() -> Self {
        let cluster = Cluster::start();
        ["dial", "dial-p3", "echo-tcp"].into_iter().for_each(|sample| cluster.push(sample));
        cluster.apply(PODS).ok();
        for pod in ["dial", "dial-p3"] {
            cluster.wait_until_ready(pod);
        }
        Self { cluster }
    }

    fn ip(&self, pod: &str) -> String {
        self.cluster.field(&format!("pod/{pod}"), "/status/podIP")
    }

    /// What a guest says became of a connection.
    fn ask(&self, pod: &str, verb: &str, object: &str) -> String {
        http_get(&format!("http://{}:8080/?{verb}={object}", self.ip(pod))).unwrap().1
    }

    /// Everything that connects to an address, by all five interfaces.
    fn ask_all(&self, object: &str) -> Vec<String> {
        let ways = [("dial", "p2"), ("dial", "p3"), ("dial", "http"), ("dial-p3", "connect"), ("dial-p3", "get")];
        ways.iter().map(|(pod, verb)| format!("{pod} {verb} {object}: {}", self.ask(pod, verb, object))).collect()
    }
}

fn has_failed(answer: &str) -> bool {
    !answer.ends_with("connected") && !answer.ends_with("200")
}

#[test]
fn guests_reach_no_program_of_the_host() {
    let story = Story::begin();
    let (local, any) = (Daemon::on("127.0.0.1:0"), Daemon::on("0.0.0.0:0"));
    let service = story.cluster.field("service/dial-p3", "/spec/clusterIP");
    let hosts = [
        "127.0.0.1",
        "127.0.0.53",
        "0.0.0.0",
        "169.254.169.254",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        &service,
        &story.ip("dial"),
        &story.ip("dial-p3"),
    ];
    for daemon in [&local, &any] {
        for host in hosts {
            for answer in story.ask_all(&format!("{host}:{}", daemon.address.port())) {
                assert!(has_failed(&answer), "{answer}");
            }
        }
    }
    for name in ["localhost", "127.1", "2130706433", "alias"] {
        let there = format!("{name}:{}", local.address.port());
        for (pod, verb) in [("dial", "p2"), ("dial", "http"), ("dial-p3", "get")] {
            let answer = story.ask(pod, verb, &there);
            assert!(has_failed(&answer), "{pod} {verb} {there}: {answer}");
        }
    }
    // The API has a name and an address, which lead to a master like any other way.
    let api = story.cluster.field("service/kubernetes", "/spec/clusterIP");
    assert_eq!(story.ask("dial-p3", "look-up", "kubernetes.default.svc"), api);
    let ask = |pod: &str, verb: &str, host: &str| story.ask(pod, verb, &format!("{host}:443"));
    assert_eq!(ask("dial", "p2", "kubernetes.default.svc"), "connected");
    // A handler of p2 cannot wait for a socket of p3 until it is connected.
    for (pod, verb) in [("dial", "p2"), ("dial-p3", "connect")] {
        assert_eq!(ask(pod, verb, &api), "connected", "{pod} {verb}");
    }
    for host in ["kubernetes.default.svc", &api] {
        assert_eq!(ask("dial", "https", host), "200", "{host}");
        for (pod, verb) in [("dial", "http"), ("dial-p3", "get")] {
            let answer = ask(pod, verb, host);
            assert!(has_failed(&answer), "{pod} {verb} {host}: {answer}");
        }
    }
    for other in [format!("{service}:80"), "dial-p3".to_owned(), "example.com".to_owned()] {
        let answer = story.ask("dial", "https", &other);
        assert!(has_failed(&answer), "{other}: {answer}");
    }
    assert_eq!(local.seen.load(Ordering::SeqCst), 0, "no connection reached the host's loopback");
    assert_eq!(any.seen.load(Ordering::SeqCst), 0, "nor what listens on all of its addresses");
}

#[test]
fn localhost_is_the_pod_itself_and_pods_and_services_are_reached() {
    let story = Story::begin();
    let own = story.ip("dial-p3");
    for host in ["127.0.0.1", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", &own, &story.ip("dial")] {
        assert_eq!(story.ask("dial-p3", "connect", &format!("{host}:7000")), "connected", "{host}");
        assert_eq!(story.ask("dial", "p2", &format!("{host}:7000")), "connected", "{host}");
    }
    assert_eq!(story.ask("dial", "p2", "localhost:7000"), "connected");
    for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "dial-p3", "dial-p3.default.svc:80"] {
        assert_eq!(story.ask("dial-p3", "get", host), "200", "{host}");
        assert_eq!(story.ask("dial", "http", host), "200", "{host}");
    }
    let service = story.cluster.field("service/dial-p3", "/spec/clusterIP");
    assert_eq!(story.ask("dial-p3", "look-up", "dial-p3"), service);
    assert_eq!(story.ask("dial-p3", "look-up", "localhost"), "127.0.0.1");
    assert_eq!(story.ask("dial-p3", "look-up", "inner"), service);
    assert_eq!(story.ask("dial", "p2", "inner:80"), "connected");
    // What the machine calls localhost is the Pod itself under any name.
    let found = story.ask("dial-p3", "look-up", "alias.default");
    assert!(found == "127.0.0.1" || found.starts_with("Some(Ipv6"), "{found}");
    assert_eq!(story.ask("dial", "p2", "alias:7000"), "connected");
    assert_eq!(story.ask("dial-p3", "connect", &format!("{service}:80")), "connected");
    for any in ["0.0.0.0", "127.0.0.1", "[::]", "[::1]"] {
        assert_eq!(story.ask("dial-p3", "listen", &format!("{any}:9000")), own, "{any}");
    }
    assert!(story.ask("dial-p3", "listen", &format!("{}:9000", story.ip("dial"))).contains("AccessDenied"));
}
