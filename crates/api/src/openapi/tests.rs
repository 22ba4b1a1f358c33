//! What the documents say, held against what Kubernetes publishes.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{document, document_v2, encode_v2, write_v2, write_v2_protobuf};
use crate::{Served, custom, reviews, schema::Schema};

const V3: &str = "#/components/schemas/";
const V2: &str = "#/definitions/";

/// Every name that a document refers to.
fn references(value: &Value, place: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                into.insert(target.strip_prefix(place).unwrap().to_owned());
            }
            fields.values().for_each(|value| references(value, place, into));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, place, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn core() -> Value {
    document("", "v1", [])
}

fn schema<'a>(document: &'a Value, name: &str) -> &'a Value {
    let schema = &document["components"]["schemas"][format!("io.k8s.{name}")];
    assert!(schema.is_object(), "{name}");
    schema
}

/// All operations of a document, by their names.
fn operations(document: &Value) -> BTreeSet<String> {
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    operations.filter_map(|operation| operation["operationId"].as_str().map(str::to_owned)).collect()
}

#[test]
fn documents_refer_to_nothing_that_they_do_not_hold_and_hold_nothing_twice() {
    for info in reviews::served() {
        let document = document(info.group, info.version, []);
        let mut referred = BTreeSet::new();
        references(&document, V3, &mut referred);
        for name in referred {
            assert!(document["components"]["schemas"][&name].is_object(), "{}: {name}", info.message);
        }
    }
    let whole = document_v2();
    let mut referred = BTreeSet::new();
    references(&whole, V2, &mut referred);
    for name in referred {
        assert!(whole["definitions"][&name].is_object(), "{name}");
    }
    let about_all = ["getAPIVersions".to_owned(), "getCoreAPIVersions".to_owned()];
    let of_documents = reviews::served().fold(BTreeSet::from(about_all), |mut all, info| {
        all.extend(operations(&document(info.group, info.version, [])));
        all
    });
    let of_all: BTreeSet<String> = operations(&whole).into_iter().filter(|id| !id.ends_with("APIGroup")).collect();
    assert_eq!(of_all, of_documents);
}

#[test]
fn every_kind_is_found_by_what_it_is_called() {
    let whole = document_v2();
    for info in Served::all().map(Served::info) {
        for (kind, suffix) in [(info.kind.to_owned(), ""), (format!("{}List", info.kind), "List")] {
            let is = json!({"group": info.group, "version": info.version, "kind": kind});
            let definitions = whole["definitions"].as_object().unwrap();
            let found: Vec<&String> = definitions
                .iter()
                .filter(|(_, one)| one["x-kubernetes-group-version-kind"] == json!([is]))
                .map(|(name, _)| name)
                .collect();
            assert_eq!(found.len(), 1, "{is}");
            assert!(found[0].ends_with(&format!(".{}{suffix}", info.kind)), "{found:?}");
            assert_eq!(definitions[found[0]]["properties"]["kind"]["type"], "string");
        }
    }
}

#[test]
fn types_have_the_names_that_kubernetes_publishes() {
    let (core, apps) = (core(), document("apps", "v1", []));
    for name in [
        "api.core.v1.Pod",
        "api.core.v1.PodList",
        "api.core.v1.Binding",
        "api.policy.v1.Eviction",
        "api.autoscaling.v1.Scale",
        "apimachinery.pkg.apis.meta.v1.ObjectMeta",
        "apimachinery.pkg.apis.meta.v1.DeleteOptions",
        "apimachinery.pkg.apis.meta.v1.Status",
        "apimachinery.pkg.apis.meta.v1.Patch",
        "apimachinery.pkg.apis.meta.v1.Time",
        "apimachinery.pkg.api.resource.Quantity",
        "apimachinery.pkg.util.intstr.IntOrString",
    ] {
        schema(&core, name);
    }
    schema(&apps, "api.apps.v1.DeploymentList");
    schema(&apps, "apimachinery.pkg.runtime.RawExtension");
    schema(&document("rbac.authorization.k8s.io", "v1", []), "api.rbac.v1.ClusterRole");
    // What stands in its parent's object is no type.
    let names = core["components"]["schemas"].as_object().unwrap();
    assert!(!names.keys().any(|name| name.ends_with("VolumeSource") && name.ends_with("v1.VolumeSource")));
    assert!(!names.contains_key("io.k8s.api.apps.v1.Deployment"));
}

