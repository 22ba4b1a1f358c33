//! Whether the defaults in a schema are values that the schema itself lets pass.

use serde_json::{Value, json};

use crate::{
    custom::{embedded, prune, schema::Schema, shown::Shown, values},
    validate::{Causes, Path},
};

pub(super) fn check(causes: &mut Causes, root: &Schema, at: &Path<'_>) {
    inside(causes, root, true, at);
}

/// Looks at a schema and those within; not at those of maps, in whose entries defaults mean nothing.
fn inside(causes: &mut Causes, schema: &Schema, is_resource: bool, at: &Path<'_>) {
    if let Some(default) = schema.default_value() {
        one(causes, schema, default, &at.field("default"));
    }
    if let Some(items) = schema.items() {
        inside(causes, items, items.is_resource, &at.field("items"));
    }
    for (name, property) in schema.properties() {
        let (properties, in_meta) = (at.field("properties"), is_resource && prune::META.contains(&name));
        let at = properties.key(name);
        if in_meta {
            of_meta(causes, property, name, &mut Vec::new(), &at)
        } else {
            inside(causes, property, property.is_resource, &at)
        }
    }
}

fn one(causes: &mut Causes, schema: &Schema, default: &Value, at: &Path<'_>) {
    let mut pruned = default.clone();
    prune::value(&mut pruned, Some(schema));
    if pruned != *default {
        causes.invalid(at, Shown(default), "must not have unknown fields");
    }
    embedded::resource(causes, default, schema, at);
    values::check(causes, default, schema, at);
}

/// A default within the type or the metadata of an embedded object must make such metadata. `way` leads to it from there.
fn of_meta<'a>(causes: &mut Causes, schema: &'a Schema, top: &'a str, way: &mut Vec<&'a str>, at: &Path<'_>) {
    if let Some(default) = schema.default_value() {
        let default_at = at.field("default");
        let mut object = json!({"apiVersion": "validation/v1", "kind": "Validation"});
        let around = way.iter().rev().fold(default.clone(), |value, name| json!({ *name: value }));
        object[top] = around;
        let mut found = Causes::default();
        embedded::resource(&mut found, &object, &Schema::default().into_resource(), &Path::Root);
        match found.told().first() {
            Some(cause) => {
                let why = format_args!("must result in valid metadata: {}: {}", cause.field, cause.message);
                causes.invalid(&default_at, Shown(default), why);
            }
            None => values::check(causes, default, schema, &default_at),
        }
    }
    for (name, property) in schema.properties() {
        way.push(name);
        of_meta(causes, property, top, way, &at.field("properties").key(name));
        way.pop();
    }
}
