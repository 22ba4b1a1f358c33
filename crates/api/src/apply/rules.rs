//! The rules of merging and owning, as a model that any sequence of writes is held against.
//!
//! The model knows neither JSON nor trees: an object is a table of fields with values, an owner a set of their names. Its rules are
//! those which Kubernetes' structured merge keeps to, for each way in which values are merged: maps, sets, lists by keys, and
//! what has one owner.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};

use super::{Conflict, Refusal, tests::Story};
use crate::{Kind, fieldset::Set};

const MANAGERS: [&str; 3] = ["one", "two", "three"];
const LABELS: [&str; 2] = ["a", "b"];
const FINALIZERS: [&str; 2] = ["x.io/a", "x.io/b"];
const PORTS: [i64; 2] = [80, 81];

/// What somebody wants of a Service; 0 is nothing.
#[derive(Clone, Debug)]
struct Wanted {
    labels: [u8; 2],
    finalizers: [bool; 2],
    selector: u8,
    /// Whether the port is there, its name, and what is spoken on it.
    ports: [(bool, u8, u8); 2],
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let choice = || 0..3_u8;
    let port = || (any::<bool>(), choice(), choice());
    ([choice(), choice()], any::<[bool; 2]>(), choice(), [port(), port()])
        .prop_map(|(labels, finalizers, selector, ports)| Wanted { labels, finalizers, selector, ports })
}

impl Wanted {
    fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        let mut put = |name: String, value: String| fields.insert(name, value);
        for (label, value) in LABELS.iter().zip(self.labels).filter(|(_, value)| *value > 0) {
            put(format!(".metadata.labels.{label}"), value.to_string());
        }
        for (finalizer, _) in FINALIZERS.iter().zip(self.finalizers).filter(|(_, is_there)| *is_there) {
            put(format!(".metadata.finalizers[={finalizer:?}]"), String::new());
        }
        if self.selector > 0 {
            put(".spec.selector".to_owned(), self.selector.to_string());
        }
        for (number, (_, name, protocol)) in PORTS.iter().zip(self.ports).filter(|(_, (is_there, ..))| *is_there) {
            let port = element(*number);
            put(port.clone(), String::new());
            put(format!("{port}.port"), number.to_string());
            for (field, value) in
                [("name", name), ("appProtocol", protocol)].into_iter().filter(|(_, value)| *value > 0)
            {
                put(format!("{port}.{field}"), value.to_string());
            }
        }
        fields
    }
}

fn element(port: i64) -> String {
    format!(".spec.ports[port={port},protocol=\"TCP\"]")
}

/// The fields of an object, each with its value. Elements of lists are fields without one.
type Fields = BTreeMap<String, String>;

/// A Service that has some fields.
fn service(fields: &Fields) -> Value {
    let value = |name: &str| fields.get(name).cloned().map(Value::from);
    let labels: Map<String, Value> = LABELS
        .iter()
        .filter_map(|label| Some(((*label).to_owned(), value(&format!(".metadata.labels.{label}"))?)))
        .collect();
    let there = |finalizer: &&&str| fields.contains_key(&format!(".metadata.finalizers[={finalizer:?}]"));
    let finalizers: Vec<&&str> = FINALIZERS.iter().filter(there).collect();
    let port = |number: &i64| {
        let mut port = json!({ "port": number });
        fields.get(&element(*number))?;
        for field in ["name", "appProtocol"] {
            if let Some(value) = value(&format!("{}.{field}", element(*number))) {
                port[field] = value;
            }
        }
        Some(port)
    };
    let ports: Vec<Value> = PORTS.iter().filter_map(port).collect();
    let mut service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "n"}});
    let mut put = |part: &str, field: &str, value: Value, is_empty: bool| {
        if !is_empty {
            service[part][field] = value;
        }
    };
    put("metadata", "labels", labels.clone().into(), labels.is_empty());
    put("metadata", "finalizers", json!(finalizers), finalizers.is_empty());
    put("spec", "ports", json!(ports), ports.is_empty());
    let selector = value(".spec.selector");
    put("spec", "selector", json!({ "app": selector }), selector.is_none());
    service
}

/// A Service of which somebody owns something at any time, so that it is known who owns what.
fn based(mut service: Value) -> Value {
    service["metadata"]["annotations"] = json!({ "base": "1" });
    service
}

/// The fields of a Service.
fn fields(service: &Value) -> Fields {
    let list = |path: &str| service.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut fields = Fields::new();
    for (label, value) in service["metadata"]["labels"].as_object().into_iter().flatten() {
        fields.insert(format!(".metadata.labels.{label}"), text(value));
    }
    for finalizer in list("/metadata/finalizers") {
        fields.insert(format!(".metadata.finalizers[={finalizer}]"), String::new());
    }
    if let Some(selector) = service["spec"]["selector"].get("app") {
        fields.insert(".spec.selector".to_owned(), text(selector));
    }
    for port in list("/spec/ports") {
        let element = element(port["port"].as_i64().unwrap_or_default());
        for (field, value) in port.as_object().into_iter().flatten() {
            fields.insert(format!("{element}.{field}"), text(value));
        }
        fields.insert(element, String::new());
    }
    fields
}

/// Who owns: a name and whether it applies.
type Who = (String, bool);

#[derive(Clone, Debug, Default)]
struct Model {
    object: Fields,
    owners: BTreeMap<Who, BTreeSet<String>>,
}

impl Model {
    fn others<'a>(&'a self, who: &'a Who) -> impl Iterator<Item = &'a BTreeSet<String>> {
        self.owners.iter().filter(move |(other, _)| *other != who).map(|(_, fields)| fields)
    }