#[test]
fn special_types_are_what_clients_expect() {
    let core = core();
    assert_eq!(schema(&core, "apimachinery.pkg.util.intstr.IntOrString")["format"], "int-or-string");
    assert_eq!(schema(&core, "apimachinery.pkg.apis.meta.v1.Time")["format"], "date-time");
    assert_eq!(schema(&core, "apimachinery.pkg.api.resource.Quantity")["oneOf"][0]["type"], "string");
    let elder = document_v2();
    let definition = |name: &str| elder["definitions"][format!("io.k8s.apimachinery.pkg.{name}")].clone();
    assert_eq!(definition("api.resource.Quantity")["type"], "string");
    assert_eq!(definition("util.intstr.IntOrString")["type"], "string");
    assert_eq!(definition("apis.meta.v1.FieldsV1")["type"], "object");
}

#[test]
fn fields_say_how_they_are_patched_and_applied() {
    let core = core();
    let field = |of: &str, name: &str| schema(&core, of)["properties"][name].clone();
    let said = |field: &Value| {
        ["patch-strategy", "patch-merge-key", "list-type", "list-map-keys", "map-type"]
            .map(|word| field[format!("x-kubernetes-{word}")].clone())
    };
    let nothing = Value::Null;
    let cases = [
        (
            "api.core.v1.PodSpec",
            "containers",
            [json!("merge"), json!("name"), json!("map"), json!(["name"]), nothing.clone()],
        ),
        (
            "api.core.v1.PodSpec",
            "volumes",
            [json!("merge,retainKeys"), json!("name"), json!("map"), json!(["name"]), nothing.clone()],
        ),
        (
            "api.core.v1.Container",
            "ports",
            [
                json!("merge"),
                json!("containerPort"),
                json!("map"),
                json!(["containerPort", "protocol"]),
                nothing.clone(),
            ],
        ),
        (
            "api.core.v1.ServiceSpec",
            "ports",
            [json!("merge"), json!("port"), json!("map"), json!(["port", "protocol"]), nothing.clone()],
        ),
        (
            "apimachinery.pkg.apis.meta.v1.ObjectMeta",
            "finalizers",
            [json!("merge"), nothing.clone(), json!("set"), nothing.clone(), nothing.clone()],
        ),
        (
            "api.core.v1.Container",
            "args",
            [nothing.clone(), nothing.clone(), json!("atomic"), nothing.clone(), nothing.clone()],
        ),
        (
            "api.core.v1.PodStatus",
            "hostIPs",
            [json!("merge"), json!("ip"), json!("atomic"), nothing.clone(), nothing.clone()],
        ),
        (
            "api.core.v1.ServiceSpec",
            "selector",
            [nothing.clone(), nothing.clone(), nothing.clone(), nothing.clone(), json!("atomic")],
        ),
    ];
    for (of, name, expected) in cases {
        assert_eq!(said(&field(of, name)), expected, "{of}.{name}");
    }
    assert_eq!(schema(&core, "api.core.v1.ObjectReference")["x-kubernetes-map-type"], "atomic");
    assert_eq!(schema(&core, "api.core.v1.PodSpec")["x-kubernetes-map-type"], nothing);
}

#[test]
fn fields_that_must_be_given_are_named() {
    let (core, apps) = (core(), document("apps", "v1", []));
    assert_eq!(schema(&core, "api.core.v1.PodSpec")["required"], json!(["containers"]));
    assert_eq!(schema(&core, "api.core.v1.HTTPGetAction")["required"], json!(["port"]));
    assert_eq!(schema(&core, "api.core.v1.Pod")["required"], Value::Null);
    assert_eq!(schema(&apps, "api.apps.v1.DeploymentSpec")["required"], json!(["selector", "template"]));
    assert_eq!(schema(&apps, "api.apps.v1.DeploymentList")["required"], json!(["items"]));
}

