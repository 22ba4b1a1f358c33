//! How objects are answered: as they are kept, but with all fields of whoever owns the rest.
//!
//! The fields are read from the bytes while an answer is written, and stand in it as text: nothing is decoded. Only where they
//! cannot be read there, because others own something too or because they are told in another version, values are compared.

use std::{num::NonZeroU16, sync::LazyLock};

use prost::Message as _;

use super::{
    BuiltInKind, Owners, Part, Request, Versions as _,
    known::Known,
    note::{NUMBERS, Noted, TextNumber},
    owners,
};
use crate::{
    Object, Revision, Served,
    encoded::{self, MANAGED_FIELDS_FIELD, Revised, begin, field_len},
    fieldset::Set,
    json::{self, Otherwise},
    meta_v1::{ManagedFieldsEntry, ObjectMeta, Time},
    object::KindInfo,
    schema::{Message, Schema},
    wire::{Reader, put_bytes},
};

pub use super::note::Note;

/// The numbers of fields of an entry.
const API_VERSION: u32 = 3;
const FIELDS_TYPE: u32 = 6;
const FIELDS: u32 = 7;
const SUBRESOURCE: u32 = 8;

/// The number of the text in what holds fields.
const RAW: u32 = 1;

static ENTRY: LazyLock<&'static Message> = LazyLock::new(|| {
    let entry = Schema::get().message("kapelle.meta.v1.ManagedFieldsEntry");
    entry.expect("proto/ has the entries of metadata")
});

/// As many owners as most objects have.
const ENTRIES: usize = 2;

/// About how long the owners of an object are as text, in bytes.
const OWNERS_BYTES: usize = 512;

/// Shows objects of one kind, one after the other. Fields that many of them have are spelled once, and a buffer serves all.
#[derive(Debug, Default)]
pub struct Speller {
    known: Known,
    /// The owners of the object that was shown last, as JSON or as bytes of the field of its metadata.
    owners: Vec<u8>,
}

impl Speller {
    /// For one object alone.
    #[must_use]
    pub fn once() -> Self {
        Self { known: Known::once(), owners: Vec::new() }
    }

    /// Writes an object as JSON with `apiVersion` and `kind`.
    pub fn write(&mut self, subject: Subject<'_>, into: &mut Vec<u8>) {
        json::write(subject.served, subject.bytes, self.otherwise(subject), into);
    }

    /// As [`Speller::write`], without `apiVersion` and `kind`, as it stands in lists.
    pub fn write_item(&mut self, subject: Subject<'_>, into: &mut Vec<u8>) {
        json::write_item(subject.served, subject.bytes, self.otherwise(subject), into);
    }

    /// Writes the metadata of an object alone, as [`Speller::write`] does.
    pub fn write_metadata(&mut self, subject: Subject<'_>, into: &mut Vec<u8>) {
        json::write_metadata(subject.bytes, self.otherwise(subject), into);
    }

    /// An object in protobuf.
    pub fn revised<'a>(&'a mut self, subject: Subject<'a>) -> Revised<'a> {
        self.told(subject, Revised::new(subject.bytes, subject.revision))
    }

    /// The metadata of an object in protobuf.
    pub fn revised_metadata<'a>(&'a mut self, subject: Subject<'a>) -> Revised<'a> {
        self.told(subject, Revised::metadata(subject.bytes, subject.revision))
    }

    /// How long [`Speller::revised`] is, in bytes.
    pub fn revised_len(&mut self, subject: Subject<'_>) -> usize {
        self.len(subject, Revised::new(subject.bytes, subject.revision))
    }

    /// How long [`Speller::revised_metadata`] is, in bytes.
    pub fn revised_metadata_len(&mut self, subject: Subject<'_>) -> usize {
        self.len(subject, Revised::metadata(subject.bytes, subject.revision))
    }

    fn otherwise(&mut self, subject: Subject<'_>) -> Otherwise<'_> {
        let Self { known, owners } = self;
        owners.clear();
        let Some(kept) = Kept::of(subject, known) else { return subject.revision.into() };
        kept.write_text(known, owners);
        Otherwise { revision: subject.revision, owners: Some(json::Owners { at: kept.others.len(), text: owners }) }
    }

    fn told<'a>(&'a mut self, subject: Subject<'a>, revised: Revised<'a>) -> Revised<'a> {
        let Self { known, owners } = self;
        owners.clear();
        let Some(kept) = Kept::of(subject, known) else { return revised };
        kept.put(known, owners);
        revised.with_owners(kept.others, owners)
    }

    fn len(&mut self, subject: Subject<'_>, revised: Revised<'_>) -> usize {
        match subject.noted() {
            Some(Noted { others, owners: Some(owners), .. }) => {
                revised.encoded_len_with_owners(others.get().into(), owners.get().into())
            }
            Some(_) | None => self.told(subject, revised).encoded_len(),
        }
    }
}

