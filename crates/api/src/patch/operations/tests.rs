//! Stories about JSON patches.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::{COPIED_BYTES_MAX, DEPTH_MAX, OPERATIONS_MAX, STEPS_MAX};
use crate::{Error, patch};

fn patched(target: &Value, patch: Value) -> Result<Value, Error> {
    let mut value = target.clone();
    patch::json(&mut value, &patch).map(|()| value)
}

/// The code and the text of a refusal.
fn refused(target: &Value, patch: Value) -> (u16, String) {
    let error = patched(target, patch).unwrap_err();
    (error.reason.code(), error.message)
}

#[test]
fn operations_do_what_the_standard_says() {
    let object = json!({"a": {"b": 1}, "list": [1, 2], "odd~/name": true});
    for (patch, expected) in [
        (json!([{"op": "add", "path": "/a/c", "value": null}]), json!({"b": 1, "c": null})),
        (json!([{"op": "add", "path": "/a", "value": [1]}, {"op": "add", "path": "/a/-", "value": 2}]), json!([1, 2])),
        (
            json!([{"op": "add", "path": "/list/1", "value": 9}, {"op": "move", "from": "/list", "path": "/a"}]),
            json!([1, 9, 2]),
        ),
        (
            json!([{"op": "copy", "from": "/list", "path": "/a/list"}, {"op": "remove", "path": "/a/list/0"}]),
            json!({"b": 1, "list": [2]}),
        ),
        (json!([{"op": "move", "from": "/odd~0~1name", "path": "/a/b"}]), json!({"b": true})),
        (
            json!([{"op": "move", "from": "/a", "path": "/a"}, {"op": "test", "path": "/a/b", "value": 1.0}]),
            json!({"b": 1}),
        ),
        (json!([{"op": "copy", "from": "", "path": "/a/b"}]), json!({"b": object})),
        (json!([{"op": "replace", "path": "", "value": {"a": 2}}]), json!(2)),
        (
            json!([{"op": "copy", "from": "/a/b", "path": "/list/0"}, {"op": "remove", "path": "/list"}]),
            json!({"b": 1}),
        ),
    ] {
        assert_eq!(patched(&object, patch.clone()).unwrap()["a"], expected, "{patch}");
    }
}

#[test]
fn what_the_standard_refuses_is_refused() {
    let object = json!({"a": {"b": 1}, "list": [1]});
    for (operation, code, why) in [
        (json!({"op": "move", "from": "/a", "path": "/a/b/c"}), 422, "moved into itself"),
        (json!({"op": "move", "from": "", "path": "/a"}), 422, "moved into itself"),
        (json!({"op": "remove", "path": ""}), 422, "delete it instead"),
        (json!({"op": "remove", "path": "/list/1"}), 422, "nothing to take away"),
        (json!({"op": "remove", "path": "/a/c"}), 422, "nothing to take away"),
        (json!({"op": "replace", "path": "/a/c", "value": 1}), 422, "nothing to replace"),
        (json!({"op": "copy", "from": "/c", "path": "/a/c"}), 422, "nothing to copy"),
        (json!({"op": "add", "path": "/c/d", "value": 1}), 422, "the place that should hold it"),
        (json!({"op": "add", "path": "/a/b/c", "value": 1}), 422, "neither an object nor a list"),
        (json!({"op": "add", "path": "/list/2", "value": 1}), 422, "no such place"),
        (json!({"op": "add", "path": "/list/01", "value": 1}), 422, "no such place"),
        (json!({"op": "add", "path": "/list/-1", "value": 1}), 422, "no such place"),
        (json!({"op": "add", "path": "/list/+0", "value": 1}), 422, "no such place"),
        (json!({"op": "test", "path": "/a/b", "value": 2}), 422, "did not match"),
        (json!({"op": "test", "path": "/a/b", "value": null}), 422, "did not match"),
        (json!({"op": "add", "path": "/a/c"}), 400, "\"value\" must be given"),
        (json!({"op": "add", "value": 1}), 400, "\"path\" must be given"),
        (json!({"op": "move", "path": "/a"}), 400, "\"from\" must be given"),
        (json!({"op": "burn", "path": "/a"}), 400, "one of add, remove"),
        (json!({"op": "add", "path": "a", "value": 1}), 400, "begin with \"/\""),
        (json!({"op": "add", "path": "/a~2", "value": 1}), 400, "neither ~0 nor ~1"),
        (json!("add"), 400, "\"path\" must be given"),
    ] {
        let (found, message) = refused(&object, json!([operation]));
        assert!(found == code && message.contains(why), "{operation}: {found} {message}");
        assert!(message.contains("operation 0"), "{message}");
    }
}

