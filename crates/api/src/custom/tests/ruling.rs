//! Rules in CEL.

use serde_json::{Value, json};

use super::{compiled, faults, refused, with_spec};
use crate::custom::MESSAGE_BYTES_MAX;

/// A schema with a rule for its `spec`.
fn ruled(properties: Value, rule: Value) -> Value {
    with_spec(json!({"type": "object", "properties": properties, "x-kubernetes-validations": [rule]}))
}

fn told(schema: &Value, old: Option<&Value>, spec: Value) -> Vec<String> {
    let validator = compiled(schema);
    let object =
        json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "x", "labels": {"a": "b"}}, "spec": spec});
    let causes = match old {
        Some(old) => validator.update(&json!({"spec": old}), &object),
        None => validator.create(&object),
    };
    causes.iter().map(|cause| format!("{} {}: {}", cause.reason, cause.field, cause.message)).collect()
}

#[test]
fn a_rule_that_is_not_followed_is_told_in_its_own_words() {
    let fields = json!({"min": {"type": "integer"}, "max": {"type": "integer"}});
    let spec = json!({"min": 3, "max": 2});
    let rule = "self.min <= self.max";
    for (rule, why) in [
        (json!({"rule": rule}), "FieldValueInvalid spec: Invalid value: failed rule: self.min <= self.max"),
        (
            json!({"rule": rule, "message": "min is too large"}),
            "FieldValueInvalid spec: Invalid value: min is too large",
        ),
        (
            json!({"rule": rule, "messageExpression": "'min %d is above max %d'.format([self.min, self.max])"}),
            "FieldValueInvalid spec: Invalid value: min 3 is above max 2",
        ),
        (
            json!({"rule": rule, "message": "plain", "messageExpression": "''"}),
            "FieldValueInvalid spec: Invalid value: plain",
        ),
        (
            json!({"rule": rule, "message": "no", "reason": "FieldValueForbidden", "fieldPath": ".min"}),
            "FieldValueForbidden spec.min: Forbidden: no",
        ),
        (
            json!({"rule": rule, "message": "no", "reason": "FieldValueRequired", "fieldPath": ".max"}),
            "FieldValueRequired spec.max: Required value: no",
        ),
    ] {
        assert_eq!(told(&ruled(fields.clone(), rule.clone()), None, spec.clone()), [why], "{rule}");
        assert!(told(&ruled(fields.clone(), rule), None, json!({"min": 1, "max": 2})).is_empty());
    }
    let scalar = with_spec(json!({"type": "string", "x-kubernetes-validations": [{"rule": "self != 'bad'"}]}));
    assert_eq!(
        told(&scalar, None, json!("bad")),
        ["FieldValueInvalid spec: Invalid value: \"bad\": failed rule: self != 'bad'"]
    );
}

