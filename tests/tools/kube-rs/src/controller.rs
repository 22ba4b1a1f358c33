//! A controller as operators have one: a finalizer, owned objects, Events.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap, events::v1::Event as Recorded};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{
        Controller,
        controller::Action,
        events::{Event, EventType, Recorder, Reporter},
        finalizer::{self, Event as Finalizer, finalizer},
        watcher,
    },
};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    Cluster,
    objects::{config_map, web},
    tap::{Error, Outcome, Tried, ensure, until},
};

const FINALIZER: &str = "tests.example.com/finalizer";

pub async fn events(cluster: &Cluster) -> Outcome {
    let maps: Api<ConfigMap> = cluster.api();
    let regarding = maps.create(&PostParams::default(), &config_map("told", "1")).await?.object_ref(&());
    let reporter = Reporter { controller: "kube-rs-check".into(), instance: None };
    let recorder = Recorder::new(cluster.client.clone(), reporter);
    let event = || Event {
        type_: EventType::Normal,
        reason: "Told".into(),
        note: Some("by kube-rs".into()),
        action: "Tell".into(),
        secondary: None,
    };
    for _ in 0..3 {
        recorder.publish(&event(), &regarding).await?;
    }
    let all = cluster.api::<Recorded>().list(&ListParams::default().fields("reason=Told")).await?;
    let counts: Vec<_> = all.items.iter().map(|event| event.series.as_ref().map(|series| series.count)).collect();
    ensure(counts == [Some(3)], format!("the counts are {counts:?}"))?;
    Ok(Tried::Works)
}

struct Operator {
    cluster: Cluster,
    cleaned: mpsc::UnboundedSender<String>,
}

/// Runs for each change of the object and of its child.
async fn reconcile(map: Arc<ConfigMap>, operator: Arc<Operator>) -> Result<Action, finalizer::Error<Failed>> {
    let maps: Api<ConfigMap> = operator.cluster.api();
    finalizer(&maps, FINALIZER, map, |event| async {
        act(&operator, event).await.map_err(|error| Failed(error.to_string()))
    })
    .await
}

async fn act(operator: &Operator, event: Finalizer<ConfigMap>) -> Result<Action, Error> {
    match event {
        Finalizer::Apply(map) => ensure_child(&operator.cluster, &map).await?,
        Finalizer::Cleanup(map) => operator.cleaned.send(map.name_any())?,
    }
    Ok(Action::await_change())
}

async fn ensure_child(cluster: &Cluster, map: &ConfigMap) -> Result<(), Error> {
    let mut child = web(&map.name_any(), 1);
    child["metadata"]["ownerReferences"] = json!([map.controller_owner_ref(&()).ok_or("no owner")?]);
    let deployments: Api<Deployment> = cluster.api();
    let child =
        deployments.patch(&map.name_any(), &PatchParams::apply("operator").force(), &Patch::Apply(child)).await?;
    let ready = child.status.and_then(|status| status.ready_replicas).unwrap_or(0);
    let said = json!({"metadata": {"annotations": {"ready": ready.to_string()}}});
    cluster.api::<ConfigMap>().patch(&map.name_any(), &PatchParams::default(), &Patch::Merge(said)).await?;
    Ok(())
}

pub async fn operate(cluster: &Cluster) -> Outcome {
    let (cleaned, mut hears) = mpsc::unbounded_channel();
    let operator = Arc::new(Operator { cluster: cluster.clone(), cleaned });
    let ours = watcher::Config::default().labels("operated=yes");
    let running = Controller::new(cluster.api::<ConfigMap>(), ours)
        .owns(cluster.api::<Deployment>(), watcher::Config::default())
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_millis(200)), operator)
        .for_each(|_| async {});
    tokio::select! {
        () = running => Err("the controller ended".into()),
        outcome = drive(cluster, &mut hears) => outcome,
    }
}

/// Errors of a reconciler are a type of their own.
#[derive(Debug)]
struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

async fn drive(cluster: &Cluster, cleaned: &mut mpsc::UnboundedReceiver<String>) -> Outcome {
    let (maps, deployments): (Api<ConfigMap>, Api<Deployment>) = (cluster.api(), cluster.api());
    let mut map = config_map("operated", "1");
    map.labels_mut().insert("operated".into(), "yes".into());
    maps.create(&PostParams::default(), &map).await?;
    let ready = async || {
        let map = maps.get("operated").await?;
        let finalized = map.finalizers().iter().any(|name| name == FINALIZER);
        Ok((finalized && map.annotations().get("ready").is_some_and(|ready| ready == "1")).then_some(()))
    };
    until("the child is ready and said so", ready).await?;
    let uid = deployments.get("operated").await?.uid();
    deployments.delete("operated", &DeleteParams::default()).await?;
    let renewed = async || Ok(deployments.get_opt("operated").await?.filter(|child| child.uid() != uid).map(drop));
    until("the child that was deleted is there again", renewed).await?;
    maps.delete("operated", &DeleteParams::default()).await?;
    ensure(cleaned.recv().await.as_deref() == Some("operated"), "nothing was cleaned up")?;
    until("the object is gone", async || Ok(maps.get_opt("operated").await?.is_none().then_some(()))).await?;
    until("the child is gone, too", async || Ok(deployments.get_opt("operated").await?.is_none().then_some(())))
        .await?;
    Ok(Tried::Works)
}
