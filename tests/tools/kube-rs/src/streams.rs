//! What flows: logs, ports, the transports of `exec` and `attach`; and eviction, since it takes a Pod, too.

use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt as _,
    api::{AttachParams, EvictParams, ListParams, LogParams, PostParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    Cluster,
    tap::{Error, Outcome, Tried, ensure, until},
};

async fn web_pod(cluster: &Cluster) -> Result<String, Error> {
    let pods: Api<Pod> = cluster.api();
    let all = pods.list(&ListParams::default().labels("app=web").fields("status.phase=Running")).await?;
    let pod = all.items.iter().find(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(pod.ok_or("no Pod of web is running")?.name_any())
}

pub async fn logs(cluster: &Cluster) -> Outcome {
    let pods: Api<Pod> = cluster.api();
    let pod = json!({"metadata": {"name": "batch"}, "spec": {"restartPolicy": "Never", "containers": [
        {"name": "main", "image": "batch:v1", "env": [{"name": "LIMIT", "value": "1000"}]},
    ]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
    let ended = |pod: Option<&Pod>| {
        pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref()).is_some_and(|phase| phase == "Succeeded")
    };
    await_condition(pods.clone(), "batch", ended).await?;
    let whole = pods.logs("batch", &LogParams::default()).await?;
    ensure(whole.contains("168 primes below 1000"), &whole)?;
    let followed =
        pods.log_stream("batch", &LogParams { follow: true, timestamps: true, ..Default::default() }).await?;
    let lines: Vec<String> = followed.lines().try_collect().await?;
    ensure(lines.iter().any(|line| line.ends_with(" 168 primes below 1000")), format!("{lines:?}"))?;
    Ok(Tried::Works)
}

pub async fn port_forward(cluster: &Cluster) -> Outcome {
    let pods: Api<Pod> = cluster.api();
    let mut forward = pods.portforward(&web_pod(cluster).await?, &[8080]).await?;
    let mut stream = forward.take_stream(8080).ok_or("no stream")?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure(answer.starts_with("HTTP/1.1 200") && answer.contains("Hello from web-"), &answer)?;
    Ok(Tried::Works)
}

pub async fn exec(cluster: &Cluster) -> Outcome {
    let pods: Api<Pod> = cluster.api();
    let mut process = pods.exec(&web_pod(cluster).await?, ["ls"], &AttachParams::default().stderr(false)).await?;
    let status = process.take_status().ok_or("no status")?.await.ok_or("the stream ended without a status")?;
    ensure(status.status.as_deref() == Some("Failure"), format!("{status:?}"))?;
    ensure(status.message.as_deref().is_some_and(|message| message.starts_with("exec: ")), format!("{status:?}"))?;
    process.join().await?;
    Ok(Tried::Works)
}

pub async fn attach(cluster: &Cluster) -> Outcome {
    let pods: Api<Pod> = cluster.api();
    let mut process = pods.attach(&web_pod(cluster).await?, &AttachParams::default()).await?;
    let status = process.take_status().ok_or("no status")?.await.ok_or("the stream ended without a status")?;
    ensure(status.message.as_deref().is_some_and(|message| message.starts_with("attach: ")), format!("{status:?}"))?;
    process.join().await?;
    Ok(Tried::Works)
}

pub async fn evict(cluster: &Cluster) -> Outcome {
    let pods: Api<Pod> = cluster.api();
    let name = web_pod(cluster).await?;
    pods.evict(&name, &EvictParams::default()).await?;
    until("the Pod is gone", async || Ok(pods.get_opt(&name).await?.is_none().then_some(()))).await?;
    Ok(Tried::Works)
}
