//! Schemas and objects that nobody would write.

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::{Map, Value, json};

use crate::custom::{apply_defaults, check, coerce, prune};

/// Any JSON, of few names, so that schemas and objects meet.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4).prop_map(object),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["a", "b", "metadata", "kind", "apiVersion", "spec"]).prop_map(str::to_owned),
        "[a-z./'-]{0,3}",
    ]
}

fn object(fields: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::Object(fields.into_iter().collect::<Map<_, _>>())
}

/// Something that looks like a schema, and often is one.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"type": "integer", "minimum": 0, "default": 1})),
        Just(json!({"type": "boolean", "nullable": true})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"x-kubernetes-preserve-unknown-fields": true})),
        Just(json!({"type": "string", "pattern": "^a", "enum": ["a", "ab"], "default": "a"})),
        value().prop_map(
            |default| json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "default": default})
        ),
        value(),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let named = prop::collection::btree_map(name(), inner.clone(), 0..3).prop_map(object);
        prop_oneof![
            (named, any::<bool>(), any::<bool>()).prop_map(|(properties, embedded, keep)| json!({
                "type": "object", "properties": properties,
                "x-kubernetes-embedded-resource": embedded, "x-kubernetes-preserve-unknown-fields": keep.then_some(true),
            })),
            inner.clone().prop_map(|of| json!({"type": "object", "additionalProperties": of})),
            (inner.clone(), prop::sample::select(vec!["atomic", "set", "map"]))
                .prop_map(|(of, list)| json!({"type": "array", "items": of, "x-kubernetes-list-type": list, "x-kubernetes-list-map-keys": (list == "map").then_some(["a"])})),
            (inner, prop::sample::select(vec!["allOf", "anyOf", "oneOf"]), value())
                .prop_map(|(of, word, with)| json!({"type": "integer", word: [of, with], "not": {"enum": [1]}})),
        ]
    })
}

proptest! {
    #[test]
    fn any_schema_is_judged_and_any_object_by_it(spec in schema(), old in value(), new in value()) {
        let whole = json!({"type": "object", "properties": {"spec": spec}});
        let Ok(validator) = check(&whole, "schema", false) else { return Ok(()) };
        let schema = validator.schema();
        let mut object = json!({"apiVersion": "a/v1", "kind": "A", "spec": new});
        prune(&mut object, schema);
        coerce(&mut object, schema);
        prop_assert!(prune(&mut object.clone(), schema).told().is_empty(), "what is pruned stays as it is");
        if apply_defaults(&mut object, schema).is_err() {
            return Ok(());
        }
        let mut again = object.clone();
        let _ = apply_defaults(&mut again, schema);
        prop_assert_eq!(&again, &object);
        let causes = validator.create(&object);
        prop_assert!(validator.update(&object, &object).is_empty() || !causes.is_empty(), "a valid object stays valid");
        let _ = validator.update(&json!({"spec": old}), &object);
    }
}