#[test]
fn a_test_for_null_finds_that_nothing_is_there() {
    let object = json!({"metadata": {"name": "x"}, "list": []});
    for path in ["/metadata/finalizers", "/metadata/annotations/a", "/spec/x/y", "/list/0"] {
        let patch = json!([{"op": "test", "path": path, "value": null}]);
        assert_eq!(patched(&object, patch).as_ref(), Ok(&object), "{path}");
    }
    // What a controller with a finalizer sends first.
    let patch = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/mine"]},
    ]);
    let value = patched(&object, patch.clone()).unwrap();
    assert_eq!(value["metadata"]["finalizers"], json!(["example.com/mine"]));
    assert_eq!(refused(&value, patch).0, 422, "and not again");
}

#[test]
fn copies_that_double_are_stopped_before_they_fill_the_memory() {
    let double = |n: usize| json!({"op": "copy", "from": "/metadata", "path": format!("/metadata/x{n}")});
    let object = json!({"metadata": {"name": "x", "labels": {"a": "b"}}});
    let (code, message) = refused(&object, (0..40).map(double).collect());
    assert_eq!(code, 413);
    assert!(message.contains(&format!("more than {COPIED_BYTES_MAX} bytes would be copied")), "{message}");
    // As much as one object may hold can be copied.
    let large = json!({"data": {"a": "x".repeat(1 << 20)}});
    assert!(patched(&large, json!([{"op": "copy", "from": "/data/a", "path": "/data/b"}])).is_ok());
}

#[test]
fn a_patch_has_so_many_operations_and_no_more() {
    let object = json!({"a": 1});
    let tests = |count: usize| (0..count).map(|_| json!({"op": "test", "path": "/a", "value": 1})).collect::<Value>();
    assert!(patched(&object, tests(OPERATIONS_MAX)).is_ok());
    let (code, message) = refused(&object, tests(OPERATIONS_MAX + 1));
    assert!(code == 413 && message.contains(&OPERATIONS_MAX.to_string()), "{message}");
}

#[test]
fn a_patch_nests_no_deeper_than_any_stack_has_room_for() {
    let object = json!({"a": {}});
    let deeper = |n: usize| json!({"op": "add", "path": "/a".repeat(n + 1), "value": {}});
    assert!(patched(&object, (0..DEPTH_MAX - 1).map(deeper).collect()).is_ok());
    let (code, message) = refused(&object, (0..DEPTH_MAX).map(deeper).collect());
    assert!(code == 413 && message.contains("levels deep"), "{message}");
    // By moving as well.
    let nested = (0..100).fold(json!({}), |inner, _| json!({"a": inner}));
    let both = json!({"a": nested, "b": nested});
    let to = format!("{}/b", "/a".repeat(60));
    assert_eq!(refused(&both, json!([{"op": "move", "from": "/b", "path": to}])).0, 413);
}

#[test]
fn long_lists_are_not_shifted_for_ever() {
    let count = 100_000;
    let object = json!({"list": vec![0; count]});
    let shifts = (0..=STEPS_MAX / count).map(|_| json!({"op": "add", "path": "/list/0", "value": 1}));
    let (code, message) = refused(&object, shifts.collect());
    assert!(code == 413 && message.contains(&STEPS_MAX.to_string()), "{message}");
}

#[test]
fn errors_show_nothing_of_what_is_there() {
    let object = json!({"data": {"password": "hunter2"}, "list": ["hunter2"], "kind": "Secret"});
    for patch in [
        json!([{"op": "test", "path": "/data/password", "value": "x"}]),
        json!([{"op": "add", "path": "/data/password/x", "value": 1}]),
        json!([{"op": "move", "from": "/data", "path": "/data/password"}]),
        json!([{"op": "copy", "from": "/data/password", "path": "/list/7"}]),
    ] {
        let (_, message) = refused(&object, patch);
        assert!(!message.contains("hunter2"), "{message}");
    }
}
