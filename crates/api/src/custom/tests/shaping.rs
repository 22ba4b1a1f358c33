//! Which schemas are let in.

use serde_json::{Value, json};

use super::{faults, refused, with_spec};
use crate::custom::{SCHEMA_DEPTH_MAX, SCHEMAS_MAX, check};

/// What people write.
#[test]
fn a_structural_schema_is_let_in() {
    let schema = json!({
        "type": "object",
        "description": "A widget.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 10}}},
            "spec": {
                "type": "object",
                "x-kubernetes-validations": [{"rule": "self.min <= self.max", "message": "too much", "fieldPath": ".max"}],
                "properties": {
                    "min": {"type": "integer", "format": "int32", "minimum": 0, "default": 1},
                    "max": {"type": "integer"},
                    "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                    "size": {
                        "x-kubernetes-int-or-string": true, "pattern": "^[0-9]+$",
                        "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}],
                    },
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
                    "free": {"x-kubernetes-preserve-unknown-fields": true},
                    "ports": {
                        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                        "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
                    },
                },
                "oneOf": [{"required": ["min"]}, {"required": ["max"]}],
            },
            "status": {"type": "object", "nullable": true},
        },
    });
    assert_eq!(faults(&schema, true), [""; 0]);
}

#[test]
fn what_is_not_structural_is_refused_in_kubernetes_words() {
    let spec = |spec: Value| with_spec(spec);
    let cases = [
        (json!({}), "type: Required value: must not be empty at the root"),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            "type: Invalid value: \"array\": must be object at the root",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            "additionalProperties: Forbidden: must not be used at the root",
        ),
        (spec(json!({})), "properties[spec].type: Required value: must not be empty for specified object fields"),
        (
            spec(json!({"type": "array", "items": {}})),
            "properties[spec].items.type: Required value: must not be empty for specified array items",
        ),
        (spec(json!({"type": "array"})), "properties[spec].items: Required value: must be specified"),
        (
            spec(json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true})),
            "properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if \
             x-kubernetes-int-or-string is true",
        ),
        (
            spec(json!({"x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true})),
            "properties[spec].type: Required value: must be object if x-kubernetes-embedded-resource is true",
        ),
        (
            spec(json!({"type": "object", "x-kubernetes-embedded-resource": true})),
            "properties[spec].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true \
             without x-kubernetes-preserve-unknown-fields",
        ),
        (
            json!({"type": "object", "properties": {"kind": {"type": "integer"}}}),
            "properties[kind].type: Invalid value: \"integer\": must be string",
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is \
             implicitly specified",
        ),
        (
            spec(json!({"type": "string", "anyOf": [{"type": "string"}]})),
            "properties[spec].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            spec(json!({"type": "object", "not": {"additionalProperties": {}}})),
            "properties[spec].not.additionalProperties: Forbidden: must be undefined to be structural",
        ),
        (
            spec(
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": [{"properties": {"a": {"default": 1}}}]}),
            ),
            "properties[spec].oneOf[0].properties[a].default: Forbidden: must be undefined to be structural",
        ),
        (
            json!({"type": "object", "allOf": [{"properties": {"metadata": {}}}], "properties": {"metadata": {"type": "object"}}}),
            "allOf[0].properties[metadata]: Forbidden: must not be specified in a nested context",
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"b": {"minimum": 1}}}]}),
            "properties[b]: Required value: because it is defined in ~.anyOf[0].properties[b]",
        ),
        (
            spec(json!({"type": "string", "pattern": "("})),
            "properties[spec].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: unclosed group",
        ),
    ];
    cases.iter().for_each(|(schema, why)| refused(schema, why));
}

#[test]
fn keywords_stand_only_where_they_may() {
    let cases = [
        (
            with_spec(json!({"type": "text"})),
            "properties[spec].type: Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \
             \"number\", \"object\", \"string\"",
        ),
        (
            with_spec(json!({"type": "object", "$ref": "#/a"})),
            "properties[spec].$ref: Forbidden: $ref is not supported",
        ),
        (
            with_spec(json!({"type": "object", "patternProperties": {"a": {}}})),
            "properties[spec].patternProperties: Forbidden: patternProperties is not supported",
        ),
        (
            with_spec(json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true})),
            "properties[spec].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            with_spec(
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}),
            ),
            "properties[spec].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "default": {}}}}),
            "properties[metadata].default: Forbidden: must not be set in top-level metadata",
        ),
        (
            with_spec(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false})),
            "properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
        ),
        (
            with_spec(json!({"type": "string", "x-kubernetes-map-type": "atomic"})),
            "properties[spec].type: Invalid value: \"string\": must be object if x-kubernetes-map-type is specified",
        ),
    ];
    cases.iter().for_each(|(schema, why)| refused(schema, why));
    let why = faults(&json!({"type": "object", "anyOf": [{"required": ["a"]}]}), true);
    assert!(
        why[0].contains("fields are allowed at the root of the schema if the status subresource is enabled"),
        "{why:?}"
    );
}

