//! What is written and read: ConfigMaps with 300 bytes of data and two labels.

use anyhow::Result;
use hyper::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{client::Ask, rival::Rival};

/// A namespace for each scene, so that none reads what another one wrote.
pub(crate) const NAMESPACES: [&str; 3] = ["writes", "list", "watch"];

/// Where namespaces are created.
pub(crate) const NAMESPACES_PATH: &str = "/api/v1/namespaces";

/// So many clients ask at the same time, each over a connection of its own.
pub(crate) const CLIENTS: usize = 64;

pub(crate) fn namespace(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).to_string()
}

/// Where the ConfigMaps of a namespace are.
pub(crate) fn collection(namespace: &str) -> String {
    format!("{NAMESPACES_PATH}/{namespace}/configmaps")
}

/// Where one is.
pub(crate) fn path(namespace: &str, name: &str) -> String {
    format!("{}/{name}", collection(namespace))
}

/// The name of the one that has a number.
pub(crate) fn numbered(number: usize) -> String {
    format!("object-{number:08}")
}

pub(crate) fn object(name: &str) -> String {
    with(name, "y".repeat(100))
}

/// What is applied: it changes an object whenever the number is another one.
pub(crate) fn applied(name: &str, number: u64) -> String {
    with(name, format!("{number:0100}"))
}

fn with(name: &str, changing: String) -> String {
    let labels = json!({"app": "measurement", "part": "a"});
    let data = json!({"a": "x".repeat(200), "b": changing});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data})
        .to_string()
}

/// A merge patch that changes an object whenever the number is another one.
pub(crate) fn patch(number: u64) -> String {
    json!({"data": {"b": format!("{number:0100}")}}).to_string()
}

/// Creates as many as are numbered below `count`.
pub(crate) async fn fill(rival: &Rival, namespace: &'static str, count: usize) -> Result<()> {
    let mut workers = JoinSet::new();
    for (worker, mut client) in rival.clients(CLIENTS).await?.into_iter().enumerate() {
        workers.spawn(async move {
            let collection = collection(namespace);
            for number in (worker..count).step_by(CLIENTS) {
                client.send(Ask::new(Method::POST, &collection).json(object(&numbered(number)))).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}
