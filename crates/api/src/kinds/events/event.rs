//! Events in the group `events.k8s.io`: the objects of the core group under newer names, and with stricter rules for whoever
//! writes them so.

use prost::Message as _;
use serde_json::Value;

use crate::{
    core_v1, events_v1, json,
    kinds::{Kind, conversion::Conversion, core::event::TYPES},
    validate::{Causes, Path},
};

/// The least count of a series: what happened once is none.
const SERIES_COUNT_MIN: i32 = 2;

const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

const FIELDS: [&str; 10] = [
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "type",
    "reportingController",
];

/// What an event says once and for all: everything but its metadata and its series.
const FIXED: [&str; 13] = [
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
];

const SAMPLE: &str = "\
apiVersion: events.k8s.io/v1
kind: Event
metadata:
  name: hello.2
  namespace: default
eventTime: \"2026-11-23T12:00:00.000000Z\"
regarding: {apiVersion: v1, kind: Pod, namespace: default, name: hello}
type: Normal
reason: Started
action: Start
note: the container hello runs
reportingController: example.com/agent
reportingInstance: agent-worker-1
";

pub(crate) struct EventConversion;

impl Conversion for EventConversion {
    type Stored = core_v1::Event;
    type Object = events_v1::Event;

    fn serve(&self, stored: &core_v1::Event) -> events_v1::Event {
        let core_v1::Event {
            metadata,
            involved_object,
            reason,
            message,
            source,
            first_timestamp,
            last_timestamp,
            count,
            r#type,
            event_time,
            series,
            action,
            related,
            reporting_component,
            reporting_instance,
        } = stored.clone();
        let shown =
            |core_v1::EventSeries { count, last_observed_time }| events_v1::EventSeries { count, last_observed_time };
        events_v1::Event {
            metadata,
            event_time,
            series: series.map(shown),
            reporting_controller: reporting_component,
            reporting_instance,
            action,
            reason,
            regarding: involved_object,
            related,
            note: message,
            r#type,
            deprecated_source: source,
            deprecated_first_timestamp: first_timestamp,
            deprecated_last_timestamp: last_timestamp,
            deprecated_count: count,
        }
    }

    fn store(&self, served: events_v1::Event) -> core_v1::Event {
        let events_v1::Event {
            metadata,
            event_time,
            series,
            reporting_controller,
            reporting_instance,
            action,
            reason,
            regarding,
            related,
            note,
            r#type,
            deprecated_source,
            deprecated_first_timestamp,
            deprecated_last_timestamp,
            deprecated_count,
        } = served;
        let kept =
            |events_v1::EventSeries { count, last_observed_time }| core_v1::EventSeries { count, last_observed_time };
        core_v1::Event {
            metadata,
            involved_object: regarding,
            reason,
            message: note,
            source: deprecated_source,
            first_timestamp: deprecated_first_timestamp,
            last_timestamp: deprecated_last_timestamp,
            count: deprecated_count,
            r#type,
            event_time,
            series: series.map(kept),
            action,
            related,
            reporting_component: reporting_controller,
            reporting_instance,
        }
    }

    fn renamed(&self) -> &'static [(&'static str, &'static str)] {
        RENAMED
    }

    fn fields(&self) -> Vec<&'static str> {
        FIELDS.to_vec()
    }

    fn validate_create(&self, causes: &mut Causes, new: &core_v1::Event) {
        // Of whatever has the time, the strategy has judged the type.
        if new.event_time.is_none() {
            causes.required(&Path::Root.field("eventTime"), "");
            causes.one_of(&Path::Root.field("type"), &new.r#type, &TYPES);
        }
        series(causes, new);
        let none = core_v1::EventSource::default();
        for (field, is_set) in [
            ("firstTimestamp", new.first_timestamp.is_some()),
            ("lastTimestamp", new.last_timestamp.is_some()),
            ("count", new.count != 0),
            ("source", new.source.as_ref().is_some_and(|source| *source != none)),
        ] {
            if is_set {
                causes.invalid(&Path::Root.field(field), "", "needs to be unset");
            }
        }
    }

    fn validate_update(&self, causes: &mut Causes, old: &core_v1::Event, new: &core_v1::Event) {
        if new.series != old.series {
            series(causes, new);
        }
        let (old, new) = (members(old), members(new));
        for field in FIXED.into_iter().filter(|field| old.get(field) != new.get(field)) {
            causes.invalid(&Path::Root.field(field), format_args!("{}", new[field]), "field is immutable");
        }
    }

    fn sample(&self) -> &'static str {
        SAMPLE
    }
}

fn series(causes: &mut Causes, event: &core_v1::Event) {
    let Some(series) = &event.series else { return };
    let at = Path::Root.field("series");
    if series.count < SERIES_COUNT_MIN {
        causes.invalid(&at.field("count"), series.count, format_args!("should be at least {SERIES_COUNT_MIN}"));
    }
    if series.last_observed_time.is_none() {
        causes.required(&at.field("lastObservedTime"), "");
    }
}

