//! Rollouts while clients keep asking: none of them may notice.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{cluster::Cluster, patience::PATIENCE};

/// Clients that ask at the same time; every other one opens a connection for each request.
const CLIENTS: usize = 8;

/// The most requests of one client, so that a test that hangs ends.
const REQUESTS_MAX: usize = 20_000;

/// Requests without which the test shows nothing.
const REQUESTS_MIN: usize = 300;

/// What one client saw.
#[derive(Default)]
struct Seen {
    answers: usize,
    failures: Vec<String>,
    versions: BTreeSet<String>,
}

fn manifest(version: &str) -> String {
    include_str!("../../deploy/examples/hello.yaml").replace("value: v1", &format!("value: {version}"))
}

async fn ask(client: &Client<HttpConnector, Empty<Bytes>>, url: &str) -> Result<String, String> {
    let answer = client.get(url.parse().unwrap()).await.map_err(|error| format!("{error:?}"))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if status == 200 { Ok(text) } else { Err(format!("{status}: {text}")) }
}

async fn keep_asking(keep_alive: bool, url: String, enough: Arc<AtomicBool>) -> Seen {
    let mut builder = Client::builder(TokioExecutor::new());
    let client = builder.pool_max_idle_per_host(usize::from(keep_alive)).build_http();
    let mut seen = Seen::default();
    while !enough.load(Ordering::Relaxed) && seen.answers + seen.failures.len() < REQUESTS_MAX {
        match tokio::time::timeout(PATIENCE, ask(&client, &url)).await {
            Ok(Ok(text)) => {
                seen.answers += 1;
                seen.versions.extend(["v1", "v2", "v3"].into_iter().filter(|v| text.contains(v)).map(str::to_owned));
            }
            Ok(Err(failure)) => seen.failures.push(failure),
            Err(_) => seen.failures.push("no answer".to_owned()),
        }
    }
    seen
}

#[test]
fn two_rollouts_under_load_fail_no_request() {
    let cluster = Cluster::start();
    cluster.push("hello-http");
    cluster.apply(&manifest("v1")).ok();
    cluster.kapelle("rollout status deployment/hello").ok();
    let url = cluster.service_url("hello");

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let enough = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..CLIENTS).map(|n| runtime.spawn(keep_asking(n % 2 == 0, format!("{url}/"), enough.clone()))).collect();
    for version in ["v2", "v3"] {
        cluster.apply(&manifest(version)).ok();
        cluster.kapelle("rollout status deployment/hello").ok();
    }
    enough.store(true, Ordering::Relaxed);

    let seen: Vec<Seen> = clients.into_iter().map(|client| runtime.block_on(client).unwrap()).collect();
    let failures: Vec<&String> = seen.iter().flat_map(|seen| &seen.failures).collect();
    let answers: usize = seen.iter().map(|seen| seen.answers).sum();
    let versions: BTreeSet<&String> = seen.iter().flat_map(|seen| &seen.versions).collect();
    assert!(failures.is_empty(), "{} of {answers} failed: {:?}", failures.len(), failures.first());
    assert!(answers >= REQUESTS_MIN, "only {answers} requests");
    assert_eq!(versions.len(), 3, "the old version and both new ones answered: {versions:?}");
}
