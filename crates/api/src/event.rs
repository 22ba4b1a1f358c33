//! Events: what happened to an object, for people to read.

use std::hash::Hasher as _;

use crate::{Key, Kind, Object, Timestamp, core_v1, meta_v1, object::Resource, well_known::DEFAULT_NAMESPACE};

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// As it should be.
    Normal,
    /// Not as it should be.
    Warning,
}

impl EventType {
    /// The word in `type`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// The longest message that is kept, in bytes: Kubernetes' limit of `Event.note`.
pub const MESSAGE_BYTES_MAX: usize = 1024;
/// How much of the object's name the event's name repeats, in bytes, so that with the hash it stays a valid name.
const NAME_STEM_BYTES_MAX: usize = 230;

/// A reference to an object, as events and endpoints carry it.
#[must_use]
pub fn reference(about: &Object) -> core_v1::ObjectReference {
    let Key { kind, namespace, name } = about.key();
    core_v1::ObjectReference {
        kind: kind.to_string(),
        namespace: namespace.to_string(),
        name: name.to_string(),
        uid: about.metadata().map(|meta| meta.uid.clone()).unwrap_or_default(),
        api_version: kind.api_version(),
        resource_version: about.metadata().map(|meta| meta.resource_version.clone()).unwrap_or_default(),
        field_path: String::new(),
    }
}

/// The same for an object whose kind is known.
#[must_use]
pub fn reference_to<R: Resource>(about: &R) -> core_v1::ObjectReference {
    core_v1::ObjectReference {
        kind: R::KIND.to_string(),
        namespace: about.namespace().to_owned(),
        name: about.name().to_owned(),
        uid: about.uid().to_owned(),
        api_version: R::KIND.api_version(),
        resource_version: about.metadata().map(|meta| meta.resource_version.clone()).unwrap_or_default(),
        field_path: String::new(),
    }
}

/// A new event about an object, seen once, at `now`.
///
/// Its name is a function of what it says (object and incarnation, type, reason, message, component): who meets the name
/// taken has seen the same thing again and calls [`repeat`] on the one that exists.
#[must_use]
pub fn new(
    about: core_v1::ObjectReference,
    kind: EventType,
    reason: &str,
    message: &str,
    component: &str,
    now: Timestamp,
) -> core_v1::Event {
    let message = cut(message, MESSAGE_BYTES_MAX).to_owned();
    // Events on objects that have no namespace are kept in the default one, as Kubernetes does.
    let namespace = if about.namespace.is_empty() { DEFAULT_NAMESPACE } else { &about.namespace };
    let metadata = meta_v1::ObjectMeta {
        name: name(&about, [kind.word(), reason, &message, component]),
        namespace: namespace.to_owned(),
        ..Default::default()
    };
    core_v1::Event {
        metadata: Some(metadata),
        involved_object: Some(about),
        reason: reason.to_owned(),
        message,
        source: Some(core_v1::EventSource { component: component.to_owned(), host: String::new() }),
        first_timestamp: Some(now.into()),
        last_timestamp: Some(now.into()),
        count: 1,
        r#type: kind.word().to_owned(),
        reporting_component: component.to_owned(),
        ..Default::default()
    }
}

/// Counts one more sight of an event.
pub fn repeat(event: &mut core_v1::Event, now: Timestamp) {
    event.count = event.count.saturating_add(1);
    event.last_timestamp = Some(now.into());
}

/// When an event was last seen, from whichever of its times is set.
#[must_use]
pub fn last_seen(event: &core_v1::Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(Timestamp::from);
    let last = event.last_timestamp.as_ref().map(Timestamp::from);
    let time = event.event_time.as_ref().map(Timestamp::from);
    series.or(last).or(time).or_else(|| event.first_timestamp.as_ref().map(Timestamp::from))
}

fn name(about: &core_v1::ObjectReference, parts: [&str; 4]) -> String {
    let mut hash = Fnv1a::default();
    for part in [about.kind.as_str(), &about.uid].into_iter().chain(parts) {
        hash.write(part.as_bytes());
        // No text holds this byte, so the parts cannot run into each other.
        hash.write(&[0xff]);
    }
    let stem = if about.name.is_empty() { Kind::Event.info().singular } else { cut(&about.name, NAME_STEM_BYTES_MAX) };
    format!("{stem}.{:016x}", hash.finish())
}

/// The longest prefix of at most `bytes` that ends between characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// FNV-1a, 64 bit: unlike the standard library's hasher it is the same in every process and version.
struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl std::hash::Hasher for Fnv1a {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
