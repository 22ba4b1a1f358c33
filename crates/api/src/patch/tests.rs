//! Stories about patches.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::{json, merge, strategic, strategic::ALIKE_MAX};

const SERVICE: &str = "kapelle.core.v1.Service";
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
fn what_a_patch_adds_comes_before_what_it_does_not_name() {
    let names = |patch: Value| {
        let spec = patched(patch);
        let names = spec["containers"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    let new = json!({"name": "c", "image": "w"});
    assert_eq!(names(json!({"spec": {"containers": [new]}})), "c a b");
    assert_eq!(names(json!({"spec": {"containers": [{"name": "a"}, new]}})), "a c b");
    assert_eq!(names(json!({"spec": {"containers": [{"name": "b"}, new]}})), "a b c");
    let order = json!([{"name": "a"}, {"name": "c"}]);
    assert_eq!(names(json!({"spec": {"$setElementOrder/containers": order, "containers": [new]}})), "a c b");
    let order = json!([{"name": "b"}, {"name": "a"}]);
    assert_eq!(names(json!({"spec": {"$setElementOrder/containers": order}})), "b a");
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
    assert_eq!(value["metadata"]["finalizers"], json!(["c", "b"]));
}

#[test]
fn what_is_not_understood_is_refused() {
    let refused = |patch: Value| strategic(POD, &mut pod(), &patch).unwrap_err().message;
    assert!(refused(json!({"spec": {"containers": [{"image": "x"}]}})).contains("must have \"name\""));
    assert!(refused(json!({"spec": {"$patch": "explode"}})).contains("explode"));
    assert!(refused(json!({"spec": {"$wish": []}})).contains("$wish"));
}

#[test]
fn ports_of_two_protocols_stay_two_ports() {
    let service = |ports: Value| json!({"spec": {"ports": ports}});
    let udp = json!({"name": "dns", "port": 53, "protocol": "UDP"});
    // As kubectl sends them.
    let mut value = service(json!([udp]));
    let patch = json!({"spec": {"$setElementOrder/ports": [{"port": 53}, {"port": 53}], "ports": [{"name": "dns-tcp", "port": 53, "protocol": "TCP"}]}});
    strategic(SERVICE, &mut value, &patch).unwrap();
    assert_eq!(value["spec"]["ports"].as_array().map(Vec::len), Some(2));
    let patch = json!({"spec": {"ports": [{"port": 53, "name": "dns-tcp", "targetPort": 1}]}});
    strategic(SERVICE, &mut value, &patch).unwrap();
    assert_eq!((&value["spec"]["ports"][0], &value["spec"]["ports"][1]["targetPort"]), (&udp, &json!(1)));
}

#[test]
fn removing_parts_of_nothing_makes_nothing() {
    let mut value = pod();
    let patch = json!({"spec": {"securityContext": {"runAsUser": null}, "containers": [{"name": "a", "resources": {"limits": {"cpu": null}}}]}});
    strategic(POD, &mut value, &patch).unwrap();
    assert_eq!(value, pod());
    strategic(POD, &mut value, &json!({"spec": {"securityContext": {}}})).unwrap();
    assert_eq!(value["spec"]["securityContext"], json!({}), "but what is sent empty is there");
}

#[test]
fn elements_that_are_alike_are_few() {
    let same =
        |count: usize| json!({"spec": {"containers": [{"name": "c", "env": vec![json!({"name": "A"}); count]}]}});
    let patch = json!({"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}]}]}});
    assert!(strategic(POD, &mut same(ALIKE_MAX), &patch).is_ok());
    let error = strategic(POD, &mut same(ALIKE_MAX + 1), &patch).unwrap_err();
    assert!(error.message.contains("env: more than 64 elements have the same \"name\""), "{error}");
}

#[test]
fn long_lists_take_no_long_time() {
    let element = |n: usize| json!({"name": format!("c{n}"), "image": "x"});
    let list: Vec<Value> = (0..20_000).map(element).collect();
    let order: Vec<Value> = (0..20_000).rev().map(|n| json!({"name": format!("c{n}")})).collect();
    let mut value = json!({"spec": {"containers": list}});
    let patch = json!({"spec": {"$setElementOrder/containers": order, "containers": list}});
    strategic(POD, &mut value, &patch).unwrap();
    assert_eq!(value["spec"]["containers"][0], element(19_999));
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