/// An object that is to be shown.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What it is, and in which version the bytes are.
    pub served: Served,
    /// Its bytes, with the fields in order.
    pub bytes: &'a [u8],
    /// Its revision, if the bytes do not have it in `metadata.resourceVersion`.
    pub revision: Option<Revision>,
    /// What is remembered of it, if these are the bytes that are kept.
    pub note: Option<&'a Note>,
}

impl Subject<'_> {
    fn noted(&self) -> Option<Noted> {
        self.note.and_then(Note::get)
    }
}

/// Writes the metadata of an object alone, without owners: for tables, whose rows nobody writes back.
pub fn write_metadata_without_owners(bytes: &[u8], revision: Option<Revision>, into: &mut Vec<u8>) {
    let at = encoded::split_owners(encoded::parts(bytes).metadata).0.len();
    json::write_metadata(bytes, Otherwise { revision, owners: Some(json::Owners { at, text: &[] }) }, into);
}

/// An object that is at hand as a value.
#[must_use]
pub fn object(served: Served, object: &Object) -> Object {
    let bytes = served.encode_bytes(object);
    let mut shown = Vec::with_capacity(bytes.len() + OWNERS_BYTES);
    Speller::once().revised(Subject { served, bytes: &bytes, revision: None, note: None }).write(&mut shown);
    served.decode_bytes(shown.into()).unwrap_or_else(|_| object.clone())
}

/// The owners of an object, some of whom own the rest.
struct Kept<'a> {
    subject: Subject<'a>,
    noted: Option<Noted>,
    /// All other metadata.
    others: &'a [u8],
    entries: Vec<Entry<'a>>,
}

/// An entry as it is kept.
#[derive(Clone, Copy)]
struct Entry<'a> {
    bytes: &'a [u8],
    /// What stands before the fields in it, and behind them.
    before: &'a [u8],
    behind: &'a [u8],
    api_version: &'a [u8],
    subresource: &'a [u8],
    part: Part,
    is_rest: bool,
}

impl<'a> Entry<'a> {
    fn of(bytes: &'a [u8], has_status: bool) -> Self {
        let (mut api_version, mut subresource, mut is_rest) = (&[][..], &[][..], true);
        let (mut before, mut behind) = (&[][..], bytes);
        let mut reader = Reader::new(bytes);
        while let Some((number, payload)) = reader.next() {
            if number < FIELDS_TYPE {
                before = &bytes[..bytes.len() - reader.unread().len()];
            }
            if number <= FIELDS_TYPE {
                behind = reader.unread();
            }
            match number {
                API_VERSION => api_version = payload.bytes(),
                FIELDS_TYPE => is_rest = payload.bytes().is_empty(),
                SUBRESOURCE => subresource = payload.bytes(),
                _ => {}
            }
        }
        let part = Part::of(has_status, str::from_utf8(subresource).unwrap_or_default());
        Self { bytes, before, behind, api_version, subresource, part, is_rest }
    }

    /// Writes it as JSON with the fields of the rest.
    fn write_rest(&self, fields: &[u8], into: &mut Vec<u8>) {
        json::write_part(&ENTRY, self.before, into);
        // The entry goes on.
        into.pop();
        into.extend_from_slice(b",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
        into.extend_from_slice(fields);
        if !self.subresource.is_empty() {
            into.extend_from_slice(b",\"subresource\":");
            json::write_text("", self.subresource, into);
        }
        into.push(b'}');
    }

    /// Writes it as bytes with the fields of the rest.
    fn put_rest(&self, fields: &[u8], into: &mut Vec<u8>) {
        let Self { before, behind, .. } = self;
        let holder = field_len(RAW, fields.len());
        let told = field_len(FIELDS_TYPE, owners::FIELDS_V1.len()) + field_len(FIELDS, holder);
        begin(MANAGED_FIELDS_FIELD, before.len() + told + behind.len(), into);
        into.extend_from_slice(before);
        put_bytes(FIELDS_TYPE, owners::FIELDS_V1.as_bytes(), into);
        begin(FIELDS, holder, into);
        put_bytes(RAW, fields, into);
        into.extend_from_slice(behind);
    }
}

impl<'a> Kept<'a> {
    /// `None` if nobody owns the rest, so that the object is shown as it is kept.
    fn of(subject: Subject<'a>, known: &mut Known) -> Option<Self> {
        let (metadata, noted, served) = (encoded::parts(subject.bytes).metadata, subject.noted(), subject.served);
        let at = noted.map(|noted| usize::from(noted.others.get()));
        let split = at.and_then(|at| metadata.split_at_checked(at));
        let (others, owners) = split.unwrap_or_else(|| encoded::split_owners(metadata));
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
        known.begin(served)?;
        Some(Self { subject, noted, others, entries })
    }

