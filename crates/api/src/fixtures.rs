//! Manifests for the tests of the rules.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind as Type, MapKey, MessageDescriptor, ReflectMessage as _,
    Value,
};
use serde_json::Value as Json;

use crate::{Kind, Object};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(crate::DESCRIPTORS).unwrap());

pub(crate) fn object(yaml: &str) -> Object {
    let json: Json = serde_yaml::from_str(yaml).unwrap();
    let kind = Kind::from_name(json["kind"].as_str().unwrap()).unwrap();
    let mut message = DynamicMessage::new(POOL.get_message_by_name(kind.info().message).unwrap());
    let mut fields = json.as_object().unwrap().clone();
    fields.retain(|key, _| key != "kind" && key != "apiVersion");
    fill(&mut message, &Json::Object(fields));
    Object::decode_bytes(kind, message.encode_to_vec().into()).unwrap()
}

fn message(descriptor: MessageDescriptor, json: &Json) -> Value {
    let mut message = DynamicMessage::new(descriptor);
    match (message.descriptor().name().to_owned().as_str(), json) {
        ("Quantity", Json::String(text)) => message.set_field_by_name("string", Value::String(text.clone())),
        ("Quantity", number) => message.set_field_by_name("string", Value::String(number.to_string())),
        ("IntOrString", Json::String(text)) => {
            message.set_field_by_name("type", Value::I64(1));
            message.set_field_by_name("str_val", Value::String(text.clone()));
        }
        ("IntOrString", number) => {
            message.set_field_by_name("int_val", Value::I32(number.as_i64().unwrap().try_into().unwrap()));
        }
        ("Time" | "MicroTime", Json::String(text)) => {
            let time: crate::Timestamp = text.parse().unwrap();
            message.set_field_by_name("seconds", Value::I64(time.0 / 1000));
        }
        _ => fill(&mut message, json),
    }
    Value::Message(message)
}

fn fill(to: &mut DynamicMessage, json: &Json) {
    for (key, json) in json.as_object().unwrap() {
        let descriptor = to.descriptor();
        if let Some(field) = descriptor.get_field_by_json_name(key) {
            let read = value(&field, json);
            to.set_field(&field, read);
            continue;
        }
        // Some messages are written into the one around them.
        let field = descriptor.fields().find(|field| holds(field, key)).unwrap_or_else(|| panic!("no field {key}"));
        let Value::Message(inner) = to.get_field_mut(&field) else { panic!("no message") };
        fill(inner, &serde_json::json!({ key: json }));
    }
}

/// Whether a field stands in the message around it, and one of its own fields has a name.
fn holds(field: &FieldDescriptor, key: &str) -> bool {
    let inlined = ["volumeSource", "handler", "localObjectReference", "rule", "ruleWithOperations"];
    let Type::Message(inner) = field.kind() else { return false };
    let one = inlined.contains(&field.json_name()) && !field.is_list() && !field.is_map();
    one && (inner.get_field_by_json_name(key).is_some() || inner.fields().any(|field| holds(&field, key)))
}

fn value(field: &FieldDescriptor, json: &Json) -> Value {
    if field.is_list() {
        return Value::List(json.as_array().unwrap().iter().map(|json| scalar(&field.kind(), json)).collect());
    }
    if field.is_map() {
        let Type::Message(entry) = field.kind() else { panic!("no map") };
        let of = entry.map_entry_value_field().kind();
        let pairs = json.as_object().unwrap().iter();
        return Value::Map(pairs.map(|(key, json)| (MapKey::String(key.clone()), scalar(&of, json))).collect());
    }
    scalar(&field.kind(), json)
}

fn scalar(kind: &Type, json: &Json) -> Value {
    match kind {
        Type::Message(descriptor) => message(descriptor.clone(), json),
        Type::String => Value::String(json.as_str().unwrap().to_owned()),
        Type::Bytes => Value::Bytes(json.as_str().unwrap().to_owned().into()),
        Type::Bool => Value::Bool(json.as_bool().unwrap()),
        Type::Int32 => Value::I32(json.as_i64().unwrap().try_into().unwrap()),
        Type::Int64 => Value::I64(json.as_i64().unwrap()),
        other => panic!("no {other:?}"),
    }
}

/// Manifests that the README and the tests of the whole use.
const EXAMPLES: [&str; 6] = [
    include_str!("../../../deploy/examples/batch.yaml"),
    include_str!("../../../deploy/examples/hello.yaml"),
    include_str!("../../../deploy/examples/policy.yaml"),
    include_str!("../../../deploy/examples/shop.yaml"),
    include_str!("../../../deploy/examples/sidecar.yaml"),
    include_str!("../../../deploy/examples/webhook.yaml"),
];

/// Every document of every example.
pub(crate) fn examples() -> impl Iterator<Item = &'static str> {
    EXAMPLES.into_iter().flat_map(|text| text.split("\n---\n"))
}
