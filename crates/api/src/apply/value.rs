//! Values of a type: which fields they have, what two of them differ in, and one merged into another or without some fields.
//!
//! The rules are those of Kubernetes' structured merge: a field is owned where something is said of it; of objects and of
//! lists that are merged each part by itself, of everything else the whole.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::typed::{BuiltIn, Merging, Typed, element_of, merging};
use crate::fieldset::{Element, Set};

/// The fields of which a value says something.
pub(super) fn fields<T: Typed>(typed: T, value: &Value) -> Set {
    match (merging(typed, Some(value)), value) {
        (Merging::Members, Value::Object(members)) => {
            let part = |(name, value): (&String, &Value)| {
                let inner = typed.member(name);
                let hollow = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                let member = hollow || is_leaf(inner, value) || !typed.names(name);
                (Element::field(name), member, fields(inner, value))
            };
            members.iter().map(part).collect()
        }
        (Merging::Set | Merging::Keyed, Value::Array(items)) => elements(typed, items)
            .into_iter()
            .map(|(element, items)| match *items {
                [item] => (element, true, fields(typed.element(), item)),
                // What stands twice is owned as one.
                _ => (element, true, Set::default()),
            })
            .collect(),
        (Merging::Members | Merging::Set | Merging::Keyed | Merging::Leaf | Merging::Deduced, _) => Set::default(),
    }
}

fn is_leaf(typed: impl Typed, value: &Value) -> bool {
    merging(typed, Some(value)) == Merging::Leaf
}

/// The elements of a list by what tells them apart. Such as nothing tells apart are passed over.
fn elements<T: Typed>(typed: T, items: &[Value]) -> BTreeMap<Element, Vec<&Value>> {
    let mut elements: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for item in items {
        if let Ok(element) = element_of(typed, item) {
            elements.entry(element).or_default().push(item);
        }
    }
    elements
}

/// What two values differ in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Fields that only the first has.
    pub(super) removed: Set,
    /// Fields that both have, with other values.
    pub(super) modified: Set,
    /// Fields that only the second has.
    pub(super) added: Set,
}

/// What became of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Same,
    Removed,
    Modified,
    Added,
}

/// One part of a difference: an element, what became of it, and what differs below it.
type Part = (Element, Turn, Difference);

impl Difference {
    fn of(parts: Vec<Part>) -> Self {
        let of = |wanted: Turn, below: fn(&Self) -> &Set| {
            let part = |(element, turn, inner): &Part| (element.clone(), *turn == wanted, below(inner).clone());
            parts.iter().map(part).collect()
        };
        Self {
            removed: of(Turn::Removed, |inner| &inner.removed),
            modified: of(Turn::Modified, |inner| &inner.modified),
            added: of(Turn::Added, |inner| &inner.added),
        }
    }

    /// Only what stands under topmost elements that are wanted.
    pub(super) fn under(&self, wanted: impl Fn(&Element) -> bool + Copy) -> Self {
        Self {
            removed: self.removed.under(wanted),
            modified: self.modified.under(wanted),
            added: self.added.under(wanted),
        }
    }

    /// What the second has said anew or otherwise.
    pub(super) fn said(&self) -> Set {
        self.modified.union(&self.added)
    }
}

/// What differs between two objects of a type.
pub(super) fn difference<T: Typed>(typed: T, before: &Value, after: &Value) -> Difference {
    compare(typed, Some(before), Some(after)).1
}

fn compare<T: Typed>(typed: T, before: Option<&Value>, after: Option<&Value>) -> (Turn, Difference) {
    let (before, after) = (beside(typed, before, after), beside(typed, after, before));
    let turn = match (before, after) {
        (None, None) => Turn::Same,
        (None, Some(_)) => Turn::Added,
        (Some(_), None) => Turn::Removed,
        (Some(before), Some(after)) if before == after => return (Turn::Same, Difference::default()),
        (Some(_), Some(_)) => Turn::Modified,
    };
    let (how, hollow) = (merging(typed, after.or(before)), is_hollow(before) && is_hollow(after));
    if how == Merging::Leaf || how != merging(typed, before.or(after)) || hollow {
        return (turn, Difference::default());
    }
    let parts = match how {
        Merging::Members => members(typed, before, after),
        Merging::Set | Merging::Keyed => items(typed, before, after),
        Merging::Leaf | Merging::Deduced => Vec::new(),
    };
    // Both say something of it: what differs stands below.
    let turn = if turn == Turn::Modified { Turn::Same } else { turn };
    (turn, Difference::of(parts))
}

