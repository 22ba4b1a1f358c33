//! What holds for every row of the table.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Kind, Object, Source};
use crate::{
    Served, Subresource, Timestamp, Verb, defaults,
    error::Cause,
    json::{self, Strictness, random},
    schema::Schema,
    selector, table, validate,
    well_known::NAMESPACES,
    yaml,
};

fn decoded(served: impl Into<Served>, value: &Value) -> Object {
    let served = served.into();
    json::decode(served, value, Strictness::Strict).unwrap_or_else(|error| panic!("{served:?}: {error}")).object
}

fn sample(served: impl Into<Served>) -> Object {
    let served = served.into();
    let documents = yaml::documents(served.sample()).unwrap();
    assert_eq!(documents.len(), 1, "{served:?}");
    assert_eq!(documents[0]["kind"], served.info().kind);
    assert_eq!(documents[0]["apiVersion"], served.info().api_version());
    decoded(served, &documents[0])
}

#[test]
fn samples_are_what_their_json_says() {
    for served in Served::all() {
        let sample = sample(served);
        assert_eq!(sample.kind(), served.kind(), "{served:?}");
        assert_eq!(decoded(served, &json::encode_as(served, &sample)), sample, "{served:?}");
    }
}

#[test]
fn samples_may_be_stored_and_stay_as_they_are() {
    for served in Served::all() {
        let mut new = sample(served);
        new.prepare_for_create();
        defaults::apply(&mut new);
        assert_eq!(validate::create_as(served, &new), Vec::<Cause>::new(), "{served:?}");
        assert_eq!(validate::update_as(served, &new, &new), Vec::<Cause>::new(), "{served:?}");
        let old = new.clone();
        defaults::apply(&mut new);
        new.prepare_for_update(&old);
        assert_eq!(new, old, "{served:?}");
        assert!(!new.is_new_generation(Some(&old), Subresource::None), "{served:?}");
    }
}

#[test]
fn what_can_be_selected_in_one_version_is_found_in_the_stored_one() {
    for served in Served::all() {
        for path in served.fields() {
            assert_eq!(served.path_here(&served.path_stored(path)), path, "{served:?}");
            let selector = selector::Fields::parse(served, &format!("{path}!=nothing of the kind"));
            assert!(selector.unwrap().matches(&sample(served)), "{served:?}: {path}");
        }
    }
}

#[test]
fn samples_have_a_cell_for_each_column_and_a_value_for_each_field() {
    for kind in Kind::ALL {
        let mut object = sample(*kind);
        defaults::apply(&mut object);
        assert_eq!(table::row(&object, Timestamp(0)).len(), table::columns(*kind).len(), "{kind}");
        for (index, path) in kind.fields().into_iter().enumerate() {
            let value = object.field(index);
            let text = format!("{path}={value}");
            assert!(selector::Fields::parse(*kind, &text).unwrap().matches(&object), "{kind}: {text}");
        }
        assert_eq!(object.field(kind.fields().len()), "", "{kind}: no such field");
    }
}

#[test]
fn a_kind_has_the_part_status_if_its_message_has_the_field() {
    for kind in Kind::ALL {
        let message = Schema::get().message(kind.info().message).unwrap();
        assert_eq!(kind.has(Subresource::Status), message.find("status").is_some(), "{kind}");
    }
}

/// An object of a kind with anything in it.
fn random(kind: Kind, dice: &mut random::Dice) -> Object {
    decoded(kind, &random::message(Schema::get().message(kind.info().message).unwrap(), dice, 0))
}

/// Selectors read most values from the bytes of an object, without decoding it.
#[test]
fn selectors_find_the_same_in_an_object_and_in_its_bytes() {
    for (seed, kind) in (0..50).flat_map(|seed| Kind::ALL.iter().map(move |kind| (seed, *kind))) {
        let object = random(kind, &mut random::Dice(seed));
        let bytes = object.encode_bytes();
        let object = Arc::new(object);
        let name = object.metadata().map(|meta| meta.name.clone()).unwrap_or_default();
        let own = kind.fields().into_iter().enumerate().map(|(index, path)| (path, object.field(index).into_owned()));
        for (path, value) in own.chain([("metadata.name", name)]) {
            let value = value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            for (sign, meant) in [("=", true), ("!=", false)] {
                let fields = selector::Fields::parse(kind, &format!("{path}{sign}{value}")).unwrap();
                let stored = fields.matches_stored(&bytes, || object.clone());
                assert_eq!((fields.matches(&object), stored), (meant, meant), "{kind}: {path}{sign}{value}");
            }
        }
        let labels = object.metadata().map(|meta| meta.labels.clone()).unwrap_or_default();
        let all = selector::Labels::from_map(&labels);
        assert!(all.matches(&labels) && all.matches_stored(&bytes), "{kind}: {all}");
        for text in labels.keys().map(|key| format!("!{key}")).chain(["absent=1".to_owned()]) {
            assert!(!selector::Labels::parse(&text).unwrap().matches_stored(&bytes), "{kind}: {text}");
        }
    }
}

