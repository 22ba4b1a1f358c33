//! CustomResourceDefinitions.

use serde_json::{Value, json};

use super::lines;
use crate::{
    Kind, Object,
    error::Cause,
    json::{self, Strictness},
    kinds::apiextensions::custom_resource_definition::VERSIONS_MAX,
    validate,
};
use expect_test::{Expect, expect};

/// The definition of Widgets, after a change of its JSON.
fn widgets(change: impl FnOnce(&mut Value)) -> Object {
    let mut value = json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"size": {"type": "integer"}, "list": {"type": "array", "items": {"type": "string"}}}},
                }}},
            }],
        },
    });
    change(&mut value);
    let mut object =
        json::decode(Kind::CustomResourceDefinition, &value, Strictness::Strict).expect("JSON of ours").object;
    object.prepare_for_create();
    crate::defaults::apply(&mut object);
    object
}

fn said(causes: &[Cause], expected: &Expect) {
    expected.assert_eq(&lines(causes));
}

fn check(change: impl FnOnce(&mut Value), expected: &Expect) {
    said(&validate::create(&widgets(change)), expected);
}

#[test]
fn names_belong_together() {
    check(|_| {}, &expect![[""]]);
    check(
        |value| value["spec"] = json!({}),
        &expect![[r#"
        spec.group: Required value
        spec.scope: Required value: one of Cluster, Namespaced
        metadata.name: Invalid value: "widgets.example.com": must be spec.names.plural+"."+spec.group
        spec.names.plural: Required value
        spec.names.singular: Required value
        spec.names.kind: Required value
        spec.names.listKind: Required value
        spec.versions: Invalid value: []: must have exactly one version marked as storage version
    "#]],
    );
    check(
        |value| {
            value["spec"]["group"] = "example".into();
            value["spec"]["scope"] = "Everywhere".into();
            value["spec"]["names"] =
                json!({"plural": "Widgets", "kind": "widget!", "listKind": "widget!", "shortNames": ["W"]});
        },
        &expect![[r#"
            spec.group: Invalid value: "example": should be a domain with at least one dot
            spec.scope: Unsupported value: "Everywhere": supported values: "Cluster", "Namespaced"
            metadata.name: Invalid value: "widgets.example.com": must be spec.names.plural+"."+spec.group
            spec.names.plural: Invalid value: "Widgets": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name' or 'abc-123')
            spec.names.singular: Invalid value: "widget!": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name' or 'abc-123')
            spec.names.kind: Invalid value: "widget!": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name' or 'abc-123')
            spec.names.listKind: Invalid value: "widget!": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name' or 'abc-123')
            spec.names.shortNames[0]: Invalid value: "W": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name' or 'abc-123')
            spec.names.listKind: Invalid value: "widget!": kind and listKind may not be the same
        "#]],
    );
    check(
        |value| {
            value["metadata"]["name"] = "widgets.x.k8s.io".into();
            value["spec"]["group"] = "x.k8s.io".into();
        },
        &expect![[r#"
            metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111
        "#]],
    );
}

#[test]
fn versions_are_judged_one_by_one_and_together() {
    check(
        |value| {
            let version = value["spec"]["versions"][0].clone();
            value["spec"]["versions"] = json!([version, version]);
            value["spec"]["versions"][1]["deprecationWarning"] = "old".into();
            value["spec"]["versions"][1]["schema"] = Value::Null;
            value["spec"]["preserveUnknownFields"] = true.into();
            value["spec"]["conversion"] = json!({"strategy": "Webhook"});
        },
        &expect![[r#"
            spec.versions[1].deprecationWarning: Invalid value: "old": can only be set for deprecated versions
            spec.versions[1].schema.openAPIV3Schema: Required value
            spec.versions: Invalid value: ["v1", "v1"]: must contain unique version names
            spec.versions: Invalid value: ["v1", "v1"]: must have exactly one version marked as storage version
            spec.conversion.strategy: Forbidden: webhooks for conversion are not served; use None
            spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead
        "#]],
    );
    check(
        |value| {
            let version = &mut value["spec"]["versions"][0];
            version["additionalPrinterColumns"] =
                json!([{"name": "A", "type": "text", "jsonPath": "spec"}, {"format": "x"}]);
            version["selectableFields"] = json!([
                {"jsonPath": ".spec.size"}, {"jsonPath": ".spec.size"}, {"jsonPath": ".spec.list"}, {"jsonPath": ".metadata.name"}, {},
            ]);
            version["subresources"] = json!({"scale": {"specReplicasPath": ".status.size", "statusReplicasPath": "x"}});
        },
        &expect![[r#"
            spec.versions[0].selectableFields[1].jsonPath: Duplicate value: ".spec.size"
            spec.versions[0].selectableFields[2].jsonPath: Invalid value: ".spec.list": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.
            spec.versions[0].selectableFields[3].jsonPath: Invalid value: ".metadata.name": is an invalid path: does not refer to a valid field
            spec.versions[0].selectableFields[3].jsonPath: Invalid value: ".metadata.name": must not point to fields in metadata
            spec.versions[0].selectableFields[4].jsonPath: Required value
            spec.versions[0].subresources.scale.specReplicasPath: Invalid value: ".status.size": should be a json path under .spec
            spec.versions[0].subresources.scale.statusReplicasPath: Invalid value: "x": must be a simple json path starting with .
            spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string
            spec.versions[0].additionalPrinterColumns[0].jsonPath: Invalid value: "spec": must be a simple json path starting with .
            spec.versions[0].additionalPrinterColumns[1].name: Required value
            spec.versions[0].additionalPrinterColumns[1].type: Required value: must be one of boolean,date,integer,number,string
            spec.versions[0].additionalPrinterColumns[1].format: Invalid value: "x": must be one of byte,date,date-time,double,float,int32,int64,password
            spec.versions[0].additionalPrinterColumns[1].jsonPath: Required value
        "#]],
    );
    check(
        |value| {
            let version = value["spec"]["versions"][0].clone();
            value["spec"]["versions"] = vec![version; VERSIONS_MAX + 1].into();
        },
        &expect![[r#"
            spec.versions: Too many: 65: must have at most 64 items
        "#]],
    );
}

#[test]
fn what_is_served_keeps_its_names_and_what_is_kept_its_versions() {
    let mut old = widgets(|_| {});
    let Object::CustomResourceDefinition(definition) = &mut old else { panic!("a definition") };
    let status = definition.status.get_or_insert_default();
    status.conditions.push(crate::conditions::new("Established", true.into(), "", "", crate::Timestamp(0)));
    let mut new = widgets(|value| {
        value["spec"]["scope"] = "Cluster".into();
        value["spec"]["names"]["kind"] = "Gadget".into();
        value["spec"]["versions"][0]["name"] = "v2".into();
    });
    new.prepare_for_update(&old);
    crate::defaults::apply(&mut new);
    said(
        &validate::update(&old, &new),
        &expect![[r#"
        spec.scope: Invalid value: "Cluster": field is immutable
        spec.names.kind: Invalid value: "Gadget": field is immutable
        status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions
    "#]],
    );
}
