//! Events, as objects. How they come about is in [`crate::event`], how they are called in their other group in
//! `kinds/events/event.rs`.

use std::{borrow::Cow, collections::BTreeSet};

use prost::Message as _;

use crate::{
    Subresource, Timestamp,
    core_v1::{Event, EventSource, ObjectReference},
    event::{self, EventType, MESSAGE_BYTES_MAX},
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    selector::{self, Field},
    table::{
        Cell, Column, Common, UNKNOWN, age,
        columns::{NAME, integer, text, wide},
        or,
    },
    validate::{
        Causes, Path,
        limits::EVENT_BYTES_MAX,
        names::{self, Syntax},
    },
    warnings::Warnings,
    well_known::{DEFAULT_NAMESPACE, SYSTEM_NAMESPACE},
};

pub(in crate::kinds) const TYPES: [&str; 2] = [EventType::Normal.word(), EventType::Warning.word()];
/// The longest reason, action and instance of an event of the new style (with `eventTime`), in bytes: Kubernetes' limit.
const WORD_BYTES_MAX: usize = 128;

const COLUMNS: &[Column] = &[
    text("Last Seen", "How long ago it was last seen."),
    text("Type", "Normal or Warning."),
    text("Reason", "Why, in one word."),
    text("Object", "What it is about."),
    wide(text("Subobject", "Which part of the object it is about.")),
    wide(text("Source", "Who saw it.")),
    text("Message", "What happened."),
    wide(text("First Seen", "How long ago it was first seen.")),
    wide(integer("Count", "How often it was seen.")),
    wide(NAME),
];

static FIELDS: &[Field<Event>] = selector::selectable! { event: Event;
    "involvedObject.kind" => Some(event.involved_object.as_ref()?.kind.as_str().into());
    "involvedObject.namespace" => Some(event.involved_object.as_ref()?.namespace.as_str().into());
    "involvedObject.name" => Some(event.involved_object.as_ref()?.name.as_str().into());
    "involvedObject.uid" => Some(event.involved_object.as_ref()?.uid.as_str().into());
    "involvedObject.apiVersion" => Some(event.involved_object.as_ref()?.api_version.as_str().into());
    "involvedObject.resourceVersion" => Some(event.involved_object.as_ref()?.resource_version.as_str().into());
    "involvedObject.fieldPath" => Some(event.involved_object.as_ref()?.field_path.as_str().into());
    "reason" => Some(event.reason.as_str().into());
    "type" => Some(event.r#type.as_str().into());
    "source" => component(event);
    "reportingComponent" => component(event);
};

const SAMPLE: &str = "\
apiVersion: v1
kind: Event
metadata:
  name: hello.1
  namespace: default
involvedObject: {apiVersion: v1, kind: Pod, namespace: default, name: hello}
type: Normal
reason: Started
message: the container hello runs
source: {component: agent, host: worker-1}
firstTimestamp: \"2026-11-23T12:00:00Z\"
lastTimestamp: \"2026-11-23T12:00:00Z\"
count: 1
";

pub(crate) struct EventStrategy;

impl Strategy for EventStrategy {
    type Object = Event;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut Event) {}

    fn validate(&self, causes: &mut Causes, event: &Event) {
        validate(causes, event);
    }

    fn validate_update(&self, _: &mut Causes, _: &Event, _: &Event) {}

    fn validate_status(&self, _: &mut Causes, _: &Event) {}

    fn warn(&self, _: &mut Warnings, _: &Event) {}

    fn prepare_for_create(&self, _: &mut Event) {}

    fn prepare_for_update(&self, _: &mut Event, _: &Event) {}

    fn update_status(&self, _: &mut Event, _: &Event) {}

    fn scale(&self, _: &Event) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut Event, _: i32) {}

    fn is_new_generation(&self, _: Option<&Event>, _: &Event, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut Event) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &Event) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, event: &mut Event, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut event.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &Event) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, event: &Event, common: Common, now: Timestamp) -> Vec<Cell> {
        row(event, common, now)
    }

    fn fields(&self) -> Vec<&str> {
        selector::paths(FIELDS)
    }

    fn field<'a>(&self, event: &'a Event, index: usize) -> Cow<'a, str> {
        selector::read(FIELDS, index, event)
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn validate(causes: &mut Causes, event: &Event) {
    if event.encoded_len() > EVENT_BYTES_MAX {
        causes.too_long(&Path::Root, EVENT_BYTES_MAX);
    }
    let at = Path::Root.field("involvedObject");
    let Some(about) = &event.involved_object else { return causes.required(&at, "") };
    let own = event.metadata.as_ref().map_or("", |meta| &meta.namespace);
    let theirs = if about.namespace.is_empty() { DEFAULT_NAMESPACE } else { &about.namespace };
    // Events on objects without a namespace may also be kept with the system's.
    if own != theirs && !(about.namespace.is_empty() && own == SYSTEM_NAMESPACE) {
        causes.invalid(&at.field("namespace"), &about.namespace, "does not match event.namespace");
    }
    if event.event_time.is_some() {
        new_style(causes, event);
    }
}

/// Whoever knows `eventTime` knows what else belongs to it.
fn new_style(causes: &mut Causes, event: &Event) {
    causes.one_of(&Path::Root.field("type"), &event.r#type, &TYPES);
    causes.required_syntax(&Path::Root.field("reportingComponent"), &event.reporting_component, names::qualified);
    for (field, word) in
        [("reportingInstance", &event.reporting_instance), ("action", &event.action), ("reason", &event.reason)]
    {
        let at = Path::Root.field(field);
        if word.is_empty() {
            causes.required(&at, "");
        } else if word.len() > WORD_BYTES_MAX {
            causes.too_long(&at, WORD_BYTES_MAX);
        }
    }
    if event.message.len() > MESSAGE_BYTES_MAX {
        causes.too_long(&Path::Root.field("message"), MESSAGE_BYTES_MAX);
    }
}

fn row(event: &Event, common: Common, now: Timestamp) -> Vec<Cell> {
    let none = ObjectReference::default();
    let about = event.involved_object.as_ref().unwrap_or(&none);
    let time = |time: Option<Timestamp>| time.map_or_else(|| UNKNOWN.to_owned(), |time| age::human(now.since(time)));
    let first = event.first_timestamp.as_ref().map(Timestamp::from);
    let first = first.or_else(|| event.event_time.as_ref().map(Timestamp::from));
    let count = event.series.as_ref().map_or(event.count, |series| series.count);
    vec![
        time(event::last_seen(event)).into(),
        event.r#type.as_str().into(),
        event.reason.as_str().into(),
        format!("{}/{}", about.kind.to_lowercase(), about.name).into(),
        about.field_path.as_str().into(),
        source_and_host(event).into(),
        event.message.trim().into(),
        time(first).into(),
        count.max(1).into(),
        common.name,
    ]
}

fn source_and_host(event: &Event) -> String {
    let none = EventSource::default();
    let EventSource { component, host } = event.source.as_ref().unwrap_or(&none);
    let component = or(component, &event.reporting_component);
    let host = or(host, &event.reporting_instance);
    if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") }
}

/// Old clients fill in one of the two, new ones the other.
fn component(event: &Event) -> Option<Cow<'_, str>> {
    let source = event.source.as_ref().map(|source| source.component.as_str()).filter(|source| !source.is_empty());
    Some(source.unwrap_or(&event.reporting_component).into())
}
