//! A kind that a program defines as a Rust type.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, CustomResource, CustomResourceExt as _, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::wait::{await_condition, conditions},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Cluster,
    tap::{Outcome, Tried, ensure, until},
};

#[derive(CustomResource, Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[kube(
    group = "kube-rs.example.com",
    version = "v1",
    kind = "Widget",
    namespaced,
    status = "WidgetStatus",
    shortname = "wdg",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas"),
    printcolumn(name = "Size", type_ = "integer", json_path = ".spec.size")
)]
struct WidgetSpec {
    #[schemars(range(min = 1))]
    size: i32,
    #[serde(default = "one")]
    replicas: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    color: Option<String>,
}

fn one() -> i32 {
    1
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
struct WidgetStatus {
    replicas: i32,
    ready: bool,
}

pub async fn round_trip(cluster: &Cluster) -> Outcome {
    let groups = cluster.client.list_api_groups().await?.groups;
    if !groups.iter().any(|group| group.name == "apiextensions.k8s.io") {
        return Ok(Tried::Skipped("no CustomResourceDefinitions"));
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let name = Widget::crd_name();
    definitions.patch(name, &PatchParams::apply("kube-rs-check").force(), &Patch::Apply(Widget::crd())).await?;
    await_condition(definitions.clone(), name, conditions::is_crd_established()).await?;

    let widgets: Api<Widget> = cluster.api();
    let body = json!({"apiVersion": "kube-rs.example.com/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 2}});
    let made = until("objects are taken", async || {
        Ok(widgets.create(&PostParams::default(), &serde_json::from_value(body.clone())?).await.ok())
    })
    .await?;
    ensure(made.spec.replicas == 1 && made.status.is_none(), format!("{made:?}"))?;

    let small = Patch::Merge(json!({"spec": {"size": 0}}));
    match widgets.patch("one", &PatchParams::default(), &small).await {
        Err(kube::Error::Api(status)) => ensure(status.code == 422 && status.message.contains("spec.size"), status)?,
        other => ensure(false, format!("not refused but {other:?}"))?,
    }
    let applied = json!({"apiVersion": "kube-rs.example.com/v1", "kind": "Widget", "spec": {"color": "red"}});
    let red = widgets.patch("one", &PatchParams::apply("painter"), &Patch::Apply(applied)).await?;
    ensure(red.spec.color.as_deref() == Some("red") && red.spec.size == 2, format!("{red:?}"))?;
    let ready = Patch::Merge(json!({"status": {"ready": true, "replicas": 1}}));
    let ready = widgets.patch_status("one", &PatchParams::default(), &ready).await?;
    ensure(ready.status.is_some_and(|status| status.ready), "the status")?;
    let scale =
        widgets.patch_scale("one", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 3}}))).await?;
    ensure(scale.status.is_some_and(|status| status.replicas == 1), "the status of the scale")?;
    ensure(widgets.get("one").await?.spec.replicas == 3, "the number of replicas")?;

    let uid = definitions.get(name).await?.uid().ok_or("no uid")?;
    definitions.delete(name, &DeleteParams::default()).await?;
    await_condition(definitions, name, conditions::is_deleted(&uid)).await?;
    ensure(widgets.get("one").await.is_err(), "objects are still there")?;
    Ok(Tried::Works)
}