/// The event as people see it, in which times are exact to the microsecond: what clients send beyond that is no change.
fn members(event: &core_v1::Event) -> Value {
    json::encode_message(Kind::Event.info().message, &event.encode_to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use expect_test::{Expect, expect};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;
    use crate::{
        Object, Served,
        error::Error,
        json::{Strictness, random},
        object::Version,
        schema::Schema,
        validate, yaml,
    };

    const HERE: Served = Served::Converted(Version::EventsV1);

    fn sent(manifest: &str) -> Object {
        let value = yaml::documents(manifest).unwrap().remove(0);
        json::decode(HERE, &value, Strictness::Strict).unwrap().object
    }

    fn check(causes: Vec<crate::error::Cause>, expected: &Expect) {
        let lines: Vec<String> = causes.iter().map(|cause| format!("{}: {}\n", cause.field, cause.message)).collect();
        expected.assert_eq(&lines.concat());
    }

    #[test]
    fn what_one_version_calls_so_the_other_calls_so() {
        let names =
            |message| Schema::get().message(message).unwrap().names().map(str::to_owned).collect::<BTreeSet<_>>();
        let stored = names(Kind::Event.info().message);
        let renamed: BTreeSet<String> = stored.iter().map(|name| HERE.path_here(name)).collect();
        assert_eq!(renamed, names(HERE.info().message));
        let fixed: BTreeSet<String> = FIXED.into_iter().chain(["metadata", "series"]).map(str::to_owned).collect();
        assert_eq!(fixed, stored, "every field is fixed or is not");
    }

    proptest! {
        #[test]
        fn what_is_stored_is_shown_as_it_was_sent(seed in any::<u64>()) {
            let message = Schema::get().message(HERE.info().message).unwrap();
            let mut value = random::message(message, &mut random::Dice(seed), 0);
            let object = json::decode(HERE, &value, Strictness::Strict).unwrap().object;
            value["apiVersion"] = "events.k8s.io/v1".into();
            value["kind"] = "Event".into();
            prop_assert_eq!(json::encode_as(HERE, &object), value.clone());
            let mut text = Vec::new();
            json::write(HERE, &HERE.encode_bytes(&object), None.into(), &mut text);
            prop_assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), value, "as text");
            let stored = json::decode(Kind::Event, &json::encode(&object), Strictness::Strict).unwrap().object;
            prop_assert_eq!(stored, object, "and in the other version");
        }
    }

    #[test]
    fn whoever_writes_the_new_names_keeps_the_new_rules() {
        check(validate::create_as(HERE, &sent(SAMPLE)), &expect![""]);
        check(
            validate::create_as(
                HERE,
                &sent(
                    "{apiVersion: events.k8s.io/v1, kind: Event, metadata: {name: a, namespace: b},
                      regarding: {namespace: c}, type: Bad, series: {count: 1}, deprecatedCount: 1,
                      deprecatedFirstTimestamp: '2026-11-23T12:00:00Z', deprecatedLastTimestamp: '2026-11-23T12:00:00Z',
                      deprecatedSource: {component: x}}",
                ),
            ),
            &expect![[r#"
                regarding.namespace: Invalid value: "c": does not match event.namespace
                eventTime: Required value
                type: Unsupported value: "Bad": supported values: "Normal", "Warning"
                series.count: Invalid value: 1: should be at least 2
                series.lastObservedTime: Required value
                deprecatedFirstTimestamp: Invalid value: "": needs to be unset
                deprecatedLastTimestamp: Invalid value: "": needs to be unset
                deprecatedCount: Invalid value: "": needs to be unset
                deprecatedSource: Invalid value: "": needs to be unset
            "#]],
        );
        let blank = "{metadata: {name: a, namespace: b}, regarding: {namespace: b}, eventTime: '2026-11-23T12:00:00Z'}";
        check(
            validate::create_as(HERE, &sent(blank)),
            &expect![[r#"
                type: Unsupported value: "": supported values: "Normal", "Warning"
                reportingController: Required value
                reportingInstance: Required value
                action: Required value
                reason: Required value
            "#]],
        );
    }

    #[test]
    fn words_have_a_limit() {
        let long = |count: usize| SAMPLE.replace("reason: Started", &format!("reason: {}", "R".repeat(count)));
        check(validate::create_as(HERE, &sent(&long(128))), &expect![""]);
        check(
            validate::create_as(HERE, &sent(&long(129))),
            &expect![[r#"
                reason: Too long: may not be more than 128 bytes
            "#]],
        );
    }

    #[test]
    fn of_an_event_only_the_series_changes() {
        let old = sent(SAMPLE);
        let seen_again = format!("{SAMPLE}series: {{count: 2, lastObservedTime: '2026-11-23T13:00:00Z'}}\n");
        check(validate::update_as(HERE, &old, &sent(&seen_again)), &expect![""]);
        let other = SAMPLE.replace("name: hello}", "name: other}").replace("runs", "ran").replace("12:00", "12:01");
        check(
            validate::update_as(HERE, &old, &sent(&format!("{other}series: {{}}\n"))),
            &expect![[r#"
                series.count: Invalid value: 0: should be at least 2
                series.lastObservedTime: Required value
                regarding: Invalid value: {"apiVersion":"v1","kind":"Pod","name":"other","namespace":"default"}: field is immutable
                note: Invalid value: "the container hello ran": field is immutable
                eventTime: Invalid value: "2026-11-23T12:01:00.000000Z": field is immutable
            "#]],
        );
        check(validate::update(&old, &sent(&other)), &expect![""]);
    }

    #[test]
    fn a_body_in_another_version_is_refused() {
        let value = serde_json::json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"}});
        let refused: Error = json::decode(HERE, &value, Strictness::Strict).unwrap_err();
        assert!(refused.message.contains("\"events.k8s.io/v1\" is expected"), "{refused}");
    }
}
