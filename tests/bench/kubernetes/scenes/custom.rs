//! Kinds that users define: writes, lists and watches of objects that twenty rules judge, and what a thousand definitions cost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use hyper::Method;
use serde_json::{Map, Value, json};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    list,
    watch::{self, Way},
};
use crate::{
    client::{Ask, Client},
    figures::median,
    load::{self, Outcome},
    members::PATIENCE,
    objects::{self, CLIENTS, GROUP, RULES, Sort, judged, numbered},
    rival::Rival,
    settings::Settings,
    table,
};

const NAMESPACE: &str = objects::NAMESPACES[0];

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// As many fields make a definition of some 12 KiB, as those of Crossplane's providers are.
const MANY_FIELDS: usize = 90;

/// Every client applies to so many objects of its own.
const OBJECTS_EACH: u64 = 4;

/// How often it is looked whether a kind is served.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Discovery as `kubectl` and `client-go` ask for it.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What is asked for again and again.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Create,
    Apply,
}

pub(crate) async fn play(rivals: &[Rival], settings: &Settings) -> Result<()> {
    for rival in rivals {
        let mut client = rival.client().await?;
        let rules = |field: usize| json!([{"rule": format!("self.field{field}.size() < 200")}]);
        define(&mut client, &definition(GROUP, "Judged", RULES, rules)).await?;
        served(&mut client, &Sort::Judged.collection(NAMESPACE)).await?;
    }
    for (what, verb) in [("create", Verb::Create), ("server-side apply", Verb::Apply)] {
        let mut outcomes = vec![Vec::new(); rivals.len()];
        for round in 0..settings.rounds {
            for (rival, outcomes) in rivals.iter().zip(&mut outcomes) {
                outcomes.push(measure(rival, verb, round, settings).await?);
            }
        }
        let middle = rivals.iter().zip(&outcomes).map(|(rival, of)| (rival.name.to_owned(), Outcome::middle(of)));
        table::outcomes(what, &middle.collect::<Vec<_>>());
    }
    list::play(Sort::Judged, rivals, settings).await?;
    watch::play(Way::Lines, Sort::Judged, settings.watchers, rivals, settings).await?;
    many(rivals, settings).await
}

