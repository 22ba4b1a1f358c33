//! What every type is made of, read off the schema table, in the words of either version of OpenAPI.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    custom,
    schema::{Field, Form, Granularity, Message, Scalar, Schema, Shape},
};

/// The version of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// 2.0, which elder clients and Argo CD read.
    V2,
    /// 3.0.
    V3,
}

impl Dialect {
    /// A reference to a definition.
    pub(super) fn reference(self, name: &str) -> Value {
        let place = match self {
            Self::V2 => "#/definitions",
            Self::V3 => "#/components/schemas",
        };
        json!({"$ref": format!("{place}/{name}")})
    }

    /// As [`Dialect::reference`], where more is said. In v3 a reference may have no neighbours, so it stands in a list of one.
    pub(super) fn value(self, name: &str) -> Value {
        match self {
            Self::V2 => self.reference(name),
            Self::V3 => json!({"allOf": [self.reference(name)]}),
        }
    }

    fn quantity(self) -> Value {
        match self {
            Self::V2 => json!({"type": "string"}),
            Self::V3 => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        }
    }

    fn int_or_string(self) -> Value {
        match self {
            Self::V2 => json!({"type": "string", "format": "int-or-string"}),
            Self::V3 => json!({"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}),
        }
    }
}

/// The name under which Kubernetes publishes a message of `proto/`. Clients know it by that.
pub(super) fn name(message: &str) -> String {
    match message.strip_prefix("kapelle.meta.v1.") {
        Some("Quantity") => "io.k8s.apimachinery.pkg.api.resource.Quantity".to_owned(),
        Some("IntOrString") => "io.k8s.apimachinery.pkg.util.intstr.IntOrString".to_owned(),
        Some("RawExtension") => "io.k8s.apimachinery.pkg.runtime.RawExtension".to_owned(),
        Some(other) => format!("io.k8s.apimachinery.pkg.apis.meta.v1.{other}"),
        None => match message.strip_prefix("kapelle.identity.") {
            Some(own) => format!("dev.kapelle.{own}"),
            None => format!("io.k8s.api.{}", message.trim_start_matches("kapelle.")),
        },
    }
}

/// Definitions, by their names.
#[derive(Debug)]
pub(super) struct Definitions {
    dialect: Dialect,
    all: BTreeMap<String, Value>,
}

impl Definitions {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, all: BTreeMap::new() }
    }

    /// Adds a message and everything that it is made of. Answers its name.
    pub(super) fn message(&mut self, message: &str) -> String {
        if let Some(message) = Schema::get().message(message) {
            self.collect(message);
        }
        name(message)
    }

    /// Adds the schema of a version that a user has defined. Answers its name.
    pub(super) fn schema(&mut self, version: &custom::Version) -> String {
        let metadata = self.message("kapelle.meta.v1.ObjectMeta");
        let mut metadata = self.dialect.value(&metadata);
        metadata["description"] = "Standard object's metadata: who it is, and whose.".into();
        let name = custom::definition_name(version);
        let schema = match self.dialect {
            Dialect::V2 => custom::published_v2(version, &metadata),
            Dialect::V3 => custom::published(version, &metadata),
        };
        self.insert(&name, schema);
        name
    }

    /// Adds a definition that `proto/` does not have.
    pub(super) fn insert(&mut self, name: &str, definition: Value) {
        self.all.insert(name.to_owned(), definition);
    }

    /// Says of which kinds a definition is, and that its objects say so too.
    pub(super) fn identify(&mut self, name: &str, kinds: Vec<Value>) {
        let Some(Value::Object(definition)) = self.all.get_mut(name) else { return };
        definition.insert("x-kubernetes-group-version-kind".to_owned(), kinds.into());
        if let Some(Value::Object(properties)) = definition.get_mut("properties") {
            properties.extend(custom::type_meta());
        }
    }

    /// Adds the list of a kind, whose own definition is `of`.
    pub(super) fn list(&mut self, of: &str, kind: &str) -> String {
        let meta = self.message("kapelle.meta.v1.ListMeta");
        let name = format!("{of}List");
        let mut metadata = self.dialect.value(&meta);
        metadata["description"] = "Of which state the list is, and where it goes on.".into();
        let items = json!({"type": "array", "items": self.dialect.reference(of), "description": "The objects."});
        let definition = json!({
            "type": "object",
            "description": format!("Objects of kind {kind}."),
            "properties": {"metadata": metadata, "items": items},
            "required": ["items"],
        });
        self.insert(&name, definition);
        name
    }

