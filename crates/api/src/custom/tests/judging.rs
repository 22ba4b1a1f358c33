//! What schemas make of objects.

use serde_json::{Value, json};

use super::{compiled, with_spec};
use crate::custom::{
    ColumnPath, ColumnType, DEFAULTED_BYTES_MAX, JsonPath, STEPS_MAX, TooLarge, apply_defaults, coerce, prune,
};

fn faults(schema: &Value, object: &Value) -> Vec<String> {
    let causes = compiled(schema).create(object);
    causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

#[test]
fn fields_that_the_schema_does_not_have_are_pruned_and_named() {
    let schema = compiled(&with_spec(json!({
        "type": "object",
        "properties": {
            "known": {"type": "string"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object"}},
            "any": {"type": "object", "additionalProperties": true},
            "free": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"strict": {"type": "object"}},
            },
            "pod": {
                "type": "object", "x-kubernetes-embedded-resource": true,
                "properties": {"spec": {"type": "object"}},
            },
        },
    })));
    let mut object = json!({
        "apiVersion": "a/v1", "kind": "A", "metadata": {"name": "x"}, "extra": 1,
        "spec": {
            "known": "x", "unknown": {"deep": 1},
            "list": [{"a": "x", "b": 1}, "text"],
            "map": {"k": {"gone": 1}},
            "any": {"k": {"gone": 1}, "n": 1},
            "free": {"kept": {"deep": 1}, "strict": {"gone": 1}},
            "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {}}, "spec": {"gone": 1}, "gone": 1},
        },
    });
    let unknown = prune(&mut object, schema.schema()).told();
    assert_eq!(
        object,
        json!({
            "apiVersion": "a/v1", "kind": "A", "metadata": {"name": "x"},
            "spec": {
                "known": "x", "list": [{"a": "x"}, "text"], "map": {"k": {}}, "any": {"k": {}, "n": 1},
                "free": {"kept": {"deep": 1}, "strict": {}},
                "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {}}, "spec": {}},
            },
        })
    );
    let named = [
        "extra",
        "spec.any.k.gone",
        "spec.free.strict.gone",
        "spec.list[0].b",
        "spec.map.k.gone",
        "spec.pod.gone",
        "spec.pod.spec.gone",
        "spec.unknown",
    ];
    assert_eq!(unknown, named.map(|name| format!("unknown field \"{name}\"")));
    assert!(prune(&mut object, schema.schema()).told().is_empty());
}

#[test]
fn defaults_fill_what_is_absent_and_nulls_vanish() {
    let schema = compiled(&with_spec(json!({
        "type": "object", "default": {},
        "properties": {
            "a": {"type": "integer", "default": 1},
            "b": {"type": "object", "default": {}, "properties": {"c": {"type": "string", "default": "x"}}},
            "n": {"type": "string", "nullable": true, "default": "y"},
            "gone": {"type": "string"},
            "list": {"type": "array", "items": {"type": "object", "properties": {"d": {"type": "boolean", "default": true}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"e": {"type": "integer", "default": 2}}}},
        },
    })));
    let filled = |mut object: Value| {
        apply_defaults(&mut object, schema.schema()).unwrap();
        object
    };
    assert_eq!(filled(json!({})), json!({"spec": {"a": 1, "b": {"c": "x"}, "n": "y"}}));
    let object =
        filled(json!({"spec": {"a": null, "n": null, "gone": null, "list": [{}, {"d": false}], "map": {"k": {}}}}));
    assert_eq!(
        object,
        json!({"spec": {
            "a": 1, "b": {"c": "x"}, "n": null, "list": [{"d": true}, {"d": false}], "map": {"k": {"e": 2}},
        }})
    );
    assert_eq!(filled(object.clone()), object, "defaults are applied once");
}

#[test]
fn defaults_cannot_make_an_object_of_any_size() {
    let schema = compiled(&with_spec(json!({
        "type": "array",
        "items": {"type": "object", "properties": {"a": {"type": "string", "default": "x".repeat(1000)}}},
    })));
    let elements = DEFAULTED_BYTES_MAX / 1003;
    assert_eq!(apply_defaults(&mut json!({"spec": vec![json!({}); elements]}), schema.schema()), Ok(()));
    assert_eq!(apply_defaults(&mut json!({"spec": vec![json!({}); elements + 1]}), schema.schema()), Err(TooLarge));
}

