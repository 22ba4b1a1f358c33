//! Server-side apply as clients see it: who owns what, conflicts, and what is refused.

use std::sync::atomic::{AtomicI64, Ordering};

use api::{Kind, Verb, yaml};
use serde_json::{Value, json};

use super::*;

const APPLY: &str = "content-type: application/apply-patch+yaml";

fn map(data: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}).to_string()
}

async fn apply(server: &Server, query: &str, body: String) -> (u16, Value) {
    let answer = server.ask(&format!("PATCH {CONFIG_MAPS}/m?{query}"), &[APPLY], body).await;
    (answer.code, answer.json())
}

#[tokio::test]
async fn applying_creates_owns_conflicts_and_takes_away() {
    let server = start().await;
    let (code, made) = apply(&server, "fieldManager=one", map(&json!({"a": "1", "b": "1"}))).await;
    assert_eq!(code, 201, "{made}");
    let owner = &made["metadata"]["managedFields"][0];
    assert_eq!(
        (&owner["manager"], &owner["operation"], &owner["apiVersion"]),
        (&json!("one"), &json!("Apply"), &json!("v1"))
    );
    assert_eq!(owner["fieldsV1"], json!({"f:data": {"f:a": {}, "f:b": {}}}));

    // The same again is no write.
    let (code, same) = apply(&server, "fieldManager=one", map(&json!({"a": "1", "b": "1"}))).await;
    assert_eq!((code, &same), (200, &made));

    let (code, conflict) = apply(&server, "fieldManager=two", map(&json!({"a": "2"}))).await;
    assert_eq!((code, &conflict["reason"]), (409, &json!("Conflict")));
    assert_eq!(conflict["message"], "Apply failed with 1 conflict: conflict with \"one\": .data.a");
    assert_eq!(
        conflict["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".data.a"}])
    );
    let (code, dry) = apply(&server, "fieldManager=two&force=true&dryRun=All", map(&json!({"a": "2"}))).await;
    assert_eq!((code, &dry["data"]["a"]), (200, &json!("2")));
    let (code, _) = apply(&server, "fieldManager=two&force=true", map(&json!({"a": "2"}))).await;
    assert_eq!(code, 200);
    let (_, left) = apply(&server, "fieldManager=one", map(&json!({}))).await;
    assert_eq!(left["data"], json!({"a": "2"}));
}

#[tokio::test]
async fn who_writes_otherwise_owns_too() {
    let server = start().await;
    let agent = "user-agent: kubectl/v1.37.2 (linux/amd64)";
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}});
    let made = server.ask(&format!("POST {CONFIG_MAPS}"), &[agent], body.to_string()).await.json();
    let owner = &made["metadata"]["managedFields"][0];
    assert_eq!((&owner["manager"], &owner["operation"]), (&json!("kubectl"), &json!("Update")));
    assert_eq!(owner["fieldsV1"], json!({"f:data": {".": {}, "f:a": {}}}));
    let patch = ["content-type: application/merge-patch+json"];
    let path = format!("PATCH {CONFIG_MAPS}/m?fieldManager=label");
    let patched = server.ask(&path, &patch, r#"{"data":{"b":"2"}}"#).await.json();
    assert_eq!(patched["metadata"]["managedFields"][1]["fieldsV1"], json!({"f:data": {"f:b": {}}}), "{patched}");
    let reset = server.ask(&path, &patch, r#"{"metadata":{"managedFields":[{}]}}"#).await.json();
    assert_eq!(reset["metadata"].get("managedFields"), None);
}

#[tokio::test]
async fn what_cannot_be_applied_is_refused() {
    let server = start().await;
    let cases = [
        ("", map(&json!({})), 422, "fieldManager: Required value: is required for apply patch"),
        ("fieldManager=a", "{}".to_owned(), 400, "apiVersion and kind"),
        ("fieldManager=a", map(&json!({})).replace("\"m\"", "\"n\""), 400, "does not match the name on the URL"),
        (
            "fieldManager=a&fieldValidation=Strict",
            map(&json!({})).replace("data", "dota"),
            400,
            "unknown field \"dota\"",
        ),
        ("fieldManager=a&force=maybe", map(&json!({})), 400, "force"),
    ];
    for (query, body, code, says) in cases {
        let (found, answer) = apply(&server, query, body).await;
        assert_eq!(found, code, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(says), "{answer}");
    }
    let long = format!("fieldManager={}", "x".repeat(super::super::query::FIELD_MANAGER_BYTES_MAX + 1));
    assert_eq!(apply(&server, &long, map(&json!({}))).await.0, 422);
    let merge = ["content-type: application/merge-patch+json"];
    let forced = server.ask(&format!("PATCH {CONFIG_MAPS}/m?force=true"), &merge, "{}").await;
    assert_eq!(forced.code, 422);
}

#[tokio::test]
async fn all_mistakes_of_what_is_applied_are_named_in_yaml_and_in_json() {
    let server = start().await;
    server.post(DEPLOYMENTS, &deployment("web")).await;
    let (object, scale) = (format!("{CONFIG_MAPS}/m"), format!("{DEPLOYMENTS}/web/scale"));
    let cases = [
        (
            &object,
            "apiVersion: v1\nkind: ConfigMap\ndota: {}\ndata:\n  a: one\n  a: two\n",
            ["line 6: key \"a\" already set in map", "unknown field \"dota\" (did you mean \"data\"?)"],
        ),
        (
            &object,
            r#"{"apiVersion": "v1", "kind": "ConfigMap", "dota": {}, "data": {"a": "one", "a": "two"}}"#,
            ["line 1: key \"a\" already set in map", "unknown field \"dota\" (did you mean \"data\"?)"],
        ),
        (
            &scale,
            r#"{"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": 1, "replicas": 2, "y": 1}}"#,
            ["line 1: key \"replicas\" already set in map", "unknown field \"spec.y\""],
        ),
    ];
    for (path, body, mistakes) in cases {
        let ask = |validation| format!("PATCH {path}?fieldManager=one&force=true&fieldValidation={validation}");
        let refused = server.ask(&ask("Strict"), &[APPLY], body).await;
        let message = format!("strict decoding error: {}, {}", mistakes[0], mistakes[1]);
        assert_eq!(refused.shows(&["/message"]), (400, vec![json!(message)]));
        let warned = server.ask(&ask("Warn"), &[APPLY], body).await;
        let warnings = warned.headers.get_all(header::WARNING).iter();
        let warnings: Vec<String> = warnings.map(|warning| warning.to_str().unwrap().replace('\\', "")).collect();
        assert!(warned.code < 300 && warnings.len() == mistakes.len(), "{}: {warnings:?}", warned.code);
        assert!(mistakes.iter().zip(&warnings).all(|(mistake, warning)| warning.contains(mistake)), "{warnings:?}");
        let ignored = server.ask(&ask("Ignore"), &[APPLY], body).await;
        assert_eq!((ignored.code, ignored.headers.get(header::WARNING)), (200, None));
    }
    let kept = server.get(&object).await;
    assert_eq!(kept.shows(&["/data"]), (200, vec![json!({"a": "two"})]), "the last one wins");
    assert_eq!(server.get(&scale).await.shows(&["/spec/replicas"]), (200, vec![json!(2)]));
}

#[tokio::test]
async fn what_is_applied_may_be_cbor() {
    let server = start().await;
    let cbor = ["content-type: application/apply-patch+cbor"];
    let (wanted, mut bytes) = (map(&json!({"a": "1"})), Vec::new());
    api::cbor::write(&wanted.parse().unwrap(), &mut bytes);
    let line = format!("PATCH {CONFIG_MAPS}/m?fieldManager=one");
    let made = server.ask(&line, &cbor, bytes).await;
    assert_eq!(
        made.shows(&["/data", "/metadata/managedFields/0/operation"]),
        (201, vec![json!({"a": "1"}), json!("Apply")])
    );
    assert_eq!(server.ask(&line, &[APPLY], wanted).await.json(), made.json());
    let refused = server.ask(&line, &cbor, "{}").await;
    assert_eq!((refused.code, &refused.json()["reason"]), (400, &json!("BadRequest")));
}

/// A clock that goes on whenever somebody looks at it.
fn ticking() -> Timestamp {
    static TICKS: AtomicI64 = AtomicI64::new(0);
    Timestamp(NOW.0 + 1000 * TICKS.fetch_add(1, Ordering::Relaxed))
}

/// Where the object of a manifest is.
fn place(kind: Kind, manifest: &Value) -> String {
    let info = kind.info();
    let root =
        if info.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/{}", info.group, info.version) };
    let name = manifest["metadata"]["name"].as_str().unwrap();
    let namespace = if info.namespaced { "/namespaces/default" } else { "" };
    format!("{root}{namespace}/{}/{name}", info.plural)
}

#[tokio::test]
async fn what_was_applied_is_as_it_was_however_often_it_is_applied_again() {
    let server = start_at(ticking).await;
    for kind in Kind::ALL.iter().copied().filter(|kind| kind.info().offers(Verb::Create)) {
        let mut manifest = yaml::documents(kind.sample()).unwrap().remove(0);
        manifest["metadata"].as_object_mut().unwrap().remove("namespace");
        let line = format!("PATCH {}?fieldManager=tester", place(kind, &manifest));
        let made = server.ask(&line, &[APPLY], manifest.to_string()).await;
        assert!(matches!(made.code, 200 | 201), "{kind}: {}", made.json());
        for again in [format!("{line}&dryRun=All"), line.clone(), format!("{line}&dryRun=All")] {
            let answer = server.ask(&again, &[APPLY], manifest.to_string()).await;
            assert_eq!((answer.code, answer.json()), (200, made.json()), "{kind}: {again}");
        }
    }
}

#[tokio::test]
async fn who_applies_a_scale_owns_the_replicas_apart_from_the_object() {
    let server = start().await;
    let (path, scale_path) = (format!("{DEPLOYMENTS}/web"), format!("{DEPLOYMENTS}/web/scale"));
    let mut wanted = deployment("web");
    wanted["spec"]["replicas"] = 2.into();
    let apply = async |path: &str, query: &str, body: &Value| {
        let answer = server.ask(&format!("PATCH {path}?{query}"), &[APPLY], body.to_string()).await;
        (answer.code, answer.json())
    };
    let scale = |replicas: i64| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}, "spec": {"replicas": replicas}});
    assert_eq!(apply(&scale_path, "fieldManager=hpa", &scale(5)).await.0, 404);
    assert_eq!(apply(&path, "fieldManager=owner", &wanted).await.0, 201);

    let (code, conflict) = apply(&scale_path, "fieldManager=hpa", &scale(5)).await;
    assert_eq!((code, &conflict["details"]["causes"][0]["field"]), (409, &json!(".spec.replicas")));
    let (code, scaled) = apply(&scale_path, "fieldManager=hpa&force=true", &scale(5)).await;
    assert_eq!((code, &scaled["kind"], &scaled["spec"]["replicas"]), (200, &json!("Scale"), &json!(5)), "{scaled}");

    let told = |object: &Value, manager: &str| {
        let owners = object["metadata"]["managedFields"].as_array().unwrap().clone();
        owners.into_iter().find(|owner| owner["manager"] == manager).unwrap()
    };
    let now = server.get(&path).await.json();
    let hpa = told(&now, "hpa");
    assert_eq!((&hpa["apiVersion"], &hpa["operation"]), (&json!("apps/v1"), &json!("Apply")));
    assert_eq!((&hpa["subresource"], &hpa["fieldsV1"]), (&json!("scale"), &json!({"f:spec": {"f:replicas": {}}})));
    assert_eq!(told(&now, "owner")["fieldsV1"]["f:spec"].get("f:replicas"), None);

    // Who owned them leaves them alone now; the same scale again is no write.
    let (code, conflict) = apply(&path, "fieldManager=owner", &wanted).await;
    let says = "conflict with \"hpa\" with subresource \"scale\": .spec.replicas";
    assert!(code == 409 && conflict["message"].as_str().unwrap().contains(says), "{conflict}");
    wanted["spec"].as_object_mut().unwrap().remove("replicas");
    assert_eq!(apply(&path, "fieldManager=owner", &wanted).await.1["spec"]["replicas"], 5);
    let before = server.get(&path).await.json();
    assert_eq!(apply(&scale_path, "fieldManager=hpa", &scale(5)).await.0, 200);
    assert_eq!(server.get(&path).await.json(), before);

    let (code, refused) = apply(
        &scale_path,
        "fieldManager=hpa&fieldValidation=Strict",
        &json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replica": 1}}),
    )
    .await;
    assert!(code == 400 && refused["message"].as_str().unwrap().contains("spec.replica"), "{refused}");
    assert_eq!(apply(&scale_path, "fieldManager=hpa", &wanted).await.0, 400, "a Deployment is no Scale");
}

