//! Lists whose elements must differ.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{
    schema::{ListType, Schema},
    shown::Shown,
};
use crate::validate::{Causes, Path};

/// Finds elements of sets that stand twice, and elements of keyed lists with the keys of another.
pub(super) fn check(causes: &mut Causes, value: &Value, schema: &Schema, at: &Path<'_>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (schema.properties.get(name.as_str()), schema.entries()) {
                    (Some(schema), _) => check(causes, value, schema, &at.field(name)),
                    (None, Some(schema)) => check(causes, value, schema, &at.key(name)),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            match schema.list {
                ListType::Atomic => {}
                ListType::Set => duplicates(causes, items.iter().map(ToString::to_string), at),
                ListType::Map => keyed(causes, items, schema, at),
            }
            if let Some(of) = schema.items() {
                items.iter().enumerate().for_each(|(index, item)| check(causes, item, of, &at.index(index)));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn keyed(causes: &mut Causes, items: &[Value], schema: &Schema, at: &Path<'_>) {
    if let Some((index, item)) = items.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null()) {
        return causes.invalid(&at.index(index), Shown(item), "must be an object for an array of list-type map");
    }
    duplicates(causes, items.iter().map(|item| keys(item, schema).to_string()), at);
}

/// The fields of an element by which it is told apart; those that it does not have are left out.
pub(super) fn keys(item: &Value, schema: &Schema) -> Value {
    let of = |key: &str| item.get(key).map(|value| (key.to_owned(), value.clone()));
    Value::Object(schema.map_keys().filter_map(of).collect::<Map<_, _>>())
}

/// Each value that stands more than once is told once, at its second place.
fn duplicates(causes: &mut Causes, values: impl Iterator<Item = String>, at: &Path<'_>) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(value.clone()).or_default();
        *times += 1;
        if *times == 2 {
            causes.duplicate(&at.index(index), format_args!("{value}"));
        }
    }
}
