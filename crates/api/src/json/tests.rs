//! Stories about the codec.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::{collection, sample};
use serde_json::{Value, json};

use bytes::Bytes;

use super::{Strictness, decode, decode_message, encode, encode_item, encode_message, random};
use crate::{
    Kind, Revision,
    schema::{Message, Schema},
    wire::Reader,
};

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
    assert_eq!(error(Kind::Secret, json!({"data": {"a": "%"}})).split(": ").next(), Some("data[a]"));
    assert_eq!(
        error(Kind::Pod, json!({"spec": {"containers": [{"env": [{"name": "PORT", "value": 80}]}]}})),
        "spec.containers[0].env[0].value: expected a string, found number 80; write it in quotes: \"80\""
    );
    assert_eq!(
        error(Kind::Pod, json!({"spec": {"containers": [null]}})),
        "spec.containers[0]: an element of a list cannot be null; remove it"
    );
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

#[test]
fn what_manifests_in_the_wild_rely_on() {
    let read = |kind, value: Value| encode(&decode(kind, &value, Strictness::Strict).unwrap().object);
    let empty = read(Kind::ConfigMap, json!({"data": {"a": null, "b": "x"}}));
    assert_eq!(empty["data"], json!({"a": "", "b": "x"}), "a key without a value is an empty text");
    let folded = read(Kind::Secret, json!({"data": {"a": "AAEC\n/w==\n"}}));
    assert_eq!(folded["data"]["a"], "AAEC/w==", "base64 may be folded");
    let times = json!({"metadata": {"creationTimestamp": "2026-11-23T03:10:01.999+02:00", "deletionTimestamp": "0001-01-01T00:00:00Z"}});
    assert_eq!(read(Kind::Pod, times)["metadata"], json!({"creationTimestamp": "2026-11-23T01:10:01Z"}));
    let limits = json!({"status": {"capacity": {"cpu": 0.5, "memory": null, "pods": 110}}});
    assert_eq!(read(Kind::Node, limits)["status"]["capacity"], json!({"cpu": "0.5", "pods": "110"}));
}

#[test]
fn a_number_comes_back_to_its_last_bit() {
    for text in ["1.3916027018307243e+300", "0.1", "5e-324", "1.7976931348623157e+308"] {
        let value: Value = serde_json::from_str(&format!(r#"{{"data": {text}}}"#)).unwrap();
        let decoded = decode(Kind::ControllerRevision, &value, Strictness::Strict).unwrap();
        let again = encode(&decoded.object)["data"].as_f64();
        assert_eq!(again, Some(text.parse::<f64>().unwrap()), "{text}");
    }
}

#[test]
fn a_flood_of_unknown_fields_gives_a_short_answer() {
    let fields: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("{n:0>5000}"), json!(1))).collect();
    let message = decode(Kind::Pod, &Value::Object(fields), Strictness::Strict).unwrap_err().message;
    assert!(message.len() < 10_000 && message.ends_with("and 9968 more unknown fields"), "{message}");
}