/// A definition with so many fields of text, of which each may have rules.
fn definition(group: &str, kind: &str, fields: usize, rules: impl Fn(usize) -> Value) -> Value {
    let plural = format!("{}s", kind.to_lowercase());
    let described = "What the provider is to do about this, in a sentence or two as people write them in their types.";
    let field = |field: usize| {
        let text = json!({"type": "string", "maxLength": 1000, "description": described});
        (format!("field{field}"), text)
    };
    let properties: Map<String, Value> = (0..fields).map(field).collect();
    let judged: Vec<Value> =
        (0..fields).flat_map(|field| rules(field).as_array().cloned().unwrap_or_default()).collect();
    let mut spec = json!({"type": "object", "properties": properties});
    if !judged.is_empty() {
        spec["required"] = properties_of(&spec);
        spec["x-kubernetes-validations"] = judged.into();
    }
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

fn properties_of(spec: &Value) -> Value {
    spec["properties"].as_object().into_iter().flat_map(Map::keys).cloned().collect()
}

fn collection(group: &str, plural: &str) -> String {
    format!("/apis/{group}/v1/namespaces/{NAMESPACE}/{plural}")
}

async fn define(client: &mut Client, definition: &Value) -> Result<()> {
    client.send(Ask::new(Method::POST, DEFINITIONS).json(definition.to_string())).await.map(drop)
}

/// Waits until a kind is served.
async fn served(client: &mut Client, collection: &str) -> Result<()> {
    let look = async {
        while client.send(Ask::new(Method::GET, collection)).await.is_err() {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(PATIENCE, look).await.map_err(Into::into)
}

async fn measure(rival: &Rival, verb: Verb, round: usize, settings: &Settings) -> Result<Outcome> {
    let clients: Vec<_> =
        rival.clients(CLIENTS).await?.into_iter().map(|client| Arc::new(Mutex::new(client))).collect();
    let ask = move |client: usize, count: u64| {
        let connection = clients[client].clone();
        async move { once(&mut *connection.lock().await, verb, round, client, count).await }
    };
    Ok(load::run(CLIENTS, settings.each, || rival.cpu(), ask).await)
}

async fn once(connection: &mut Client, verb: Verb, round: usize, client: usize, count: u64) -> Result<()> {
    let collection = Sort::Judged.collection(NAMESPACE);
    match verb {
        Verb::Create => {
            let body = judged(&format!("new-{round}-{client}-{count}"), count);
            connection.send(Ask::new(Method::POST, &collection).json(body)).await?;
        }
        Verb::Apply => {
            let name = format!("applied-{client}-{}", count % OBJECTS_EACH);
            let path = format!("{collection}/{name}?fieldManager=measurement");
            connection.send(Ask::new(Method::PATCH, &path).apply(judged(&name, count))).await?;
        }
    }
    Ok(())
}

/// What a thousand definitions cost.
struct Cost {
    defined_s: f64,
    memory_mib: f64,
    discovery_ms: f64,
    index_ms: f64,
    first_object_ms: f64,
}

async fn many(rivals: &[Rival], settings: &Settings) -> Result<()> {
    println!("  {} definitions of {MANY_FIELDS} fields each, by {CLIENTS} clients", settings.definitions);
    let mut costs = Vec::new();
    for rival in rivals {
        costs.push(cost(rival, settings.definitions).await?);
    }
    let rows = |figure: fn(&Cost) -> f64| -> Vec<(String, f64)> {
        rivals.iter().zip(&costs).map(|(rival, cost)| (rival.name.to_owned(), figure(cost))).collect()
    };
    table::figures("until all are served", "s", &rows(|cost| cost.defined_s));
    table::figures("memory for all of them", "MiB", &rows(|cost| cost.memory_mib));
    table::figures("discovery", "ms", &rows(|cost| cost.discovery_ms));
    table::figures("index of OpenAPI 3", "ms", &rows(|cost| cost.index_ms));
    table::figures("to the first object of one", "ms", &rows(|cost| cost.first_object_ms));
    Ok(())
}

async fn cost(rival: &Rival, count: usize) -> Result<Cost> {
    let (before, start) = (rival.resident_mib(), Instant::now());
    let mut workers = JoinSet::new();
    for (worker, mut client) in rival.clients(CLIENTS).await?.into_iter().enumerate() {
        workers.spawn(async move {
            for number in (worker..count).step_by(CLIENTS) {
                let name = numbered(number);
                define(&mut client, &definition(&format!("{name}.example.com"), "Many", MANY_FIELDS, |_| json!([])))
                    .await?;
            }
            for number in (worker..count).step_by(CLIENTS) {
                served(&mut client, &collection(&format!("{}.example.com", numbered(number)), "manys")).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    let (defined_s, memory_mib) = (start.elapsed().as_secs_f64(), rival.resident_mib() - before);
    let mut client = rival.client().await?;
    let discovery_ms = repeated(&mut client, "/apis", AGGREGATED, count).await?;
    let index_ms = repeated(&mut client, "/openapi/v3", "application/json", count).await?;
    let start = Instant::now();
    define(&mut client, &definition("last.example.com", "Last", MANY_FIELDS, |_| json!([]))).await?;
    let last = collection("last.example.com", "lasts");
    let body = json!({"apiVersion": "last.example.com/v1", "kind": "Last", "metadata": {"name": "a"}}).to_string();
    let make = async {
        while client.send(Ask::new(Method::POST, &last).json(body.clone())).await.is_err() {
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(PATIENCE, make).await?;
    let first_object_ms = start.elapsed().as_secs_f64() * 1e3;
    Ok(Cost { defined_s, memory_mib, discovery_ms, index_ms, first_object_ms })
}

/// How long a document takes that tells of every kind, once it was made.
async fn repeated(client: &mut Client, path: &str, accept: &str, kinds: usize) -> Result<f64> {
    const TIMES: usize = 10;
    /// No kind is told of in less.
    const KIND_BYTES_MIN: usize = 50;
    let mut taken = Vec::new();
    for _ in 0..TIMES {
        let answer = client.send(Ask::new(Method::GET, path).accept(accept)).await?;
        ensure!(answer.bytes > kinds * KIND_BYTES_MIN, "{path} does not tell of all kinds");
        taken.push(answer.whole_ms);
    }
    Ok(median(taken))
}
