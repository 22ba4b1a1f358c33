//! Events: names that tell the same thing apart from another.

use super::{EventType, MESSAGE_BYTES_MAX, new, reference, repeat};
use crate::{Timestamp, core_v1, fixtures::object, validate};

fn event(yaml: &str, reason: &str, second: i64) -> core_v1::Event {
    new(reference(&object(yaml)), EventType::Warning, reason, "no room", "scheduler", Timestamp(second * 1000))
}

const POD: &str = "{kind: Pod, metadata: {name: web, namespace: shop, uid: u1}}";

#[test]
fn the_name_follows_from_what_is_said_not_from_when() {
    let name = |event: core_v1::Event| event.metadata.map(|meta| meta.name).unwrap_or_default();
    let first = name(event(POD, "Pending", 1));
    assert!(first.starts_with("web.") && first.len() == "web.".len() + 16, "{first}");
    assert_eq!(name(event(POD, "Pending", 2)), first);
    assert_ne!(name(event(POD, "Failed", 1)), first);
    assert_ne!(name(event(&POD.replace("u1", "u2"), "Pending", 1)), first, "another incarnation");
}

#[test]
fn what_is_made_may_be_stored_and_counted() {
    let mut event = event(POD, "Pending", 1);
    repeat(&mut event, Timestamp(9000));
    assert_eq!((event.count, event.last_timestamp.map(|time| time.seconds)), (2, Some(9)));
    assert_eq!(event.first_timestamp.map(|time| time.seconds), Some(1));
    assert_eq!(validate::create(&event.into()), []);
}

#[test]
fn events_of_objects_without_a_namespace_live_in_default() {
    let long = "ä".repeat(MESSAGE_BYTES_MAX);
    let node = object(&format!("{{kind: Node, metadata: {{name: {}}}}}", "n".repeat(253)));
    let event = new(reference(&node), EventType::Normal, "Ready", &long, "control", Timestamp(0));
    assert_eq!(event.metadata.as_ref().map(|meta| meta.namespace.as_str()), Some("default"));
    assert_eq!(event.message.len(), MESSAGE_BYTES_MAX, "cut between characters");
    assert_eq!(validate::create(&event.into()), []);
}
