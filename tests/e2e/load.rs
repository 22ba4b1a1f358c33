//! Rollouts while clients keep asking: none of them may notice.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{
    cluster::Cluster,
    patience::{PATIENCE, wait_until},
};

/// Clients that ask at the same time; every other one opens a connection for each request.
const CLIENTS: usize = 8;

/// The most requests of one client, so that a test that hangs ends.
const REQUESTS_MAX: usize = 100_000;

/// So many times each version must have answered before the next one comes.
const ANSWERS_EACH: usize = 100;

const VERSIONS: [&str; 3] = ["v1", "v2", "v3"];

/// What clients tell while they ask.
#[derive(Default)]
struct Told {
    enough: AtomicBool,
    /// How often each of the versions has answered.
    answers: [AtomicUsize; VERSIONS.len()],
}

impl Told {
    fn count(&self, text: &str) {
        for (version, answers) in VERSIONS.iter().zip(&self.answers) {
            answers.fetch_add(usize::from(text.contains(version)), Ordering::Relaxed);
        }
    }

    /// Waits until a version has answered often, however long that takes here.
    fn has_answered(&self, version: usize) {
        wait_until("answers of a version", || match self.answers[version].load(Ordering::Relaxed) {
            enough if enough >= ANSWERS_EACH => Ok(()),
            few => Err(format!("{few} answers of {}", VERSIONS[version])),
        });
    }
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

/// Asks until it is told to stop; answers what went wrong.
async fn keep_asking(keep_alive: bool, url: String, told: Arc<Told>) -> Vec<String> {
    let mut builder = Client::builder(TokioExecutor::new());
    let client = builder.pool_max_idle_per_host(usize::from(keep_alive)).build_http();
    let mut failures = Vec::new();
    for _ in 0..REQUESTS_MAX {
        if told.enough.load(Ordering::Relaxed) {
            break;
        }
        match tokio::time::timeout(PATIENCE, ask(&client, &url)).await {
            Ok(Ok(text)) => told.count(&text),
            Ok(Err(failure)) => failures.push(failure),
            Err(_) => failures.push("no answer".to_owned()),
        }
    }
    failures
}

#[test]
fn two_rollouts_under_load_fail_no_request() {
    let cluster = Cluster::start();
    cluster.push("hello-http");
    cluster.apply(&manifest(VERSIONS[0])).ok();
    cluster.kapelle("rollout status deployment/hello").ok();
    let url = cluster.service_url("hello");

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let told = Arc::new(Told::default());
    let clients: Vec<_> =
        (0..CLIENTS).map(|n| runtime.spawn(keep_asking(n % 2 == 0, format!("{url}/"), told.clone()))).collect();
    told.has_answered(0);
    for (number, version) in VERSIONS.iter().enumerate().skip(1) {
        cluster.apply(&manifest(version)).ok();
        cluster.kapelle("rollout status deployment/hello").ok();
        told.has_answered(number);
    }
    told.enough.store(true, Ordering::Relaxed);

    let failures: Vec<String> = clients.into_iter().flat_map(|client| runtime.block_on(client).unwrap()).collect();
    assert!(failures.is_empty(), "{} failed: {:?}", failures.len(), failures.first());
}
