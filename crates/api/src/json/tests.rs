//! Stories about the codec.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::{Strictness, decode, decode_message, encode, encode_message};
use crate::Kind;

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}, "creationTimestamp": "2026-11-23T01:10:01Z", "generation": 3},
        "spec": {
            "containers": [{
                "name": "c", "image": "hello:v1", "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}},
                "ports": [{"containerPort": 80, "name": "http"}],
                "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
                "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": false}}}],
            }],
            "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}, {"name": "w", "configMap": {"name": "m"}}],
            "automountServiceAccountToken": false,
        },
        "status": {"containerStatuses": [{"name": "c", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": {"running": {"startedAt": "2026-11-23T01:10:02Z"}}}]},
    })
}

#[test]
fn an_object_comes_back_as_it_went_in() {
    let decoded = decode(Kind::Pod, &pod(), Strictness::Strict).unwrap();
    let Value::Object(fields) = encode(&decoded.object) else { unreachable!() };
    let wanted = pod();
    for (name, value) in fields {
        assert_eq!(value, wanted[&name], "{name}");
    }
}

#[test]
fn special_types_are_written_as_kubernetes_writes_them() {
    let lease =
        json!({"metadata": {"name": "l"}, "spec": {"renewTime": "2026-11-23T01:10:01.5Z", "leaseDurationSeconds": 40}});
    let lease = decode(Kind::Lease, &lease, Strictness::Strict).unwrap().object;
    assert_eq!(encode(&lease)["spec"]["renewTime"], "2026-11-23T01:10:01.500000Z");

    let service = json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": "http"}], "clusterIP": "None"}});
    let service = encode(&decode(Kind::Service, &service, Strictness::Strict).unwrap().object);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], 8080);
    assert_eq!(service["spec"]["ports"][1]["targetPort"], "http");
    assert_eq!(service["spec"]["clusterIP"], "None");

    let node = json!({"status": {"capacity": {"cpu": 2, "memory": "1Gi"}}});
    let node = encode(&decode(Kind::Node, &node, Strictness::Strict).unwrap().object);
    assert_eq!(node["status"]["capacity"], json!({"cpu": "2", "memory": "1Gi"}));
}

#[test]
fn null_is_absence_and_explicit_zeros_of_optional_fields_stay() {
    let deployment = json!({"metadata": {"creationTimestamp": null}, "spec": {"replicas": 0, "template": {"metadata": {"creationTimestamp": null}}}, "status": {}});
    let value = encode(&decode(Kind::Deployment, &deployment, Strictness::Strict).unwrap().object);
    assert_eq!(value["spec"]["replicas"], 0);
    assert!(value["metadata"].get("creationTimestamp").is_none());
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let error = |kind, value: Value| decode(kind, &value, Strictness::Strict).unwrap_err().message;
    assert_eq!(
        error(Kind::Deployment, json!({"spec": {"replicas": "3"}})),
        "spec.replicas: expected an integer, found string \"3\""
    );
    assert_eq!(
        error(Kind::Deployment, json!({"spec": {"replicsa": 3}})),
        "strict decoding error: unknown field \"spec.replicsa\" (did you mean \"replicas\"?)"
    );
    assert_eq!(
        error(Kind::Pod, json!({"spec": {"containers": [{"nam": "x", "colour": 1}]}})),
        "strict decoding error: unknown field \"spec.containers[0].colour\", unknown field \"spec.containers[0].nam\" (did you mean \"name\"?)"
    );
    assert_eq!(
        error(Kind::Pod, json!({"spec": {"containers": {}}})),
        "spec.containers: expected a list, found an object"
    );
    assert_eq!(error(Kind::Pod, json!({"kind": "Node"})), "kind is \"Node\", but \"Pod\" is expected here");
    assert_eq!(error(Kind::Secret, json!({"data": {"a": "%"}})).split(": ").next(), Some("data.a"));
    let warned = decode(Kind::Pod, &json!({"spac": {}}), Strictness::Warn).unwrap();
    assert_eq!(warned.unknown, ["unknown field \"spac\" (did you mean \"spec\"?)"]);
}

#[test]
fn nesting_has_an_end() {
    let mut value = json!(null);
    for _ in 0..120 {
        value = json!({"a": value});
    }
    assert!(decode(Kind::Pod, &value, Strictness::Strict).is_err());
}

#[test]
fn other_messages_are_read_and_written_too() {
    let options = json!({"propagationPolicy": "Foreground", "gracePeriodSeconds": 0, "preconditions": {"uid": "u"}});
    let (bytes, _) = decode_message("kapelle.meta.v1.DeleteOptions", &options, Strictness::Strict).unwrap();
    assert_eq!(encode_message("kapelle.meta.v1.DeleteOptions", &bytes).unwrap(), options);
    assert!(encode_message("kapelle.meta.v1.Nothing", &[]).is_err());
}

proptest::proptest! {
    #[test]
    fn bytes_that_are_no_message_do_no_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        for kind in Kind::ALL {
            let _ = encode_message(kind.info().message, &bytes);
        }
    }
}
