//! Nothing in a Pod's spec is dropped in silence: every field that `proto/` declares stands in a table that says what becomes of
//! it, and each row is tried.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    Kind, Object, defaults,
    json::{Strictness, decode},
    schema::{Field, Form, Message, Scalar, Schema, Shape},
    validate,
};

const TABLE: &str = include_str!("fields.txt");

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Enforced,
    Warned,
    Refused,
    Idle,
}

/// The rows of the table: by message and field, what becomes of it and a value that shows it.
fn table() -> BTreeMap<&'static str, (Fate, Option<Value>)> {
    let rows = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|line| {
        let mut words = line.splitn(3, ' ');
        let (field, fate) = (words.next().unwrap(), words.next().unwrap());
        let fate = match fate {
            "enforced" => Fate::Enforced,
            "warned" => Fate::Warned,
            "refused" => Fate::Refused,
            "idle" => Fate::Idle,
            other => panic!("{line}: {other}"),
        };
        (field, (fate, words.next().map(|value| serde_json::from_str(value).unwrap())))
    })
    .collect()
}

/// A step on the way from a Pod to a field.
#[derive(Clone, Debug)]
struct Step {
    name: String,
    list: bool,
    inline: bool,
}

impl Step {
    fn to(field: &Field) -> Self {
        Self { name: field.json.clone(), list: field.shape == Shape::List, inline: field.inline }
    }
}

fn row(message: &Message, field: &Field) -> String {
    format!("{}.{}", message.name.rsplit('.').next().unwrap(), field.json)
}

/// Every field that can be reached through what is enforced, with the first way to it.
fn reachable(table: &BTreeMap<&str, (Fate, Option<Value>)>) -> BTreeMap<String, (Vec<Step>, &'static Field)> {
    let schema = Schema::get();
    let mut found = BTreeMap::new();
    let mut queue = vec![(
        schema.message("kapelle.core.v1.PodSpec").unwrap(),
        vec![Step { name: "spec".into(), list: false, inline: false }],
    )];
    while let Some((message, way)) = queue.pop() {
        for field in &message.fields {
            let name = row(message, field);
            if found.contains_key(&name) {
                continue;
            }
            let way: Vec<Step> = way.iter().cloned().chain([Step::to(field)]).collect();
            let goes_on = table.get(name.as_str()).is_some_and(|(fate, _)| *fate == Fate::Enforced);
            found.insert(name, (way.clone(), field));
            if let (Scalar::Message(index), true) = (field.scalar, goes_on && field.shape != Shape::Map)
                && schema.at(index).form == Form::Object
            {
                queue.push((schema.at(index), way));
            }
        }
    }
    found
}

/// Any value that is set.
fn sample(field: &Field) -> Value {
    let one = match field.scalar {
        Scalar::Bool => json!(true),
        Scalar::Int32 | Scalar::Int64 => json!(7),
        Scalar::String => json!("x"),
        Scalar::Bytes => json!("eA=="),
        Scalar::Message(index) => match Schema::get().at(index).form {
            Form::Quantity | Form::IntOrString => json!("1"),
            _ => json!({}),
        },
    };
    match field.shape {
        Shape::One => one,
        Shape::List => json!([one]),
        Shape::Map => json!({"x": one}),
    }
}

/// A Pod in which the field at the end of the way has a value, and the field's path as people write it.
fn pod(way: &[Step], value: Value) -> (Object, String) {
    let mut value = value;
    let mut path = String::new();
    for (at, step) in way.iter().enumerate().rev() {
        let last = at + 1 == way.len();
        if step.inline && !last {
            continue;
        }
        if step.list && !last {
            value = json!([value]);
        }
        value = json!({ step.name.clone(): value });
    }
    for (at, step) in way.iter().enumerate().filter(|(at, step)| !step.inline || at + 1 == way.len()) {
        path.push_str(if path.is_empty() { "" } else { "." });
        path.push_str(&step.name);
        path.push_str(if step.list && at + 1 < way.len() { "[0]" } else { "" });
    }
    value["metadata"] = json!({"name": "p", "namespace": "default"});
    let mut object =
        decode(Kind::Pod, &value, Strictness::Strict).unwrap_or_else(|error| panic!("{path}: {error}")).object;
    defaults::apply(&mut object);
    (object, path)
}

#[test]
fn every_field_of_a_pod_is_enforced_warned_about_or_refused() {
    let table = table();
    let reachable = reachable(&table);
    let missing: Vec<&String> = reachable.keys().filter(|name| !table.contains_key(name.as_str())).collect();
    assert!(missing.is_empty(), "say in fields.txt what becomes of: {missing:#?}");
    let stale: Vec<&&str> = table.keys().filter(|name| !reachable.contains_key(**name)).collect();
    assert!(stale.is_empty(), "no such fields: {stale:#?}");
}

#[test]
fn each_row_of_the_table_is_true() {
    let table = table();
    let mut lies = Vec::new();
    for (name, (way, field)) in reachable(&table) {
        let (fate, value) = table[name.as_str()].clone();
        // A message within its parent's object has no name of its own.
        if field.inline {
            continue;
        }
        let (object, path) = pod(&way, value.unwrap_or_else(|| sample(field)));
        let warned = super::of(&object)
            .iter()
            .any(|line| line.starts_with(&format!("{path}: ")) || line.starts_with(&format!("{path}.")));
        let refused = validate::create(&object).iter().any(|cause| {
            // What is wrong with the value itself is another matter.
            (cause.field == path || cause.field.starts_with(&format!("{path}[")))
                && ["FieldValueForbidden", "FieldValueNotSupported"].contains(&cause.reason)
        });
        let holds = match fate {
            Fate::Enforced => !warned,
            Fate::Warned => warned,
            Fate::Refused => refused,
            Fate::Idle => !warned && !refused,
        };
        if !holds {
            lies.push(format!("{name} ({path}): {fate:?}, but warned: {warned}, refused: {refused}"));
        }
    }
    assert!(lies.is_empty(), "{lies:#?}");
}