    /// Whether the fields of whoever owns the rest are all of their part.
    fn is_plain(&self) -> bool {
        self.noted.is_some()
            || self.entries.iter().filter(|entry| entry.is_rest).all(|rest| {
                let alone = self.entries.iter().filter(|other| other.part == rest.part).count() == 1;
                alone && is_version(self.subject.served.info(), rest.api_version)
            })
    }

    /// Writes all owners as JSON.
    fn write_text(&self, known: &mut Known, into: &mut Vec<u8>) {
        if !self.is_plain() {
            return write_entries(&self.compared(), into);
        }
        into.push(b'[');
        let texts = self.each(known, |entry, fields| {
            if into.last() != Some(&b'[') {
                into.push(b',');
            }
            match fields {
                Some(fields) => entry.write_rest(fields, into),
                None => json::write_part(&ENTRY, entry.bytes, into),
            }
        });
        into.push(b']');
        self.note(texts, self.noted.and_then(|noted| noted.owners));
    }

    /// Writes all owners as bytes of the field of the metadata.
    fn put(&self, known: &mut Known, into: &mut Vec<u8>) {
        if !self.is_plain() {
            let metadata = ObjectMeta { managed_fields: self.compared(), ..ObjectMeta::default() };
            return into.extend(metadata.encode_to_vec());
        }
        let texts = self.each(known, |entry, fields| match fields {
            Some(fields) => entry.put_rest(fields, into),
            None => put_bytes(MANAGED_FIELDS_FIELD, entry.bytes, into),
        });
        self.note(texts, u16::try_from(into.len()).ok().and_then(NonZeroU16::new));
    }

    /// Shows each entry, with its fields if it owns the rest. Answers which of them are shared.
    fn each(
        &self,
        known: &mut Known,
        mut show: impl FnMut(&Entry<'a>, Option<&[u8]>),
    ) -> [Option<TextNumber>; NUMBERS] {
        let mut texts = self.noted.map_or([None; NUMBERS], |noted| noted.texts);
        let mut numbers = texts.iter_mut();
        for entry in &self.entries {
            let fields = entry.is_rest.then(|| {
                let number = numbers.next();
                known.fields(self.subject.bytes, entry.part, number.unwrap_or(&mut None))
            });
            show(entry, fields);
        }
        texts
    }

    fn note(&self, texts: [Option<TextNumber>; NUMBERS], owners: Option<NonZeroU16>) {
        let others = u16::try_from(self.others.len()).ok().and_then(NonZeroU16::new);
        let noted = others.map(|others| Noted { others, owners, texts });
        if let (Some(note), Some(noted)) = (self.subject.note, noted.filter(|noted| Some(*noted) != self.noted)) {
            note.set(noted);
        }
    }

    /// All owners, found by comparing values.
    fn compared(&self) -> Vec<ManagedFieldsEntry> {
        let metadata = ObjectMeta::decode(encoded::parts(self.subject.bytes).metadata).unwrap_or_default();
        let Ok(owners) = Owners::stored(&metadata.managed_fields) else { return metadata.managed_fields };
        let info = self.subject.served.info();
        let (kind, api_version) = (BuiltInKind(self.subject.served.kind()), info.api_version());
        let request =
            Request { kind: &kind, api_version: &api_version, manager: "", subresource: "", now: Time::default() };
        let object = json::encode_message(info.message, self.subject.bytes).unwrap_or_default();
        request.spelled_out(owners, &object).entries()
    }
}

fn write_entries(entries: &[ManagedFieldsEntry], into: &mut Vec<u8>) {
    into.push(b'[');
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        json::write_part(&ENTRY, &entry.encode_to_vec(), into);
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
    let mut known = Known::once();
    let subject = Subject { served, bytes, revision: None, note: None };
    let Some(owners) = Kept::of(subject, &mut known).filter(Kept::is_plain) else { return false };
    kept.iter().zip(sent).zip(&owners.entries).all(|((kept, sent), entry)| {
        let sent_text = sent.fields_v1.as_ref().map_or(&b"{}"[..], |fields| &fields.raw);
        if !entry.is_rest {
            let kept_text = kept.fields_v1.as_ref().map_or(&b"{}"[..], |fields| &fields.raw);
            return same_fields(kept_text, sent_text);
        }
        same_fields(known.fields(bytes, entry.part, &mut None), sent_text)
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
    use crate::Kind;

    #[test]
    fn the_numbers_are_those_of_an_entry() {
        let name = |message: &str, number: u32| {
            let message = Schema::get().message(message).expect("a message of ours");
            message.by_number(number).map(|field| field.json.as_str())
        };
        let names = [API_VERSION, FIELDS_TYPE, FIELDS, SUBRESOURCE].map(|number| name(&ENTRY.name, number));
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
