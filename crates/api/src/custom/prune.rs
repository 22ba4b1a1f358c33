//! Removes the fields that a schema does not have.

use std::fmt;

use serde_json::{Map, Value};

use super::schema::{Additional, Schema};

/// The most unknown fields that are named; the others are counted.
const UNKNOWN_MAX: usize = 32;

/// The fields of an object that Kubernetes knows without a schema.
pub(super) const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// The fields that were removed.
#[derive(Debug, Default)]
pub struct Unknown {
    found: Vec<String>,
    unnamed: usize,
}

impl Unknown {
    /// `unknown field "spec.replicsa"`, one for each.
    #[must_use]
    pub fn told(mut self) -> Vec<String> {
        if self.unnamed > 0 {
            self.found.push(format!("and {} more unknown fields", self.unnamed));
        }
        self.found
    }

    fn note(&mut self, at: &Place<'_>) {
        if self.found.len() < UNKNOWN_MAX {
            self.found.push(format!("unknown field {:?}", at.to_string()));
        } else {
            self.unnamed += 1;
        }
    }
}

/// Removes from an object of a kind what the kind's schema does not have.
pub fn prune(object: &mut Value, schema: &Schema) -> Unknown {
    let mut unknown = Unknown::default();
    let Value::Object(fields) = object else { return unknown };
    if schema.preserves_unknown {
        keep_fields(fields, schema, true, &Place::Root, &mut unknown);
    } else {
        prune_fields(fields, schema, true, &Place::Root, &mut unknown);
    }
    unknown
}

/// Where a value is, written out only if it is to be named.
enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(before, name) => write!(f, "{before}.{name}"),
            Self::Index(before, index) => write!(f, "{before}[{index}]"),
        }
    }
}

/// Prunes a value; without a schema, all that is in it.
pub(super) fn value(value: &mut Value, schema: Option<&Schema>) {
    pruned(value, schema, &Place::Root, &mut Unknown::default());
}

fn pruned(value: &mut Value, schema: Option<&Schema>, at: &Place<'_>, unknown: &mut Unknown) {
    if let Some(schema) = schema.filter(|schema| schema.preserves_unknown) {
        return kept(value, schema, at, unknown);
    }
    match (value, schema) {
        (Value::Object(fields), Some(schema)) => prune_fields(fields, schema, schema.is_resource, at, unknown),
        (Value::Object(fields), None) => {
            fields.keys().for_each(|name| unknown.note(&Place::Field(at, name)));
            fields.clear();
        }
        (Value::Array(items), schema) => {
            let of = schema.and_then(Schema::items);
            items.iter_mut().enumerate().for_each(|(index, item)| pruned(item, of, &Place::Index(at, index), unknown));
        }
        (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_), _) => {}
    }
}

fn prune_fields(
    fields: &mut Map<String, Value>,
    schema: &Schema,
    has_meta: bool,
    at: &Place<'_>,
    unknown: &mut Unknown,
) {
    fields.retain(|name, value| {
        if has_meta && META.contains(&name.as_str()) {
            return true;
        }
        let at = Place::Field(at, name);
        if let Some(schema) = schema.properties.get(name.as_str()) {
            pruned(value, Some(schema), &at, unknown);
            return true;
        }
        match &schema.additional {
            Additional::Schema(schema) => pruned(value, Some(schema), &at, unknown),
            Additional::Any(_) => pruned(value, None, &at, unknown),
            Additional::Unsaid => {
                unknown.note(&at);
                return false;
            }
        }
        true
    });
}

/// A value whose unknown fields are kept, but for those within fields that have a schema.
fn kept(value: &mut Value, schema: &Schema, at: &Place<'_>, unknown: &mut Unknown) {
    match value {
        Value::Object(fields) => keep_fields(fields, schema, schema.is_resource, at, unknown),
        Value::Array(items) => {
            let Some(of) = schema.items() else { return };
            items.iter_mut().enumerate().for_each(|(index, item)| kept(item, of, &Place::Index(at, index), unknown));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn keep_fields(
    fields: &mut Map<String, Value>,
    schema: &Schema,
    has_meta: bool,
    at: &Place<'_>,
    unknown: &mut Unknown,
) {
    for (name, value) in fields.iter_mut().filter(|(name, _)| !has_meta || !META.contains(&name.as_str())) {
        let at = Place::Field(at, name);
        if let Some(schema) = schema.properties.get(name.as_str()) {
            pruned(value, Some(schema), &at, unknown);
            continue;
        }
        match &schema.additional {
            Additional::Schema(schema) => pruned(value, Some(schema), &at, unknown),
            Additional::Any(_) => pruned(value, None, &at, unknown),
            Additional::Unsaid => {}
        }
    }
}
