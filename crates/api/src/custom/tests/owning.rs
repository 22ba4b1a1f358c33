//! Server-side apply of objects whose kind a user has defined: lists and maps are merged as the schema says.

use serde_json::{Value, json};

use crate::{
    Kind, Served,
    apply::{Conflict, Refusal, Request, Update, apply, tracked},
    custom::{Definition, OwnedKind, Version},
    fieldset::Set,
    json::{self, Strictness},
    meta_v1::{ManagedFieldsEntry, Time},
};

/// A kind with every way in which values are merged.
fn definition() -> Definition {
    let element = json!({
        "type": "object", "required": ["name"],
        "properties": {
            "name": {"type": "string"}, "protocol": {"type": "string", "default": "TCP"}, "port": {"type": "integer"},
        },
    });
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "size": {"type": "integer", "default": 1},
            "ports": {
                "type": "array", "items": element,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "protocol"],
            },
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "steps": {"type": "array", "items": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "selector": {
                "type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic",
            },
            "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "target": {"x-kubernetes-int-or-string": true},
        }},
        "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    }});
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}},
        })
    };
    let names = json!({"plural": "gadgets", "kind": "Gadget"});
    let value = json!({
        "metadata": {"name": "gadgets.owning.test"},
        "spec": {
            "group": "owning.test", "scope": "Namespaced", "names": names,
            "versions": [version("v1", true), version("v1beta1", false)],
        },
        "status": {"acceptedNames": names, "conditions": [{"type": "Established", "status": "True"}]},
    });
    let object = json::decode(Kind::CustomResourceDefinition, &value, Strictness::Ignore).unwrap().object;
    Definition::of(object.get().unwrap()).unwrap()
}

/// An object that several people write.
struct Story<'a> {
    definition: &'a Definition,
    object: Value,
    owners: Vec<ManagedFieldsEntry>,
    now: i64,
}

impl<'a> Story<'a> {
    fn of(definition: &'a Definition) -> Self {
        Self { definition, object: json!({}), owners: Vec::new(), now: 0 }
    }

    fn version(&self, name: &str) -> (&'a Version, Served) {
        let version = self.definition.named(name).unwrap();
        (version, version.as_served())
    }

    /// As it is stored: pruned, and with its defaults.
    fn stored(&self, value: &Value) -> Value {
        let (version, served) = self.version("v1");
        let mut value = value.clone();
        value["apiVersion"] = "owning.test/v1".into();
        let mut object = version.read_made(&value, Strictness::Ignore).unwrap().object;
        version.fill(object.custom_mut().unwrap()).unwrap();
        json::encode_without_owners(served, &object.encode_bytes(), None)
    }

    fn applied(&mut self, manager: &str, version: &str, wanted: &Value, force: bool) -> Result<(), Vec<Conflict>> {
        self.now += 1;
        let (version, served) = self.version(version);
        let kind = OwnedKind::of(self.definition, served);
        let api_version = served.info().api_version();
        let now = Time { seconds: self.now, nanos: 0 };
        let request = Request { kind: &&kind, api_version: &api_version, manager, subresource: "", now };
        let mut wanted = wanted.clone();
        (wanted["apiVersion"], wanted["kind"]) = (api_version.clone().into(), "Gadget".into());
        wanted["metadata"] = json!({"name": "g", "namespace": "a"});
        let config = version.config(&wanted).unwrap();
        let mut live = self.object.clone();
        if !self.owners.is_empty() {
            live["apiVersion"] = api_version.clone().into();
        }
        match apply(&request, &live, &self.owners, &config, force) {
            Ok(applied) => (self.object, self.owners) = (self.stored(&applied.object), applied.owners),
            Err(Refusal::Conflicts(conflicts)) => return Err(conflicts),
            Err(Refusal::Unmergeable(why)) => panic!("{why}"),
        }
        Ok(())
    }

    fn apply(&mut self, manager: &str, spec: &Value) -> &mut Self {
        self.applied(manager, "v1", &json!({ "spec": spec }), false).unwrap();
        self
    }

    fn write(&mut self, manager: &str, part: &str, new: &Value) -> &mut Self {
        self.now += 1;
        let (_, served) = self.version("v1");
        let kind = OwnedKind::of(self.definition, served);
        let now = Time { seconds: self.now, nanos: 0 };
        let request = Request { kind: &&kind, api_version: "owning.test/v1", manager, subresource: part, now };
        let mut whole = new.clone();
        (whole["kind"], whole["metadata"]) = ("Gadget".into(), json!({"name": "g", "namespace": "a"}));
        let new = self.stored(&whole);
        let is_there = self.object.get("metadata").is_some();
        let update = Update { before: is_there.then_some(&self.owners[..]), sent: &[] };
        self.owners = tracked(&request, update, || (self.object.clone(), new.clone()));
        self.object = new;
        self
    }

