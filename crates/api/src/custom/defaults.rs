//! Fills in what objects leave open, and removes `null` where nothing may be `null`.

use serde_json::{Map, Value};

use super::schema::{Additional, Schema};

/// The most that defaults may add to one object, in bytes of text: twice the largest object. A short list of empty elements
/// could otherwise become a very large object.
pub const DEFAULTED_BYTES_MAX: usize = 3 << 20;

/// The defaults would make the object too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("defaults would add more than {DEFAULTED_BYTES_MAX} bytes to the object; set the fields, or fewer elements")]
pub struct TooLarge;

/// Gives an object of a kind its defaults. Applied again, it changes nothing.
///
/// # Errors
/// If the object would become too large; what was filled in until then stays.
pub fn apply_defaults(object: &mut Value, schema: &Schema) -> Result<(), TooLarge> {
    drop_nulls(object, Some(schema));
    fill(object, schema, &mut 0)
}

/// Removes each `null` that has neither a default nor a schema which allows it.
fn drop_nulls(value: &mut Value, schema: Option<&Schema>) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let schema = schema.and_then(|schema| schema.field(name));
            if value.is_null() && schema.is_some_and(|schema| !schema.nullable && schema.default.is_none()) {
                return false;
            }
            drop_nulls(value, schema);
            true
        }),
        Value::Array(items) => {
            let schema = schema.and_then(Schema::items);
            items.iter_mut().for_each(|item| drop_nulls(item, schema));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn fill(value: &mut Value, schema: &Schema, added: &mut usize) -> Result<(), TooLarge> {
    match value {
        Value::Object(fields) => {
            fill_absent(fields, schema, added)?;
            for (name, value) in fields {
                match (schema.properties.get(name.as_str()), &schema.additional) {
                    (Some(schema), _) => fill(value, schema, added)?,
                    (None, Additional::Schema(schema)) => {
                        instead_of_null(value, schema, added)?;
                        fill(value, schema, added)?;
                    }
                    (None, Additional::Unsaid | Additional::Any(_)) => {}
                }
            }
            Ok(())
        }
        Value::Array(items) => {
            let Some(schema) = schema.items() else { return Ok(()) };
            items.iter_mut().try_for_each(|item| {
                instead_of_null(item, schema, added)?;
                fill(item, schema, added)
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn fill_absent(fields: &mut Map<String, Value>, schema: &Schema, added: &mut usize) -> Result<(), TooLarge> {
    for (name, schema) in &schema.properties {
        let Some(default) = &schema.default else { continue };
        let absent = fields.get(&**name).is_none_or(|value| value.is_null() && !schema.nullable);
        if absent {
            count(default.bytes + name.len(), added)?;
            fields.insert(name.to_string(), default.value.clone());
        }
    }
    Ok(())
}

fn instead_of_null(value: &mut Value, schema: &Schema, added: &mut usize) -> Result<(), TooLarge> {
    if let Some(default) = schema.default.as_ref().filter(|_| value.is_null() && !schema.nullable) {
        count(default.bytes, added)?;
        *value = default.value.clone();
    }
    Ok(())
}

fn count(bytes: usize, added: &mut usize) -> Result<(), TooLarge> {
    *added = added.saturating_add(bytes);
    if *added > DEFAULTED_BYTES_MAX { Err(TooLarge) } else { Ok(()) }
}
