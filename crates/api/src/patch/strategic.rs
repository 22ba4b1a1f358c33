//! Kubernetes' strategic merge patch: lists are merged by the keys that `proto/` names, and directives say the rest.
//!
//! Directives: `$patch: replace|delete|merge`, `$retainKeys`, `$setElementOrder/LIST`, `$deleteFromPrimitiveList/LIST`.
//! Lists are looked up in tables, so that a patch costs no more than it is long.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::{
    Error,
    schema::{Field, Message, Schema, Shape},
};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList/";

/// Where several elements have the same merge key, these tell them apart: a Service may have port 53 for both UDP and TCP.
const TELLING: [&str; 2] = ["protocol", "name"];

/// The most elements of one list that may have the same merge key, in elements; each is compared with each change of that key.
pub(super) const ALIKE_MAX: usize = 64;

/// Changes `target`, an object of `message`, as a patch says. After an error, `target` may be changed in part.
///
/// # Errors
/// [`Reason::BadRequest`](crate::Reason::BadRequest) if a directive is not understood, or an element lacks its merge key.
pub fn strategic(message: &str, target: &mut Value, patch: &Value) -> Result<(), Error> {
    let Value::Object(patch) = patch else {
        return Err(Error::bad_request("a strategic merge patch must be a JSON object"));
    };
    object(Schema::get().message(message), target, patch)
}

/// A field by its JSON name, also one that stands in an inline message.
fn find<'a>(message: Option<&'a Message>, name: &str) -> Option<&'a Field> {
    message?.find(name).map(|found| found.field)
}

/// The message that a field, or each of its elements, is.
fn inner(field: &Field) -> Option<&'static Message> {
    field.scalar.message().filter(|_| field.shape != Shape::Map)
}

/// How many of the fields that tell elements of the same key apart are the same in both.
fn likeness(one: &Value, other: &Value) -> usize {
    TELLING.iter().filter(|name| one.get(**name).is_some_and(|value| other.get(**name) == Some(value))).count()
}

/// What a patch of the map `patch` does to `target`, which becomes an object if it is none. `null` if it is deleted.
fn object(message: Option<&Message>, target: &mut Value, patch: &Map<String, Value>) -> Result<(), Error> {
    match directive(patch)? {
        Directive::Merge => {}
        Directive::Replace => {
            let fields = patch.iter().filter(|(name, _)| *name != PATCH);
            *target = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
            return Ok(());
        }
        Directive::Delete => {
            *target = Value::Null;
            return Ok(());
        }
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return Ok(()) };
    if let Some(keep) = patch.get(RETAIN_KEYS) {
        let keep: HashSet<&str> = list(RETAIN_KEYS, keep)?.iter().filter_map(Value::as_str).collect();
        fields.retain(|name, _| keep.contains(name.as_str()));
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let order = patch.get(&format!("{ELEMENT_ORDER}{name}")).and_then(Value::as_array);
        one(find(message, name), fields, name, value, order)?;
    }
    list_directives(message, fields, patch)
}

enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(patch: &Map<String, Value>) -> Result<Directive, Error> {
    match patch.get(PATCH) {
        None => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "merge" => Ok(Directive::Merge),
        Some(Value::String(word)) if word == "replace" => Ok(Directive::Replace),
        Some(Value::String(word)) if word == "delete" => Ok(Directive::Delete),
        Some(other) => Err(Error::bad_request(format!("$patch: {other} is not known; one of merge, replace, delete"))),
    }
}

fn list<'a>(name: &str, value: &'a Value) -> Result<&'a Vec<Value>, Error> {
    value.as_array().ok_or_else(|| Error::bad_request(format!("{name} must be a list")))
}

