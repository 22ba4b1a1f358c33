//! Namespaces that demand something of their Pods, over a real log.

use api::{
    Error, Key, Kind, Object, PatchKind, ReadAt, Reason, Subresource, Write,
    core_v1::Pod,
    json::{Strictness, decode},
};
use serde_json::{Value, json};

use super::House;
use crate::{Registry, WriteOptions, Written};

/// What `restricted` wants of a container.
fn hardened() -> Value {
    json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"}})
}

fn pod(name: &str, security: &Value) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "n"},
        "spec": {"containers": [{"name": "c", "image": "web:1", "securityContext": security}]}})
}

fn deployment(security: &Value) -> Value {
    json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "d", "namespace": "n"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "web:1", "securityContext": security}]}}}})
}

fn object(value: &Value) -> Object {
    let kind = Kind::from_name(value["kind"].as_str().unwrap()).unwrap();
    decode(kind, value, Strictness::Strict).unwrap().object
}

async fn create(registry: &Registry, value: &Value) -> Result<Written, Error> {
    registry.submit(Write::Create(object(value)), WriteOptions::default()).await
}

async fn label(registry: &Registry, labels: Value) -> Result<Written, Error> {
    let mut prefixed = serde_json::Map::new();
    for (key, value) in labels.as_object().unwrap() {
        prefixed.insert(format!("pod-security.kubernetes.io/{key}"), value.clone());
    }
    let key = Key::cluster(Kind::Namespace, "n");
    let patch = json!({"metadata": {"labels": prefixed}});
    registry.patch(&key, PatchKind::Merge, patch, Subresource::None, WriteOptions::default()).await
}

async fn house() -> House {
    let house = House::new().await;
    create(&house.registry, &json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "n"}}))
        .await
        .unwrap();
    house
}

/// Those warnings that are of Pod Security.
fn warned(written: &Written) -> Vec<&str> {
    written.warnings.iter().map(String::as_str).filter(|warning| !warning.contains("ignored")).collect()
}

const RESTRICTED: &str = "violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"c\" must set \
                          securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set \
                          securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set \
                          securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set \
                          securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";

#[tokio::test]
async fn what_is_enforced_refuses_pods_and_warns_of_templates() {
    let house = house().await;
    let registry = &house.registry;
    let written = create(registry, &pod("before", &json!({}))).await.unwrap();
    assert_eq!(warned(&written), Vec::<&str>::new());

    let written = label(registry, json!({"enforce": "restricted"})).await.unwrap();
    let common = "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile";
    assert_eq!(
        warned(&written),
        [
            "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"restricted:latest\"",
            &format!("before: {common}"),
        ]
    );
    let error = create(registry, &pod("plain", &json!({}))).await.unwrap_err();
    assert_eq!(error.reason, Reason::Forbidden);
    let told = RESTRICTED.replacen("violate", "violates", 1);
    assert_eq!(error.message, format!("pods \"plain\" is forbidden: {told}"));
    assert!(registry.get(&Key::namespaced(Kind::Pod, "n", "plain"), ReadAt::Latest).await.is_err());
    let written = create(registry, &pod("hard", &hardened())).await.unwrap();
    assert_eq!(warned(&written), Vec::<&str>::new());

    // A template is let in: what it makes is refused.
    let written = create(registry, &deployment(&json!({}))).await.unwrap();
    assert_eq!(warned(&written), [format!("would {RESTRICTED}")]);

    // Elsewhere nothing is demanded.
    let mut elsewhere = pod("plain", &json!({}));
    elsewhere["metadata"]["namespace"] = json!("default");
    create(registry, &elsewhere).await.unwrap();
}

#[tokio::test]
async fn what_is_only_warned_of_is_stored() {
    let house = house().await;
    let registry = &house.registry;
    let labels = json!({"enforce": "baseline", "warn": "restricted", "warn-version": "v1.24", "audit": "restricted"});
    label(registry, labels).await.unwrap();
    let written = create(registry, &pod("plain", &json!({}))).await.unwrap();
    assert_eq!(warned(&written), [format!("would {}", RESTRICTED.replace(":latest", ":v1.24"))]);
    let port = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "port", "namespace": "n"},
        "spec": {"containers": [{"name": "c", "image": "web:1", "ports": [{"containerPort": 80, "hostPort": 80}]}]}});
    let error = create(registry, &port).await.unwrap_err();
    let told = "violates PodSecurity \"baseline:latest\": hostPort (container \"c\" uses hostPort 80)";
    assert_eq!(error.message, format!("pods \"port\" is forbidden: {told}"));
}

#[tokio::test]
async fn a_pod_that_is_there_is_judged_anew_only_when_something_else_would_run() {
    let house = house().await;
    let registry = &house.registry;
    create(registry, &pod("p", &json!({}))).await.unwrap();
    label(registry, json!({"enforce": "restricted"})).await.unwrap();
    let key = Key::namespaced(Kind::Pod, "n", "p");
    let patch = |patch| registry.patch(&key, PatchKind::Merge, patch, Subresource::None, WriteOptions::default());
    patch(json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
    let image = json!({"spec": {"containers": [{"name": "c", "image": "web:2"}]}});
    let image = registry.patch(&key, PatchKind::Strategic, image, Subresource::None, WriteOptions::default());
    let error = image.await.unwrap_err();
    assert!(error.message.contains("violates PodSecurity \"restricted:latest\""), "{error}");
    let mut running = object(&pod("p", &json!({}))).get::<Pod>().unwrap().clone();
    running.status.get_or_insert_default().phase = "Running".to_owned();
    registry.submit(Write::Update(running.into(), Subresource::Status), WriteOptions::default()).await.unwrap();
}

#[tokio::test]
async fn labels_that_say_nothing_are_refused_once() {
    let house = house().await;
    let registry = &house.registry;
    let wrong = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "m",
        "labels": {"pod-security.kubernetes.io/enforce": "strict"}}});
    let error = create(registry, &wrong).await.unwrap_err();
    assert_eq!(
        (error.reason, error.message.as_str()),
        (
            Reason::Invalid,
            "Namespace \"m\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": \
             must be one of privileged, baseline, restricted"
        )
    );
    let error = label(registry, json!({"warn-version": "1.24"})).await.unwrap_err();
    assert!(error.message.ends_with("Invalid value: \"1.24\": must be \"latest\" or \"v1.x\""), "{error}");
}

#[tokio::test]
async fn pods_of_one_owner_are_told_together() {
    let house = house().await;
    let registry = &house.registry;
    for (name, owner, security) in [
        ("a", "u1", json!({})),
        ("b", "u1", json!({})),
        ("c", "u2", json!({})),
        ("d", "u2", hardened()),
        ("e", "u3", json!({"allowPrivilegeEscalation": false})),
    ] {
        let mut pod = pod(name, &security);
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": owner, "controller": true}]);
        create(registry, &pod).await.unwrap();
    }
    let (enforce, common) =
        (json!({"enforce": "restricted"}), "unrestricted capabilities, runAsNonRoot != true, seccompProfile");
    let written = label(registry, enforce).await.unwrap();
    assert_eq!(
        warned(&written)[1..],
        [format!("a (and 2 other pods): allowPrivilegeEscalation != false, {common}"), format!("e: {common}"),]
    );
    // What is relaxed needs no look.
    assert_eq!(warned(&label(registry, json!({"enforce": "baseline"})).await.unwrap()), Vec::<&str>::new());
}
