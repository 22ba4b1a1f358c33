//! Applying, owners and conflicts, told as short stories: who does what, and who owns what afterwards.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    Applied, BuiltIn, BuiltInKind, Conflict, Refusal, Request, UPDATE_OWNERS_MAX, Update, Versions as _, apply, config,
    migrates,
    owners::{Part, UNOWNED_METADATA},
    shown, spell, synced, tracked, typed, value,
};
use crate::{
    Kind, Served,
    fieldset::Set,
    json as codec,
    json::{Strictness, random},
    meta_v1::{ManagedFieldsEntry, Time},
    schema::Schema,
};

/// An object that several people write.
pub(super) struct Story {
    served: Served,
    pub(super) object: Value,
    pub(super) owners: Vec<ManagedFieldsEntry>,
    there: bool,
    now: i64,
}

impl Story {
    pub(super) fn of(served: impl Into<Served>) -> Self {
        Self { served: served.into(), object: json!({}), owners: Vec::new(), there: false, now: 0 }
    }

    fn request<'a>(
        &self,
        kind: &'a BuiltInKind,
        manager: &'a str,
        version: &'a str,
        part: &'a str,
    ) -> Request<'a, BuiltInKind> {
        Request { kind, api_version: version, manager, subresource: part, now: Time { seconds: self.now, nanos: 0 } }
    }

    fn version(&self) -> String {
        self.served.info().api_version()
    }

    /// An object as it is stored: what the codec makes of it.
    fn stored(&self, value: &Value) -> Value {
        let decoded = codec::decode(self.served, value, Strictness::Strict).expect("an object of the kind");
        codec::encode_as(self.served, &decoded.object)
    }

    pub(super) fn applied(&mut self, manager: &str, wanted: &Value, force: bool) -> Result<Applied, Refusal> {
        self.now += 1;
        let (kind, version) = (BuiltInKind(self.served.kind()), self.version());
        let request = self.request(&kind, manager, &version, "");
        let applied = apply(&request, &self.object, &self.owners, &config(self.served, wanted), force)?;
        self.object = self.stored(&applied.object);
        self.owners.clone_from(&applied.owners);
        self.there = true;
        Ok(applied)
    }

    pub(super) fn apply(&mut self, manager: &str, wanted: &Value) -> &mut Self {
        self.applied(manager, wanted, false).expect("no conflict");
        self
    }

    fn conflicts(&mut self, manager: &str, wanted: &Value) -> Vec<Conflict> {
        match self.applied(manager, wanted, false) {
            Err(Refusal::Conflicts(conflicts)) => conflicts,
            other => panic!("conflicts were expected, not {other:?}"),
        }
    }

    pub(super) fn write(&mut self, manager: &str, part: &str, change: impl FnOnce(&mut Value)) -> &mut Self {
        self.now += 1;
        let mut new = self.object.clone();
        change(&mut new);
        let new = self.stored(&new);
        let (kind, version) = (BuiltInKind(self.served.kind()), self.version());
        let request = self.request(&kind, manager, &version, part);
        let update = Update { before: self.there.then_some(&self.owners[..]), sent: &[] };
        let owners = tracked(&request, update, || (self.object.clone(), new.clone()));
        (self.object, self.owners, self.there) = (new, owners, true);
        self
    }

    /// Who owns what, as a reader is shown it.
    fn owners(&self) -> String {
        let mut object = codec::decode(self.served, &self.object, Strictness::Strict).expect("an object").object;
        object.metadata_mut().managed_fields.clone_from(&self.owners);
        let seen = shown::object(self.served, &object);
        // JSON says the same.
        let mut text = Vec::new();
        let (served, bytes) = (self.served, self.served.encode_bytes(&object));
        let subject = shown::Subject { served, bytes: &bytes, revision: None, note: None };
        shown::Speller::once().write(subject, &mut text);
        let text: Value = serde_json::from_slice(&text).expect("JSON");
        let read = codec::decode(self.served, &text, Strictness::Strict).expect("an object").object;
        for (read, seen) in read
            .metadata()
            .expect("metadata")
            .managed_fields
            .iter()
            .zip(&seen.metadata().expect("metadata").managed_fields)
        {
            assert_eq!(told(read), told(seen));
        }
        seen.metadata().expect("metadata").managed_fields.iter().map(told).collect()
    }

    /// What whoever brought the object into being would own.
    fn all(&self) -> Set {
        let (kind, version) = (BuiltInKind(self.served.kind()), self.version());
        self.request(&kind, "", &version, "").fields(&self.object, &version).expect("its own version")
    }

    fn check(&self, expected: &Expect) {
        expected.assert_eq(&self.owners());
    }
}

