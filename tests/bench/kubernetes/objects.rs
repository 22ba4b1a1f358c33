//! What is written and read: ConfigMaps with 300 bytes of data and two labels, and objects of a kind that a user defines, with
//! twenty fields of which each has a rule.

use anyhow::Result;
use hyper::Method;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use crate::{client::Ask, rival::Rival};

/// A namespace for each scene, so that none reads what another one wrote.
pub(crate) const NAMESPACES: [&str; 5] = ["writes", "list", "watch", "asked", "messages"];

/// Where namespaces are created.
pub(crate) const NAMESPACES_PATH: &str = "/api/v1/namespaces";

/// So many clients ask at the same time, each over a connection of its own.
pub(crate) const CLIENTS: usize = 64;

/// The group of the kind that is defined.
pub(crate) const GROUP: &str = "judged.example.com";

/// As many fields have a rule.
pub(crate) const RULES: usize = 20;

/// What sort of objects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sort {
    ConfigMap,
    /// Of the kind that is defined.
    Judged,
}

impl Sort {
    /// Where those of a namespace are.
    pub(crate) fn collection(self, namespace: &str) -> String {
        match self {
            Self::ConfigMap => collection(namespace),
            Self::Judged => format!("/apis/{GROUP}/v1/namespaces/{namespace}/judgeds"),
        }
    }

    /// Where one is.
    pub(crate) fn path(self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection(namespace))
    }

    fn object(self, name: &str) -> String {
        match self {
            Self::ConfigMap => object(name),
            Self::Judged => judged(name, 0),
        }
    }

    /// A merge patch that changes an object whenever the number is another one.
    pub(crate) fn patch(self, number: u64) -> String {
        match self {
            Self::ConfigMap => patch(number),
            Self::Judged => json!({"spec": {"field0": format!("{number:020}")}}).to_string(),
        }
    }
}

/// An object with a text in each field, of which one is another one for another number.
pub(crate) fn judged(name: &str, number: u64) -> String {
    let field = |field: usize| (format!("field{field}"), Value::from(format!("{number:020}")));
    let spec: Map<String, Value> = (0..RULES).map(field).collect();
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Judged", "metadata": {"name": name}, "spec": spec}).to_string()
}

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
pub(crate) async fn fill(rival: &Rival, sort: Sort, namespace: &'static str, count: usize) -> Result<()> {
    let mut workers = JoinSet::new();
    for (worker, mut client) in rival.clients(CLIENTS).await?.into_iter().enumerate() {
        workers.spawn(async move {
            let collection = sort.collection(namespace);
            for number in (worker..count).step_by(CLIENTS) {
                client.send(Ask::new(Method::POST, &collection).json(sort.object(&numbered(number)))).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}