#[test]
fn rules_are_run_wherever_they_stand() {
    let positive = json!([{"rule": "self > 0", "message": "must be positive"}]);
    let number = json!({"type": "integer", "x-kubernetes-validations": positive});
    let schema = with_spec(json!({"type": "object", "properties": {
        "list": {"type": "array", "maxItems": 10, "items": number},
        "map": {"type": "object", "maxProperties": 10, "additionalProperties": number},
        "one": number,
    }}));
    let fields: Vec<String> = told(&schema, None, json!({"list": [1, 0], "map": {"a.b": 0}, "one": 0}))
        .iter()
        .map(|told| told.split(' ').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(fields, ["spec.list[1]:", "spec.map[a.b]:", "spec.one:"]);

    let root = json!({"type": "object", "properties": {"spec": {"type": "integer"}}, "x-kubernetes-validations": [
        {"rule": "self.metadata.name == 'x' && self.kind == 'A' && self.spec == 1", "message": "root"},
    ]});
    assert!(told(&root, None, json!(1)).is_empty());
    assert_eq!(told(&root, None, json!(2)), ["FieldValueInvalid : Invalid value: root"]);
}

#[test]
fn a_rule_about_what_was_before_is_run_where_something_was() {
    let fixed =
        ruled(json!({"size": {"type": "integer"}}), json!({"rule": "self.size == oldSelf.size", "message": "fixed"}));
    assert!(told(&fixed, None, json!({"size": 1})).is_empty());
    assert!(told(&fixed, Some(&json!({"size": 1})), json!({"size": 1})).is_empty());
    assert_eq!(
        told(&fixed, Some(&json!({"size": 1})), json!({"size": 2})),
        ["FieldValueInvalid spec: Invalid value: fixed"]
    );

    let optional = json!({"rule": "!oldSelf.hasValue() || oldSelf.value().size < self.size", "optionalOldSelf": true, "message": "grow"});
    let grows = ruled(json!({"size": {"type": "integer"}}), optional);
    assert!(told(&grows, None, json!({"size": 1})).is_empty());
    assert_eq!(
        told(&grows, Some(&json!({"size": 1})), json!({"size": 1})),
        ["FieldValueInvalid spec: Invalid value: grow"]
    );

    let keyed = with_spec(json!({
        "type": "array", "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
        "items": {"type": "object", "required": ["name"],
            "properties": {"name": {"type": "string", "maxLength": 5}, "n": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.n >= oldSelf.n", "message": "shrunk"}]},
    }));
    let old = json!([{"name": "a", "n": 1}, {"name": "b", "n": 5}]);
    let told = told(&keyed, Some(&old), json!([{"name": "b", "n": 4}, {"name": "a", "n": 2}, {"name": "c", "n": 0}]));
    assert_eq!(told, ["FieldValueInvalid spec[0]: Invalid value: shrunk"]);
}

#[test]
fn what_is_as_it_was_follows_the_rules_of_its_day() {
    let schema = with_spec(json!({"type": "object", "properties": {
        "a": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0", "message": "positive"}]},
        "list": {"type": "array", "maxItems": 5, "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self > 0"}]}},
        "b": {"type": "integer"},
    }}));
    let old = json!({"a": 0, "list": [0], "b": 1});
    assert!(told(&schema, Some(&old), json!({"a": 0, "list": [0], "b": 2})).is_empty());
    assert_eq!(told(&schema, Some(&old), json!({"a": -1, "list": [0], "b": 1})).len(), 1);
    assert_eq!(told(&schema, Some(&old), json!({"a": 0, "list": [0, 1], "b": 1})).len(), 1, "the list is one value");
}

#[test]
fn rules_that_cannot_be_run_say_why_and_others_go_on() {
    let fields = json!({"a": {"type": "integer"}, "either": {"x-kubernetes-int-or-string": true}});
    let of = |rule: &str, spec: Value| told(&ruled(fields.clone(), json!({"rule": rule})), None, spec);
    assert_eq!(
        of("self.a > 0", json!({})),
        ["FieldValueInvalid spec: Invalid value: \"object\": no such key: a evaluating rule: self.a > 0"]
    );
    assert_eq!(
        of("self.either < 5", json!({"either": "x"})),
        [
            "FieldValueInvalid spec: Invalid value: \"object\": 'no such overload': call arguments did not match a supported \
          operator, function or macro signature for rule: self.either < 5"
        ],
    );
    let required = json!({"type": "object", "required": ["a"], "properties": fields, "x-kubernetes-validations": [{"rule": "self.a > 0"}]});
    assert_eq!(
        told(&with_spec(required), None, json!({})),
        [
            "FieldValueRequired spec.a: Required value",
            "FieldValueInvalid : Invalid value: some validation rules were not checked because the object was invalid; correct the \
         existing errors to complete validation",
        ]
    );
}

#[test]
fn rules_that_do_not_compile_are_refused_with_their_definition() {
    let fields =
        json!({"a": {"type": "integer"}, "list": {"type": "array", "maxItems": 3, "items": {"type": "integer"}}});
    let at = "properties[spec].x-kubernetes-validations[0]";
    for (rule, why) in [
        (
            json!({"rule": "self.b > 0"}),
            format!(
                "{at}.rule: Invalid value: \"self.b > 0\": compilation failed: ERROR: <input>:1:5: undefined field 'b'\n | self.b > 0\n | ....^"
            ),
        ),
        (
            json!({"rule": "self.a"}),
            format!("{at}.rule: Invalid value: \"self.a\": cel expression must evaluate to a bool"),
        ),
        (
            json!({"rule": "true", "messageExpression": "self.a"}),
            format!("{at}.messageExpression: Invalid value: \"self.a\": messageExpression must evaluate to a string"),
        ),
        (
            json!({"rule": "true", "messageExpression": "nobody"}),
            format!(
                "{at}.messageExpression: Invalid value: \"nobody\": messageExpression compilation failed: ERROR: \
                <input>:1:1: undeclared reference to 'nobody' (in container '')\n | nobody\n | ^"
            ),
        ),
        (
            json!({"rule": "true", "optionalOldSelf": true}),
            format!("{at}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"),
        ),
    ] {
        refused(&ruled(fields.clone(), rule), &why);
    }
    let item = json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]});
    refused(
        &with_spec(json!({"type": "array", "maxItems": 3, "items": item})),
        "properties[spec].items.x-kubernetes-validations[0].rule: Invalid value: \"self >= oldSelf\": oldSelf cannot be used \
         on the uncorrelatable portion of the schema within ~.properties[spec]",
    );
}