#[test]
fn operations_have_the_names_that_generators_make_methods_of() {
    let core = operations(&core());
    for id in [
        "listCoreV1NamespacedPod",
        "listCoreV1PodForAllNamespaces",
        "createCoreV1NamespacedPod",
        "deleteCoreV1CollectionNamespacedPod",
        "readCoreV1NamespacedPod",
        "replaceCoreV1NamespacedPod",
        "patchCoreV1NamespacedPod",
        "deleteCoreV1NamespacedPod",
        "readCoreV1NamespacedPodStatus",
        "readCoreV1NamespacedPodLog",
        "createCoreV1NamespacedPodBinding",
        "createCoreV1NamespacedPodEviction",
        "listCoreV1Node",
        "deleteCoreV1CollectionNode",
        "patchCoreV1NodeStatus",
        "replaceCoreV1NamespaceFinalize",
        "readCoreV1ComponentStatus",
        "getCoreV1APIResources",
    ] {
        assert!(core.contains(id), "{id}");
    }
    for id in ["deleteCoreV1CollectionNamespace", "createCoreV1ComponentStatus", "readCoreV1NamespacedPodBinding"] {
        assert!(!core.contains(id), "{id}");
    }
    assert!(operations(&document("apps", "v1", [])).contains("patchAppsV1NamespacedDeploymentScale"));
    assert!(
        operations(&document("rbac.authorization.k8s.io", "v1", [])).contains("listRbacAuthorizationV1ClusterRole")
    );
    let all = operations(&document_v2());
    for id in ["getAPIVersions", "getCoreAPIVersions", "getAppsAPIGroup", "getRbacAuthorizationV1APIResources"] {
        assert!(all.contains(id), "{id}");
    }
}

#[test]
fn an_operation_says_what_it_takes_and_answers() {
    let apps = document("apps", "v1", []);
    let item = &apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    let patch = &item["patch"];
    assert_eq!(patch["x-kubernetes-action"], "patch");
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    assert_eq!(patch["tags"], json!(["apps_v1"]));
    let names = |list: &Value| {
        list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&patch["parameters"]), ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert_eq!(names(&item["parameters"]), ["name", "namespace", "pretty"]);
    assert!(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_object());
    let own = json!({"$ref": "#/components/schemas/io.k8s.api.apps.v1.Deployment"});
    assert_eq!(patch["responses"]["200"]["content"]["application/json"]["schema"], own);
    assert_eq!(item["get"]["requestBody"], Value::Null);
    let scale = &apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["get"];
    assert_eq!(scale["x-kubernetes-group-version-kind"]["group"], "autoscaling");
    let elder = document_v2();
    let create = &elder["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments"]["post"];
    assert_eq!((&create["parameters"][0]["in"], &create["parameters"][0]["name"]), (&json!("body"), &json!("body")));
    assert_eq!(
        elder["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/log"]["get"]["produces"],
        json!(["text/plain"])
    );
}

