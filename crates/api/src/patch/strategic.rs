//! Kubernetes' strategic merge patch: lists are merged by the keys that `proto/` names, and directives say the rest.
//!
//! Directives: `$patch: replace|delete|merge`, `$retainKeys`, `$setElementOrder/LIST`, `$deleteFromPrimitiveList/LIST`.

use serde_json::{Map, Value, json};

use crate::{
    Error,
    schema::{Field, Form, Message, Scalar, Schema, Shape},
};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList/";

/// Changes `target`, an object of `message`, as a patch says.
///
/// # Errors
/// [`Reason::BadRequest`](crate::Reason::BadRequest) if a directive is not understood, or an element lacks its merge key.
pub fn strategic(message: &str, target: &mut Value, patch: &Value) -> Result<(), Error> {
    let Value::Object(patch) = patch else {
        return Err(Error::bad_request("a strategic merge patch must be a JSON object"));
    };
    object(Schema::get().message(message), target, patch)
}

/// The patch that takes `current` to what `modified` says, and away what `last` said and `modified` no longer says.
/// What only `current` has, such as defaults, stays.
#[must_use]
pub fn three_way(message: &str, last: Option<&Value>, current: &Value, modified: &Value) -> Value {
    let empty = Map::new();
    let fields = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (current, modified) = (current.as_object().unwrap_or(&empty), modified.as_object().unwrap_or(&empty));
    Value::Object(difference(Schema::get().message(message), &fields(last), current, modified))
}

/// A field by its JSON name, also one that stands in an inline message.
fn find<'a>(message: Option<&'a Message>, name: &str) -> Option<&'a Field> {
    message?.find(name).map(|found| found.field)
}

/// The message that a field, or each of its elements, is.
fn inner(field: &Field) -> Option<&'static Message> {
    match field.scalar {
        Scalar::Message(index) if field.shape != Shape::Map => Some(Schema::get().at(index)),
        _ => None,
    }
}

fn object(message: Option<&Message>, target: &mut Value, patch: &Map<String, Value>) -> Result<(), Error> {
    match patch.get(PATCH).and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *target = Value::Object(
                patch.iter().filter(|(name, _)| *name != PATCH).map(|(n, v)| (n.clone(), v.clone())).collect(),
            );
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Null;
            return Ok(());
        }
        Some(other) => {
            return Err(Error::bad_request(format!("$patch: {other:?} is not known; one of merge, replace, delete")));
        }
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return Ok(()) };
    if let Some(Value::Array(keep)) = patch.get(RETAIN_KEYS) {
        fields.retain(|name, _| keep.iter().any(|kept| kept.as_str() == Some(name)));
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        one(find(message, name), fields, name, value)?;
    }
    directives(message, fields, patch)
}