#[test]
fn values_are_judged_in_kubernetes_words() {
    let cases = [
        (
            json!({"type": "integer"}),
            json!("x"),
            "spec: Invalid value: \"string\": spec in body must be of type integer: \"string\"",
        ),
        (
            json!({"type": "integer"}),
            json!(1.5),
            "spec: Invalid value: \"number\": spec in body must be of type integer: \"number\"",
        ),
        (
            json!({"type": "string"}),
            json!(1),
            "spec: Invalid value: \"integer\": spec in body must be of type string: \"integer\"",
        ),
        (
            json!({"type": "integer", "maximum": 3}),
            json!(4),
            "spec: Invalid value: 4: spec in body should be less than or equal to 3",
        ),
        (
            json!({"type": "integer", "maximum": 3, "exclusiveMaximum": true}),
            json!(3),
            "spec: Invalid value: 3: spec in body should be less than 3",
        ),
        (
            json!({"type": "number", "minimum": 0.5}),
            json!(0.25),
            "spec: Invalid value: 0.25: spec in body should be greater than or equal to 0.5",
        ),
        (
            json!({"type": "integer", "multipleOf": 5}),
            json!(7),
            "spec: Invalid value: 7: spec in body should be a multiple of 5",
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(3_000_000_000_u64),
            "spec: Invalid value: \"\": Checked value must be of type integer with format int32 in spec",
        ),
        (json!({"type": "string", "maxLength": 2}), json!("äöü"), "spec: Too long: may not be more than 2 bytes"),
        (
            json!({"type": "string", "minLength": 2}),
            json!("a"),
            "spec: Invalid value: \"a\": spec in body should be at least 2 chars long",
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            "spec: Invalid value: \"b\": spec in body should match '^a+$'",
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            "spec: Unsupported value: \"c\": supported values: \"a\", \"b\"",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("now"),
            "spec: Invalid value: \"now\": spec in body must be of type datetime: \"now\"",
        ),
    ];
    judged(&cases);
}

/// Each value of a schema is wrong for one reason.
#[track_caller]
fn judged(cases: &[(Value, Value, &str)]) {
    for (spec, value, why) in cases {
        assert_eq!(faults(&with_spec(spec.clone()), &json!({"spec": value})), [*why], "{spec}");
    }
}

#[test]
fn lists_and_objects_are_judged_in_kubernetes_words() {
    let cases = [
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            "spec: Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\"",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
            json!([]),
            "spec: Invalid value: 0: spec in body should have at least 1 items",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
            json!(["a", "b"]),
            "spec: Too many: 2: must have at most 1 items",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!(["a", 1]),
            "spec[1]: Invalid value: \"integer\": spec[1] in body must be of type string: \"integer\"",
        ),
        (json!({"type": "object", "required": ["a"]}), json!({}), "spec.a: Required value"),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "minProperties": 1}),
            json!({}),
            "spec: Invalid value: 0: spec in body should have at least 1 properties",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 1}),
            json!({"a": "", "b": ""}),
            "spec: Too many: 2: must have at most 1 items",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"a.b": 1}),
            "spec.a.b: Invalid value: \"integer\": spec.a.b in body must be of type string: \"integer\"",
        ),
        (
            json!({"type": "integer", "not": {"minimum": 3}}),
            json!(4),
            "spec: Invalid value: \"\": \"spec\" must not validate the schema (not)",
        ),
        (
            json!({"type": "array", "items": {"type": "integer"}, "x-kubernetes-list-type": "set"}),
            json!([1, 2, 1, 1]),
            "spec[2]: Duplicate value: 1",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "port"],
                "items": {"type": "object", "required": ["name", "port"],
                    "properties": {"name": {"type": "string"}, "port": {"type": "integer"}, "x": {"type": "string"}}}}),
            json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}, {"name": "a", "port": 1, "x": "y"}]),
            "spec[2]: Duplicate value: {\"name\":\"a\",\"port\":1}",
        ),
    ];
    judged(&cases);
}

