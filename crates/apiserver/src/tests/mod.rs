//! Stories over a real log, a real state and real sockets on loopback.
#![expect(clippy::unwrap_used, reason = "tests")]

mod grpc;
mod leave;
mod oci;
mod port;
mod registry;

use std::time::Duration;

use api::{Object, Timestamp, core_v1, kinds::Resource as _};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{Blobs, Options, Parts, QUOTA_BYTES, Registry, serve};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The options of every test: the range that `kapelle dev` uses, and a real clock.
fn options() -> Options {
    let now = || Timestamp(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
    Options { service_cidr: "127.128.0.0/12".parse().unwrap(), quota_bytes: QUOTA_BYTES, now }
}

/// A master alone, ready to be asked.
async fn opened(dir: &std::path::Path, options: Options) -> (Registry, Blobs) {
    let (registry, blobs) = crate::open(dir, options, crate::Membership::default()).await.unwrap();
    registry.bootstrap().await.unwrap();
    (registry, blobs)
}

/// A Registry over a log in a directory that goes away with it.
struct House {
    registry: Registry,
    blobs: Blobs,
    dir: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (registry, blobs) = opened(dir.path(), options()).await;
        Self { registry, blobs, dir }
    }
}

/// A house with an open door.
struct Server {
    house: House,
    url: String,
    shutdown: CancellationToken,
    running: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn new() -> Self {
        let house = House::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let parts = Parts {
            registry: house.registry.clone(),
            blobs: house.blobs.clone(),
            others: std::sync::Arc::new(crate::Alone),
            doorway: crate::Doorway::Plain,
        };
        let running = tokio::spawn(serve(listener, parts, shutdown.clone()));
        Self { house, url, shutdown, running }
    }

    fn client(&self) -> rpc::Client {
        rpc::Client::connect(std::slice::from_ref(&self.url)).unwrap()
    }
}

fn config_map(name: &str, value: &str) -> Object {
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

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes in time")
}
