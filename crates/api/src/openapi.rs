//! OpenAPI v3 documents, one a group and version: what `kubectl apply` asks for before it sends and `kubectl explain` shows.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    Served, Verb,
    object::KindInfo,
    schema::{Field, Form, Message, Scalar, Schema, Shape},
};

/// The document of one group and version: the paths of its kinds and the schemas of everything that they are made of.
#[must_use]
pub fn document(group: &str, version: &str) -> Value {
    let kinds = || Served::all().map(Served::info).filter(move |info| info.group == group && info.version == version);
    let mut schemas = definitions(kinds().map(|info| info.message));
    for info in kinds() {
        if let Some(Value::Object(schema)) = schemas.get_mut(info.message) {
            identify(info, schema);
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kapelle", "version": env!("CARGO_PKG_VERSION")},
        "paths": kinds().map(path).collect::<Map<_, _>>(),
        "components": {"schemas": schemas},
    })
}

/// The schemas of some messages and of everything that they are made of, by their full names.
/// Messages that `proto/` does not have are passed over.
#[must_use]
pub fn definitions<'a>(messages: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Value> {
    let mut schemas = BTreeMap::new();
    for message in messages.into_iter().filter_map(|name| Schema::get().message(name)) {
        collect(message, &mut schemas);
    }
    schemas
}

/// The path of one object of a kind. Clients look for the patch operation and its `fieldValidation` parameter there.
fn path(info: &KindInfo) -> (String, Value) {
    let KindInfo { group, version, plural, namespaced, message, .. } = info;
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let place = if *namespaced { "/namespaces/{namespace}" } else { "" };
    let identity = identity(info);
    let answer = json!({"200": {"description": "OK", "content": {"application/json": {"schema": reference(message)}}}});
    let validation = json!([{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]);
    let mut operations = json!({
        "get": {"x-kubernetes-action": "get", "x-kubernetes-group-version-kind": identity, "responses": answer},
    });
    if info.offers(Verb::Patch) {
        operations["patch"] = json!({
            "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": identity,
            "parameters": validation, "responses": answer,
        });
    }
    (format!("{root}{place}/{plural}/{{name}}"), operations)
}

fn identity(info: &KindInfo) -> Value {
    let KindInfo { group, version, kind, .. } = info;
    json!({"group": group, "version": version, "kind": kind})
}

fn identify(info: &KindInfo, schema: &mut Map<String, Value>) {
    schema.insert("x-kubernetes-group-version-kind".to_owned(), json!([identity(info)]));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        let text = |what: &str| json!({"type": "string", "description": what});
        properties.insert("apiVersion".to_owned(), text("Group and version, such as `apps/v1`."));
        properties.insert("kind".to_owned(), text("What it is, such as `Deployment`."));
    }
}

fn reference(message: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{message}")})
}

/// The schema of a message and of everything that it is made of.
fn collect(message: &Message, schemas: &mut BTreeMap<String, Value>) {
    if schemas.contains_key(&message.name) {
        return;
    }
    schemas.insert(message.name.clone(), Value::Null);
    let schema = schema(message);
    schemas.insert(message.name.clone(), schema);
    for field in &message.fields {
        if let Scalar::Message(index) = field.scalar {
            collect(Schema::get().at(index), schemas);
        }
    }
}

fn schema(message: &Message) -> Value {
    let mut schema = match message.form {
        Form::Object => json!({"type": "object", "properties": properties(message)}),
        Form::Time | Form::MicroTime => json!({"type": "string", "format": "date-time"}),
        Form::Quantity => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Form::IntOrString => json!({
            "format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true,
        }),
        Form::Raw => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
    };
    schema["description"] = Value::from(message.doc.as_str());
    schema
}

fn properties(message: &Message) -> Map<String, Value> {
    let mut properties = Map::new();
    for field in &message.fields {
        match field.scalar.message() {
            Some(inner) if field.inline => properties.extend(self::properties(inner)),
            Some(_) | None => {
                properties.insert(field.json.clone(), property(field));
            }
        }
    }
    properties
}

