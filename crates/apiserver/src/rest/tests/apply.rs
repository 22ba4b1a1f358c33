//! Server-side apply as clients see it: who owns what, conflicts, and what is refused.

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
