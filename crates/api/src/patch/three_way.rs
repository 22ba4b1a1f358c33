//! What `apply` makes of three states of an object: the manifest of last time, the object as it is, the manifest of now.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::strategic::{DELETE_PRIMITIVES, ELEMENT_ORDER, PATCH, RETAIN_KEYS, find, inner, likeness, object};
use crate::{
    quantity::Quantity,
    schema::{Field, Form, Message, Schema, Shape},
};

/// The longest list whose elements are told apart by likeness, in elements; the time grows with the square.
const AMBIGUOUS_MAX: usize = 512;

/// The patch that takes `current` to what `modified` says, and away what `last` said and `modified` no longer says.
/// What only `current` has, such as defaults, stays. Empty if there is nothing to do.
#[must_use]
pub fn three_way(message: &str, last: Option<&Value>, current: &Value, modified: &Value) -> Value {
    let fields = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let states = States { last: &fields(last), current: &fields(Some(current)), wanted: &fields(Some(modified)) };
    Value::Object(states.difference(Schema::get().message(message)))
}

/// The three states of one object within the whole.
struct States<'a> {
    last: &'a Map<String, Value>,
    current: &'a Map<String, Value>,
    wanted: &'a Map<String, Value>,
}

impl States<'_> {
    fn difference(&self, message: Option<&Message>) -> Map<String, Value> {
        let mut patch = Map::new();
        for (name, wanted) in self.wanted.iter().filter(|(_, value)| !value.is_null()) {
            match self.current.get(name) {
                None => {
                    patch.insert(name.clone(), wanted.clone());
                }
                Some(current) => compare(find(message, name), name, self.last.get(name), current, wanted, &mut patch),
            }
        }
        patch.extend(self.gone().map(|name| (name.clone(), Value::Null)));
        patch
    }

    /// The names that are no longer wanted.
    fn gone(&self) -> impl Iterator<Item = &String> {
        let wanted = |name: &String| self.wanted.get(name).is_some_and(|value| !value.is_null());
        self.last.keys().filter(move |name| !wanted(name) && self.current.contains_key(*name))
    }

    /// As [`Self::difference`], of a map whose values are quantities: `1` and `1000m` are the same.
    fn quantities(&self) -> Map<String, Value> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let same = |one: &str, other: &str| {
            one == other || one.parse::<Quantity>().is_ok_and(|one| other.parse::<Quantity>() == Ok(one))
        };
        let wanted = self.wanted.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, text(value)));
        let changed = wanted.filter(|(name, wanted)| {
            let current = self.current.get(*name).map(text);
            !current.is_some_and(|current| same(&current, wanted))
        });
        let mut patch: Map<String, Value> =
            changed.map(|(name, wanted)| (name.clone(), Value::String(wanted))).collect();
        patch.extend(self.gone().map(|name| (name.clone(), Value::Null)));
        patch
    }
}

fn compare(
    field: Option<&Field>,
    name: &str,
    last: Option<&Value>,
    current: &Value,
    wanted: &Value,
    patch: &mut Map<String, Value>,
) {
    if wanted == current && last.is_none() {
        return;
    }
    match (wanted, current, field) {
        (Value::Object(_), Value::Object(_), Some(field)) if field.replace => {
            if wanted != current {
                patch.insert(name.to_owned(), wanted.clone());
            }
        }
        (Value::Object(wanted), Value::Object(current), field) => {
            let empty = Map::new();
            let states = States { last: last.and_then(Value::as_object).unwrap_or(&empty), current, wanted };
            let mut change =
                if is_quantities(field) { states.quantities() } else { states.difference(field.and_then(inner)) };
            if !change.is_empty() {
                retain(field, wanted, &mut change);
                patch.insert(name.to_owned(), Value::Object(change));
            }
        }
        (Value::Array(wanted), Value::Array(current), Some(field)) if field.merge => {
            let last = last.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let lists = Lists { field, name, last, current, wanted };
            lists.difference(patch);
        }
        (wanted, current, _) if wanted == current => {}
        (wanted, _, _) => {
            patch.insert(name.to_owned(), wanted.clone());
        }
    }
}

/// Of a union, only what is wanted may stay: defaults of another case would contradict it.
fn retain(field: Option<&Field>, wanted: &Map<String, Value>, change: &mut Map<String, Value>) {
    if field.is_some_and(|field| field.retain_keys) {
        let names = wanted.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name.as_str());
        change.insert(RETAIN_KEYS.to_owned(), names.collect());
    }
}

/// A map whose values are quantities, which manifests may write as numbers.
fn is_quantities(field: Option<&Field>) -> bool {
    let is_quantity = |field: &Field| field.scalar.message().is_some_and(|message| message.form == Form::Quantity);
    field.is_some_and(|field| field.shape == Shape::Map && is_quantity(field))
}

/// The three states of a list that is merged.
struct Lists<'a> {
    field: &'a Field,
    name: &'a str,
    last: &'a [Value],
    current: &'a [Value],
    wanted: &'a [Value],
}

impl<'a> Lists<'a> {
    fn difference(&self, patch: &mut Map<String, Value>) {
        if self.field.merge_key.is_empty() {
            self.scalars(patch);
        } else {
            match (self.by_key(self.last), self.by_key(self.current), self.by_key(self.wanted)) {
                (last, Some(current), Some(wanted)) => self.keyed(&last.unwrap_or_default(), &current, &wanted, patch),
                _ => self.ambiguous(patch),
            }
        }
    }

