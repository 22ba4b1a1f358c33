//! What is refused, and in which words.

mod admission;
mod data;
mod definitions;
mod kinds;
mod limits;
mod pods;
mod updates;
mod workloads;

use expect_test::{Expect, expect};

use super::{Causes, Path, create, names};
use crate::{Key, Object, defaults, error::Error, fixtures};

/// An object as it comes before validation.
fn object(yaml: &str) -> Object {
    let mut object = fixtures::object(yaml);
    defaults::apply(&mut object);
    object
}

fn lines(causes: &[crate::error::Cause]) -> String {
    causes.iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect()
}

/// What is said of a new object.
fn check(yaml: &str, expected: &Expect) {
    expected.assert_eq(&lines(&create(&object(yaml))));
}

/// Sees that a new object may be stored.
#[track_caller]
fn valid(yaml: &str) {
    assert_eq!(lines(&create(&object(yaml))), "");
}

#[test]
fn the_examples_may_be_stored() {
    for example in fixtures::examples() {
        let mut object = object(example);
        if object.kind().info().namespaced && object.key().namespace.is_empty() {
            "default".clone_into(&mut object.metadata_mut().namespace);
        }
        assert_eq!(lines(&create(&object)), "", "{}", object.key());
    }
}

#[test]
fn metadata_is_judged_for_every_kind() {
    check(
        "{kind: ConfigMap, metadata: {name: Web_1, namespace: Shop, labels: {-bad: 'a b'}, annotations: {'a/b/c': x},
          finalizers: [mine, example.com/ok], ownerReferences: [{kind: Pod, name: a, controller: true, apiVersion: v1},
          {kind: Event, apiVersion: v1, name: b, uid: u, controller: true}]}}",
        &expect![[r#"
            metadata.name: Invalid value: "Web_1": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')
            metadata.namespace: Invalid value: "Shop": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name' or '123-abc')
            metadata.labels: Invalid value: "-bad": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName' or 'my.name' or '123-abc')
            metadata.labels[-bad]: Invalid value: "a b": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue' or 'my_value' or '12345')
            metadata.annotations: Invalid value: "a/b/c": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName' or 'my.name' or '123-abc')
            metadata.ownerReferences[0].uid: Required value: must not be empty
            metadata.ownerReferences[1]: Invalid value: "Event": is disallowed from being an owner
            metadata.ownerReferences: Invalid value: ["a", "b"]: only one reference can have controller set to true
            metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified
        "#]],
    );
    check(
        "{kind: ConfigMap, metadata: {namespace: shop}}",
        &expect![[r#"
        metadata.name: Required value: name or generateName is required
    "#]],
    );
    check(
        "{kind: Node, metadata: {name: n1, namespace: shop}}",
        &expect![[r#"
        metadata.namespace: Forbidden: objects of kind Node have no namespace; leave it out
    "#]],
    );
    check(
        "{kind: ConfigMap, metadata: {generateName: Web-}}",
        &expect![[r#"
        metadata.generateName: Invalid value: "Web-": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')
        metadata.namespace: Required value
    "#]],
    );
    check(
        "{kind: Namespace, metadata: {name: a.b}}",
        &expect![[r#"
        metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name' or '123-abc')
    "#]],
    );
    valid("{kind: ConfigMap, metadata: {generateName: web-, namespace: shop}}");
    valid("{kind: ConfigMap, metadata: {name: a.b, namespace: shop, annotations: {Example.com/K: 'any text'}}}");
}

#[test]
fn annotations_have_a_limit() {
    let of = |bytes: usize| {
        let value = "x".repeat(bytes);
        lines(&create(&object(&format!(
            "{{kind: ConfigMap, metadata: {{name: a, namespace: b, annotations: {{k: {value}}}}}}}"
        ))))
    };
    assert_eq!(of(super::ANNOTATIONS_BYTES_MAX - 1), "");
    assert_eq!(of(super::ANNOTATIONS_BYTES_MAX), "metadata.annotations: Too long: may not be more than 262144 bytes\n");
}

#[test]
fn names_keep_to_their_syntax() {
    let long = "a".repeat(64);
    for (check, good, bad) in [
        (names::dns_label as fn(&str) -> Vec<String>, ["a", "1a", "a-b"], ["", "A", "-a"]),
        (names::dns_label, ["a", "a", "a"], ["a.b", "a-", &long]),
        (names::dns_subdomain, ["a.b", "1.2", &long], ["a..b", ".a", "a_b"]),
        (names::dns_1035_label, ["a", "a1", "a-b"], ["1a", "a.b", ""]),
        (names::qualified, ["A_b.c", "a.b/c", "1"], ["", "/a", "a/"]),
        (names::label_value, ["", "A_b.c", "1"], ["a b", "-a", &long]),
        (names::config_key, ["a.B_c-1", ".hidden", "A"], ["", "..", "a/b"]),
        (names::env_name, ["A", "my.var", "1 a"], ["", "a=b", "ä"]),
        (names::port_name, ["http", "a-1", "1a"], ["HTTP", "80", "a--b"]),
    ] {
        for text in good {
            assert_eq!(check(text), Vec::<String>::new(), "{text:?}");
        }
        for text in bad {
            assert!(!check(text).is_empty(), "{text:?}");
        }
    }
}

#[test]
fn paths_and_causes_read_as_in_kubernetes() {
    let root = Path::Root;
    let spec = root.field("spec");
    let list = spec.field("containers");
    let mut causes = Causes::default();
    causes.unsupported(&list.index(0).field("protocol"), "TPC", &["TCP", "UDP"]);
    causes.duplicate(&root.field("data").key("a.b"), "x");
    causes.required(&list, "");
    causes.invalid(&list.index(1).field("port"), 0, "must be more");
    let key = Key::namespaced(crate::Kind::Deployment, "default", "web");
    let expected = expect![[
        r#"Deployment.apps "web" is invalid: [spec.containers[0].protocol: Unsupported value: "TPC": supported values: "TCP", "UDP", data[a.b]: Duplicate value: "x", spec.containers: Required value, spec.containers[1].port: Invalid value: 0: must be more]"#
    ]];
    expected.assert_eq(&Error::invalid(&key, causes.told()).message);
}
