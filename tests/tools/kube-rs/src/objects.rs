//! Objects: made, read, changed in every way, watched.

use std::pin::pin;

use futures::TryStreamExt as _;
use k8s_openapi::api::{
    apps::v1::Deployment,
    authentication::v1::SelfSubjectReview,
    core::v1::{ConfigMap, Namespace, Secret},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    discovery::{Discovery, verbs},
    runtime::{
        wait::{await_condition, conditions},
        watcher,
    },
};
use serde_json::{Value, json};

use crate::{
    Cluster,
    tap::{Outcome, Tried, ensure, until},
};

pub fn config_map(name: &str, value: &str) -> ConfigMap {
    let data = [("a".to_owned(), value.to_owned())].into();
    let metadata = kube::core::ObjectMeta { name: Some(name.into()), ..Default::default() };
    ConfigMap { metadata, data: Some(data), ..Default::default() }
}

pub fn web(name: &str, replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "hello-http:v1", "ports": [{"containerPort": 8080}]}]},
        }},
    })
}

pub async fn discovery(cluster: &Cluster) -> Outcome {
    ensure(!cluster.client.apiserver_version().await?.git_version.is_empty(), "the version is empty")?;
    for discovery in [
        Discovery::new(cluster.client.clone()).run().await?,
        Discovery::new(cluster.client.clone()).run_aggregated().await?,
    ] {
        let kinds: Vec<String> = discovery
            .groups()
            .flat_map(|group| group.recommended_resources())
            .filter(|(_, capabilities)| capabilities.supports_operation(verbs::LIST))
            .map(|(resource, _)| resource.kind)
            .collect();
        for kind in ["Pod", "Deployment", "EndpointSlice", "Lease"] {
            ensure(kinds.iter().any(|have| have == kind), format!("{kind} is not among {kinds:?}"))?;
        }
    }
    Ok(Tried::Works)
}

pub async fn deployment(cluster: &Cluster) -> Outcome {
    let deployments: Api<Deployment> = cluster.api();
    deployments.create(&PostParams::default(), &serde_json::from_value(web("web", 2))?).await?;
    let done = await_condition(deployments, "web", conditions::is_deployment_completed()).await?;
    ensure(done.and_then(|web| web.status?.ready_replicas) == Some(2), "there are not two ready Pods")?;
    Ok(Tried::Works)
}

pub async fn apply(cluster: &Cluster) -> Outcome {
    let maps: Api<ConfigMap> = cluster.api();
    let one = PatchParams::apply("one");
    let first = maps.patch("applied", &one, &Patch::Apply(config_map("applied", "1"))).await?;
    let again = maps.patch("applied", &one, &Patch::Apply(config_map("applied", "1"))).await?;
    ensure(first.resource_version() == again.resource_version(), "applying the same changed something")?;
    let two = PatchParams::apply("two");
    match maps.patch("applied", &two, &Patch::Apply(config_map("applied", "2"))).await {
        Err(kube::Error::Api(status)) => {
            ensure(status.is_conflict() && status.message.contains(r#"conflict with "one""#), status)?
        }
        other => ensure(false, format!("no conflict but {other:?}"))?,
    }
    let forced = maps.patch("applied", &two.force(), &Patch::Apply(config_map("applied", "2"))).await?;
    let managers: Vec<_> = forced.managed_fields().iter().filter_map(|entry| entry.manager.as_deref()).collect();
    ensure(managers == ["two"], format!("the managers are {managers:?}"))?;
    Ok(Tried::Works)
}

pub async fn patches(cluster: &Cluster) -> Outcome {
    let deployments: Api<Deployment> = cluster.api();
    let parameters = PatchParams::default();
    let container = json!({"name": "main", "env": [{"name": "VERSION", "value": "v2"}]});
    let strategic = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [container]}}}}));
    let web = serde_json::to_value(deployments.patch("web", &parameters, &strategic).await?)?;
    ensure(web["spec"]["template"]["spec"]["containers"][0]["image"] == "hello-http:v1", &web)?;
    let merge = Patch::Merge(json!({"metadata": {"labels": {"tier": "front"}}}));
    ensure(deployments.patch("web", &parameters, &merge).await?.labels()["tier"] == "front", "the label")?;
    let operations = serde_json::from_value(json!([{"op": "replace", "path": "/spec/replicas", "value": 1}]))?;
    let web = deployments.patch("web", &parameters, &Patch::Json::<()>(operations)).await?;
    ensure(web.spec.replicas == Some(1), "the number of replicas")?;

    let maps: Api<ConfigMap> = cluster.api();
    let mut entry = maps.entry("entered").await?.or_insert(|| config_map("entered", "1"));
    entry.commit(&PostParams::default()).await?;
    entry.get_mut().data = Some([("a".to_owned(), "2".to_owned())].into());
    entry.commit(&PostParams::default()).await?;
    ensure(maps.get("entered").await?.data.is_some_and(|data| data["a"] == "2"), "the entry")?;
    Ok(Tried::Works)
}