    fn is_others(&self, who: &Who, field: &str) -> bool {
        self.others(who).any(|fields| fields.contains(field))
    }

    /// Who changes a field takes it from all others, and nobody owns what is not there.
    fn settle(&mut self, who: &Who, mine: BTreeSet<String>, before: &Fields) {
        let object = &self.object;
        let stays = |field: &String| object.contains_key(field) && before.get(field) == object.get(field);
        for fields in self.owners.values_mut() {
            fields.retain(stays);
        }
        self.owners.insert(who.clone(), mine);
        self.owners.retain(|_, fields| !fields.is_empty());
    }

    fn conflicts(&self, who: &Who, config: &Fields) -> BTreeSet<String> {
        let differs = |(field, value): &(&String, &String)| self.object.get(*field).is_some_and(|is| is != *value);
        let conflicts = config.iter().filter(differs).filter(|(field, _)| self.is_others(who, field));
        conflicts.map(|(field, _)| field.clone()).collect()
    }

    /// What is applied is there; what was applied before and is not any more goes, unless somebody else owns it. With an element of
    /// a list goes all that is in it.
    fn apply(&mut self, who: &Who, config: &Fields) {
        let before = self.object.clone();
        self.object.extend(config.clone());
        let last = self.owners.get(who).cloned().unwrap_or_default();
        let gone: Vec<&String> =
            last.iter().filter(|field| !config.contains_key(*field) && !self.is_others(who, field)).collect();
        let is_below = |field: &str, gone: &str| {
            field.strip_prefix(gone).is_some_and(|rest| rest.is_empty() || gone.ends_with(']') && rest.starts_with('.'))
        };
        let gone: BTreeSet<String> =
            self.object.keys().filter(|field| gone.iter().any(|gone| is_below(field, gone))).cloned().collect();
        self.object.retain(|field, _| !gone.contains(field));
        self.settle(who, config.keys().cloned().collect(), &before);
    }

    fn update(&mut self, who: &Who, new: &Fields) {
        let before = std::mem::replace(&mut self.object, new.clone());
        let mut mine = self.owners.get(who).cloned().unwrap_or_default();
        mine.retain(|field| new.contains_key(field));
        mine.extend(
            new.iter().filter(|(field, value)| before.get(*field) != Some(*value)).map(|(field, _)| field.clone()),
        );
        self.settle(who, mine, &before);
    }
}

/// Who owns which of the fields that the model knows.
fn owners(story: &Story) -> BTreeMap<Who, BTreeSet<String>> {
    let known = |path: &String| {
        let inner = [".metadata", ".metadata.labels", ".metadata.finalizers", ".spec", ".spec.ports"];
        !inner.contains(&path.as_str()) && !path.starts_with(".metadata.annotations")
    };
    let owner = |entry: &crate::meta_v1::ManagedFieldsEntry| {
        let text = entry.fields_v1.as_ref().map_or(&b"{}"[..], |fields| &fields.raw);
        let paths = Set::from_json(text).expect("a set").paths();
        let fields: BTreeSet<String> = paths.iter().map(ToString::to_string).filter(known).collect();
        ((entry.manager.clone(), entry.operation == "Apply"), fields)
    };
    story.owners.iter().map(owner).filter(|(_, fields)| !fields.is_empty()).collect()
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Apply,
    Force,
    Update,
}

fn step() -> impl Strategy<Value = (usize, Way, Wanted)> {
    (0..MANAGERS.len(), prop_oneof![Just(Way::Apply), Just(Way::Force), Just(Way::Update)], wanted())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_writes_leave_what_the_rules_say(first in wanted(), steps in vec(step(), 1..12)) {
        let (mut story, mut model) = (Story::of(Kind::Service), Model::default());
        story.apply("base", &based(service(&Fields::new())));
        story.apply(MANAGERS[0], &service(&first.fields()));
        model.apply(&(MANAGERS[0].to_owned(), true), &first.fields());
        for (manager, way, wanted) in steps {
            let (name, wanted) = (MANAGERS[manager], wanted.fields());
            let who = (name.to_owned(), !matches!(way, Way::Update));
            let conflicts = model.conflicts(&who, &wanted);
            match way {
                Way::Update => {
                    story.write(name, "", |object| *object = based(service(&wanted)));
                    model.update(&who, &wanted);
                }
                Way::Apply if !conflicts.is_empty() => {
                    let Err(Refusal::Conflicts(found)) = story.applied(name, &service(&wanted), false) else {
                        panic!("no conflict, though others own {conflicts:?}");
                    };
                    let found: BTreeSet<String> = found.iter().map(|Conflict { path, .. }| path.to_string()).collect();
                    prop_assert_eq!(conflicts, found);
                }
                Way::Apply | Way::Force => {
                    story.applied(name, &service(&wanted), matches!(way, Way::Force)).expect("no conflict");
                    model.apply(&who, &wanted);
                    // The same once more changes nothing.
                    let before = (story.object.clone(), owners(&story));
                    story.applied(name, &service(&wanted), false).expect("no conflict");
                    prop_assert_eq!(before, (story.object.clone(), owners(&story)));
                }
            }
            prop_assert_eq!(fields(&story.object), model.object.clone());
            prop_assert_eq!(owners(&story), model.owners.clone());
            // Nothing is there that nobody owns.
            prop_assert!(model.object.keys().all(|field| model.owners.values().any(|fields| fields.contains(field))));
        }
    }
}