#[test]
fn keywords_of_lists_and_rules_fit_each_other() {
    let list = |more: Value| {
        let mut list = json!({
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        });
        crate::patch::merge(&mut list, &more);
        with_spec(list)
    };
    let cases = [
        (
            list(json!({"x-kubernetes-list-map-keys": ["name", "name"]})),
            "properties[spec].x-kubernetes-list-map-keys: Invalid value: [\"name\", \"name\"]: must not contain duplicate entries",
        ),
        (
            list(json!({"x-kubernetes-list-map-keys": ["port"]})),
            "properties[spec].x-kubernetes-list-map-keys: Invalid value: [\"port\"]: entries must all be names of item properties",
        ),
        (
            list(json!({"items": {"required": null}})),
            "properties[spec].items.properties[name].default: Required value: this property is in \
             x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
        (
            list(json!({"items": {"nullable": true}})),
            "properties[spec].items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map",
        ),
        (
            list(json!({"x-kubernetes-list-type": "set", "x-kubernetes-list-map-keys": null})),
            "properties[spec].items.x-kubernetes-map-type: Invalid value: \"\": must be atomic as item of a list with \
             x-kubernetes-list-type=set",
        ),
        (
            with_spec(json!({"type": "string", "x-kubernetes-validations": [{"rule": "a\nb"}]})),
            "properties[spec].x-kubernetes-validations[0].message: Required value: message must be specified if rule contains line breaks",
        ),
        (
            with_spec(json!({"type": "string", "x-kubernetes-validations": [{"rule": "true", "reason": "Bad"}]})),
            "properties[spec].x-kubernetes-validations[0].reason: Unsupported value: \"Bad\": supported values: \
             \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
        ),
        (
            with_spec(json!({"type": "object", "properties": {"a": {"type": "string"}},
                "x-kubernetes-validations": [{"rule": "true", "fieldPath": ".b"}]})),
            "properties[spec].x-kubernetes-validations[0].fieldPath: Invalid value: \".b\": must be a valid path",
        ),
    ];
    cases.iter().for_each(|(schema, why)| refused(schema, why));
}

#[test]
fn a_default_must_be_a_value_of_its_schema() {
    let spec = |fields: Value| with_spec(json!({"type": "object", "properties": fields}));
    let at = "properties[spec].properties[a].default";
    let cases = [
        (
            spec(json!({"a": {"type": "integer", "default": "1"}})),
            format!("{at}: Invalid value: \"string\": ~.{at} in body must be of type integer: \"string\""),
        ),
        (
            spec(json!({"a": {"type": "object", "default": {"b": 1}}})),
            format!("{at}: Invalid value: {{\"b\":1}}: must not have unknown fields"),
        ),
        (
            spec(
                json!({"a": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set", "default": ["x", "x"]}}),
            ),
            format!("{at}[1]: Duplicate value: \"x\""),
        ),
    ];
    cases.iter().for_each(|(schema, why)| refused(schema, why));
}

#[test]
fn keywords_of_the_wrong_form_and_unknown_ones_are_named() {
    let cases = [
        (json!("x"), ": Invalid value: \"x\": must be a schema object"),
        (json!({"type": 1}), "type: Invalid value: 1: must be a string"),
        (
            json!({"type": "object", "properties": []}),
            "properties: Invalid value: []: must be an object with a schema for each name",
        ),
        (json!({"type": "object", "minProperties": 1.5}), "minProperties: Invalid value: 1.5: must be an integer"),
        (json!({"type": "object", "required": [1]}), "required[0]: Invalid value: 1: must be a string"),
        (json!({"type": "object", "propertyNames": {}}), "propertyNames: Forbidden: unknown keyword; remove it"),
    ];
    cases.iter().for_each(|(schema, why)| refused(schema, why));
}

#[test]
fn schemas_have_limits() {
    let deep = |depth| (1..depth).fold(json!({"type": "string"}), |inner, _| json!({"type": "array", "items": inner}));
    let within = |levels: usize| json!({"type": "object", "properties": {"a": deep(levels - 1)}});
    assert!(check(&within(SCHEMA_DEPTH_MAX), "s", false).is_ok());
    let causes = check(&within(SCHEMA_DEPTH_MAX + 1), "s", false).unwrap_err();
    assert!(causes[0].message.contains("nested deeper than 64"), "{causes:?}");

    let wide = |count: usize| {
        let fields: serde_json::Map<_, _> = (1..count).map(|n| (format!("f{n}"), json!({"type": "string"}))).collect();
        json!({"type": "object", "properties": fields})
    };
    assert!(check(&wide(SCHEMAS_MAX), "s", false).is_ok());
    let causes = check(&wide(SCHEMAS_MAX + 1), "s", false).unwrap_err();
    assert!(causes[0].message.contains("may not have more than 32768"), "{causes:?}");

    refused(
        &with_spec(json!({"type": "string", "pattern": "(a{1000}){1000}"})),
        "properties[spec].pattern: Invalid value: \"(a{1000}){1000}\": must be a valid regular expression, but isn't: it \
         takes more than 262144 bytes; make its repetitions shorter",
    );
    let rules = vec![json!({"rule": "true"}); crate::custom::SCHEMA_RULES_MAX + 1];
    let why = faults(&with_spec(json!({"type": "string", "x-kubernetes-validations": rules})), false);
    assert_eq!(why, ["properties[spec].x-kubernetes-validations: Too many: 257: must have at most 256 items"]);
}