/// A value as it counts beside another one: `null` in the place of something whose parts are merged is nothing. So it is when the
/// last of its parts has been taken away, after which nobody owns it.
fn beside<'v, T: Typed>(typed: T, value: Option<&'v Value>, other: Option<&Value>) -> Option<&'v Value> {
    let has_parts =
        |other: &Value| (other.is_array() || other.is_object()) && merging(typed, Some(other)) != Merging::Leaf;
    value.filter(|value| !(value.is_null() && other.is_some_and(has_parts)))
}

/// Whether nothing is in it.
fn is_hollow(value: Option<&Value>) -> bool {
    value.is_none_or(|value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    })
}

fn object(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

fn array(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The names of the members of one or the other, each once.
fn names<'a>(before: Option<&'a Value>, after: Option<&'a Value>) -> BTreeSet<&'a String> {
    [before, after].into_iter().filter_map(object).flat_map(Map::keys).collect()
}

fn members<T: Typed>(typed: T, before: Option<&Value>, after: Option<&Value>) -> Vec<Part> {
    let part = |name: &String| {
        let value = |side: Option<&'_ Value>| object(side).and_then(|members| members.get(name)).cloned();
        let (before, after) = (value(before), value(after));
        let (turn, inner) = compare(typed.member(name), before.as_ref(), after.as_ref());
        (Element::field(name), turn, inner)
    };
    names(before, after).into_iter().map(part).collect()
}

fn items<T: Typed>(typed: T, before: Option<&Value>, after: Option<&Value>) -> Vec<Part> {
    let (mut old, mut new) = (elements(typed, array(before)), elements(typed, array(after)));
    let all: BTreeSet<Element> = old.keys().chain(new.keys()).cloned().collect();
    let part = |element: Element| {
        let (old, new) = (old.remove(&element).unwrap_or_default(), new.remove(&element).unwrap_or_default());
        let (turn, inner) = match (&*old, &*new) {
            ([] | [_], [] | [_]) => compare(typed.element(), old.first().copied(), new.first().copied()),
            ([_, _, ..], [_, _, ..]) if old == new => (Turn::Same, Difference::default()),
            ([_, _, ..], [_, _, ..]) => (Turn::Modified, Difference::default()),
            // What stood twice was owned as one; now each part is by itself, or the other way round.
            ([_, _, ..], [] | [_]) => {
                let (_, inner) = compare(typed.element(), None, new.first().copied());
                (if new.is_empty() { Turn::Removed } else { Turn::Modified }, inner)
            }
            ([] | [_], [_, _, ..]) => {
                let (_, inner) = compare(typed.element(), old.first().copied(), None);
                (if old.is_empty() { Turn::Added } else { Turn::Modified }, inner)
            }
        };
        (element, turn, inner)
    };
    all.into_iter().map(part).collect()
}

/// One value merged into another: what the second says counts, and what it does not say stays.
///
/// # Errors
/// If an element of a list of the second cannot be told apart from others, with the path to it.
pub(super) fn merged<T: Typed>(typed: T, into: Option<&Value>, said: &Value) -> Result<Value, String> {
    match (merging(typed, Some(said)), into, said) {
        (Merging::Members, Some(Value::Object(into)), Value::Object(said)) if !into.is_empty() || !said.is_empty() => {
            let mut merged = into.clone();
            for (name, value) in said {
                let inner = self::merged(typed.member(name), into.get(name), value);
                merged.insert(name.clone(), inner.map_err(|error| format!(".{name}{error}"))?);
            }
            Ok(Value::Object(merged))
        }
        (Merging::Set | Merging::Keyed, into, Value::Array(said)) => merged_lists(typed, array(into), said),
        (Merging::Members, _, Value::Object(said)) => {
            // Nothing is there yet, but lists below must still be told apart.
            let member = |(name, value): (&String, &Value)| {
                let inner = merged(typed.member(name), None, value).map_err(|error| format!(".{name}{error}"))?;
                Ok((name.clone(), inner))
            };
            said.iter().map(member).collect::<Result<Map<_, _>, String>>().map(Value::Object)
        }
        (Merging::Members | Merging::Set | Merging::Keyed | Merging::Leaf | Merging::Deduced, _, said) => {
            Ok(said.clone())
        }
    }
}

/// Two lists merged. Elements of both come in the order of the second; those of the first alone stay behind what they stood
/// behind.
fn merged_lists<T: Typed>(typed: T, into: &[Value], said: &[Value]) -> Result<Value, String> {
    let (mut wanted, mut order) = (BTreeSet::new(), Vec::with_capacity(said.len()));
    for (at, item) in said.iter().enumerate() {
        let element = element_of(typed, item).map_err(|error| format!("[{at}]: {error}"))?;
        if !wanted.insert(element.clone()) {
            return Err(format!(": duplicate entries for key {element}"));
        }
        order.push(element);
    }
    let known = elements(typed, into);
    let mut there = into.iter().map(|item| (element_of(typed, item).ok(), item)).peekable();
    let mut merged = Vec::with_capacity(into.len().max(said.len()));
    for (at, (element, item)) in order.iter().zip(said).enumerate() {
        let next_shared = order[at..].iter().find(|element| known.contains_key(element));
        // What only the first has goes before; what comes elsewhere by the new order is passed over.
        while let Some((other, item)) = there.next_if(|(other, _)| other.is_none() || other.as_ref() != next_shared) {
            if !other.is_some_and(|other| wanted.contains(&other)) {
                merged.push(item.clone());
            }
        }
        there.next_if(|(other, _)| other.as_ref() == Some(element));
        // What stands twice is not merged with what is said.
        let counterpart = known.get(element).filter(|items| items.len() == 1).map(|items| items[0]);
        let inner = self::merged(typed.element(), counterpart, item);
        merged.push(inner.map_err(|error| format!("{element}{error}"))?);
    }
    let rest = there.filter(|(other, _)| !other.as_ref().is_some_and(|other| wanted.contains(other)));
    merged.extend(rest.map(|(_, item)| item.clone()));
    Ok(Value::Array(merged))
}

/// A value without some fields. What has nothing left is `null`.
pub(super) fn without<T: Typed>(typed: T, value: &Value, gone: &Set) -> Value {
    match (merging(typed, Some(value)), value) {
        (_, value) if gone.is_empty() => value.clone(),
        (Merging::Members, Value::Object(members)) => {
            let kept = members.iter().filter_map(|(name, value)| {
                let element = Element::field(name);
                (!gone.has(&element)).then(|| (name.clone(), part(typed.member(name), value, gone.below(&element))))
            });
            let kept: Map<String, Value> = kept.collect();
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        (Merging::Set | Merging::Keyed, Value::Array(items)) => {
            let kept = items.iter().filter_map(|item| {
                let element = element_of(typed, item).ok()?;
                (!gone.has(&element)).then(|| part(typed.element(), item, gone.below(&element)))
            });
            let kept: Vec<Value> = kept.collect();
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        (Merging::Leaf, Value::Array(_) | Value::Object(_)) => Value::Null,
        (Merging::Members | Merging::Set | Merging::Keyed | Merging::Leaf | Merging::Deduced, value) => value.clone(),
    }
}

fn part<T: Typed>(typed: T, value: &Value, gone: Option<&Set>) -> Value {
    gone.map_or_else(|| value.clone(), |gone| without(typed, value, gone))
}

/// What `proto/` knows of a value: members that it does not have are left out, and quantities are texts, as they are where the
/// value is stored.
pub(super) fn known(typed: BuiltIn, value: &Value) -> Value {
    match (typed.merging(), value) {
        (_, Value::Number(number)) if matches!(typed, BuiltIn::Quantity) => number.to_string().into(),
        (Merging::Members, Value::Object(members)) => {
            let kept = members.iter().filter(|(name, _)| !matches!(typed.member(name), BuiltIn::Unknown));
            kept.map(|(name, value)| (name.clone(), known(typed.member(name), value))).collect()
        }
        (Merging::Keyed, Value::Array(items)) => items.iter().map(|item| known(typed.element(), item)).collect(),
        (Merging::Members | Merging::Set | Merging::Keyed | Merging::Leaf | Merging::Deduced, value) => value.clone(),
    }
}
