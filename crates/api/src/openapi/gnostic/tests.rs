//! What a document of OpenAPI 3 says in protobuf, read by the messages of gnostic as far as the tests look.

#![expect(clippy::unwrap_used, reason = "tests")]

use prost::Message as _;
use serde_json::{Value, json};

use super::v3;

#[derive(Clone, PartialEq, prost::Message)]
struct Document {
    #[prost(string, tag = "1")]
    openapi: String,
    #[prost(message, optional, tag = "4")]
    paths: Option<Paths>,
    #[prost(message, optional, tag = "5")]
    components: Option<Components>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Paths {
    #[prost(message, repeated, tag = "1")]
    all: Vec<NamedPath>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NamedPath {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<PathItem>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PathItem {
    #[prost(message, optional, tag = "10")]
    patch: Option<Operation>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Operation {
    #[prost(string, tag = "5")]
    id: String,
    #[prost(message, optional, tag = "7")]
    body: Option<BodyOrReference>,
    #[prost(message, repeated, tag = "13")]
    extensions: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BodyOrReference {
    #[prost(message, optional, tag = "1")]
    body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Body {
    #[prost(message, optional, tag = "2")]
    content: Option<MediaTypes>,
    #[prost(bool, tag = "3")]
    required: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MediaTypes {
    #[prost(message, repeated, tag = "1")]
    all: Vec<NamedMediaType>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NamedMediaType {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Components {
    #[prost(message, optional, tag = "1")]
    schemas: Option<Schemas>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Schemas {
    #[prost(message, repeated, tag = "1")]
    all: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NamedSchema {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<SchemaOrReference>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SchemaOrReference {
    #[prost(message, optional, tag = "1")]
    schema: Option<Schema>,
    #[prost(message, optional, tag = "2")]
    reference: Option<Reference>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Reference {
    #[prost(string, tag = "1")]
    to: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Schema {
    #[prost(bool, tag = "1")]
    nullable: bool,
    #[prost(double, tag = "11")]
    maximum: f64,
    #[prost(bool, tag = "12")]
    exclusive_maximum: bool,
    #[prost(int64, tag = "15")]
    max_length: i64,
    #[prost(string, tag = "17")]
    pattern: String,
    #[prost(string, repeated, tag = "23")]
    required: Vec<String>,
    #[prost(message, repeated, tag = "24")]
    r#enum: Vec<Any>,
    #[prost(string, tag = "25")]
    r#type: String,
    #[prost(message, repeated, tag = "26")]
    all_of: Vec<SchemaOrReference>,
    #[prost(message, repeated, tag = "28")]
    any_of: Vec<SchemaOrReference>,
    #[prost(message, optional, boxed, tag = "29")]
    not: Option<Box<Schema>>,
    #[prost(message, optional, tag = "30")]
    items: Option<Items>,
    #[prost(message, optional, tag = "31")]
    properties: Option<Schemas>,
    #[prost(message, optional, boxed, tag = "32")]
    additional: Option<Box<Additional>>,
    #[prost(message, optional, tag = "33")]
    default: Option<DefaultType>,
    #[prost(string, tag = "35")]
    format: String,
    #[prost(message, repeated, tag = "36")]
    extensions: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Items {
    #[prost(message, repeated, tag = "1")]
    of: Vec<SchemaOrReference>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Additional {
    #[prost(message, optional, tag = "1")]
    of: Option<SchemaOrReference>,
    #[prost(bool, optional, tag = "2")]
    allowed: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DefaultType {
    #[prost(double, optional, tag = "1")]
    number: Option<f64>,
    #[prost(bool, optional, tag = "2")]
    flag: Option<bool>,
    #[prost(string, optional, tag = "3")]
    text: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NamedAny {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "2")]
    yaml: String,
}

fn read(document: &Value) -> Document {
    Document::decode(v3::encode(document).as_slice()).unwrap()
}

/// The definition of a document with one.
fn read_schema(schema: &Value) -> Schema {
    let document = json!({"components": {"schemas": {"it": schema}}});
    let all = read(&document).components.unwrap().schemas.unwrap().all;
    all[0].value.clone().unwrap().schema.unwrap()
}

fn value(any: &Any) -> Value {
    crate::yaml::documents(&any.yaml).unwrap().remove(0)
}

#[test]
fn a_document_says_the_same_in_protobuf() {
    let json = crate::openapi::document("apps", "v1", []);
    let document = read(&json);
    assert_eq!(document.openapi, "3.0.0");
    let paths = document.paths.unwrap().all;
    let names: Vec<&str> = paths.iter().map(|path| path.name.as_str()).collect();
    assert_eq!(names, json["paths"].as_object().unwrap().keys().collect::<Vec<_>>());
    let one = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}";
    let patch = paths.iter().find(|path| path.name == one).unwrap().value.clone().unwrap().patch.unwrap();
    assert_eq!(patch.id, "patchAppsV1NamespacedDeployment");
    let action = patch.extensions.iter().find(|one| one.name == "x-kubernetes-action").unwrap().value.as_ref().unwrap();
    assert_eq!(value(action), "patch");
    let body = patch.body.unwrap().body.unwrap();
    let media = body.content.unwrap().all.iter().any(|media| media.name == "application/merge-patch+json");
    assert!(body.required && media);

    let schemas = document.components.unwrap().schemas.unwrap().all;
    let names: Vec<&str> = schemas.iter().map(|schema| schema.name.as_str()).collect();
    assert_eq!(names, json["components"]["schemas"].as_object().unwrap().keys().collect::<Vec<_>>());
    let schema = |name: &str| {
        let found = schemas.iter().find(|schema| schema.name == format!("io.k8s.api.{name}")).unwrap();
        found.value.clone().unwrap().schema.unwrap()
    };
    let kind = schema("apps.v1.Deployment").extensions[0].clone();
    assert_eq!(kind.name, "x-kubernetes-group-version-kind");
    assert_eq!(value(&kind.value.unwrap()), json!([{"group": "apps", "version": "v1", "kind": "Deployment"}]));
    let port = schema("core.v1.ContainerPort").properties.unwrap().all;
    let protocol = port.iter().find(|one| one.name == "protocol").unwrap().value.clone().unwrap().schema.unwrap();
    assert_eq!(protocol.default.unwrap().text.as_deref(), Some("TCP"));
    let spec = schema("apps.v1.Deployment").properties.unwrap().all;
    let spec = spec.iter().find(|one| one.name == "spec").unwrap().value.clone().unwrap().schema.unwrap();
    let reference = spec.all_of[0].reference.as_ref().unwrap();
    assert_eq!(reference.to, "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec");
}

#[test]
fn nothing_is_lost_of_what_the_schemas_of_users_can_say() {
    let schema = read_schema(&json!({
        "type": "object", "nullable": true, "required": ["size"],
        "properties": {
            "size": {"type": "number", "maximum": 1.5, "exclusiveMaximum": true, "default": 1, "enum": [1, 1.25]},
            "word": {"type": "string", "pattern": "^a", "maxLength": 7, "default": "a"},
            "list": {"type": "array", "items": {"$ref": "#/components/schemas/it"}},
            "flag": {"type": "boolean", "default": false},
        },
        "additionalProperties": false,
        "anyOf": [{"required": ["word"]}],
        "not": {"required": ["list"]},
        "x-kubernetes-preserve-unknown-fields": true,
    }));
    assert_eq!((schema.r#type.as_str(), schema.nullable, schema.required), ("object", true, vec!["size".to_owned()]));
    let properties = schema.properties.unwrap().all;
    let property = |name: &str| {
        let found = properties.iter().find(|one| one.name == name).unwrap();
        found.value.clone().unwrap().schema.unwrap()
    };
    let size = property("size");
    assert_eq!((size.maximum, size.exclusive_maximum, size.default.unwrap().number), (1.5, true, Some(1.0)));
    assert_eq!(size.r#enum.iter().map(value).collect::<Vec<_>>(), [json!(1), json!(1.25)]);
    let word = property("word");
    assert_eq!((word.pattern.as_str(), word.max_length), ("^a", 7));
    let items = property("list").items.unwrap().of[0].clone();
    assert_eq!(items.reference.unwrap().to, "#/components/schemas/it");
    assert_eq!(property("flag").default.unwrap().flag, Some(false));
    assert_eq!(schema.additional.unwrap().allowed, Some(false));
    assert_eq!(schema.any_of[0].schema.as_ref().unwrap().required, ["word"]);
    assert_eq!(schema.not.unwrap().required, ["list"]);
    assert_eq!(schema.extensions[0].name, "x-kubernetes-preserve-unknown-fields");
    assert_eq!(read_schema(&json!({"format": "int-or-string"})).format, "int-or-string");
}