    fn scalars(&self, patch: &mut Map<String, Value>) {
        let set = |list: &[Value]| list.iter().map(Value::to_string).collect::<HashSet<String>>();
        let (current, wanted) = (set(self.current), set(self.wanted));
        let gone = self.last.iter().filter(|item| {
            let item = item.to_string();
            !wanted.contains(&item) && current.contains(&item)
        });
        let gone: Vec<Value> = gone.cloned().collect();
        let fresh: Vec<Value> =
            self.wanted.iter().filter(|item| !current.contains(&item.to_string())).cloned().collect();
        if !gone.is_empty() {
            patch.insert(format!("{DELETE_PRIMITIVES}{}", self.name), Value::Array(gone));
        }
        if !fresh.is_empty() {
            patch.insert(self.name.to_owned(), Value::Array(fresh));
        }
    }

    /// The elements by their merge key; `None` if two have the same, or one has none.
    fn by_key(&self, list: &'a [Value]) -> Option<HashMap<String, &'a Map<String, Value>>> {
        let mut elements = HashMap::with_capacity(list.len());
        for item in list {
            let id = item.get(&self.field.merge_key)?.to_string();
            if elements.insert(id, item.as_object()?).is_some() {
                return None;
            }
        }
        Some(elements)
    }

    fn keyed(
        &self,
        last: &HashMap<String, &Map<String, Value>>,
        current: &HashMap<String, &Map<String, Value>>,
        wanted: &HashMap<String, &Map<String, Value>>,
        patch: &mut Map<String, Value>,
    ) {
        let key = self.field.merge_key.as_str();
        let mut changes = Vec::new();
        for id in self.wanted.iter().filter_map(|item| item.get(key)) {
            let Some(item) = wanted.get(&id.to_string()) else { continue };
            changes.extend(match current.get(&id.to_string()) {
                None => Some(Value::Object((*item).clone())),
                Some(now) => self.change(id, last.get(&id.to_string()).copied(), now, item),
            });
        }
        for id in self.last.iter().filter_map(|item| item.get(key)) {
            if !wanted.contains_key(&id.to_string()) && current.contains_key(&id.to_string()) {
                changes.push(json!({key: id, PATCH: "delete"}));
            }
        }
        if !changes.is_empty() {
            let order = self.wanted.iter().filter_map(|item| Some(json!({key: item.get(key)?})));
            patch.insert(format!("{ELEMENT_ORDER}{}", self.name), order.collect());
            patch.insert(self.name.to_owned(), Value::Array(changes));
        }
    }

    /// What must change in one element.
    fn change(
        &self,
        id: &Value,
        last: Option<&Map<String, Value>>,
        current: &Map<String, Value>,
        wanted: &Map<String, Value>,
    ) -> Option<Value> {
        let empty = Map::new();
        let states = States { last: last.unwrap_or(&empty), current, wanted };
        let mut change = states.difference(inner(self.field));
        if change.is_empty() {
            return None;
        }
        retain(Some(self.field), wanted, &mut change);
        change.insert(self.field.merge_key.clone(), id.clone());
        Some(Value::Object(change))
    }

    /// Where the key does not tell the elements apart (ports 53 of UDP and TCP), the list is written whole:
    /// each element with what its counterpart has by default.
    fn ambiguous(&self, patch: &mut Map<String, Value>) {
        let key = self.field.merge_key.as_str();
        if self.wanted.len().max(self.current.len()).max(self.last.len()) > AMBIGUOUS_MAX {
            let whole = std::iter::once(json!({PATCH: "replace"})).chain(self.wanted.iter().cloned());
            patch.insert(self.name.to_owned(), whole.collect());
            return;
        }
        let mut left: Vec<&Value> = self.current.iter().collect();
        let mut merged = Vec::with_capacity(self.wanted.len());
        for item in self.wanted {
            let like = |other: &&Value| other.get(key) == item.get(key) && item.get(key).is_some();
            let best = (0..left.len()).rev().filter(|at| like(&left[*at])).max_by_key(|at| likeness(item, left[*at]));
            let found = best.map(|at| left.remove(at));
            merged.push(self.filled(found, item));
        }
        let last: HashSet<String> = self.last.iter().filter_map(|item| item.get(key)).map(Value::to_string).collect();
        let others = left.into_iter().filter(|item| item.get(key).is_some_and(|id| !last.contains(&id.to_string())));
        merged.extend(others.cloned());
        if merged != self.current {
            merged.insert(0, json!({PATCH: "replace"}));
            patch.insert(self.name.to_owned(), Value::Array(merged));
        }
    }

    /// A wanted element with what its counterpart has besides.
    fn filled(&self, current: Option<&Value>, wanted: &Value) -> Value {
        let key = self.field.merge_key.as_str();
        let same = |item: &&Value| item.get(key) == wanted.get(key);
        let last = self.last.iter().filter(same).max_by_key(|item| likeness(wanted, item)).and_then(Value::as_object);
        let (Some(current), Some(fields)) = (current, wanted.as_object()) else { return wanted.clone() };
        let now = current.as_object().cloned().unwrap_or_default();
        let change = wanted.get(key).and_then(|id| self.change(id, last, &now, fields));
        let mut filled = current.clone();
        match change.as_ref().and_then(Value::as_object).map(|change| object(inner(self.field), &mut filled, change)) {
            None | Some(Ok(())) => filled,
            // A difference has no directive that is not understood.
            Some(Err(_)) => wanted.clone(),
        }
    }
}