fn one(field: Option<&Field>, fields: &mut Map<String, Value>, name: &str, value: &Value) -> Result<(), Error> {
    match value {
        Value::Null => {
            fields.remove(name);
        }
        Value::Object(patch) if !field.is_some_and(|field| field.replace) => {
            let target = fields.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            object(field.and_then(inner), target, patch)?;
            if target.is_null() {
                fields.remove(name);
            }
        }
        Value::Array(items) if field.is_some_and(|field| field.merge) => {
            let target = fields.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
            if !target.is_array() {
                *target = Value::Array(Vec::new());
            }
            if let (Value::Array(list), Some(field)) = (target, field) {
                elements(field, name, list, items)?;
            }
        }
        value => {
            fields.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}

fn elements(field: &Field, name: &str, list: &mut Vec<Value>, patch: &[Value]) -> Result<(), Error> {
    if field.merge_key.is_empty() {
        let fresh: Vec<Value> = patch.iter().filter(|item| !list.contains(item)).cloned().collect();
        list.extend(fresh);
        return Ok(());
    }
    let key = field.merge_key.as_str();
    if patch.iter().any(|item| item.get(PATCH).and_then(Value::as_str) == Some("replace")) {
        *list = patch.iter().filter(|item| item.get(PATCH).is_none()).cloned().collect();
        return Ok(());
    }
    for item in patch {
        let (Value::Object(change), Some(id)) = (item, item.get(key)) else {
            return Err(Error::bad_request(format!(
                "{name}: each element of a patch must have {key:?}, by which the list is merged"
            )));
        };
        match list.iter().position(|known| known.get(key) == Some(id)) {
            Some(at) => {
                object(inner(field), &mut list[at], change)?;
                if list[at].is_null() {
                    list.remove(at);
                }
            }
            None if change.get(PATCH).and_then(Value::as_str) == Some("delete") => {}
            None => {
                let mut fresh = Value::Object(Map::new());
                object(inner(field), &mut fresh, change)?;
                list.push(fresh);
            }
        }
    }
    Ok(())
}

fn directives(
    message: Option<&Message>,
    fields: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), Error> {
    for (directive, value) in patch.iter().filter(|(name, _)| name.starts_with('$')) {
        if directive == PATCH || directive == RETAIN_KEYS {
            continue;
        }
        let Value::Array(values) = value else {
            return Err(Error::bad_request(format!("{directive} must be a list")));
        };
        if let Some(name) = directive.strip_prefix(DELETE_PRIMITIVES) {
            if let Some(Value::Array(list)) = fields.get_mut(name) {
                list.retain(|item| !values.contains(item));
            }
        } else if let Some(name) = directive.strip_prefix(ELEMENT_ORDER) {
            let key = find(message, name).map(|field| field.merge_key.clone()).unwrap_or_default();
            if let Some(Value::Array(list)) = fields.get_mut(name) {
                order(list, &key, values);
            }
        } else {
            return Err(Error::bad_request(format!("the directive {directive} is not known")));
        }
    }
    Ok(())
}

/// Elements that are named come in the named order; others keep their place relative to those around them.
fn order(list: &mut [Value], key: &str, wanted: &[Value]) {
    let id = |item: &Value| if key.is_empty() { item.clone() } else { item.get(key).cloned().unwrap_or_default() };
    let wanted: Vec<Value> = wanted.iter().map(id).collect();
    let rank = |item: &Value| wanted.iter().position(|known| *known == id(item));
    let mut named: Vec<Value> = list.iter().filter(|item| rank(item).is_some()).cloned().collect();
    named.sort_by_key(|item| rank(item));
    let mut named = named.into_iter();
    for slot in list.iter_mut().filter(|item| rank(item).is_some()) {
        if let Some(next) = named.next() {
            *slot = next;
        }
    }
}

fn difference(
    message: Option<&Message>,
    last: &Map<String, Value>,
    current: &Map<String, Value>,
    modified: &Map<String, Value>,
) -> Map<String, Value> {
    let mut patch = Map::new();
    for (name, wanted) in modified.iter().filter(|(_, value)| !value.is_null()) {
        compare(find(message, name), name, [last.get(name), current.get(name)], wanted, &mut patch);
    }
    let gone = last.keys().filter(|name| modified.get(*name).is_none_or(Value::is_null) && current.contains_key(*name));
    patch.extend(gone.map(|name| (name.clone(), Value::Null)));
    patch
}

fn compare(
    field: Option<&Field>,
    name: &str,
    [last, current]: [Option<&Value>; 2],
    wanted: &Value,
    patch: &mut Map<String, Value>,
) {
    let Some(current) = current else {
        patch.insert(name.to_owned(), wanted.clone());
        return;
    };
    match (wanted, current) {
        (Value::Object(wanted), Value::Object(current)) => {
            let empty = Map::new();
            let last = last.and_then(Value::as_object).unwrap_or(&empty);
            let change = if is_quantities(field) {
                quantities(last, current, wanted)
            } else {
                difference(field.and_then(inner), last, current, wanted)
            };
            if !change.is_empty() {
                patch.insert(name.to_owned(), Value::Object(change));
            }
        }
        (Value::Array(wanted), Value::Array(current)) if field.is_some_and(|field| field.merge) => {
            let empty = Vec::new();
            let last = last.and_then(Value::as_array).unwrap_or(&empty);
            if let Some(field) = field {
                compare_lists(field, name, last, current, wanted, patch);
            }
        }
        (wanted, current) if wanted == current => {}
        (wanted, _) => {
            patch.insert(name.to_owned(), wanted.clone());
        }
    }
}

fn compare_lists(
    field: &Field,
    name: &str,
    last: &[Value],
    current: &[Value],
    wanted: &[Value],
    patch: &mut Map<String, Value>,
) {
    let key = field.merge_key.as_str();
    if key.is_empty() {
        let gone: Vec<Value> =
            last.iter().filter(|item| !wanted.contains(item) && current.contains(item)).cloned().collect();
        let fresh: Vec<Value> = wanted.iter().filter(|item| !current.contains(item)).cloned().collect();
        if !gone.is_empty() {
            patch.insert(format!("{DELETE_PRIMITIVES}{name}"), Value::Array(gone));
        }
        if !fresh.is_empty() {
            patch.insert(name.to_owned(), Value::Array(fresh));
        }
        return;
    }
    let by = |list: &[Value], id: &Value| {
        list.iter().find(|item| item.get(key) == Some(id)).and_then(Value::as_object).cloned()
    };
    let mut changes = Vec::new();
    for item in wanted.iter().filter_map(Value::as_object) {
        let id = item.get(key).cloned().unwrap_or_default();
        let Some(now) = by(current, &id) else {
            changes.push(Value::Object(item.clone()));
            continue;
        };
        let mut change = difference(inner(field), &by(last, &id).unwrap_or_default(), &now, item);
        if !change.is_empty() {
            change.insert(key.to_owned(), id);
            changes.push(Value::Object(change));
        }
    }
    for id in last.iter().filter_map(|item| item.get(key)) {
        if by(wanted, id).is_none() && by(current, id).is_some() {
            changes.push(json!({key: id, PATCH: "delete"}));
        }
    }
    if !changes.is_empty() {
        let order: Vec<Value> = wanted.iter().filter_map(|item| Some(json!({key: item.get(key)?}))).collect();
        patch.insert(format!("{ELEMENT_ORDER}{name}"), Value::Array(order));
        patch.insert(name.to_owned(), Value::Array(changes));
    }
}

/// A map whose values are quantities, which manifests may write as numbers.
fn is_quantities(field: Option<&Field>) -> bool {
    field.is_some_and(|field| match field.scalar {
        Scalar::Message(index) if field.shape == Shape::Map => Schema::get().at(index).form == Form::Quantity,
        _ => false,
    })
}

fn quantities(
    last: &Map<String, Value>,
    current: &Map<String, Value>,
    wanted: &Map<String, Value>,
) -> Map<String, Value> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let changed = wanted.iter().filter(|(name, value)| current.get(*name).map(text) != Some(text(value)));
    let mut change: Map<String, Value> =
        changed.map(|(name, value)| (name.clone(), Value::String(text(value)))).collect();
    let gone = last.keys().filter(|name| !wanted.contains_key(*name) && current.contains_key(*name));
    change.extend(gone.map(|name| (name.clone(), Value::Null)));
    change
}