fn property(field: &Field) -> Value {
    let one = match field.scalar {
        Scalar::Bool => json!({"type": "boolean"}),
        Scalar::Int32 => json!({"type": "integer", "format": "int32"}),
        Scalar::Int64 => json!({"type": "integer", "format": "int64"}),
        Scalar::String => json!({"type": "string"}),
        Scalar::Bytes => json!({"type": "string", "format": "byte"}),
        // A reference may have no neighbours, so it stands in a list of one.
        Scalar::Message(index) => json!({"allOf": [reference(&Schema::get().at(index).name)]}),
    };
    let mut property = match field.shape {
        Shape::One => one,
        Shape::List => json!({"type": "array", "items": one}),
        Shape::Map => json!({"type": "object", "additionalProperties": one}),
    };
    property["description"] = Value::from(field.doc.as_str());
    if let Some(strategy) = patch_strategy(field) {
        property["x-kubernetes-patch-strategy"] = Value::from(strategy);
    }
    if !field.merge_key.is_empty() {
        property["x-kubernetes-patch-merge-key"] = Value::from(field.merge_key.as_str());
    }
    property
}

/// How a strategic merge patch treats the field, if otherwise than by default.
fn patch_strategy(field: &Field) -> Option<&'static str> {
    match (field.merge, field.retain_keys, field.replace) {
        (true, true, _) => Some("merge,retainKeys"),
        (true, false, _) => Some("merge"),
        (false, true, _) => Some("retainKeys"),
        (false, false, true) => Some("replace"),
        (false, false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::document;
    use crate::Served;

    /// Every name that a document refers to.
    fn references(value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(target)) = fields.get("$ref") {
                    into.insert(target.trim_start_matches("#/components/schemas/").to_owned());
                }
                fields.values().for_each(|value| references(value, into));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn documents_refer_to_nothing_that_they_do_not_hold() {
        for info in Served::all().map(Served::info) {
            let document = document(info.group, info.version);
            let schemas = &document["components"]["schemas"];
            let mut referred = BTreeSet::new();
            references(&document, &mut referred);
            for name in referred {
                assert!(schemas[&name].is_object(), "{}: {name}", info.message);
            }
            let identity = &schemas[info.message]["x-kubernetes-group-version-kind"][0];
            assert_eq!((&identity["group"], &identity["kind"]), (&info.group.into(), &info.kind.into()));
        }
    }

    #[test]
    fn special_types_are_what_clients_expect() {
        let core = document("", "v1");
        let schemas = &core["components"]["schemas"];
        assert_eq!(schemas["kapelle.meta.v1.IntOrString"]["x-kubernetes-int-or-string"], true);
        assert_eq!(schemas["kapelle.meta.v1.Time"]["format"], "date-time");
        assert_eq!(schemas["kapelle.meta.v1.Quantity"]["oneOf"][0]["type"], "string");
        let volumes = &schemas["kapelle.core.v1.PodSpec"]["properties"]["volumes"];
        assert_eq!(volumes["x-kubernetes-patch-strategy"], "merge,retainKeys");
    }

    #[test]
    fn a_document_describes_its_kinds_and_what_they_are_made_of() {
        let apps = document("apps", "v1");
        assert!(apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"].is_object());
        let schemas = &apps["components"]["schemas"];
        assert_eq!(schemas["kapelle.apps.v1.Deployment"]["x-kubernetes-group-version-kind"][0]["kind"], "Deployment");
        assert_eq!(
            schemas["kapelle.apps.v1.DeploymentSpec"]["properties"]["replicas"]["description"],
            "How many Pods."
        );
        let containers = &schemas["kapelle.core.v1.PodSpec"]["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        let volume = &schemas["kapelle.core.v1.Volume"]["properties"];
        assert!(volume.get("emptyDir").is_some() && volume.get("volumeSource").is_none());
        assert!(schemas.get("kapelle.core.v1.Node").is_none());
    }

    #[test]
    fn every_field_is_described() {
        for message in
            crate::schema::Schema::get().messages().filter(|message| !message.name.starts_with("kapelle.api."))
        {
            assert!(!message.doc.is_empty(), "{}", message.name);
            for field in &message.fields {
                assert!(!field.doc.is_empty(), "{}.{}", message.name, field.json);
            }
        }
    }
}