fn told(entry: &ManagedFieldsEntry) -> String {
    let fields = entry.fields_v1.as_ref().map_or(&b"{}"[..], |fields| &fields.raw);
    let fields: Vec<String> =
        Set::from_json(fields).expect("fields").paths().iter().map(|path| format!("  {path}\n")).collect();
    let part = if entry.subresource.is_empty() { String::new() } else { format!(" of {}", entry.subresource) };
    let time = entry.time.map_or(0, |time| time.seconds);
    format!("{} {}{part} at {time}\n{}", entry.manager, entry.operation, fields.concat())
}

fn deployment(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "a"}, "spec": spec})
}

fn map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "a"}, "data": data})
}

#[test]
fn who_creates_an_object_owns_all_of_it_and_is_told_in_a_few_bytes() {
    let mut story = Story::of(Kind::ConfigMap);
    story.write("kubectl-create", "", |object| *object = map(&json!({"a": "1", "b": "2"})));
    assert_eq!(story.owners[0].fields_v1, None);
    story.check(&expect![[r#"
        kubectl-create Update at 1
          .data
          .data.a
          .data.b
    "#]]);
    story.write("kubectl-create", "", |object| object["data"]["c"] = "3".into());
    assert_eq!(story.owners[0].fields_v1, None);
    story.write("kubectl-edit", "", |object| object["data"] = json!({"a": "1", "c": "4"}));
    story.check(&expect![[r#"
        kubectl-create Update at 2
          .data
          .data.a
        kubectl-edit Update at 3
          .data.c
    "#]]);
}

#[test]
fn appliers_own_what_they_name_and_conflict_with_each_other() {
    let mut story = Story::of(Kind::ConfigMap);
    story.apply("one", &map(&json!({"a": "1", "b": "1"}))).apply("two", &map(&json!({"a": "1", "c": "1"})));
    let expected = expect![[r#"
        one Apply at 1
          .data.a
          .data.b
        two Apply at 2
          .data.a
          .data.c
    "#]];
    story.check(&expected);

    let conflicts = story.conflicts("two", &map(&json!({"a": "2", "b": "2"})));
    let error = Conflict::error(&conflicts);
    expect![[r#"
        Apply failed with 2 conflicts: conflicts with "one":
        - .data.a
        - .data.b"#]]
    .assert_eq(&error.message);
    assert_eq!(error.causes[0].reason, "FieldManagerConflict");
    assert_eq!((&*error.causes[0].message, &*error.causes[0].field), ("conflict with \"one\"", ".data.a"));
    story.check(&expected);

    story.applied("two", &map(&json!({"a": "2"})), true).expect("by force");
    story.check(&expect![[r#"
        one Apply at 1
          .data.b
        two Apply at 4
          .data.a
    "#]]);
    // What its last applier no longer names is gone.
    assert_eq!(story.object["data"], json!({"a": "2", "b": "1"}));
}

#[test]
fn applying_the_same_again_changes_nothing() {
    let mut story = Story::of(Kind::Deployment);
    let wanted = deployment(&json!({
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
            {"name": "web", "image": "hello", "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}],
             "env": [{"name": "A", "value": "1"}], "resources": {"limits": {"memory": "64Mi"}}},
        ]}},
    }));
    story.apply("kubectl", &wanted);
    let (object, owners) = (story.object.clone(), story.owners());
    story.apply("kubectl", &wanted);
    assert_eq!(story.object, object);
    assert_eq!(story.owners(), owners.replace("at 1", "at 2"));
    story.check(&expect![[r#"
        kubectl Apply at 2
          .spec.replicas
          .spec.selector
          .spec.template.metadata.labels.app
          .spec.template.spec.containers[name="web"]
          .spec.template.spec.containers[name="web"].env[name="A"]
          .spec.template.spec.containers[name="web"].env[name="A"].name
          .spec.template.spec.containers[name="web"].env[name="A"].value
          .spec.template.spec.containers[name="web"].image
          .spec.template.spec.containers[name="web"].name
          .spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"]
          .spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"].containerPort
          .spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="UDP"]
          .spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="UDP"].containerPort
          .spec.template.spec.containers[name="web"].ports[containerPort=80,protocol="UDP"].protocol
          .spec.template.spec.containers[name="web"].resources.limits.memory
    "#]]);
}

#[test]
fn elements_that_an_applier_no_longer_names_go_unless_somebody_else_owns_them() {
    let mut story = Story::of(Kind::Deployment);
    let with = |containers: Value| deployment(&json!({"template": {"spec": {"containers": containers}}}));
    story.apply("one", &with(json!([{"name": "a", "image": "x"}, {"name": "b", "image": "x"}])));
    story.apply("two", &with(json!([{"name": "b", "stdin": true}])));
    story.apply("one", &with(json!([{"name": "c", "image": "x"}])));
    let names = |story: &Story| story.object["spec"]["template"]["spec"]["containers"].clone();
    assert_eq!(names(&story), json!([{"name": "b", "stdin": true}, {"name": "c", "image": "x"}]));
    story.apply("two", &with(json!([])));
    assert_eq!(names(&story), json!([{"name": "c", "image": "x"}]));
}

#[test]
fn nobody_owns_a_map_or_a_list_when_its_last_part_was_taken_away() {
    let mut story = Story::of(Kind::ConfigMap);
    story.write("edit", "", |object| *object = map(&json!({"b": "1"})));
    story.apply("one", &map(&json!({"a": "1"})));
    story.write("edit", "", |object| object["data"] = json!({"a": "1"}));
    story.apply("one", &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "a"}}));
    assert_eq!(story.object.get("data"), None);
    // The map that `edit` once made is gone, and nobody is asked about it.
    story.apply("two", &map(&json!({"b": "1"})));
    story.check(&expect![[r#"
        two Apply at 5
          .data.b
    "#]]);
}

#[test]
fn a_field_that_an_update_has_taken_over_stays_when_its_applier_leaves_it() {
    let mut story = Story::of(Kind::Deployment);
    story.apply("kubectl", &deployment(&json!({"replicas": 1, "paused": true})));
    story.write("hpa", "scale", |object| object["spec"]["replicas"] = 7.into());
    let conflicts = story.conflicts("kubectl", &deployment(&json!({"replicas": 1, "paused": true})));
    expect![[
        r#"Apply failed with 1 conflict: conflict with "hpa" with subresource "scale" using apps/v1: .spec.replicas"#
    ]]
    .assert_eq(&Conflict::error(&conflicts).message);
    story.apply("kubectl", &deployment(&json!({})));
    assert_eq!(story.object["spec"]["replicas"], 7);
    assert_eq!(story.object["spec"]["paused"], Value::Null);
    story.check(&expect![[r#"
        kubectl Apply at 4
          .spec
        hpa Update of scale at 2
          .spec.replicas
    "#]]);
}

#[test]
fn the_status_has_owners_of_its_own() {
    let mut story = Story::of(Kind::Deployment);
    story.write("kubectl-create", "", |object| *object = deployment(&json!({"replicas": 1})));
    story.write("controller", "status", |object| object["status"] = json!({"replicas": 1}));
    assert!(story.owners.iter().all(|entry| entry.fields_v1.is_none()), "{:?}", story.owners);
    story.write("controller", "status", |object| object["status"]["readyReplicas"] = 1.into());
    // An applier of the object cannot own what it says of the status.
    let mut wanted = deployment(&json!({"paused": true}));
    wanted["status"] = json!({"replicas": 9});
    story.applied("kubectl", &wanted, false).expect("no conflict");
    let owners = story.owners();
    assert!(
        owners.contains("controller Update of status at 3\n  .status.readyReplicas\n  .status.replicas\n"),
        "{owners}"
    );
    assert!(owners.contains("kubectl Apply at 4\n  .spec.paused\n"), "{owners}");
}

#[test]
fn what_the_server_fills_in_belongs_to_nobody() {
    let mut story = Story::of(Kind::Pod);
    story.write("kubectl-create", "", |object| {
        *object = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "n1", "hostNetwork": true}});
    });
    story.check(&expect![[r#"
        kubectl-create Update at 1
          .spec.hostNetwork
    "#]]);
    story.apply("other", &json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": "n1"}}));
    story.check(&expect![[r#"
        other Apply at 2
          .spec.nodeName
        kubectl-create Update at 1
          .spec.hostNetwork
    "#]]);
}

#[test]
fn who_applies_first_to_an_object_without_owners_meets_those_who_were_there() {
    let mut story = Story::of(Kind::ConfigMap);
    (story.object, story.there) = (story.stored(&map(&json!({"a": "1"}))), true);
    let conflicts = story.conflicts("kubectl", &map(&json!({"a": "2"})));
    expect![[r#"Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a"#]]
        .assert_eq(&Conflict::error(&conflicts).message);
    // And until then nobody is told.
    story.write("kubectl-edit", "", |object| object["data"]["b"] = "1".into());
    assert_eq!(story.owners, []);
}

#[test]
fn owners_can_be_reset_and_are_otherwise_kept_from_those_who_do_not_know_them() {
    let kind = BuiltInKind(Kind::ConfigMap);
    let mut story = Story::of(Kind::ConfigMap);
    story.apply("one", &map(&json!({"a": "1"})));
    let request = story.request(&kind, "two", "v1", "");
    let same = || (story.object.clone(), story.object.clone());
    let before = Some(&story.owners[..]);
    assert_eq!(tracked(&request, Update { before, sent: &[] }, same), story.owners);
    assert_eq!(tracked(&request, Update { before, sent: &[ManagedFieldsEntry::default()] }, same), []);
    // A list that makes no sense is as none.
    let broken = ManagedFieldsEntry { manager: "x".to_owned(), ..ManagedFieldsEntry::default() };
    assert_eq!(tracked(&request, Update { before, sent: &[broken] }, same), story.owners);
    // And one that does is taken: so kubectl goes over from its own way of applying.
    let sent = [ManagedFieldsEntry { manager: "new".to_owned(), ..story.owners[0].clone() }];
    assert_eq!(tracked(&request, Update { before, sent: &sent }, same), sent);
}

#[test]
fn kubectl_takes_over_what_it_applied_on_its_own_side() {
    let mut story = Story::of(Kind::ConfigMap);
    let first = map(&json!({"a": "1", "b": "1"}));
    story.write("kubectl-client-side-apply", "", |object| {
        *object = first.clone();
        object["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": first.to_string()});
    });
    story.write("kubectl-edit", "", |object| object["data"]["b"] = "9".into());
    let kind = BuiltInKind(Kind::ConfigMap);
    let request = story.request(&kind, "kubectl", "v1", "");
    let left = |story: &mut Story, manager: &str, wanted: &Value| {
        let conflicts = story.conflicts(manager, wanted);
        let request = Request { manager, ..request };
        migrates(&request, &story.object, conflicts)
            .iter()
            .map(|conflict| conflict.path.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&mut story, "kubectl", &map(&json!({"a": "2"}))), Vec::<String>::new());
    assert_eq!(left(&mut story, "kubectl", &map(&json!({"a": "2", "b": "2"}))), [".data.b"]);
    assert_eq!(left(&mut story, "other", &map(&json!({"a": "2"}))), [".data.a"]);

    let object = synced("kubectl", story.object.clone(), &map(&json!({"a": "2"})));
    let copy = object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].as_str();
    assert_eq!(serde_json::from_str::<Value>(copy.unwrap_or_default()).unwrap_or_default(), map(&json!({"a": "2"})));
}

#[test]
fn what_was_applied_before_anybody_was_told_goes_over_and_is_taken_away() {
    let last = map(&json!({"a": "1", "b": "1", "c": "1"}));
    let before = || {
        let mut story = Story::of(Kind::ConfigMap);
        let mut object = last.clone();
        object["data"] = json!({"a": "1", "b": "9", "c": "1", "d": "1"});
        object["metadata"]["annotations"] =
            json!({"kubectl.kubernetes.io/last-applied-configuration": last.to_string()});
        (story.object, story.there) = (story.stored(&object), true);
        story
    };
    let mut story = before();
    story.apply("kapelle", &map(&json!({"a": "2"})));
    // What somebody else has changed meanwhile stays, and so does what was never applied.
    assert_eq!(story.object["data"], json!({"a": "2", "b": "9", "d": "1"}));
    let mut story = before();
    assert_eq!(story.conflicts("kapelle", &map(&json!({"b": "2"})))[0].path.to_string(), ".data.b");
    // To somebody else it is as an object without any owners.
    story.apply("other", &map(&json!({"e": "1"})));
    assert_eq!(story.object["data"], json!({"a": "1", "b": "9", "c": "1", "d": "1", "e": "1"}));
}

#[test]
fn owners_that_are_sent_back_as_they_were_shown_are_known_again() {
    let mut story = Story::of(Kind::Deployment);
    story.write("kubectl-create", "", |object| *object = deployment(&json!({"replicas": 1})));
    story.write("controller", "status", |object| object["status"] = json!({"replicas": 1}));
    let mut object = codec::decode(story.served, &story.object, Strictness::Strict).expect("an object").object;
    object.metadata_mut().managed_fields.clone_from(&story.owners);
    let bytes = story.served.encode_bytes(&object);
    let shown_entries = shown::object(story.served, &object).metadata().expect("metadata").managed_fields.clone();
    let is_known = |sent: &[ManagedFieldsEntry]| shown::is_as_shown(story.served, &bytes, &story.owners, sent);
    // JSON's members may come in another order.
    let turned: Vec<ManagedFieldsEntry> = shown_entries
        .iter()
        .map(|entry| {
            let mut entry = entry.clone();
            if let Some(fields) = &mut entry.fields_v1 {
                let value: Value = serde_json::from_slice(&fields.raw).expect("JSON");
                fields.raw = value.to_string().into();
            }
            entry
        })
        .collect();
    assert!(is_known(&shown_entries) && is_known(&turned));
    assert!(!is_known(&story.owners) && !is_known(&shown_entries[1..]) && !is_known(&[]));
    for change in [
        (|entry: &mut ManagedFieldsEntry| entry.manager.push('x')) as fn(&mut ManagedFieldsEntry),
        |entry| entry.time = None,
        |entry| entry.fields_v1 = None,
    ] {
        let mut changed = shown_entries.clone();
        change(&mut changed[0]);
        assert!(!is_known(&changed));
    }
}

#[test]
fn quantities_that_are_numbers_are_the_texts_that_are_stored() {
    let pod = |cpu: Value| json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": cpu}}}]}});
    let mut story = Story::of(Kind::Pod);
    story.apply("one", &pod(json!("1"))).apply("two", &pod(json!(1)));
    assert_eq!(story.conflicts("two", &pod(json!(2))).len(), 1);
}

#[test]
fn of_too_many_owners_by_update_the_oldest_are_one() {
    let mut story = Story::of(Kind::ConfigMap);
    story.write("first", "", |object| *object = map(&json!({"a": "1"})));
    for n in 0..UPDATE_OWNERS_MAX + 2 {
        story.write(&format!("m{n}"), "", |object| object["data"][format!("k{n}")] = "x".into());
    }
    let names: Vec<&str> = story.owners.iter().map(|entry| &*entry.manager).collect();
    assert_eq!(names, ["ancient-changes", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11"]);
    assert_eq!(names.len(), UPDATE_OWNERS_MAX);
    let owners = story.owners();
    for key in ["a", "k0", "k1", "k2"] {
        assert_eq!(owners.matches(&format!(".data.{key}\n")).count(), 1, "{owners}");
    }
}

#[test]
fn lists_that_cannot_be_told_apart_are_refused() {
    let mut story = Story::of(Kind::Service);
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": ports}});
    let twice = json!([{"port": 53, "protocol": "TCP"}, {"port": 53}]);
    match story.applied("one", &service(twice), false) {
        Err(Refusal::Unmergeable(why)) => {
            assert_eq!(why, ".spec.ports: duplicate entries for key [port=53,protocol=\"TCP\"]");
        }
        other => panic!("{other:?}"),
    }
    story.apply("one", &service(json!([{"port": 53, "protocol": "UDP"}, {"port": 53}])));
    assert_eq!(story.object["spec"]["ports"].as_array().map(Vec::len), Some(2));
}

#[test]
fn elements_come_in_the_order_of_who_applied_last() {
    let names = |values: &Value| values.as_array().into_iter().flatten().map(|v| v["name"].clone()).collect::<Value>();
    let root = BuiltIn::Message(Schema::get().message("kapelle.core.v1.PodSpec").expect("a message"));
    let containers =
        |names: &[&str]| json!({"containers": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
    let merge = |into: &[&str], said: &[&str]| {
        let merged = value::merged(root, Some(&containers(into)), &containers(said)).expect("it can be merged");
        names(&merged["containers"])
    };
    assert_eq!(merge(&["a", "b", "c"], &["b"]), json!(["a", "b", "c"]));
    assert_eq!(merge(&["a", "b", "c"], &["c", "a"]), json!(["b", "c", "a"]));
    assert_eq!(merge(&["a", "b"], &["x", "b", "y"]), json!(["a", "x", "b", "y"]));
    assert_eq!(merge(&[], &["b", "a"]), json!(["b", "a"]));
    assert_eq!(merge(&["a"], &[]), json!(["a"]));
}

#[test]
fn what_nobody_owns_is_known_by_number_too() {
    let metadata = Schema::get().message("kapelle.meta.v1.ObjectMeta").expect("a message");
    for field in &metadata.fields {
        let is_unowned = UNOWNED_METADATA.contains(&field.json.as_str());
        assert!(field.number < 32 && is_unowned == (spell::UNOWNED_NUMBERS & 1 << field.number != 0), "{}", field.json);
    }
}

/// Objects of some kinds, as a client may send them.
fn some(kind: Kind) -> impl Strategy<Value = Value> {
    any::<u64>().prop_map(move |seed| {
        let message = Schema::get().message(kind.info().message).expect("a message");
        random::message(message, &mut random::Dice(seed), 0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merging_and_removing_fit_together(one in some(Kind::Pod), other in some(Kind::Pod)) {
        let root = BuiltIn::Message(Schema::get().message("kapelle.core.v1.Pod").expect("a message"));
        let fields = |object: &Value| value::fields(root, object);
        prop_assert_eq!(value::difference(root, &one, &one), value::Difference::default());
        if let Ok(merged) = value::merged(root, Some(&one), &other) {
            // All that is said is there, and all that was there.
            let difference = value::difference(root, &one, &merged);
            prop_assert!(difference.removed.is_empty(), "{:?}", difference.removed.paths());
            let all = typed::with_named(&fields(&merged), root);
            prop_assert_eq!(fields(&other).difference(&all), Set::default());
            prop_assert_eq!(value::merged(root, Some(&merged), &other), Ok(merged.clone()));
            prop_assert_eq!(fields(&merged).difference(&fields(&one)).difference(&difference.added), Set::default());
        }
        prop_assert_eq!(value::without(root, &one, &Set::default()), one);
    }

    #[test]
    fn fields_are_spelled_from_bytes_as_from_values(seed in any::<u64>()) {
        for kind in Kind::ALL.iter().copied() {
            let message = Schema::get().message(kind.info().message).expect("a message");
            let value = random::message(message, &mut random::Dice(seed), 0);
            let mut story = Story::of(kind);
            story.object = story.stored(&value);
            let bytes = codec::decode(kind, &value, Strictness::Ignore).expect("an object").object.encode_bytes();
            for part in [Part::Main, Part::Status, Part::Whole] {
                let mut text = Vec::new();
                spell::fields(message, (&bytes, part), BuiltInKind(kind).given(), &mut text, None);
                let spelled = Set::from_json(&text).expect("a set");
                let wanted = story.all().under(|top| part.has(top));
                let (missing, more) = (wanted.difference(&spelled).paths(), spelled.difference(&wanted).paths());
                prop_assert!(missing.is_empty() && more.is_empty(), "{kind}: missing {missing:?}, more {more:?}");
            }
        }
    }

    #[test]
    fn whoever_owns_the_rest_is_shown_it(one in some(Kind::Deployment), other in some(Kind::Deployment)) {
        let mut story = Story::of(Kind::Deployment);
        story.write("one", "", |object| *object = one);
        story.write("two", "", |object| *object = other);
        // Each field that somebody has said has an owner.
        let told = story.owners();
        let owned: BTreeSet<&str> = told.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect();
        let main = story.all().under(|top| top.name() != Some("status"));
        for path in main.paths() {
            prop_assert!(owned.contains(&*path.to_string()), "{path}");
        }
    }
}