#[test]
fn a_status_is_written_by_its_part_and_by_nothing_else() {
    let status = |object: &Object| json::encode(object)["status"].clone();
    let spec = |object: &Object| json::encode(object)["spec"].clone();
    for (seed, kind) in (0..20).flat_map(|seed| Kind::ALL.iter().map(move |kind| (seed, *kind))) {
        let mut dice = random::Dice(seed);
        let (old, sent) = (random(kind, &mut dice), random(kind, &mut dice));
        let mut whole = sent.clone();
        whole.prepare_for_update(&old);
        let mut reported = old.clone();
        reported.update_status(&sent);
        assert_eq!(spec(&reported), spec(&old), "{kind}");
        if kind.has(Subresource::Status) {
            assert_eq!((status(&whole), status(&reported)), (status(&old), status(&sent)), "{kind}");
        } else {
            assert_eq!((&whole, &reported), (&sent, &old), "{kind}");
        }
    }
}

#[test]
fn a_kind_has_the_part_scale_if_it_can_be_scaled() {
    for kind in Kind::ALL {
        let mut object = sample(*kind);
        let before = object.clone();
        object.set_replicas(7);
        if kind.has(Subresource::Scale) {
            assert_eq!(object.scale().unwrap().wanted, Some(7), "{kind}");
            assert!(object.is_new_generation(Some(&before), Subresource::Scale), "{kind}");
        } else {
            assert_eq!((object.scale(), &object), (None, &before), "{kind}");
        }
    }
}

#[test]
fn what_is_marked_for_deletion_has_a_deadline() {
    for kind in Kind::ALL {
        let mut object = sample(*kind);
        object.mark_for_deletion(None, Timestamp(1_000)).unwrap();
        assert_eq!(object.metadata().unwrap().deletion_timestamp.unwrap().seconds, 1, "{kind}");
        let marked = object.clone();
        object.mark_for_deletion(None, Timestamp(9_000)).unwrap();
        assert_eq!(object, marked, "{kind}: the second time changes nothing");
    }
}

#[test]
fn what_is_not_stored_is_neither_written_nor_watched() {
    for kind in Kind::ALL {
        let info = kind.info();
        assert!(info.verbs.is_sorted_by_key(|verb| verb.word()), "{kind}: as discovery lists them");
        let needs_state = info.verbs.iter().any(|verb| verb.writes() || *verb == Verb::Watch);
        match info.source {
            Source::State => assert!(needs_state, "{kind}"),
            Source::Health => assert!(!needs_state && info.subresources.is_empty(), "{kind}"),
        }
    }
}

#[test]
fn each_word_of_a_url_is_found_again() {
    for part in Subresource::ALL {
        assert_eq!(Subresource::from_word(part.word()), Some(part));
    }
    for kind in Kind::ALL {
        for part in kind.info().subresources {
            assert_eq!(kind.subresource(part.word()), Some(*part), "{kind}");
        }
        assert_eq!(kind.subresource(Subresource::Owners.word()), None, "{kind}: it has no URL");
        assert_eq!(kind.subresource(""), None, "{kind}");
    }
}

#[test]
fn a_service_claims_its_address_and_the_ports_of_nodes_that_it_names() {
    let claims =
        |spec: Value| decoded(Kind::Service, &json!({ "spec": spec })).claims().into_iter().collect::<Vec<_>>();
    let ports = json!([{"port": 80, "nodePort": 30_080, "protocol": "TCP"}, {"port": 81, "protocol": "TCP"}]);
    assert_eq!(
        claims(json!({"clusterIP": "10.0.0.10", "ports": ports})),
        ["node-port/TCP/30080", "service-address/10.0.0.10"]
    );
    assert!(claims(json!({"clusterIP": "None"})).is_empty());
    assert!(claims(json!({"type": "ExternalName", "clusterIP": "10.0.0.10"})).is_empty());
    for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::Service) {
        assert!(sample(*kind).claims().is_empty(), "{kind}");
    }
}

#[test]
fn what_every_cluster_has_is_never_deleted() {
    for name in NAMESPACES {
        let mut namespace = decoded(Kind::Namespace, &json!({"metadata": {"name": name}}));
        assert!(namespace.mark_for_deletion(None, Timestamp(0)).is_err(), "{name}");
    }
}