/// The beginning of gnostic's messages: what the tests look into.
mod gnostic {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Document {
        #[prost(string, tag = "1")]
        pub(super) swagger: String,
        #[prost(message, optional, tag = "8")]
        pub(super) paths: Option<Paths>,
        #[prost(message, optional, tag = "9")]
        pub(super) definitions: Option<Schemas>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Paths {
        #[prost(message, repeated, tag = "2")]
        pub(super) path: Vec<NamedPath>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct NamedPath {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<Path>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Path {
        #[prost(message, optional, tag = "8")]
        pub(super) patch: Option<Operation>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Operation {
        #[prost(string, tag = "5")]
        pub(super) id: String,
        #[prost(message, repeated, tag = "13")]
        pub(super) extensions: Vec<NamedAny>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Schemas {
        #[prost(message, repeated, tag = "1")]
        pub(super) all: Vec<NamedSchema>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct NamedSchema {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<Schema>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Schema {
        #[prost(string, tag = "1")]
        pub(super) reference: String,
        #[prost(string, repeated, tag = "19")]
        pub(super) required: Vec<String>,
        #[prost(message, optional, tag = "25")]
        pub(super) properties: Option<Schemas>,
        #[prost(message, repeated, tag = "31")]
        pub(super) extensions: Vec<NamedAny>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct NamedAny {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<Any>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Any {
        #[prost(string, tag = "2")]
        pub(super) yaml: String,
    }
}

fn said(extensions: &[gnostic::NamedAny], name: &str) -> Value {
    let found = extensions.iter().find(|extension| extension.name == name).unwrap();
    crate::yaml::documents(&found.value.as_ref().unwrap().yaml).unwrap().remove(0)
}

#[test]
fn the_elder_document_says_the_same_in_protobuf() {
    let json = document_v2();
    let document = <gnostic::Document as prost::Message>::decode(encode_v2(&json).as_slice()).unwrap();
    assert_eq!(document.swagger, "2.0");
    let definitions = document.definitions.unwrap().all;
    let names: Vec<&String> = definitions.iter().map(|one| &one.name).collect();
    assert_eq!(names, json["definitions"].as_object().unwrap().keys().collect::<Vec<_>>());
    let definition = |name: &str| definitions.iter().find(|one| one.name == name).unwrap().value.clone().unwrap();
    let deployment = definition("io.k8s.api.apps.v1.Deployment");
    let kind = json!([{"group": "apps", "version": "v1", "kind": "Deployment"}]);
    assert_eq!(said(&deployment.extensions, "x-kubernetes-group-version-kind"), kind);
    assert_eq!(deployment.required, ["spec"]);
    let spec = definition("io.k8s.api.core.v1.PodSpec").properties.unwrap().all;
    let containers = spec.iter().find(|one| one.name == "containers").unwrap().value.clone().unwrap();
    assert_eq!(said(&containers.extensions, "x-kubernetes-list-map-keys"), json!(["name"]));
    let security = spec.iter().find(|one| one.name == "securityContext").unwrap().value.clone().unwrap();
    assert_eq!(security.reference, "#/definitions/io.k8s.api.core.v1.PodSecurityContext");
    let paths = document.paths.unwrap().path;
    assert_eq!(paths.len(), json["paths"].as_object().unwrap().len());
    let one = paths.iter().find(|path| path.name == "/api/v1/nodes/{name}").unwrap().value.clone().unwrap();
    let patch = one.patch.unwrap();
    assert_eq!(patch.id, "patchCoreV1Node");
    assert_eq!(said(&patch.extensions, "x-kubernetes-action"), "patch");
}

/// A version that a user has defined.
fn defined() -> custom::Definition {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "minimum": 0.5, "default": 3}, "color": {"type": "string", "enum": ["red"], "maxLength": 9},
    }}}});
    let names = json!({"plural": "widgets", "kind": "Widget", "listKind": "Widgets"});
    let value = json!({
        "metadata": {"name": "widgets.openapi.test"},
        "spec": {"group": "openapi.test", "scope": "Cluster", "names": names, "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}},
        ]},
        "status": {"acceptedNames": names, "conditions": [{"type": "Established", "status": "True"}]},
    });
    let strictness = crate::json::Strictness::Strict;
    let object = crate::json::decode(crate::Kind::CustomResourceDefinition, &value, strictness).unwrap().object;
    custom::Definition::of(object.get().unwrap()).unwrap()
}

#[test]
fn what_users_define_is_described_as_the_rest() {
    let definition = defined();
    let document = document("openapi.test", "v1", definition.served());
    let mut referred = BTreeSet::new();
    references(&document, V3, &mut referred);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(referred.iter().all(|name| schemas.contains_key(name)), "{referred:?}");
    assert_eq!(schemas["test.openapi.v1.WidgetList"]["x-kubernetes-group-version-kind"][0]["kind"], "Widgets");

    let mut text = Vec::new();
    write_v2(definition.served(), &mut text).unwrap();
    let elder: Value = serde_json::from_slice(&text).unwrap();
    let of_table = document_v2();
    let widget = "test.openapi.v1.Widget";
    assert_eq!(elder["definitions"][widget]["properties"]["spec"]["properties"]["size"]["minimum"], 0.5);
    assert!(elder["paths"]["/apis/openapi.test/v1/widgets/{name}"]["patch"].is_object());
    for part in ["definitions", "paths"] {
        let more = elder[part].as_object().unwrap().len() - of_table[part].as_object().unwrap().len();
        assert!(of_table[part].as_object().unwrap().iter().all(|(name, one)| elder[part][name] == *one));
        assert!(more >= 2, "{more} {part}");
    }

    let mut bytes = Vec::new();
    write_v2_protobuf(definition.served(), &mut bytes).unwrap();
    let read = <gnostic::Document as prost::Message>::decode(bytes.as_slice()).unwrap();
    let names: BTreeSet<String> = read.definitions.unwrap().all.into_iter().map(|one| one.name).collect();
    assert_eq!(names, elder["definitions"].as_object().unwrap().keys().cloned().collect());
    assert_eq!(read.paths.unwrap().path.len(), elder["paths"].as_object().unwrap().len());
}

#[test]
fn every_field_is_described() {
    for message in Schema::get().messages().filter(|message| !message.name.starts_with("kapelle.api.")) {
        assert!(!message.doc.is_empty(), "{}", message.name);
        for field in &message.fields {
            assert!(!field.doc.is_empty(), "{}.{}", message.name, field.json);
        }
    }
}
