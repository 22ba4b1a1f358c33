//! Drives a cluster over gRPC: connects, pushes a module, applies a Pod, follows it, reads its log, meets errors, deletes.
//!
//! Usage: cargo run -- KUBECONFIG MODULE.wasm

use std::{env, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use futures::TryStreamExt as _;
use kapelle_client::{
    Api, ApplyParams, Client, Config, Error, Event, ListParams, LogParams, Resource as _, core_v1::Pod, manifest,
    watch_object,
};

const NAME: &str = "tour-rust";

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: tour-rust, labels: {app: tour}}
spec:
  restartPolicy: Never
  containers: [{name: main, image: "tour:v1", env: [{name: LIMIT, value: "1000"}]}]
"#;

/// Of the label, whoever applied it first is told.
const OTHER: &str = "{apiVersion: v1, kind: Pod, metadata: {name: tour-rust, labels: {app: other}}}";

/// What is wrong with it is told by field.
const EMPTY: &str = "{apiVersion: v1, kind: Pod, metadata: {name: tour-rust}, spec: {}}";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Option<[String; 3]> = env::args().collect::<Vec<_>>().try_into().ok();
    let [_, kubeconfig, module] = arguments.context("usage: tour KUBECONFIG MODULE.wasm")?;
    tour(Path::new(&kubeconfig), Path::new(&module)).await
}

pub(crate) async fn tour(kubeconfig: &Path, module: &Path) -> Result<()> {
    // `Client::try_default()` finds the cluster as `kubectl` and `kapelle` do.
    let client = Client::connect(&Config::from_kubeconfig(kubeconfig, None)?)?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());

    let digest = client.push("tour", "v1", fs::read(module)?).await?;
    println!("pushed: {}", digest.split(':').next().unwrap_or_default());

    let ours = ApplyParams::manager("tour");
    let applied = pods.apply(&manifest::from_yaml(POD)?, &ours).await?;
    println!("applied: {:?}", applied.outcome);

    follow(&pods).await?;
    let mut log = pods.logs(NAME, &LogParams { follow: true, ..LogParams::default() }).await?;
    while let Some(piece) = log.try_next().await? {
        print!("{}", String::from_utf8_lossy(&piece));
    }

    for pod in pods.list(&ListParams::default().labels("app=tour")).await?.items {
        println!("listed: {}", pod.name());
    }

    told(pods.get("nobody").await)?;
    // Whoever applies owns what it says; `force()` would take it over.
    told(pods.apply(&manifest::from_yaml(OTHER)?, &ApplyParams::manager("somebody-else")).await)?;
    told(pods.apply(&manifest::from_yaml(EMPTY)?, &ours).await)?;

    pods.delete(NAME, &Default::default()).await?;
    println!("deleted");
    Ok(())
}

/// Tells of the Pod's states as they come, until it is over. A broken watch goes on where it was.
async fn follow(pods: &Api<Pod>) -> Result<()> {
    let mut events = watch_object(pods, NAME);
    while let Some(event) = events.try_next().await? {
        let what = match &event {
            Event::InitApply(_) => "ADDED",
            Event::Apply(_) => "MODIFIED",
            Event::Delete(_) => bail!("somebody else deleted the Pod"),
            Event::Init | Event::InitDone(_) => continue,
        };
        let phase = event.applied().and_then(|pod| pod.status.as_ref().map(|status| status.phase.clone()));
        let phase = phase.unwrap_or_default();
        println!("{what}: {phase}");
        if phase == "Succeeded" || phase == "Failed" {
            return Ok(());
        }
    }
    bail!("the watch ended")
}

/// Prints what an error says: its reason and text, and the wrong fields.
fn told<T>(outcome: Result<T, Error>) -> Result<()> {
    let Err(error) = outcome else { bail!("it was not refused") };
    println!("refused: {:?}: {error}", error.reason);
    for cause in &error.causes {
        println!("  field {}: {}", cause.field, cause.message);
    }
    Ok(())
}
