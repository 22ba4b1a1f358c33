//! The table, held against what a library for descriptors reads.

#![expect(clippy::unwrap_used, reason = "tests")]

use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, Value};

use super::{Field, Granularity, Scalar, Schema, Shape};

/// What a field says in its options; the name of one is that of its field in `proto/`.
fn option(field: &FieldDescriptor, name: &str) -> Option<Value> {
    let extension = field.parent_pool().get_extension_by_name("kapelle.options.v1.field").unwrap();
    let options: DynamicMessage = field.options();
    let ours = options.get_extension(&extension).into_owned();
    let ours = ours.as_message().unwrap();
    ours.has_field_by_name(name).then(|| ours.get_field_by_name(name).unwrap().into_owned())
}

fn flag(field: &FieldDescriptor, name: &str) -> bool {
    option(field, name).is_some_and(|value| value.as_bool().unwrap())
}

fn text(field: &FieldDescriptor, name: &str) -> String {
    option(field, name).map(|value| value.as_str().unwrap().to_owned()).unwrap_or_default()
}

#[test]
fn the_table_is_what_a_library_for_descriptors_reads() {
    let pool = DescriptorPool::decode(crate::DESCRIPTORS).unwrap();
    let is_ours = |name: &str| name.starts_with("kapelle.") && !name.starts_with("kapelle.options.");
    let all = pool.all_messages().filter(|message| !message.is_map_entry() && is_ours(message.full_name()));
    let all: Vec<_> = all.collect();
    assert_eq!(Schema::get().messages().count(), all.len());
    let atomic = pool.get_extension_by_name("kapelle.options.v1.message").unwrap();
    for message in all {
        let name = message.full_name();
        let ours = Schema::get().message(name).unwrap();
        let told = message.options().get_extension(&atomic).into_owned();
        let told = told.as_message().unwrap().get_field_by_name("atomic").unwrap().as_bool();
        assert_eq!((Some(ours.atomic), ours.fields.len()), (told, message.fields().count()), "{name}");
        for field in message.fields() {
            check(&field, ours.by_number(field.number()).unwrap());
        }
    }
}

fn check(field: &FieldDescriptor, ours: &Field) {
    let name = field.full_name();
    let (shape, kind) = match field.kind() {
        Kind::Message(entry) if field.is_map() => (Shape::Map, entry.map_entry_value_field().kind()),
        kind if field.is_list() => (Shape::List, kind),
        kind => (Shape::One, kind),
    };
    assert_eq!((ours.number, &*ours.json, ours.shape), (field.number(), field.json_name(), shape), "{name}");
    assert_eq!(ours.presence, field.supports_presence(), "{name}");
    assert_eq!(
        (&*ours.quoted, &*ours.path_element),
        (&*format!("\"{}\":", ours.json), &*format!("\"f:{}\":", ours.json))
    );
    match (ours.scalar, kind) {
        (Scalar::Message(at), Kind::Message(of)) => assert_eq!(Schema::get().at(at).name, of.full_name(), "{name}"),
        (Scalar::Bool, Kind::Bool)
        | (Scalar::Int32, Kind::Int32)
        | (Scalar::Int64, Kind::Int64)
        | (Scalar::String, Kind::String)
        | (Scalar::Bytes, Kind::Bytes) => {}
        other => panic!("{name}: {other:?}"),
    }
    let flags = ["inline", "always", "merge", "retain_keys", "replace"].map(|name| flag(field, name));
    assert_eq!([ours.inline, ours.always, ours.merge, ours.retain_keys, ours.replace], flags, "{name}");
    let required = option(field, "required").map_or(ours.always, |value| value.as_bool().unwrap());
    assert_eq!((ours.required, &ours.key_default), (required, &text(field, "key_default")), "{name}");
    assert_eq!(ours.merge_key, text(field, "merge_key"), "{name}");
    let keys = option(field, "map_keys")
        .map(|keys| keys.as_list().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect::<Vec<_>>());
    if let (Some(keys), Granularity::Keyed(told)) = (keys, &ours.granularity) {
        assert_eq!(*told, keys, "{name}");
    }
}

#[test]
fn what_is_declared_has_its_comment() {
    let pod = Schema::get().message("kapelle.core.v1.Pod").unwrap();
    let pool = DescriptorPool::decode(crate::DESCRIPTORS).unwrap();
    let file = pool.get_message_by_name("kapelle.core.v1.Pod").unwrap().parent_file();
    let source = file.file_descriptor_proto().source_code_info.clone().unwrap();
    let comment = |path: &[i32]| {
        let place = source.location.iter().find(|place| place.path == path).unwrap();
        place.leading_comments().trim().replace('\n', " ")
    };
    let declared = pool.get_message_by_name("kapelle.core.v1.Pod").unwrap();
    assert_eq!(pod.doc, comment(declared.path()));
    for field in declared.fields() {
        assert_eq!(pod.by_number(field.number()).unwrap().doc, comment(field.path()), "{}", field.name());
    }
    let undocumented = Schema::get().messages().filter(|message| message.doc.is_empty()).count();
    let documented = Schema::get().messages().flat_map(|message| &message.fields).filter(|field| !field.doc.is_empty());
    assert!(undocumented * 2 < Schema::get().messages().count() && documented.count() > 500);
}
