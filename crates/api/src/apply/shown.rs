//! How objects are answered: as they are kept, but with all fields of whoever owns the rest.
//!
//! The fields are read from the bytes while an answer is written, and stand in it as text: nothing is decoded. Only where they
//! cannot be read there, because others own something too or because they are told in another version, values are compared.

use prost::Message as _;

use super::{BuiltInKind, Owners, Part, Request, Versions as _, owners, spell};
use crate::{
    Kind, Object, Revision, Served,
    encoded::{self, MANAGED_FIELDS_FIELD, Revised},
    fieldset::Set,
    json::{self, Otherwise},
    meta_v1::{ManagedFieldsEntry, ObjectMeta, Time},
    object::KindInfo,
    schema::{Message, Schema},
    wire::{Payload, Reader, close, open, put_bytes, split},
};

/// The numbers of fields of an entry.
const API_VERSION: u32 = 3;
const FIELDS_TYPE: u32 = 6;
const FIELDS: u32 = 7;
const SUBRESOURCE: u32 = 8;

/// The number of the text in what holds fields.
const RAW: u32 = 1;

const ENTRY: &str = "kapelle.meta.v1.ManagedFieldsEntry";

/// As many owners as most objects have.
const ENTRIES: usize = 2;

/// About how long the owners of an object are as text, in bytes.
const OWNERS_BYTES: usize = 512;

/// Writes an object as JSON with `apiVersion` and `kind`. With a revision, it is at that one.
pub fn write(served: Served, bytes: &[u8], revision: Option<Revision>, into: &mut Vec<u8>) {
    said(served, bytes, revision, |otherwise| json::write(served, bytes, otherwise, into));
}

/// As [`write`], without `apiVersion` and `kind`, as it stands in lists.
pub fn write_item(served: Served, bytes: &[u8], revision: Option<Revision>, into: &mut Vec<u8>) {
    said(served, bytes, revision, |otherwise| json::write_item(served, bytes, otherwise, into));
}

/// Writes the metadata of an object alone, from the bytes of the whole object, as [`write`] does.
pub fn write_metadata(served: Served, bytes: &[u8], revision: Option<Revision>, into: &mut Vec<u8>) {
    said(served, bytes, revision, |otherwise| json::write_metadata(bytes, otherwise, into));
}

/// As [`write_metadata`], without owners: for tables, whose rows nobody writes back.
pub fn write_metadata_without_owners(bytes: &[u8], revision: Option<Revision>, into: &mut Vec<u8>) {
    let at = encoded::split_owners(encoded::parts(bytes).metadata).0.len();
    json::write_metadata(bytes, Otherwise { revision, owners: Some(json::Owners { at, text: &[] }) }, into);
}

/// An object in protobuf. With a revision, it is at that one.
#[must_use]
pub fn revised(served: Served, bytes: &[u8], revision: Option<Revision>) -> Revised<'_> {
    told(served, bytes, Revised::new(bytes, revision))
}

/// The metadata of an object in protobuf.
#[must_use]
pub fn revised_metadata(served: Served, bytes: &[u8], revision: Option<Revision>) -> Revised<'_> {
    told(served, bytes, Revised::metadata(bytes, revision))
}

/// An object that is at hand as a value.
#[must_use]
pub fn object(served: Served, object: &Object) -> Object {
    let bytes = served.encode_bytes(object);
    let mut shown = Vec::with_capacity(bytes.len() + OWNERS_BYTES);
    revised(served, &bytes, None).write(&mut shown);
    served.decode_bytes(shown.into()).unwrap_or_else(|_| object.clone())
}

fn said(served: Served, bytes: &[u8], revision: Option<Revision>, write: impl FnOnce(Otherwise<'_>)) {
    let Some(kept) = Kept::of(served, bytes) else { return write(revision.into()) };
    let mut text = Vec::with_capacity(OWNERS_BYTES);
    kept.write_text(&mut text);
    write(Otherwise { revision, owners: Some(json::Owners { at: kept.others.len(), text: &text }) });
}

fn told<'a>(served: Served, bytes: &'a [u8], revised: Revised<'a>) -> Revised<'a> {
    match Kept::of(served, bytes) {
        Some(kept) => revised.with_owners(kept.others, kept.protobuf()),
        None => revised,
    }
}

/// The owners of an object, some of whom own the rest.
struct Kept<'a> {
    served: Served,
    message: &'static Message,
    bytes: &'a [u8],
    /// All other metadata.
    others: &'a [u8],
    entries: Vec<Entry<'a>>,
}

