//! Too many connections, and no descriptors left: an administrator gets in, and the log goes on.

use std::{fs, net::TcpStream, process::Command};

use api::kinds::Resource as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::{
    cluster::{Cluster, http_get},
    patience::{PATIENCE, wait_until},
};

/// One limit of the running process, soft and hard.
fn files(cluster: &Cluster) -> String {
    let limits = fs::read_to_string(format!("/proc/{}/limits", cluster.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().skip(3).take(2).collect::<Vec<_>>().join(" ")
}

/// Sets the soft limit from outside; what is open stays open.
fn set_files(cluster: &Cluster, files: usize) {
    let (pid, limit) = (cluster.pid().to_string(), format!("--nofile={files}:"));
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn the_file_limit_is_raised_and_told() {
    let cluster = Cluster::start_behind(&["prlimit", "--nofile=512:8192"], &[]);
    assert_eq!(files(&cluster), "8192 8192");
    let said = cluster.stderr();
    assert!(said.contains("may open 8192 files"), "{said}");
}

/// A connection without a certificate, which has proven whom it calls.
pub(crate) async fn nobody(cluster: &Cluster) -> std::io::Result<TlsStream<tokio::net::TcpStream>> {
    let ca = CertificateDer::from_pem_file(cluster.dir().join("pki/ca.crt")).unwrap();
    let config = rpc::identity::pinned_client(rpc::identity::Pin::of(&ca).unwrap());
    let tcp = tokio::net::TcpStream::connect(cluster.contact()).await?;
    let name = ServerName::from(tcp.peer_addr()?.ip());
    TlsConnector::from(config).connect(name, tcp).await
}

/// The connections that may be open together are fewer than the files, whoever opens them.
#[test]
fn silent_connections_lock_nobody_out() {
    let cluster = Cluster::start_behind(&["prlimit", "--nofile=512:512"], &[]);
    let silent: Vec<_> = (0..600).map(|_| TcpStream::connect(cluster.contact()).unwrap()).collect();
    let proven = runtime().block_on(futures::future::join_all((0..600).map(|_| nobody(&cluster))));
    cluster.kapelle("get nodes").ok();
    assert!(proven.iter().any(Result::is_ok), "somebody was taken in");
    drop((silent, proven));
}

/// The clients of a Service took the files that an administrator's connection needs.
#[test]
fn clients_of_a_service_lock_no_administrator_out() {
    let cluster = Cluster::start_behind(&["prlimit", "--nofile=1024:1024"], &[]);
    cluster.push("hello-http");
    cluster.kapelle("run web --image=hello-http:v1 --port=8080").ok();
    cluster.wait_for_field("deployment/web", "/status/readyReplicas", "1");
    let url = cluster.service_url("web");
    let address = url.strip_prefix("http://").unwrap();
    wait_until("an answer", || http_get(&url));
    let crowd: Vec<_> = (0..1100).map(|_| TcpStream::connect(address).unwrap()).collect();
    cluster.kapelle("get nodes").ok();
    drop(crowd);
    wait_until("an answer", || http_get(&url));
}

/// Reads until the other side has closed the connection.
async fn is_closed(what: &str, mut stream: impl AsyncRead + Unpin) {
    let read = async { while stream.read(&mut [0; 64]).await.unwrap_or(0) > 0 {} };
    assert!(tokio::time::timeout(PATIENCE, read).await.is_ok(), "{what} is kept");
}

/// Connections that begin and then say no more were kept for ever.
#[test]
fn a_silent_connection_is_closed() {
    let cluster = Cluster::start();
    runtime().block_on(async {
        let unproven = tokio::net::TcpStream::connect(cluster.contact()).await.unwrap();
        let silent = nobody(&cluster).await.unwrap();
        let mut halting = nobody(&cluster).await.unwrap();
        halting.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
        tokio::join!(
            is_closed("one without a handshake", unproven),
            is_closed("one without a request", silent),
            is_closed("one with half a head", halting)
        )
    });
}

/// The log could not open its next segment, and the process ended.
#[test]
fn without_descriptors_the_log_goes_on_and_accepting_pauses() {
    let cluster = Cluster::start();
    let config = kapelle_client::Config::from_kubeconfig(&cluster.kubeconfig(), None).unwrap();
    let security = config.security().unwrap();
    let runtime = runtime();
    let client = runtime.block_on(async { rpc::Client::connect_with(&config.servers, security).unwrap() });
    let map = |name: String| {
        let mut map =
            api::core_v1::ConfigMap { data: [("v".to_owned(), "x".repeat(512 << 10))].into(), ..Default::default() };
        (map.metadata_mut().name, map.metadata_mut().namespace) = (name, "default".to_owned());
        api::Object::from(map)
    };
    runtime.block_on(client.create(map("first".to_owned()))).unwrap();

    let open = fs::read_dir(format!("/proc/{}/fd", cluster.pid())).unwrap().count();
    set_files(&cluster, open);
    // Twice the first segment of the log.
    for number in 0..16 {
        runtime.block_on(client.create(map(format!("m{number}")))).unwrap();
    }
    set_files(&cluster, 4096);
    wait_until("a new connection", || cluster.kapelle("get nodes").printed());
    assert_eq!(cluster.kapelle("get configmaps -o name").ok().matches("configmap/m").count(), 16);
}
