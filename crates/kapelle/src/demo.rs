//! `--demo`: a service that answers, from nothing.

use std::time::Duration;

use anyhow::{Context as _, Result};
use api::{apps_v1::Deployment, core_v1::Service, yaml};
use kapelle_client::{Api, wait_for};
use rpc::Client;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// The sample, built from `wasm-samples/hello-http`.
const MODULE: &[u8] = include_bytes!("../../../wasm-samples/prebuilt/hello-http.wasm");

/// What is applied.
const MANIFESTS: &str = include_str!("../../../deploy/examples/hello.yaml");

/// The name under which the manifests use the sample.
const IMAGE: &str = "hello-http:v1";

/// How often the Service is asked whether somebody answers.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How long one answer may take.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// How a good answer begins.
const ANSWER: &[u8; 12] = b"HTTP/1.1 200";

/// Pushes the sample, applies the manifests and waits until all Pods answer. Answers the Service's URL.
pub(crate) async fn start(client: Client) -> Result<String> {
    let client = client.with_field_manager("kapelle");
    let mut progress = cli::Progress::start("pushing the sample hello-http:v1 into the cluster's registry");
    cli::push(&client, IMAGE, MODULE.to_vec()).await?;
    progress.say("applying deploy/examples/hello.yaml: a Deployment of 3 replicas and a Service");
    for manifest in yaml::documents(MANIFESTS)? {
        client.apply(manifest.to_string(), "default").await?;
    }
    progress.say("waiting until 3 Pods are ready: the first time, the module is compiled");
    let client = kapelle_client::Client::from(client);
    wait_for(&Api::default_namespaced(client.clone()), "hello", is_ready).await?;
    let service: Service = Api::default_namespaced(client).get("hello").await?;
    let spec = service.spec.context("the Service has no spec")?;
    let port = spec.ports.first().map(|port| port.port).context("the Service has no port")?;
    let address = format!("{}:{port}", spec.cluster_ip);
    while !answers(&address).await {
        tokio::time::sleep(ASK_EVERY).await;
    }
    progress.done("");
    Ok(format!("http://{address}"))
}

/// Whether somebody answers well at an address. That all Pods are ready is known a moment before connections are led to them.
async fn answers(address: &str) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut begins = *ANSWER;
        stream.read_exact(&mut begins).await.map(|_| begins == *ANSWER)
    };
    matches!(timeout(ASK_WITHIN, asked).await, Ok(Ok(true)))
}

/// Whether a Deployment is available with all its replicas.
fn is_ready(deployment: Option<&Deployment>) -> bool {
    let Some(deployment) = deployment else { return false };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let observed = deployment.status.clone().unwrap_or_default();
    let current = deployment.metadata.as_ref().is_some_and(|meta| meta.generation <= observed.observed_generation);
    current && observed.ready_replicas >= wanted && observed.updated_replicas >= wanted
}
