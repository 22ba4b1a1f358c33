//! Kinds that users define, as owners of fields see them: how their values are merged is what their schemas say.

use std::{cell::OnceCell, sync::Arc};

use serde_json::{Value, json};

use super::{
    definition::{Definition, Version},
    prune::META,
    schema::{ListType, MapType, Schema, Type},
    validator::Validator,
};
use crate::{
    Served, Subresource,
    apply::{BuiltIn, Merging, Typed, Versions},
};

/// A kind that a user has defined, in the versions in which it is served.
#[derive(Debug)]
pub struct OwnedKind<'a> {
    versions: Vec<OwnedVersion<'a>>,
    has_status: bool,
}

#[derive(Debug)]
struct OwnedVersion<'a> {
    /// In which group and version.
    name: String,
    version: &'a Version,
    /// Its schema, once somebody needs it; `None` if it cannot be used.
    compiled: OnceCell<Option<Arc<Validator>>>,
}

impl<'a> OwnedKind<'a> {
    /// What is defined of a kind, for a request in one of its versions.
    #[must_use]
    pub fn of(definition: &'a Definition, asked: Served) -> Self {
        let version = |version: &'a Version| {
            let name = version.as_served().info().api_version();
            OwnedVersion { name, version, compiled: OnceCell::new() }
        };
        Self { versions: definition.served().map(version).collect(), has_status: asked.has(Subresource::Status) }
    }
}

impl<'a> Versions for &'a OwnedKind<'_> {
    type Type = Structural<'a>;

    fn root(&self, api_version: &str) -> Option<Structural<'a>> {
        let found = self.versions.iter().find(|version| version.name == api_version)?;
        let validator = found.compiled.get_or_init(|| found.version.validator().ok()).as_ref()?;
        Some(Structural::Of(validator.schema(), true))
    }

    fn empty(&self, _: &str) -> Value {
        json!({})
    }

    fn given(&self) -> &[&[&str]] {
        &[]
    }

    /// Versions differ in what they are called.
    fn converted(&self, object: &Value, _: &str, to: &str) -> Option<Value> {
        let mut object = object.clone();
        object["apiVersion"] = to.into();
        Some(object)
    }

    fn has_status(&self) -> bool {
        self.has_status
    }

    fn has_fields_in_bytes(&self) -> bool {
        false
    }
}

/// The type of a value within an object of such a kind.
#[derive(Clone, Copy, Debug)]
pub enum Structural<'a> {
    /// What a schema says; and whether it is that of an object with a type and metadata of its own.
    Of(&'a Schema, bool),
    /// What every object has.
    Common(BuiltIn),
    /// Something of which no schema says what it is.
    Unsaid,
}

impl<'a> Structural<'a> {
    fn within(schema: &'a Schema) -> Self {
        Self::Of(schema, schema.is_resource)
    }
}

impl Typed for Structural<'_> {
    fn merging(self) -> Merging {
        let schema = match self {
            Self::Of(schema, _) => schema,
            Self::Common(typed) => return typed.merging(),
            Self::Unsaid => return Merging::Deduced,
        };
        match schema.r#type() {
            Some(Type::Object) if schema.map_type() == MapType::Atomic => Merging::Leaf,
            Some(Type::Object) => Merging::Members,
            Some(Type::Array) => match schema.list_type() {
                ListType::Atomic => Merging::Leaf,
                ListType::Set => Merging::Set,
                ListType::Map => Merging::Keyed,
            },
            None if schema.preserves_unknown() => Merging::Deduced,
            Some(Type::Boolean | Type::Integer | Type::Number | Type::String) | None => Merging::Leaf,
        }
    }

    fn member(self, name: &str) -> Self {
        match self {
            Self::Of(_, true) if name == "metadata" => Self::Common(BuiltIn::metadata()),
            Self::Of(_, true) if META.contains(&name) => Self::Common(BuiltIn::Leaf),
            Self::Of(schema, _) => schema.field(name).map_or(Self::Unsaid, Self::within),
            Self::Common(typed) => Self::Common(typed.member(name)),
            Self::Unsaid => Self::Unsaid,
        }
    }

    fn names(self, name: &str) -> bool {
        match self {
            Self::Of(schema, has_meta) => has_meta && META.contains(&name) || schema.properties.contains_key(name),
            Self::Common(typed) => typed.names(name),
            Self::Unsaid => false,
        }
    }

    fn element(self) -> Self {
        match self {
            Self::Of(schema, _) => schema.items().map_or(Self::Unsaid, Self::within),
            Self::Common(typed) => Self::Common(typed.element()),
            Self::Unsaid => Self::Unsaid,
        }
    }

    fn keys(self) -> Vec<String> {
        match self {
            Self::Of(schema, _) => schema.map_keys().map(str::to_owned).collect(),
            Self::Common(typed) => typed.keys(),
            Self::Unsaid => Vec::new(),
        }
    }

    fn key_default(self, key: &str) -> Option<Value> {
        match self {
            Self::Of(schema, _) => schema.items()?.field(key)?.default_value().cloned(),
            Self::Common(typed) => typed.key_default(key),
            Self::Unsaid => None,
        }
    }

    /// What no schema says is pruned where it is not preserved, and whoever sent it is told.
    fn is_undeclared(self) -> bool {
        match self {
            Self::Common(typed) => typed.is_undeclared(),
            Self::Of(..) | Self::Unsaid => false,
        }
    }
}