#[tokio::test]
async fn who_applies_a_status_owns_it_apart_from_the_object() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/web");
    let mut body = deployment("web");
    let main = server.ask(&format!("PATCH {path}?fieldManager=owner"), &[APPLY], body.to_string()).await;
    assert_eq!(main.code, 201);
    body["status"] = json!({"replicas": 3});
    body["metadata"]["labels"] = json!({"not": "here"});
    let status = format!("PATCH {path}/status?fieldManager=owner");
    let applied = server.ask(&status, &[APPLY], body.to_string()).await.json();
    assert_eq!((&applied["status"]["replicas"], applied["metadata"].get("labels")), (&json!(3), None));
    let owners = applied["metadata"]["managedFields"].as_array().unwrap();
    let parts: Vec<&Value> = owners.iter().map(|owner| &owner["subresource"]).collect();
    assert_eq!(parts, [&Value::Null, &json!("status")], "{applied}");
    assert_eq!(owners[1]["fieldsV1"], json!({"f:status": {"f:replicas": {}}}));
    let other = server
        .ask(&format!("PATCH {path}/status?fieldManager=other"), &[APPLY], body.to_string().replace(":3", ":4"))
        .await;
    assert_eq!(other.code, 409);
}

#[tokio::test]
async fn rows_of_tables_have_no_owners_and_all_else_shows_what_they_own() {
    let server = start().await;
    server.post(CONFIG_MAPS, &config_map("m", json!({"a": "1"}))).await;
    let fields = json!({"f:data": {".": {}, "f:a": {}}});
    let list = server.get(CONFIG_MAPS).await.json();
    assert_eq!(list["items"].as_array().unwrap().last().unwrap()["metadata"]["managedFields"][0]["fieldsV1"], fields);
    let partial = "accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let one = server.ask(&format!("GET {CONFIG_MAPS}/m"), &[partial], "").await.json();
    assert_eq!(one["metadata"]["managedFields"][0]["fieldsV1"], fields);
    let accept = format!("accept: {TABLE}");
    let row = server.ask(&format!("GET {CONFIG_MAPS}/m"), &[&accept], "").await.json()["rows"][0]["object"].clone();
    assert_eq!((&row["metadata"]["name"], row["metadata"].get("managedFields")), (&json!("m"), None));
    let whole = server.ask(&format!("GET {CONFIG_MAPS}/m?includeObject=Object"), &[&accept], "").await.json();
    assert_eq!(whole["rows"][0]["object"]["metadata"]["managedFields"][0]["fieldsV1"], fields);
}

#[tokio::test]
async fn who_sends_back_what_was_read_owns_what_is_changed() {
    let server = start().await;
    let put = async |manager: &str, object: &Value| {
        server.ask(&format!("PUT {CONFIG_MAPS}/m?fieldManager={manager}"), &[], object.to_string()).await.json()
    };
    let mut object = server
        .ask(&format!("POST {CONFIG_MAPS}?fieldManager=one"), &[], config_map("m", json!({"a": "1"})).to_string())
        .await
        .json();
    object["data"]["b"] = "1".into();
    let mut object = put("one", &object).await;
    assert_eq!(object["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}}));
    object["data"]["b"] = "2".into();
    let object = put("two", &object).await;
    let fields: Vec<&Value> =
        object["metadata"]["managedFields"].as_array().unwrap().iter().map(|owner| &owner["fieldsV1"]).collect();
    assert_eq!(fields, [&json!({"f:data": {".": {}, "f:a": {}}}), &json!({"f:data": {"f:b": {}}})], "{object}");
    assert_eq!(put("two", &object).await, object);
}
