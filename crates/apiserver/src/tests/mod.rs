//! Stories over a real log, a real state and real sockets on loopback.
#![expect(clippy::unwrap_used, reason = "tests")]

mod accounts;
mod aggregate;
mod bearer;
mod certificates;
mod flood;
mod grpc;
mod leave;
mod port;
mod presence;
mod repositories;
mod rights;
mod users;
mod webhooks;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use api::{Object, Timestamp, core_v1, kinds::Resource as _};
use axum::body::Body;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use images::Images;
use registry::{Caller, Membership, Options, QUOTA_BYTES, Registry};
use rpc::{
    Security,
    connections::{ConnectionLimits, Limit},
    identity::{Authority, BearerHash, Csr, Identity, KeyPair, Shared, Subject, pinned_client},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::{Aggregator, Bearers, Setup, serve};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The token of an administrator.
const TOKEN: &str = "kapelle_admin_0ne";

/// Few connections, so that tests reach their limits.
const LIMITS: ConnectionLimits = ConnectionLimits {
    arriving: Limit { all: 8, each: 8 },
    nobody: Limit { all: 4, each: 4 },
    admins: Limit { all: 8, each: 8 },
    users: Limit { all: 8, each: 8 },
    nodes: Limit { all: 4, each: 2 },
    masters: Limit { all: 4, each: 4 },
    proxied: 0,
};

/// The options of every test: the range that `kapelle dev` uses, and a real clock.
fn options() -> Options {
    let now = || Timestamp(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
    Options { service_cidr: "127.128.0.0/12".parse().unwrap(), quota_bytes: QUOTA_BYTES, now }
}

/// A master alone, ready to be asked.
async fn opened(dir: &std::path::Path, options: Options) -> (Registry, Images) {
    joined(dir, options, Membership::default()).await
}

/// A master that may reach others.
async fn joined(dir: &std::path::Path, options: Options, membership: Membership) -> (Registry, Images) {
    let registry = registry::open(dir, options, membership).unwrap();
    registry.bootstrap().await.unwrap();
    let images = Images::open(&dir.join("images"), Arc::new(images::Alone)).await.unwrap();
    (registry, images)
}

/// A Registry over a log in a directory that goes away with it.
struct House {
    registry: Registry,
    images: Images,
    dir: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        Self::with(Membership::default()).await
    }

    async fn with(membership: Membership) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (registry, images) = joined(dir.path(), options(), membership).await;
        Self { registry, images, dir }
    }

    fn aggregator(&self) -> Aggregator {
        Aggregator::new(&self.registry, Arc::new(Authority::found("test").unwrap()))
    }
}

/// Who is who in a cluster.
struct Pki(Arc<Authority>);

impl Pki {
    fn new() -> Self {
        Self(Arc::new(Authority::found("test").unwrap()))
    }

    fn identity(&self, subject: &Subject) -> Arc<Shared> {
        let key = KeyPair::generate().unwrap();
        let request = Csr::from_der(&key.request().unwrap()).unwrap();
        let hosts = match subject {
            Subject::Master { .. } => vec!["127.0.0.1".to_owned()],
            Subject::Node { .. } | Subject::Admin { .. } | Subject::User { .. } | Subject::Pod { .. } => Vec::new(),
        };
        let chain = self.0.issue(&request, subject, &hosts, Duration::from_secs(3600)).unwrap();
        Shared::new(Identity::new(&chain, &key, self.0.certificate_pem()).unwrap()).unwrap()
    }

    fn admin(&self) -> Arc<Shared> {
        self.identity(&Subject::Admin { name: "tester".to_owned() })
    }

    /// What is served where one Registry stands behind the port.
    fn setup(&self, registry: Registry, images: Images) -> Setup {
        let identity = self.identity(&Subject::Master { member: registry.status().member.0 });
        registry.sign_by(&self.0).unwrap();
        Setup {
            aggregator: Aggregator::new(&registry, self.0.clone()),
            registry,
            images,
            identity,
            bearers: Bearers::one(BearerHash::of(TOKEN), Subject::Admin { name: "tester".to_owned() }),
            hosts: Vec::new(),
            entrance: None,
            connections: LIMITS,
        }
    }
}

/// A Registry behind a port.
pub(crate) struct Server {
    house: House,
    pki: Pki,
    pub(crate) address: SocketAddr,
    url: String,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: JoinHandle<std::io::Result<()>>,
    aggregator: Aggregator,
}

impl Server {
    pub(crate) async fn new() -> Self {
        let house = House::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("https://{address}");
        let (pki, shutdown) = (Pki::new(), CancellationToken::new());
        let setup = pki.setup(house.registry.clone(), house.images.clone());
        let aggregator = setup.aggregator.clone();
        let running = tokio::spawn(serve(listener, setup, shutdown.clone()));
        Self { house, pki, address, url, shutdown, running, aggregator }
    }

    /// An administrator's client.
    pub(crate) fn client(&self) -> rpc::Client {
        rpc::Client::connect_with(std::slice::from_ref(&self.url), Security::Tls(self.pki.admin())).unwrap()
    }

    /// How somebody without a certificate calls.
    pub(crate) fn nobody(&self) -> Arc<rustls::ClientConfig> {
        pinned_client(self.pki.0.pin())
    }

    /// A connection of HTTP/2.
    async fn sender(&self, config: Arc<rustls::ClientConfig>) -> http2::SendRequest<Body> {
        let stream = TokioIo::new(self.connect_as(config).await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// A connection of an administrator that promises no protocol.
    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        self.connect_as(self.pki.admin().client()).await
    }

    pub(crate) async fn connect_as(&self, config: Arc<rustls::ClientConfig>) -> TlsStream<TcpStream> {
        connect(self.address, config).await
    }
}

async fn connect(address: SocketAddr, config: Arc<rustls::ClientConfig>) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = rustls_pki_types::ServerName::from(address.ip());
    TlsConnector::from(config).connect(name, tcp).await.unwrap()
}

pub(crate) fn config_map(name: &str, value: &str) -> Object {
    let mut map = core_v1::ConfigMap { data: [("v".to_owned(), value.to_owned())].into(), ..Default::default() };
    map.metadata_mut().name = name.to_owned();
    map.metadata_mut().namespace = "default".to_owned();
    map.into()
}

fn pod(name: &str) -> Object {
    let mut pod = core_v1::Pod::default();
    pod.metadata_mut().name = name.to_owned();
    pod.metadata_mut().namespace = "default".to_owned();
    let container = core_v1::Container { name: "c".to_owned(), image: "hello:1".to_owned(), ..Default::default() };
    pod.spec.get_or_insert_default().containers.push(container);
    pod.into()
}

/// A node of the cluster, as it calls.
async fn node_caller(registry: &Registry, name: &str) -> Caller {
    registry.ensure_node(name, std::net::Ipv4Addr::LOCALHOST).await.unwrap();
    let node = registry.get(&api::Key::cluster(api::Kind::Node, name), api::ReadAt::Latest).await.unwrap().object();
    Caller::Node { name: name.to_owned(), uid: node.metadata().unwrap().uid.clone(), from: None }
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes in time")
}