/// An entry as it is kept.
#[derive(Clone, Copy)]
struct Entry<'a> {
    bytes: &'a [u8],
    api_version: &'a [u8],
    part: Part,
    is_rest: bool,
}

impl<'a> Entry<'a> {
    fn of(bytes: &'a [u8], has_status: bool) -> Self {
        let (mut api_version, mut subresource, mut is_rest) = (&[][..], &[][..], true);
        for (number, payload) in Reader::new(bytes) {
            match number {
                API_VERSION => api_version = payload.bytes(),
                FIELDS_TYPE => is_rest = payload.bytes().is_empty(),
                SUBRESOURCE => subresource = payload.bytes(),
                _ => {}
            }
        }
        let part = Part::of(has_status, str::from_utf8(subresource).unwrap_or_default());
        Self { bytes, api_version, part, is_rest }
    }
}

impl<'a> Kept<'a> {
    /// `None` if nobody owns the rest, so that the object is shown as it is kept.
    fn of(served: Served, bytes: &'a [u8]) -> Option<Self> {
        let (others, owners) = encoded::split_owners(encoded::parts(bytes).metadata);
        if owners.is_empty() {
            return None;
        }
        let has_status = BuiltInKind(served.kind()).has_status();
        let mut entries = Vec::with_capacity(ENTRIES);
        for (number, entry) in Reader::new(owners) {
            if number != MANAGED_FIELDS_FIELD {
                // The fields do not come in order: nothing of ours.
                return None;
            }
            entries.push(Entry::of(entry.bytes(), has_status));
        }
        if !entries.iter().any(|entry| entry.is_rest) {
            return None;
        }
        let message = Schema::get().message(served.info().message)?;
        Some(Self { served, message, bytes, others, entries })
    }

    fn kind(&self) -> Kind {
        self.served.kind()
    }

    /// Whether the fields of whoever owns the rest are all of their part.
    fn is_plain(&self) -> bool {
        self.entries.iter().filter(|entry| entry.is_rest).all(|rest| {
            let alone = self.entries.iter().filter(|other| other.part == rest.part).count() == 1;
            alone && is_version(self.served.info(), rest.api_version)
        })
    }

    /// `fieldsV1` of whoever owns the rest of a part, and nobody else any of it.
    fn spell(&self, part: Part, into: &mut Vec<u8>) {
        spell::fields(self.message, self.bytes, part, BuiltInKind(self.kind()).given(), into);
    }

    /// Writes all owners as JSON.
    fn write_text(&self, into: &mut Vec<u8>) {
        if !self.is_plain() {
            return write_entries(&self.compared(), into);
        }
        into.push(b'[');
        for (at, entry) in self.entries.iter().enumerate() {
            if at > 0 {
                into.push(b',');
            }
            if entry.is_rest {
                self.write_rest(entry, into);
            } else {
                json::write_part(ENTRY, entry.bytes, into);
            }
        }
        into.push(b']');
    }