/// Any JSON, much of it with names that some message has.
fn any_json() -> impl Strategy<Value = Value> {
    let names: Vec<String> =
        Schema::get().messages().flat_map(|message| message.names().map(str::to_owned).collect::<Vec<_>>()).collect();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, move |inner| {
        let name = prop_oneof![4 => sample::select(names.clone()), 1 => ".{0,8}"];
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::hash_map(name, inner, 0..6).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

#[test]
fn parts_that_say_nothing_come_back_as_they_went() {
    for kind in Kind::ALL {
        for part in ["metadata", "spec", "status"] {
            let Ok(decoded) = decode(*kind, &json!({ part: {} }), Strictness::Warn) else { continue };
            let again = decode(*kind, &encode(&decoded.object), Strictness::Strict).unwrap();
            assert_eq!(again.object, decoded.object, "{kind}: {part}");
        }
    }
}

proptest! {
    #[test]
    fn bytes_that_are_no_message_do_no_harm(bytes in collection::vec(any::<u8>(), 0..200)) {
        for kind in Kind::ALL {
            let _ = encode_message(kind.info().message, &bytes);
        }
    }

    #[test]
    fn whatever_json_comes_is_read_or_refused(value in any_json(), strict in any::<bool>()) {
        let strictness = if strict { Strictness::Strict } else { Strictness::Warn };
        for kind in Kind::ALL {
            if let Ok(decoded) = decode(*kind, &value, strictness) {
                let again = decode(*kind, &encode(&decoded.object), Strictness::Strict).unwrap();
                prop_assert_eq!(again.object, decoded.object, "what was read is what is written");
            }
        }
    }

    #[test]
    fn every_kind_and_every_field_comes_back_as_it_went(seed in any::<u64>()) {
        let mut dice = random::Dice(seed);
        for kind in Kind::ALL {
            let mut value = random::message(Schema::get().message(kind.info().message).unwrap(), &mut dice, 0);
            let decoded = decode(*kind, &value, Strictness::Strict).unwrap();
            value["apiVersion"] = kind.api_version().into();
            value["kind"] = kind.info().kind.into();
            prop_assert_eq!(encode(&decoded.object), value);
        }
    }

    #[test]
    fn the_text_of_every_object_says_what_its_value_says(seed in any::<u64>()) {
        let mut dice = random::Dice(seed);
        for kind in Kind::ALL {
            let message = Schema::get().message(kind.info().message).unwrap();
            let value = random::message(message, &mut dice, 0);
            let object = decode(*kind, &value, Strictness::Strict).unwrap().object;
            let bytes = object.encode_bytes();
            let header = super::text::Header { api_version: &kind.api_version(), kind: kind.info().kind };
            let mut text = Vec::new();
            prop_assert_eq!(super::text::object(message, Some(header), &bytes, None.into(), &mut text), Ok(()), "ours are in order");
            prop_assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), encode(&object));

            let mut revised = object.clone();
            revised.metadata_mut().resource_version = "7".to_owned();
            // Whatever the bytes say of the revision, and in whichever order they come.
            let (sent, _) = decode_message(kind.info().message, &value, Strictness::Strict).unwrap();
            for bytes in [bytes, sent, turned(message, &object.encode_bytes())] {
                let mut item = b"before ".to_vec();
                super::write_item((*kind).into(), &bytes, Some(Revision(7)).into(), &mut item);
                prop_assert_eq!(serde_json::from_slice::<Value>(&item[7..]).unwrap(), encode_item(&revised));
            }
            let mut metadata = Vec::new();
            super::write_metadata(&object.encode_bytes(), Some(Revision(7)).into(), &mut metadata);
            prop_assert_eq!(&serde_json::from_slice::<Value>(&metadata).unwrap(), &encode_item(&revised)["metadata"]);
        }
    }

    #[test]
    fn every_message_comes_back_too(seed in any::<u64>()) {
        let mut dice = random::Dice(seed);
        for message in Schema::get().messages().filter(|message| message.name != "kapelle.meta.v1.RawExtension") {
            let value = random::message(message, &mut dice, 2);
            let (bytes, _) = decode_message(&message.name, &value, Strictness::Strict).unwrap();
            prop_assert_eq!(encode_message(&message.name, &bytes).unwrap(), value);
        }
    }
}

/// The bytes of a message with its fields from the last to the first, each list as it was.
fn turned(message: &Message, bytes: &[u8]) -> Bytes {
    let mut fields: Vec<(u32, &[u8])> = Vec::new();
    let mut reader = Reader::new(bytes);
    let mut unread = bytes;
    while let Some((number, _)) = reader.next() {
        fields.push((number, &unread[..unread.len() - reader.unread().len()]));
        unread = reader.unread();
    }
    fields.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    assert!(fields.iter().all(|(number, _)| message.by_number(*number).is_some()));
    fields.into_iter().flat_map(|(_, bytes)| bytes.to_vec()).collect()
}

#[test]
fn an_object_has_so_many_parts() {
    use crate::encoded::MESSAGES_MAX;

    // The object itself is one of them.
    let with = |count: usize| -> Result<_, crate::Error> {
        let data: serde_json::Map<_, _> = (0..count).map(|n| (format!("k{n}"), json!(""))).collect();
        decode(Kind::ConfigMap, &json!({ "data": data }), Strictness::Strict)
    };
    assert!(with(MESSAGES_MAX - 1).is_ok());
    assert!(with(MESSAGES_MAX).unwrap_err().message.contains("more than 100000 parts"));
}

#[test]
fn what_was_made_from_a_stored_object_is_not_quoted() {
    use super::decode_made;

    for value in [
        json!({"immutable": "hunter2"}),
        json!({"kind": "hunter2"}),
        json!({"apiVersion": "hunter2"}),
        json!({"data": "hunter2"}),
        json!({"data": {"k": "hunter2 "}}),
        json!({"metadata": {"creationTimestamp": "hunter2"}}),
        json!({"metadata": {"generation": "hunter2"}}),
    ] {
        let sent = decode(Kind::Secret, &value, Strictness::Strict).unwrap_err().message;
        let made = decode_made(Kind::Secret, &value, Strictness::Strict).unwrap_err().message;
        assert!(!made.contains("hunter2"), "{made}");
        assert_ne!(sent, made, "what was sent is shown");
    }
}
