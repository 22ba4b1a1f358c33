//! Ports of Pods on this machine: by `kubectl` as it comes, and by `kapelle`.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use crate::{
    cluster::{Cluster, http_get},
    kubectl::Kubectl,
    patience::wait_until,
};

const PODS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: c, image: 'hello-http:v1', ports: [{containerPort: 8080, name: http}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: echo}
spec: {containers: [{name: c, image: 'echo-tcp:v1', env: [{name: PORT, value: '7000'}], ports: [{containerPort: 7000}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: www, port: 80, targetPort: http}]}
";

/// A command that forwards ports until it is dropped.
struct Forwarding {
    child: Child,
    /// What it complained about.
    stderr: Arc<Mutex<String>>,
    /// The ports that it has opened, in the order in which they were asked for.
    ports: Vec<u16>,
}

impl Forwarding {
    fn start(mut command: Command, count: usize) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (said, complaints) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let stderr = Arc::<Mutex<String>>::default();
        let told = stderr.clone();
        thread::spawn(move || {
            for line in BufReader::new(complaints).lines().map_while(Result::ok) {
                *told.lock().unwrap() += &format!("{line}\n");
            }
        });
        let mut ports = Vec::new();
        let mut lines = BufReader::new(said).lines();
        while ports.len() < count {
            let line = lines.next().unwrap_or_else(|| panic!("{command:?}: {}", stderr.lock().unwrap())).unwrap();
            // Where there is IPv6, its line repeats the port.
            let port = line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.split_once(' '));
            ports.extend(port.and_then(|(port, _)| port.parse::<u16>().ok()));
        }
        // It would break if nobody read what it says.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, stderr, ports }
    }

    fn wait_for_complaint(&self, text: &str) {
        wait_until(text, || {
            let stderr = self.stderr.lock().unwrap();
            if stderr.contains(text) { Ok(()) } else { Err(stderr.clone()) }
        });
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends bytes and reads as many that come back.
fn echoed(port: u16, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let mut back = stream.try_clone()?;
    let (length, bytes) = (bytes.len(), bytes.to_vec());
    let writer = thread::spawn(move || stream.write_all(&bytes).map(|()| stream));
    let mut read = vec![0; length];
    back.read_exact(&mut read)?;
    writer.join().unwrap()?;
    Ok(read)
}

/// Whether a connection is ended without an answer.
fn is_ended(port: u16) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.read(&mut [0; 1]).map_or(true, |count| count == 0)
}

fn cluster() -> Cluster {
    let cluster = Cluster::start();
    cluster.push("hello-http");
    cluster.push("echo-tcp");
    cluster.apply(PODS).ok();
    cluster.wait_until_ready("web");
    cluster.wait_until_ready("echo");
    cluster
}

/// A handler and a socket server, large and small, many at once; and ports on which nobody listens.
fn forwards(command: impl Fn(&[&str]) -> Command) {
    let web = Forwarding::start(command(&["pod/web", ":8080", ":http", ":9999"]), 3);
    let url = |port: u16| format!("http://127.0.0.1:{port}/");
    for port in &web.ports[..2] {
        assert_eq!(http_get(&url(*port)).unwrap().0, 200);
    }
    assert!(is_ended(web.ports[2]));
    web.wait_for_complaint("connection refused: nothing in the Pod listens on port 9999");
    web.wait_for_complaint("error forwarding port 9999 to pod web");
    let service = Forwarding::start(command(&["svc/web", ":80"]), 1);
    assert_eq!(http_get(&url(service.ports[0])).unwrap().0, 200);
    let echo = Forwarding::start(command(&["pod/echo", ":7000"]), 1);
    let long: Vec<u8> = (0..4 << 20).map(|at: u32| (at % 251) as u8).chain(*b"\n").collect();
    let returns = |what: &str, bytes: &[u8]| match echoed(echo.ports[0], bytes) {
        Ok(back) => assert!(back == bytes, "{what}: other bytes"),
        Err(error) => {
            let complaints = echo.stderr.lock().unwrap().clone();
            panic!("{what}: {error}; {complaints}")
        }
    };
    returns("4 MiB there and back", &long);
    thread::scope(|scope| {
        for number in 0..16_u8 {
            scope.spawn(move || {
                returns(&format!("connection {number}"), &[vec![number; 100_000], b"\n".to_vec()].concat())
            });
        }
    });
}

#[test]
fn kubectl_forwards_ports_over_spdy_and_over_websocket_and_asks_through_the_proxy() {
    let cluster = cluster();
    let Some(kubectl) = Kubectl::find(&cluster) else { return };
    for websockets in ["true", "false"] {
        forwards(|arguments| {
            let mut command = kubectl.command();
            command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets).arg("port-forward").args(arguments);
            command
        });
    }
    let through = "/api/v1/namespaces/default";
    for path in ["pods/web/proxy/", "pods/http:web:8080/proxy/?y=z", "services/web/proxy/", "services/web:www/proxy"] {
        let mut command = kubectl.command();
        command.args(["get", "--raw", &format!("{through}/{path}")]);
        assert!(!crate::cluster::Answer::of(&mut command, "").ok().is_empty(), "{path}");
    }
    let refused = |line: &str| {
        let mut command = kubectl.command();
        command.args(line.split(' '));
        crate::cluster::Answer::of(&mut command, "").err()
    };
    assert!(refused("port-forward pod/none 8080").contains("not found"));
    let raw = |path: &str| refused(&format!("get --raw {through}/{path}"));
    assert!(raw("pods/web:9999/proxy/").contains("nothing in the Pod listens on port 9999"));
    assert!(raw("services/web:81/proxy/").contains("no such port"));
    assert!(raw("services/https:web:80/proxy/").contains("tls: "), "it speaks no TLS");
    assert!(raw("services/ftp:web:80/proxy/").contains("Pods are asked over http or https"));
}

#[test]
fn kapelle_forwards_ports() {
    let cluster = cluster();
    forwards(|arguments| {
        let mut command = Command::new(crate::cluster::KAPELLE);
        command.args(["port-forward", "--address", "127.0.0.1", "--kubeconfig"]);
        command.arg(cluster.kubeconfig()).args(arguments);
        command
    });
    assert!(cluster.kapelle("port-forward none 80").err().contains("not found"));
    let unknown = cluster.kapelle("port-forward web nope").err();
    assert!(unknown.contains("does not have a port named or numbered 'nope'"), "{unknown}");
}