    fn write_rest(&self, entry: &Entry<'_>, into: &mut Vec<u8>) {
        let (before, behind) = split(entry.bytes, FIELDS_TYPE);
        json::write_part(ENTRY, before, into);
        // The entry goes on.
        into.pop();
        into.extend_from_slice(b",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
        self.spell(entry.part, into);
        if let Some((_, Payload::Bytes(subresource))) = Reader::new(behind).find(|(number, _)| *number == SUBRESOURCE) {
            into.extend_from_slice(b",\"subresource\":");
            json::write_text("", subresource, into);
        }
        into.push(b'}');
    }

    /// All owners as bytes of the field of the metadata.
    fn protobuf(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(OWNERS_BYTES);
        if !self.is_plain() {
            return ObjectMeta { managed_fields: self.compared(), ..ObjectMeta::default() }.encode_to_vec();
        }
        for entry in &self.entries {
            if entry.is_rest {
                self.put_rest(entry, &mut bytes);
            } else {
                put_bytes(MANAGED_FIELDS_FIELD, entry.bytes, &mut bytes);
            }
        }
        bytes
    }

    fn put_rest(&self, entry: &Entry<'_>, into: &mut Vec<u8>) {
        let (before, behind) = split(entry.bytes, FIELDS_TYPE);
        let start = open(MANAGED_FIELDS_FIELD, into);
        into.extend_from_slice(before);
        put_bytes(FIELDS_TYPE, owners::FIELDS_V1.as_bytes(), into);
        let fields = open(FIELDS, into);
        let raw = open(RAW, into);
        self.spell(entry.part, into);
        close(raw, into);
        close(fields, into);
        into.extend_from_slice(behind);
        close(start, into);
    }

    /// All owners, found by comparing values.
    fn compared(&self) -> Vec<ManagedFieldsEntry> {
        let metadata = ObjectMeta::decode(encoded::parts(self.bytes).metadata).unwrap_or_default();
        let Ok(owners) = Owners::stored(&metadata.managed_fields) else { return metadata.managed_fields };
        let info = self.served.info();
        let (kind, api_version) = (BuiltInKind(self.kind()), info.api_version());
        let request =
            Request { kind: &kind, api_version: &api_version, manager: "", subresource: "", now: Time::default() };
        let object = json::encode_message(info.message, self.bytes).unwrap_or_default();
        request.spelled_out(owners, &object).entries()
    }
}

fn write_entries(entries: &[ManagedFieldsEntry], into: &mut Vec<u8>) {
    into.push(b'[');
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        json::write_part(ENTRY, &entry.encode_to_vec(), into);
    }
    into.push(b']');
}

fn is_version(info: &KindInfo, api_version: &[u8]) -> bool {
    let KindInfo { group, version, .. } = info;
    match api_version.strip_suffix(version.as_bytes()) {
        Some([]) => group.is_empty(),
        Some([rest @ .., b'/']) => !group.is_empty() && rest == group.as_bytes(),
        Some(_) | None => false,
    }
}

/// Whether a writer has sent the owners as it was shown them. `kept` are those of the object whose bytes are given, in the version
/// of the request.
#[must_use]
pub fn is_as_shown(served: Served, bytes: &[u8], kept: &[ManagedFieldsEntry], sent: &[ManagedFieldsEntry]) -> bool {
    if kept.len() != sent.len() || !kept.iter().zip(sent).all(|(kept, sent)| is_same_owner(kept, sent)) {
        return false;
    }
    let Some(owners) = Kept::of(served, bytes).filter(Kept::is_plain) else { return false };
    kept.iter().zip(sent).zip(&owners.entries).all(|((kept, sent), entry)| {
        let sent_text = sent.fields_v1.as_ref().map_or(&b"{}"[..], |fields| &fields.raw);
        if !entry.is_rest {
            let kept_text = kept.fields_v1.as_ref().map_or(&b"{}"[..], |fields| &fields.raw);
            return same_fields(kept_text, sent_text);
        }
        let mut spelled = Vec::with_capacity(sent_text.len());
        owners.spell(entry.part, &mut spelled);
        same_fields(&spelled, sent_text)
    })
}

fn is_same_owner(kept: &ManagedFieldsEntry, sent: &ManagedFieldsEntry) -> bool {
    kept.manager == sent.manager
        && kept.operation == sent.operation
        && kept.api_version == sent.api_version
        && kept.subresource == sent.subresource
        && kept.time == sent.time
}

/// Whether both say the same; members of JSON objects may come in any order.
fn same_fields(one: &[u8], other: &[u8]) -> bool {
    one == other || matches!((Set::from_json(one), Set::from_json(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_an_entry() {
        let name = |message: &str, number: u32| {
            let message = Schema::get().message(message).expect("a message of ours");
            message.by_number(number).map(|field| field.json.as_str())
        };
        let names = [API_VERSION, FIELDS_TYPE, FIELDS, SUBRESOURCE].map(|number| name(ENTRY, number));
        assert_eq!(names, [Some("apiVersion"), Some("fieldsType"), Some("fieldsV1"), Some("subresource")]);
        assert!(name("kapelle.meta.v1.FieldsV1", RAW).is_some());
    }

    #[test]
    fn group_and_version_are_told_apart() {
        let is = |kind: Kind, version: &str| is_version(kind.info(), version.as_bytes());
        assert!(is(Kind::Pod, "v1") && is(Kind::Deployment, "apps/v1"));
        assert!(
            !is(Kind::Pod, "apps/v1") && !is(Kind::Deployment, "v1") && !is(Kind::Pod, "/v1") && !is(Kind::Pod, "")
        );
    }
}
