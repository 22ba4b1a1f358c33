//! The algebra of sets, and their text both ways.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::{DEPTH_MAX, ELEMENTS_MAX, Element, Path, Set};

fn set(text: &str) -> Set {
    Set::from_json(text.as_bytes()).expect("a set")
}

fn text(set: &Set) -> String {
    String::from_utf8(set.to_json()).expect("JSON is UTF-8")
}

fn element() -> impl Strategy<Value = Element> {
    prop_oneof![
        "[a-d]".prop_map(|name| Element::field(&name)),
        (0..3_u8, "[xy]").prop_map(|(port, name)| Element::key(
            json!({"port": port, "name": name}).as_object().cloned().unwrap_or_default()
        )),
        prop_oneof![Just(json!(1)), Just(json!("1")), Just(json!(true)), Just(json!(1.0))]
            .prop_map(|value| Element::value(&value)),
    ]
}

fn some_set() -> impl Strategy<Value = Set> {
    prop::collection::vec(prop::collection::vec(element(), 1..4), 0..12)
        .prop_map(|paths| paths.into_iter().fold(Set::default(), |set, path| set.with(&Path(path))))
}

fn members(set: &Set) -> BTreeSet<Path> {
    set.paths().into_iter().collect()
}

proptest! {
    #[test]
    fn the_algebra_is_that_of_the_sets_of_paths(one in some_set(), other in some_set()) {
        let (a, b) = (members(&one), members(&other));
        prop_assert_eq!(members(&one.union(&other)), a.union(&b).cloned().collect());
        prop_assert_eq!(members(&one.intersection(&other)), a.intersection(&b).cloned().collect());
        prop_assert_eq!(members(&one.difference(&other)), a.difference(&b).cloned().collect());
        prop_assert_eq!(one.len(), a.len());
        prop_assert_eq!(one.difference(&one), Set::default());
        prop_assert_eq!(one.difference(&other).union(&one.intersection(&other)), one);
    }

    #[test]
    fn what_is_written_is_read(one in some_set()) {
        prop_assert_eq!(set(&text(&one)), one);
    }

    #[test]
    fn anything_is_a_set_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Set::from_json(&bytes);
    }
}

#[test]
fn the_text_is_that_of_kubernetes() {
    let written = r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}},"f:finalizers":{"v:\"a\"":{}}}}"#;
    let read = set(written);
    let paths: Vec<String> = read.paths().iter().map(Path::to_string).collect();
    assert_eq!(
        paths,
        [
            ".metadata.labels",
            ".metadata.labels.app",
            ".spec.finalizers[=\"a\"]",
            ".spec.ports[port=80,protocol=\"TCP\"]",
            ".spec.ports[port=80,protocol=\"TCP\"].port",
        ]
    );
    assert_eq!(set(&text(&read)), read);
}

#[test]
fn equal_keys_are_equal_however_they_are_written() {
    let one = set(r#"{"f:p":{"k:{\"b\":1,\"a\":\"x\"}":{},"v:2":{}}}"#);
    assert_eq!(one, set(r#"{"f:p":{"v:2.0":{},"k:{ \"a\":\"x\",\"b\":1.0 }":{}}}"#));
    // A number is not a text.
    assert_ne!(one, set(r#"{"f:p":{"k:{\"b\":\"1\",\"a\":\"x\"}":{},"v:2":{}}}"#));
}

#[test]
fn what_nobody_knows_yet_is_passed_over_and_what_is_wrong_is_refused() {
    assert_eq!(set(r#"{"z:later":{"any":[1]},"f:a":{}}"#), set(r#"{"f:a":{}}"#));
    assert_eq!(set("{}"), Set::default());
    for wrong in ["", "[]", "{", r#"{"spec":{}}"#, r#"{"k:{":{}}"#, r#"{"i:x":{}}"#, r#"{"f:a":1}"#, "{} {}"] {
        assert!(Set::from_json(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn a_set_is_so_deep_and_has_so_many_elements() {
    let deep = |depth: usize| [&*r#"{"f:a":"#.repeat(depth), "{}", &*"}".repeat(depth)].concat();
    assert!(Set::from_json(deep(DEPTH_MAX - 1).as_bytes()).is_ok());
    let error = Set::from_json(deep(DEPTH_MAX).as_bytes()).expect_err("too deep");
    assert!(error.contains("nested deeper than 64 levels"), "{error}");
    let wide = |count: usize| {
        let fields: Vec<String> = (0..count).map(|n| format!("\"f:{n}\":{{}}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    assert_eq!(set(&wide(ELEMENTS_MAX)).len(), ELEMENTS_MAX);
    let error = Set::from_json(wide(ELEMENTS_MAX + 1).as_bytes()).expect_err("too many");
    assert!(error.contains("more than 100000 path elements"), "{error}");
}