fn one(
    field: Option<&Field>,
    fields: &mut Map<String, Value>,
    name: &str,
    value: &Value,
    order: Option<&Vec<Value>>,
) -> Result<(), Error> {
    match value {
        Value::Null => {
            fields.remove(name);
        }
        Value::Object(patch) if !field.is_some_and(|field| field.replace) => {
            let fresh = !fields.contains_key(name);
            let target = fields.entry(name).or_insert(Value::Null);
            object(field.and_then(inner), target, patch)?;
            // What was not there does not come to be there by having parts of it removed.
            let hollow = fresh && !patch.is_empty() && target.as_object().is_some_and(Map::is_empty);
            if target.is_null() || hollow {
                fields.remove(name);
            }
        }
        Value::Array(items) => match field.filter(|field| field.merge) {
            None => {
                fields.insert(name.to_owned(), value.clone());
            }
            Some(field) => {
                let target = fields.entry(name).or_insert(Value::Null);
                let mut list = if let Value::Array(list) = target.take() { list } else { Vec::new() };
                elements(field, &mut list, items, order)?;
                *target = Value::Array(list);
            }
        },
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            fields.insert(name.to_owned(), value.clone());
        }
    }
    Ok(())
}

fn elements(field: &Field, list: &mut Vec<Value>, patch: &[Value], order: Option<&Vec<Value>>) -> Result<(), Error> {
    let key = &field.merge_key;
    if patch.iter().any(|item| item.get(PATCH).and_then(Value::as_str) == Some("replace")) {
        *list = patch.iter().filter(|item| item.get(PATCH).is_none()).cloned().collect();
        return Ok(());
    }
    let before = ranks(list, key);
    let merged = if key.is_empty() {
        let mut known: HashSet<String> = list.iter().map(Value::to_string).collect();
        let new = patch.iter().filter(|item| known.insert(item.to_string())).cloned();
        std::mem::take(list).into_iter().chain(new).collect()
    } else {
        let mut merge = ListMerge::new(field, std::mem::take(list), order);
        for item in patch {
            merge.apply(item)?;
        }
        merge.list.into_iter().filter(|item| !item.is_null()).collect()
    };
    *list = arrange(merged, key, order.map_or(patch, Vec::as_slice), &before);
    Ok(())
}

/// A list that is being merged by a key. Deleted elements are `null` until the end, so that the others keep their places.
struct ListMerge<'a> {
    field: &'a Field,
    list: Vec<Value>,
    /// The places of each key, as it was before: elements that a patch adds are not merged with each other.
    places: HashMap<String, Vec<usize>>,
    /// How often each key stands in the list when all is done, if the patch says so.
    wanted: HashMap<String, usize>,
}

impl<'a> ListMerge<'a> {
    fn new(field: &'a Field, list: Vec<Value>, order: Option<&Vec<Value>>) -> Self {
        let key = &field.merge_key;
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, item) in list.iter().enumerate() {
            if let Some(id) = item.get(key) {
                places.entry(id.to_string()).or_default().push(place);
            }
        }
        let mut wanted: HashMap<String, usize> = HashMap::new();
        for id in order.into_iter().flatten().filter_map(|item| item.get(key)) {
            *wanted.entry(id.to_string()).or_default() += 1;
        }
        Self { field, list, places, wanted }
    }

    fn apply(&mut self, item: &Value) -> Result<(), Error> {
        let key = &self.field.merge_key;
        let Value::Object(change) = item else { return Err(self.keyless()) };
        let id = match item.get(key) {
            Some(id) => id.to_string(),
            // Nothing is there that it could be confused with.
            None if self.places.is_empty() => String::new(),
            None => return Err(self.keyless()),
        };
        if matches!(directive(change)?, Directive::Delete) {
            for place in self.places.remove(&id).into_iter().flatten() {
                self.list[place] = Value::Null;
            }
            return Ok(());
        }
        let place = self.counterpart(&id, item)?.unwrap_or_else(|| {
            self.list.push(Value::Object(Map::new()));
            self.list.len() - 1
        });
        object(inner(self.field), &mut self.list[place], change)
    }

    fn keyless(&self) -> Error {
        let Field { json: name, merge_key: key, .. } = self.field;
        Error::bad_request(format!("{name}: each element of a patch must have {key:?}, by which the list is merged"))
    }

    /// The element that a change means; `None` if it is a new one.
    fn counterpart(&self, id: &str, change: &Value) -> Result<Option<usize>, Error> {
        let Some(places) = self.places.get(id) else { return Ok(None) };
        if places.len() > ALIKE_MAX {
            let Field { json: name, merge_key: key, .. } = self.field;
            return Err(Error::bad_request(format!("{name}: more than {ALIKE_MAX} elements have the same {key:?}")));
        }
        let like = |place: &usize| likeness(change, &self.list[*place]);
        // The first of those that are most alike.
        let Some(best) = places.iter().rev().max_by_key(|place| like(place)).copied() else { return Ok(None) };
        let differs =
            TELLING.iter().any(|name| change.get(*name).is_some_and(|value| !value.is_null())) && like(&best) == 0;
        let room = self.wanted.get(id).is_some_and(|wanted| *wanted > places.len());
        Ok((!(differs && room)).then_some(best))
    }
}

