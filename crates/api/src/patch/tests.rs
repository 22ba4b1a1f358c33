//! Stories about patches.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::{json, merge, strategic, three_way};

const DEPLOYMENT: &str = "kapelle.apps.v1.Deployment";
const POD: &str = "kapelle.core.v1.Pod";

fn pod() -> Value {
    json!({"spec": {
        "containers": [{"name": "a", "image": "x", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}, {"name": "b", "image": "y"}],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "tolerations": [{"key": "k"}],
    }})
}

fn patched(patch: Value) -> Value {
    let mut value = pod();
    strategic(POD, &mut value, &patch).unwrap();
    value["spec"].take()
}

#[test]
fn lists_are_merged_by_their_keys_and_others_replaced() {
    let spec = patched(json!({"spec": {"containers": [{"name": "b", "image": "z"}], "tolerations": [{"key": "l"}]}}));
    assert_eq!(spec["containers"][0]["image"], "x");
    assert_eq!(spec["containers"][1], json!({"name": "b", "image": "z"}));
    assert_eq!(spec["tolerations"], json!([{"key": "l"}]));
}

#[test]
fn directives_delete_replace_and_order() {
    let spec = patched(json!({"spec": {
        "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
        "containers": [
            {"name": "a", "env": [{"name": "A", "$patch": "delete"}]}, {"name": "b", "$patch": "delete"}, {"name": "c", "image": "w"},
        ],
        "volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "m"}}],
    }}));
    assert_eq!(
        spec["containers"],
        json!([{"name": "c", "image": "w"}, {"name": "a", "image": "x", "env": [{"name": "B", "value": "2"}]}])
    );
    assert_eq!(spec["volumes"], json!([{"name": "v", "configMap": {"name": "m"}}]));
    assert_eq!(patched(json!({"spec": {"$patch": "replace", "nodeName": "n"}})), json!({"nodeName": "n"}));
}

#[test]
fn null_removes_and_nothing_changes_nothing() {
    assert!(patched(json!({"spec": {"tolerations": null}})).get("tolerations").is_none());
    assert_eq!(patched(json!({})), pod()["spec"]);
    assert_eq!(patched(json!({"spec": {"containers": [{"name": "a", "image": "x"}]}})), pod()["spec"]);
}

#[test]
fn finalizers_are_a_set() {
    let mut value = json!({"metadata": {"finalizers": ["a", "b"]}});
    let patch = json!({"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}});
    strategic(POD, &mut value, &patch).unwrap();
    assert_eq!(value["metadata"]["finalizers"], json!(["b", "c"]));
}

#[test]
fn what_is_not_understood_is_refused() {
    let refused = |patch: Value| strategic(POD, &mut pod(), &patch).unwrap_err().message;
    assert!(refused(json!({"spec": {"containers": [{"image": "x"}]}})).contains("must have \"name\""));
    assert!(refused(json!({"spec": {"$patch": "explode"}})).contains("explode"));
    assert!(refused(json!({"spec": {"$wish": []}})).contains("$wish"));
}

#[test]
fn apply_takes_away_what_the_last_manifest_said_and_leaves_defaults() {
    let template = |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let last = template(json!([{"name": "a", "image": "x", "args": ["1"]}, {"name": "b", "image": "y"}]));
    let current = template(json!([
        {"name": "a", "image": "x", "args": ["1"], "imagePullPolicy": "Always"}, {"name": "b", "image": "y"}, {"name": "injected", "image": "i"},
    ]));
    let modified = template(json!([{"name": "a", "image": "z"}]));

    let patch = three_way(DEPLOYMENT, Some(&last), &current, &modified);
    let mut value = current.clone();
    strategic(DEPLOYMENT, &mut value, &patch).unwrap();

    let wanted =
        template(json!([{"name": "a", "image": "z", "imagePullPolicy": "Always"}, {"name": "injected", "image": "i"}]));
    assert_eq!(value, wanted);
    assert_eq!(three_way(DEPLOYMENT, Some(&modified), &value, &modified), json!({}));
}

#[test]
fn quantities_are_equal_however_they_are_written() {
    let with = |cpu: Value| json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": cpu}}}]}});
    assert_eq!(three_way(POD, None, &with(json!("1")), &with(json!(1))), json!({}));
}

#[test]
fn merge_and_json_patches_follow_their_standards() {
    let mut value = json!({"a": {"b": 1, "c": 2}, "d": [1]});
    merge(&mut value, &json!({"a": {"b": null, "e": {"f": null, "g": 1}}, "d": [2]}));
    assert_eq!(value, json!({"a": {"c": 2, "e": {"g": 1}}, "d": [2]}));

    json(&mut value, &json!([{"op": "replace", "path": "/d/0", "value": 3}])).unwrap();
    assert_eq!(value["d"], json!([3]));
    let error =
        json(&mut value, &json!([{"op": "remove", "path": "/d/0"}, {"op": "test", "path": "/a/c", "value": 9}]))
            .unwrap_err();
    assert_eq!((error.reason.code(), &value["d"]), (422, &json!([3])));
    assert_eq!(json(&mut value, &json!({})).unwrap_err().reason.code(), 400);
}