    pub(super) fn finish(self) -> Value {
        self.all.into_iter().collect::<Map<_, _>>().into()
    }

    fn collect(&mut self, message: &Message) {
        let name = name(&message.name);
        if self.all.contains_key(&name) {
            return;
        }
        self.all.insert(name.clone(), Value::Null);
        let definition = definition(message, self.dialect);
        self.all.insert(name, definition);
        self.parts(message);
    }

    /// The messages of a message's fields. One that stands in its parent's object has no definition of its own.
    fn parts(&mut self, message: &Message) {
        for field in &message.fields {
            match field.scalar.message() {
                Some(inner) if field.inline => self.parts(inner),
                Some(part) if message.form == Form::Object => self.collect(part),
                Some(_) | None => {}
            }
        }
    }
}

fn definition(message: &Message, dialect: Dialect) -> Value {
    let mut definition = match message.form {
        Form::Object => object(message, dialect),
        Form::Time | Form::MicroTime => json!({"type": "string", "format": "date-time"}),
        Form::Quantity => dialect.quantity(),
        Form::IntOrString => dialect.int_or_string(),
        Form::Raw => json!({"type": "object"}),
        Form::Texts => json!({"type": "array", "items": {"type": "string"}}),
    };
    definition["description"] = message.doc.as_str().into();
    definition
}

fn object(message: &Message, dialect: Dialect) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::<&str>::new());
    members(message, dialect, &mut properties, &mut required);
    let mut object = json!({"type": "object"});
    if !properties.is_empty() {
        object["properties"] = properties.into();
    }
    if !required.is_empty() {
        object["required"] = required.into();
    }
    if message.atomic {
        object["x-kubernetes-map-type"] = "atomic".into();
    }
    object
}

fn members<'a>(
    message: &'a Message,
    dialect: Dialect,
    properties: &mut Map<String, Value>,
    required: &mut Vec<&'a str>,
) {
    for field in &message.fields {
        if field.inline {
            field.scalar.message().into_iter().for_each(|inner| members(inner, dialect, properties, required));
            continue;
        }
        properties.insert(field.json.clone(), property(field, dialect));
        if field.required {
            required.push(&field.json);
        }
    }
}

fn property(field: &Field, dialect: Dialect) -> Value {
    let one = match field.scalar {
        Scalar::Bool => json!({"type": "boolean"}),
        Scalar::Int32 => json!({"type": "integer", "format": "int32"}),
        Scalar::Int64 => json!({"type": "integer", "format": "int64"}),
        Scalar::String => json!({"type": "string"}),
        Scalar::Bytes => json!({"type": "string", "format": "byte"}),
        Scalar::Message(index) => dialect.value(&name(&Schema::get().at(index).name)),
    };
    let mut property = match field.shape {
        Shape::One => one,
        Shape::List => json!({"type": "array", "items": one}),
        Shape::Map => json!({"type": "object", "additionalProperties": one}),
    };
    property["description"] = field.doc.as_str().into();
    if dialect == Dialect::V3 && !field.key_default.is_empty() {
        property["default"] = field.key_default.as_str().into();
    }
    extend(field, &mut property);
    property
}

const LIST_TYPE: &str = "x-kubernetes-list-type";

/// Kubernetes' own words about a field: how it is patched and how it is applied.
fn extend(field: &Field, property: &mut Value) {
    if let Some(strategy) = patch_strategy(field) {
        property["x-kubernetes-patch-strategy"] = strategy.into();
    }
    if !field.merge_key.is_empty() {
        property["x-kubernetes-patch-merge-key"] = field.merge_key.as_str().into();
    }
    match (&field.granularity, field.shape) {
        (_, Shape::One) | (Granularity::Entries, _) => {}
        (Granularity::Atomic, Shape::Map) => property["x-kubernetes-map-type"] = "atomic".into(),
        (Granularity::Atomic, Shape::List) => property[LIST_TYPE] = "atomic".into(),
        (Granularity::Set, _) => property[LIST_TYPE] = "set".into(),
        (Granularity::Keyed(keys), _) => {
            property[LIST_TYPE] = "map".into();
            property["x-kubernetes-list-map-keys"] = json!(keys);
        }
    }
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