fn list_directives(
    message: Option<&Message>,
    fields: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), Error> {
    for (directive, value) in patch.iter().filter(|(name, _)| name.starts_with('$')) {
        if directive == PATCH || directive == RETAIN_KEYS {
            continue;
        }
        let values = list(directive, value)?;
        if let Some(name) = directive.strip_prefix(DELETE_PRIMITIVES) {
            let gone: HashSet<String> = values.iter().map(Value::to_string).collect();
            if let Some(Value::Array(list)) = fields.get_mut(name) {
                list.retain(|item| !gone.contains(&item.to_string()));
            }
        } else if let Some(name) = directive.strip_prefix(ELEMENT_ORDER) {
            let key = find(message, name).map_or("", |field| field.merge_key.as_str());
            // A list that the patch has too was put in order when it was merged.
            if let Some(Value::Array(list)) = fields.get_mut(name).filter(|_| !patch.contains_key(name)) {
                let before = ranks(list, key);
                *list = arrange(std::mem::take(list), key, values, &before);
            }
        } else {
            return Err(Error::bad_request(format!(
                "the directive {directive} is not known; one of {PATCH}, {RETAIN_KEYS}, {ELEMENT_ORDER}LIST, {DELETE_PRIMITIVES}LIST"
            )));
        }
    }
    Ok(())
}

/// What an element is known by.
fn id(item: &Value, key: &str) -> String {
    if key.is_empty() { item.to_string() } else { item.get(key).unwrap_or(item).to_string() }
}

/// The first place of each element.
fn ranks(list: &[Value], key: &str) -> HashMap<String, usize> {
    let mut ranks = HashMap::new();
    for (rank, item) in list.iter().enumerate() {
        ranks.entry(id(item, key)).or_insert(rank);
    }
    ranks
}

/// Elements that are named come in the named order, others as they were. Of one and the other the earlier comes first, as it was
/// before; where one of them is new, the one that is named.
fn arrange(list: Vec<Value>, key: &str, wanted: &[Value], before: &HashMap<String, usize>) -> Vec<Value> {
    let wanted = ranks(wanted, key);
    let rank = |item: &Value| wanted.get(&id(item, key)).copied();
    let (mut named, others): (Vec<Value>, Vec<Value>) = list.into_iter().partition(|item| rank(item).is_some());
    named.sort_by_cached_key(rank);
    let was = |item: &Value| before.get(&id(item, key)).copied();
    let mut others = others.into_iter().peekable();
    let mut arranged = Vec::with_capacity(named.len() + others.len());
    for item in named {
        let place = was(&item);
        while let Some(earlier) =
            others.next_if(|other| was(other).zip(place).is_some_and(|(other, place)| other < place))
        {
            arranged.push(earlier);
        }
        arranged.push(item);
    }
    arranged.extend(others);
    arranged
}