    /// Who owns what.
    fn owned(&self) -> Vec<String> {
        let told = |entry: &ManagedFieldsEntry| {
            assert_eq!(entry.fields_type, "FieldsV1", "all fields are named: nobody could read them from the bytes");
            let set = Set::from_json(&entry.fields_v1.as_ref().unwrap().raw).unwrap();
            let paths: Vec<String> = set.paths().iter().map(ToString::to_string).collect();
            let version = entry.api_version.trim_start_matches("owning.test/");
            format!("{} {} {version} {}: {}", entry.manager, entry.operation, entry.subresource, paths.join(" "))
        };
        self.owners.iter().map(told).collect()
    }
}

#[test]
fn what_is_applied_is_owned_as_the_schema_merges_it() {
    let definition = definition();
    let mut story = Story::of(&definition);
    story.apply(
        "a",
        &json!({
            "ports": [{"name": "web", "port": 80}], "tags": ["x"], "steps": ["one", "two"], "labels": {"k": "v"},
            "selector": {"app": "a"}, "anything": {"deep": {"er": 1}, "list": [1]}, "target": 7, "unknown": 1,
        }),
    );
    let port = ".spec.ports[name=\"web\",protocol=\"TCP\"]";
    let expected = format!(
        "a Apply v1 : .spec.anything.deep .spec.anything.deep.er .spec.anything.list .spec.labels.k {port} {port}.name {port}.port \
         .spec.selector .spec.steps .spec.tags[=\"x\"] .spec.target"
    );
    assert_eq!(story.owned(), [expected]);
    assert_eq!(story.object["spec"]["size"], 1, "defaults are there, but nobody's");
}

#[test]
fn several_appliers_share_lists_and_take_away_what_is_theirs() {
    let definition = definition();
    let mut story = Story::of(&definition);
    let port = |name: &str| json!({"name": name, "port": 80});
    story.apply("a", &json!({"ports": [port("web")], "tags": ["x"], "labels": {"a": "1"}}));
    story.apply("b", &json!({"ports": [port("admin")], "tags": ["y"], "labels": {"b": "1"}}));
    let names = |story: &Story<'_>| -> Vec<Value> {
        story.object["spec"]["ports"].as_array().into_iter().flatten().map(|port| port["name"].clone()).collect()
    };
    assert_eq!(
        (names(&story), &story.object["spec"]["tags"]),
        (vec!["web".into(), "admin".into()], &json!(["x", "y"]))
    );
    story.apply("a", &json!({"tags": ["x"]}));
    assert_eq!((names(&story), &story.object["spec"]["labels"]), (vec!["admin".into()], &json!({"b": "1"})));
    let before = (story.object.clone(), story.owned());
    story.apply("a", &json!({"tags": ["x"]}));
    assert_eq!((story.object.clone(), story.owned()), before, "the same again changes nothing");
}

#[test]
fn what_others_own_is_not_taken_without_force() {
    let definition = definition();
    let mut story = Story::of(&definition);
    story.apply("a", &json!({"size": 3, "steps": ["one"], "ports": [{"name": "web", "port": 80}]}));
    let wanted = json!({"spec": {"size": 4, "steps": ["two"], "ports": [{"name": "web", "port": 81}]}});
    let conflicts = story.applied("b", "v1", &wanted, false).unwrap_err();
    let paths: Vec<String> = conflicts.iter().map(|conflict| conflict.path.to_string()).collect();
    assert_eq!(paths, [".spec.ports[name=\"web\",protocol=\"TCP\"].port", ".spec.size", ".spec.steps"]);
    story.applied("b", "v1beta1", &wanted, true).unwrap();
    assert_eq!(story.object["spec"]["steps"], json!(["two"]));
    let port = ".spec.ports[name=\"web\",protocol=\"TCP\"]";
    assert_eq!(
        story.owned(),
        [
            format!("a Apply v1 : {port} {port}.name"),
            format!("b Apply v1beta1 : {port} {port}.name {port}.port .spec.size .spec.steps"),
        ]
    );
}

#[test]
fn whoever_writes_otherwise_owns_what_it_changes_and_the_status_apart() {
    let definition = definition();
    let mut story = Story::of(&definition);
    story.write("maker", "", &json!({"spec": {"size": 2, "tags": ["x"]}}));
    assert_eq!(story.owned(), ["maker Update v1 : .spec .spec.size .spec.tags .spec.tags[=\"x\"]"]);
    story.write("watcher", "status", &json!({"spec": {"size": 2, "tags": ["x"]}, "status": {"ready": true}}));
    story.write("scaler", "", &json!({"spec": {"size": 5, "tags": ["x"]}, "status": {"ready": true}}));
    assert_eq!(
        story.owned(),
        [
            "maker Update v1 : .spec .spec.tags .spec.tags[=\"x\"]",
            "watcher Update v1 status: .status .status.ready",
            "scaler Update v1 : .spec.size",
        ]
    );
}