#[test]
fn of_several_schemas_the_nearest_is_told() {
    let one_of = with_spec(json!({
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "oneOf": [{"required": ["a"], "properties": {"a": {"minimum": 5}}}, {"required": ["b"]}],
    }));
    assert!(faults(&one_of, &json!({"spec": {"b": 1}})).is_empty());
    assert_eq!(
        faults(&one_of, &json!({"spec": {"a": 1}})),
        [
            "spec: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid",
            "spec.a: Invalid value: 1: spec.a in body should be greater than or equal to 5",
        ]
    );
    assert_eq!(
        faults(&one_of, &json!({"spec": {"a": 5, "b": 1}})),
        [
            "spec: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ]
    );
    let all_of = with_spec(json!({"type": "integer", "allOf": [{"minimum": 1}, {"maximum": 3}]}));
    assert_eq!(
        faults(&all_of, &json!({"spec": 4})),
        [
            "spec: Invalid value: 4: spec in body should be less than or equal to 3",
            "spec: Invalid value: \"\": \"spec\" must validate all the schemas (allOf)",
        ]
    );
    let any_of = with_spec(json!({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]}));
    assert_eq!(
        faults(&any_of, &json!({"spec": 4}))[0],
        "spec: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf)"
    );
}

#[test]
fn embedded_objects_have_types_and_metadata() {
    let spec =
        json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true});
    let schema = with_spec(spec);
    assert_eq!(faults(&schema, &json!({"spec": {"kind": "Pod"}})), ["spec.apiVersion: Required value"]);
    let object = json!({"spec": {"apiVersion": "a/b/c", "kind": "9", "metadata": {"labels": {"-": "x"}}}});
    let found = faults(&schema, &object);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("spec.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string"),
        "{found:?}"
    );
    assert!(found[2].starts_with("spec.metadata.labels: Invalid value"), "{found:?}");

    let mut object = json!({"spec": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "nonsense": 1}}});
    coerce(&mut object, compiled(&schema).schema());
    assert_eq!(object["spec"]["metadata"], json!({"name": "x"}));
}

#[test]
fn an_update_is_judged_where_it_changes_something() {
    let schema = compiled(&with_spec(json!({
        "type": "object",
        "properties": {
            "a": {"type": "integer", "maximum": 3},
            "b": {"type": "integer", "maximum": 3},
            "set": {"type": "array", "items": {"type": "string", "maxLength": 1}, "x-kubernetes-list-type": "set"},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"],
                    "properties": {"name": {"type": "string"}, "n": {"type": "integer", "maximum": 3}}}},
        },
    })));
    let old =
        json!({"spec": {"a": 9, "b": 1, "set": ["x", "x"], "map": [{"name": "a", "n": 9}, {"name": "b", "n": 9}]}});
    let fields = |change: &dyn Fn(&mut Value)| -> Vec<String> {
        let mut new = old.clone();
        change(&mut new["spec"]);
        schema.update(&old, &new).into_iter().map(|cause| cause.field).collect()
    };
    assert!(fields(&|spec| spec["b"] = 2.into()).is_empty(), "what is as it was stays");
    assert_eq!(fields(&|spec| spec["b"] = 8.into()), ["spec.b"]);
    assert!(
        fields(&|spec| spec["map"].as_array_mut().unwrap().reverse()).is_empty(),
        "elements are known by their keys"
    );
    assert_eq!(fields(&|spec| spec["map"][1]["n"] = 8.into()), ["spec.map[1].n"]);
    assert!(fields(&|spec| spec["set"][1] = "x".into()).is_empty());
    assert_eq!(fields(&|spec| spec["set"] = json!(["x", "x", "yy"])), ["spec.set[2]"], "doubles that were there stay");
}

#[test]
fn judging_ends_whatever_the_schema_says() {
    let many: Vec<Value> = (0..1_000).map(|n| json!({"minimum": n})).collect();
    let schema = compiled(&with_spec(json!({"type": "array", "items": {"type": "integer", "allOf": many}})));
    let list = |count: usize| json!({"spec": vec![2_000; count]});
    let per_item = 1_001;
    assert!(schema.create(&list(STEPS_MAX / per_item - 1)).is_empty());
    let causes = schema.create(&list(STEPS_MAX / per_item + 1));
    assert!(causes.iter().any(|cause| cause.message.contains("takes too long to validate")), "{causes:?}");
}