pub async fn metadata(cluster: &Cluster) -> Outcome {
    let deployments: Api<Deployment> = cluster.api();
    ensure(deployments.get_metadata("web").await?.labels()["tier"] == "front", "the label")?;
    let all = deployments.list_metadata(&ListParams::default().labels("tier=front")).await?;
    ensure(all.items.len() == 1, format!("{} items", all.items.len()))?;
    let (resource, _) = kube::discovery::oneshot::pinned_kind(
        &cluster.client,
        &kube::core::GroupVersionKind::gvk("apps", "v1", "Deployment"),
    )
    .await?;
    let dynamic: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
    ensure(dynamic.get("web").await?.data["spec"]["replicas"] == 1, "the number of replicas")?;
    Ok(Tried::Works)
}

pub async fn subresources(cluster: &Cluster) -> Outcome {
    let deployments: Api<Deployment> = cluster.api();
    let two = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let scale = deployments.patch_scale("web", &PatchParams::default(), &two).await?;
    ensure(scale.spec.and_then(|spec| spec.replicas) == Some(2), "the scale")?;
    let rolled_out = async || {
        let status = deployments.get_status("web").await?.status.unwrap_or_default();
        Ok([status.replicas, status.updated_replicas, status.ready_replicas]
            .iter()
            .all(|n| *n == Some(2))
            .then_some(()))
    };
    until("two Pods are there, new and ready", rolled_out).await?;
    let spaces: Api<Namespace> = Api::all(cluster.client.clone());
    ensure(
        spaces.get_status(&cluster.namespace).await?.status.and_then(|status| status.phase).as_deref()
            == Some("Active"),
        "the namespace",
    )?;
    Ok(Tried::Works)
}

/// The store behind a watcher follows what happens.
pub async fn watching(cluster: &Cluster, streaming: bool) -> Outcome {
    let maps: Api<ConfigMap> = cluster.api();
    let name = if streaming { "streamed" } else { "listed" };
    let mut before = config_map(name, "1");
    before.labels_mut().insert("watched".into(), name.into());
    maps.create(&PostParams::default(), &before).await?;
    let mut config = watcher::Config::default().labels(&format!("watched={name}"));
    if streaming {
        config = config.streaming_lists();
    }
    let mut events = pin!(watcher(maps.clone(), config));
    let mut seen = Vec::new();
    while let Some(event) = events.try_next().await? {
        match event {
            watcher::Event::Init => seen.push("init"),
            watcher::Event::InitApply(_) => seen.push("had"),
            watcher::Event::InitDone => {
                seen.push("done");
                maps.patch(name, &PatchParams::default(), &Patch::Merge(json!({"data": {"a": "2"}}))).await?;
            }
            watcher::Event::Apply(_) => {
                seen.push("applied");
                maps.delete(name, &DeleteParams::default()).await?;
            }
            watcher::Event::Delete(_) => {
                seen.push("deleted");
                break;
            }
        }
    }
    ensure(seen == ["init", "had", "done", "applied", "deleted"], format!("seen were {seen:?}"))?;
    until("it is gone", async || Ok(maps.get_opt(name).await?.is_none().then_some(()))).await?;
    Ok(Tried::Works)
}

/// What a program in a Pod finds and may.
pub async fn in_cluster(cluster: &Cluster) -> Outcome {
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        return Ok(Tried::Skipped("no place for a Pod's files: this takes root"));
    }
    let pod = Client::try_from(kube::Config::incluster()?)?;
    let who: SelfSubjectReview = Api::all(pod.clone()).create(&PostParams::default(), &SelfSubjectReview::default()).await?;
    let name = who.status.and_then(|status| status.user_info).and_then(|user| user.username).unwrap_or_default();
    ensure(name == format!("system:serviceaccount:{}:program", cluster.namespace), "it is somebody else")?;
    let maps: Api<ConfigMap> = Api::namespaced(pod.clone(), &cluster.namespace);
    ensure(!maps.list(&ListParams::default()).await?.items.is_empty(), "it sees no ConfigMaps")?;
    let secrets: Api<Secret> = Api::namespaced(pod, &cluster.namespace);
    let forbidden = |error: kube::Error| matches!(&error, kube::Error::Api(status) if status.code == 403);
    ensure(secrets.list(&ListParams::default()).await.is_err_and(forbidden), "it reads Secrets")?;
    let made = maps.create(&PostParams::default(), &config_map("of-the-pod", "1")).await;
    ensure(made.is_err_and(forbidden), "it writes")?;
    Ok(Tried::Works)
}
