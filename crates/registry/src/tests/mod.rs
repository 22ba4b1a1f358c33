//! Stories over a real log and a real state.
#![expect(clippy::unwrap_used, reason = "tests")]

mod accounts;
mod admission;
mod certificates;
mod custom;
mod joining;
mod objects;
mod pod_certificates;
mod pod_security;
mod pulling;
mod quotas;
mod rights;
mod users;

use std::{path::Path, time::Duration};

use api::{Object, Timestamp, core_v1, kinds::Resource as _};

use crate::{Membership, Options, QUOTA_BYTES, Registry, open};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The options of every test: the range that `kapelle dev` uses, and a real clock.
fn options() -> Options {
    let now = || Timestamp(i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap());
    Options { service_cidr: "127.128.0.0/12".parse().unwrap(), quota_bytes: QUOTA_BYTES, now }
}

/// The Registry of a master alone, ready to be asked.
async fn opened(dir: &Path, options: Options) -> Registry {
    let registry = open(dir, options, Membership::default()).unwrap();
    registry.bootstrap().await.unwrap();
    registry
}

/// A Registry over a log in a directory that goes away with it.
struct House {
    registry: Registry,
    dir: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { registry: opened(dir.path(), options()).await, dir }
    }
}

fn config_map(name: &str, value: &str) -> Object {
    let mut map = core_v1::ConfigMap { data: [("v".to_owned(), value.to_owned())].into(), ..Default::default() };
    map.metadata_mut().name = name.to_owned();
    map.metadata_mut().namespace = "default".to_owned();
    map.into()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it comes in time")
}