#[test]
fn paths_lead_through_names() {
    let object = json!({"metadata": {"labels": {"a.b/c": "x", "it's": "y"}}, "spec": {"replicas": 3}});
    let get = |path: &str| JsonPath::parse(path).unwrap().get(&object).cloned();
    assert_eq!(get(".spec.replicas"), Some(json!(3)));
    assert_eq!(get(".metadata.labels['a.b/c']"), Some(json!("x")));
    assert_eq!(get(r".metadata.labels['it\'s']"), Some(json!("y")));
    assert_eq!(get("."), Some(object.clone()));
    assert_eq!(get(".spec.nothing.here"), None);
    for bad in ["spec", ".spec.", "..", ".spec[0]", ".spec['a'", ".a]b", "."] {
        assert_eq!(JsonPath::parse(bad).is_err(), bad != ".", "{bad}");
    }
    assert!(JsonPath::parse(&".a".repeat(3_000)).is_err());
    let mut object = json!({"spec": 1});
    JsonPath::parse(".spec.scale.n").unwrap().set(&mut object, json!(2));
    assert_eq!(object, json!({"spec": {"scale": {"n": 2}}}));
}

#[test]
fn columns_show_what_their_paths_lead_to() {
    let object = json!({
        "metadata": {"creationTimestamp": "2026-11-30T00:00:00Z", "labels": {"app.kubernetes.io/name": "web"}},
        "spec": {"replicas": 3, "ratio": 0.5, "on": true, "hosts": ["a", "b"], "ports": [{"name": "x", "port": 1}, {"name": "y", "port": 2}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "False"}], "none": null},
    });
    let now = crate::Timestamp::from(std::time::SystemTime::UNIX_EPOCH);
    let show = |path: &str, of: ColumnType| ColumnPath::parse(path).unwrap().cell(&object, of, now);
    for (path, shown) in [
        (".spec.replicas", json!("3")),
        (".spec.hosts", json!("[\"a\",\"b\"]")),
        (".spec.hosts[0]", json!("a")),
        (".spec.hosts[-1]", json!("b")),
        (".spec.hosts[*]", json!("a")),
        (".status.conditions[?(@.type==\"Ready\")].status", json!("True")),
        (".status.conditions[?(@.type == 'Old')].status", json!("False")),
        (".status.conditions[?(@.type!='Ready')].type", json!("Old")),
        (".spec.ports[?(@.port>1)].name", json!("y")),
        (".metadata.labels.app\\.kubernetes\\.io/name", json!("web")),
        (".metadata.labels['app.kubernetes.io/name']", json!("web")),
    ] {
        assert_eq!(show(path, ColumnType::String), Some(shown), "{path}");
    }
    assert_eq!(show(".spec.replicas", ColumnType::Integer), Some(json!(3)));
    assert_eq!(show(".spec.ratio", ColumnType::Number), Some(json!(0.5)));
    assert_eq!(show(".spec.on", ColumnType::Boolean), Some(json!(true)));
    for (path, of) in [
        (".spec.on", ColumnType::Integer),
        (".spec.nothing", ColumnType::String),
        (".spec.hosts[7]", ColumnType::String),
        (".status.none", ColumnType::String),
        (".spec.on", ColumnType::Date),
        (".spec.replicas.deeper", ColumnType::String),
    ] {
        assert_eq!(show(path, of), None, "{path}");
    }
    let later = "2026-11-30T01:00:00Z".parse().unwrap();
    let age = ColumnPath::parse(".metadata.creationTimestamp").unwrap().cell(&object, ColumnType::Date, later);
    assert_eq!(age, Some(json!("60m")));
    for bad in ["", "spec", "..spec", ".spec[", ".spec[x]", ".a[?(@.b)]", ".a[?(b==1)]", &".a".repeat(3_000)] {
        assert!(ColumnPath::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(ColumnType::from_word("date"), Some(ColumnType::Date));
}
