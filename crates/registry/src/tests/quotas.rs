//! ResourceQuotas, over a real log.

use api::{
    DeleteOptions, Error, Key, Kind, Object, ReadAt, Reason, Subresource, Write,
    core_v1::ResourceQuota,
    json::{Strictness, decode},
};
use futures::future::join_all;
use serde_json::{Value, json};

use super::{House, soon};
use crate::{Registry, WriteOptions, Written};

fn object(value: &Value) -> Object {
    let kind = Kind::from_name(value["kind"].as_str().unwrap()).unwrap();
    decode(kind, value, Strictness::Strict).unwrap().object
}

async fn create(registry: &Registry, value: &Value) -> Result<Written, Error> {
    registry.submit(Write::Create(object(value)), WriteOptions::default()).await
}

fn pod(name: &str, spec: &Value) -> Value {
    let mut whole = json!({"containers": [{"name": "c", "image": "web:1"}]});
    spec.as_object().unwrap().iter().for_each(|(field, value)| whole[field] = value.clone());
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"}, "spec": whole})
}

fn named(kind: &str, api_version: &str, name: &str, spec: &Value) -> Value {
    json!({"kind": kind, "apiVersion": api_version, "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

/// What the controller does: asks for a quota to be counted.
async fn count(registry: &Registry, name: &str) -> Written {
    let asked = object(&named("ResourceQuota", "v1", name, &json!({})));
    registry.submit(Write::Update(asked, Subresource::Status), WriteOptions::default()).await.unwrap()
}

async fn used(registry: &Registry, name: &str) -> String {
    let key = Key::namespaced(Kind::ResourceQuota, "default", name);
    let found = registry.get(&key, ReadAt::Latest).await.unwrap().object();
    let status = found.get::<ResourceQuota>().unwrap().status.clone().unwrap_or_default();
    let shown = status.hard.iter().map(|(name, hard)| {
        format!("{name} {}/{}", status.used.get(name).map_or("?", |used| &used.string), hard.string)
    });
    shown.collect::<Vec<_>>().join(", ")
}

async fn limited(registry: &Registry, hard: Value) {
    create(registry, &named("ResourceQuota", "v1", "q", &json!({"hard": hard}))).await.unwrap();
    count(registry, "q").await;
}

#[tokio::test]
async fn of_many_who_write_at_once_as_many_have_room_as_there_is() {
    let House { registry, .. } = House::new().await;
    limited(&registry, json!({"pods": "10", "count/configmaps": "1000"})).await;
    let pods: Vec<Value> = (0..40).map(|n| pod(&format!("p{n}"), &json!({}))).collect();
    let outcomes = soon(join_all(pods.iter().map(|pod| create(&registry, pod)))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(error.reason, Reason::Forbidden);
        let why = "is forbidden: exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10";
        assert!(error.message.ends_with(why), "{error}");
    }
    assert_eq!(used(&registry, "q").await, "count/configmaps 0/1000, pods 10/10");
}

#[tokio::test]
async fn a_quota_is_counted_in_the_state_to_which_the_count_is_added() {
    let House { registry, .. } = House::new().await;
    limited(&registry, json!({"pods": "3"})).await;
    for name in ["a", "b", "c"] {
        create(&registry, &pod(name, &json!({}))).await.unwrap();
    }
    // Whatever the controller has seen, only what is there counts.
    let mut told = object(&named("ResourceQuota", "v1", "q", &json!({})));
    let Object::ResourceQuota(quota) = &mut told else { unreachable!() };
    let used_by_none = [("pods".to_owned(), api::quantity::Quantity::ZERO.into())];
    quota.status.get_or_insert_default().used = used_by_none.into();
    registry.submit(Write::Update(told, Subresource::Status), WriteOptions::default()).await.unwrap();
    assert_eq!(used(&registry, "q").await, "pods 3/3");
    registry
        .submit(
            Write::Delete(Key::namespaced(Kind::Pod, "default", "b"), DeleteOptions::default()),
            WriteOptions::default(),
        )
        .await
        .unwrap();
    assert_eq!(used(&registry, "q").await, "pods 3/3", "what goes is taken off by whoever counts");
    assert!(create(&registry, &pod("d", &json!({}))).await.is_err());
    count(&registry, "q").await;
    create(&registry, &pod("d", &json!({}))).await.unwrap();
    assert!(count(&registry, "q").await.unchanged);
}

#[tokio::test]
async fn a_dry_run_is_refused_as_well_and_uses_nothing() {
    let House { registry, .. } = House::new().await;
    limited(&registry, json!({"pods": "1"})).await;
    let options = || WriteOptions { dry_run: true, ..WriteOptions::default() };
    registry.submit(Write::Create(object(&pod("a", &json!({})))), options()).await.unwrap();
    assert_eq!(used(&registry, "q").await, "pods 0/1");
    create(&registry, &pod("b", &json!({}))).await.unwrap();
    assert!(registry.submit(Write::Create(object(&pod("a", &json!({})))), options()).await.is_err());
}