#[test]
fn rules_that_may_take_too_long_are_refused_with_their_definition() {
    let list = |most: Option<u64>, rule: &str| {
        with_spec(json!({"type": "array", "maxItems": most, "items": {"type": "string", "maxLength": 10},
            "x-kubernetes-validations": [{"rule": rule}]}))
    };
    let squared = "self.all(x, self.all(y, x == y))";
    let why = faults(&list(None, squared), false);
    assert_eq!(
        why[0].split(" (try").next().unwrap(),
        "properties[spec].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x"
    );
    assert!(why[1].contains("estimated rule cost total for entire OpenAPIv3 schema exceeds budget"), "{why:?}");
    assert_eq!(faults(&list(Some(100), squared), false), [""; 0]);
    assert_eq!(faults(&list(None, "self.all(x, x != '')"), false), [""; 0], "once through any list is not too much");
    // What popular kinds ask of their objects.
    let gateway = with_spec(json!({"type": "object", "properties": {
        "type": {"type": "string", "enum": ["Exact", "Prefix"]},
        "hostname": {"type": "string", "maxLength": 253},
        "rules": {"type": "array", "maxItems": 16, "items": {"type": "object", "properties": {
            "matches": {"type": "array", "maxItems": 64, "items": {"type": "object", "properties": {
                "path": {"type": "object", "properties": {"type": {"type": "string"}, "value": {"type": "string", "maxLength": 1024}},
                    "x-kubernetes-validations": [
                        {"rule": "(self.type in ['Exact','PathPrefix']) ? self.value.startsWith('/') : true"},
                        {"rule": "self.type == 'Exact' ? !self.value.contains('//') : true"},
                        {"rule": "self.type == 'Exact' ? self.value.matches(r\"\"\"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$\"\"\") : true"},
                    ]},
            }}},
        }, "x-kubernetes-validations": [{"rule": "!has(self.matches) || self.matches.all(m, has(m.path))"}]}},
    }, "x-kubernetes-validations": [{"rule": "self.type != 'Exact' || self.hostname.endsWith('.example')"}]}));
    assert_eq!(faults(&gateway, false), [""; 0]);
}

#[test]
fn rules_end_and_those_of_an_object_share_their_steps() {
    let rows = |most: u64, row_most: u64| {
        with_spec(json!({"type": "array", "maxItems": most, "items": {
            "type": "array", "maxItems": row_most, "items": {"type": "integer"},
            "x-kubernetes-validations": [{"rule": format!("self.all(x, self.exists(y, y == {}))", row_most - 1)}],
        }}))
    };
    let row = |length: u64| (0..length).collect::<Vec<_>>();
    // Each of them takes some 50,000 steps.
    let many = rows(300, 100);
    assert_eq!(told(&many, None, json!(vec![row(100); 150])), [""; 0]);
    let told_of_many = told(&many, None, json!(vec![row(100); 300]));
    assert!(told_of_many[0].contains("validation failed due to running out of cost budget"), "{told_of_many:?}");
    assert_eq!(told_of_many.len(), 1);

    let long = rows(2, 600);
    assert_eq!(told(&long, None, json!([row(600)[400..].to_vec()])), [""; 0]);
    let told_of_long = told(&long, None, json!([row(600), []]));
    assert!(
        told_of_long[0].contains("no further validation rules will be run due to call cost exceeds limit"),
        "{told_of_long:?}"
    );
}

#[test]
fn a_message_that_is_too_long_gives_way_to_the_rule() {
    let rule = json!([{"rule": "false", "messageExpression": "self"}]);
    let schema = with_spec(json!({"type": "string", "maxLength": 10_000, "x-kubernetes-validations": rule}));
    let said = |length: usize| told(&schema, None, "m".repeat(length).into());
    assert!(said(MESSAGE_BYTES_MAX)[0].ends_with("mmm"));
    assert!(said(MESSAGE_BYTES_MAX + 1)[0].ends_with("failed rule: false"));
}
