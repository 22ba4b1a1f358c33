//! `--demo`: a service that answers, from nothing.

use anyhow::{Context as _, Result};
use api::{Key, Kind, core_v1::Service, yaml};
use futures::StreamExt as _;
use rpc::{Client, Query, Update};

/// The sample, built from `wasm-samples/hello-http`.
const MODULE: &[u8] = include_bytes!("../../../wasm-samples/prebuilt/hello-http.wasm");

/// What is applied.
const MANIFESTS: &str = include_str!("../../../deploy/examples/hello.yaml");

/// The name under which the manifests use the sample.
const IMAGE: &str = "hello-http:v1";

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
    wait(&client).await?;
    progress.done("");
    let service = client.get(&Key::namespaced(Kind::Service, "default", "hello")).await?;
    let spec = service.get::<Service>().and_then(|service| service.spec.as_ref()).context("the Service has no spec")?;
    let port = spec.ports.first().map(|port| port.port).context("the Service has no port")?;
    Ok(format!("http://{}:{port}", spec.cluster_ip))
}

/// Waits until the Deployment is available with all its replicas.
async fn wait(client: &Client) -> Result<()> {
    let fields = "metadata.name=hello".to_owned();
    let query = Query { namespace: "default".to_owned(), fields, ..Query::all(Kind::Deployment) };
    let mut updates = Box::pin(client.watch(query, None));
    while let Some(update) = updates.next().await {
        let Update::Changes(changes) = update? else { continue };
        let Some(api::Object::Deployment(deployment)) = changes.last().map(|change| change.object.as_ref()) else {
            continue;
        };
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let observed = deployment.status.clone().unwrap_or_default();
        let current = deployment.metadata.as_ref().is_some_and(|meta| meta.generation <= observed.observed_generation);
        if current && observed.ready_replicas >= wanted && observed.updated_replicas >= wanted {
            return Ok(());
        }
    }
    anyhow::bail!("the watch of the Deployment ended")
}
