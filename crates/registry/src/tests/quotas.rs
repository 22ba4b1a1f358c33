//! ResourceQuotas, LimitRanges and PriorityClasses, over a real log.

use api::{
    DeleteOptions, Error, Key, Kind, Object, ReadAt, Reason, Subresource, Write,
    core_v1::{Pod, ResourceQuota},
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

#[tokio::test]
async fn containers_get_what_a_limit_range_says_and_may_not_have_more() {
    let House { registry, .. } = House::new().await;
    let limits = json!({"limits": [
        {"type": "Container", "min": {"cpu": "50m"}, "max": {"cpu": "500m", "memory": "500Mi"},
            "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m", "memory": "200Mi"},
            "maxLimitRequestRatio": {"cpu": "10"}},
        {"type": "Pod", "max": {"memory": "1Gi"}}]});
    create(&registry, &named("LimitRange", "v1", "l", &limits)).await.unwrap();
    let written = create(&registry, &pod("plain", &json!({}))).await.unwrap().object.object();
    let plain = written.get::<Pod>().unwrap();
    let own = plain.spec.as_ref().unwrap().containers[0].resources.clone().unwrap();
    let shown = |list: &std::collections::BTreeMap<String, api::meta_v1::Quantity>| {
        list.iter().map(|(name, amount)| format!("{name}={}", amount.string)).collect::<Vec<_>>().join(",")
    };
    assert_eq!((&*shown(&own.requests), &*shown(&own.limits)), ("cpu=100m,memory=200Mi", "cpu=500m,memory=500Mi"));
    assert_eq!(plain.status.as_ref().unwrap().qos_class, "Burstable");
    assert_eq!(
        plain.metadata.as_ref().unwrap().annotations["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c"
    );
    for (resources, why) in [
        (
            json!({"requests": {"cpu": "10m"}}),
            "[minimum cpu usage per Container is 50m, but request is 10m, \
            cpu max limit to request ratio per Container is 10, but provided ratio is 50.000000]",
        ),
        (json!({"limits": {"cpu": "1"}}), "maximum cpu usage per Container is 500m, but limit is 1"),
        (
            json!({"limits": {"memory": "2Gi"}}),
            "[maximum memory usage per Container is 500Mi, but limit is 2Gi, \
            maximum memory usage per Pod is 1Gi, but limit is 2Gi]",
        ),
    ] {
        let large = pod("large", &json!({"containers": [{"name": "c", "image": "web:1", "resources": resources}]}));
        let error = create(&registry, &large).await.unwrap_err();
        assert_eq!((error.reason, error.message), (Reason::Forbidden, format!("pods \"large\" is forbidden: {why}")));
    }
}

fn class(name: &str, value: i32, is_default: bool) -> Value {
    json!({"kind": "PriorityClass", "apiVersion": "scheduling.k8s.io/v1", "metadata": {"name": name},
        "value": value, "globalDefault": is_default, "preemptionPolicy": "Never"})
}

#[tokio::test]
async fn pods_have_the_priority_of_their_class() {
    let House { registry, .. } = House::new().await;
    let priority = |written: Written| {
        let object = written.object.object();
        let spec = object.get::<Pod>().unwrap().spec.clone().unwrap();
        format!("{} {} {}", spec.priority_class_name, spec.priority.unwrap(), spec.preemption_policy.unwrap())
    };
    let spec = |value: Value| pod("p", &value);
    let options = || WriteOptions { dry_run: true, ..WriteOptions::default() };
    let try_it = async |value: Value| registry.submit(Write::Create(object(&spec(value))), options()).await;
    assert_eq!(priority(try_it(json!({})).await.unwrap()), " 0 PreemptLowerPriority");
    create(&registry, &class("high", 1000, false)).await.unwrap();
    create(&registry, &class("usual", 10, true)).await.unwrap();
    assert_eq!(priority(try_it(json!({})).await.unwrap()), "usual 10 Never");
    assert_eq!(priority(try_it(json!({"priorityClassName": "high"})).await.unwrap()), "high 1000 Never");
    let system = try_it(json!({"priorityClassName": "system-node-critical"})).await.unwrap();
    assert_eq!(priority(system), "system-node-critical 2000001000 PreemptLowerPriority");
    for (value, why) in [
        (json!({"priorityClassName": "none"}), "no PriorityClass with name none was found"),
        (
            json!({"priority": 7}),
            "the integer value of priority (7) must not be provided in pod spec; priority admission controller computed \
             10 from the given PriorityClass name",
        ),
        (
            json!({"preemptionPolicy": "PreemptLowerPriority"}),
            "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority \
             admission controller computed Never from the given PriorityClass name",
        ),
    ] {
        let error = try_it(value).await.unwrap_err();
        assert_eq!((error.reason, error.message), (Reason::Forbidden, format!("pods \"p\" is forbidden: {why}")));
    }
    let second = create(&registry, &class("other", 20, true)).await.unwrap_err();
    let why = "PriorityClass usual is already marked as default. Only one default can exist";
    assert!(second.reason == Reason::Forbidden && second.message.ends_with(why), "{second}");
}

#[tokio::test]
async fn of_many_defaults_at_once_one_remains() {
    let House { registry, .. } = House::new().await;
    let classes: Vec<Value> = (0..8).map(|n| class(&format!("c{n}"), n, true)).collect();
    let outcomes = soon(join_all(classes.iter().map(|class| create(&registry, class)))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

#[tokio::test]
async fn who_needs_a_device_leaves_the_choice_of_a_node_to_the_scheduler() {
    let House { registry, .. } = House::new().await;
    let containers = json!([{"name": "c", "image": "i", "resources": {"limits": {"example.com/dongle": "1"}}}]);
    create(&registry, &pod("free", &json!({"containers": containers}))).await.unwrap();
    let error =
        create(&registry, &pod("bound", &json!({"containers": containers, "nodeName": "n1"}))).await.unwrap_err();
    assert!(error.message.contains("spec.nodeName: the scheduler finds a node that has example.com/dongle"), "{error}");
}
