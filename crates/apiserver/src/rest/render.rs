//! Objects in the form that the client asked for: as they are, as tables, or as metadata alone.

use api::{
    Served, Timestamp,
    apply::shown::{self, Speller},
    cbor, json, meta_v1, table,
};
use bytes::Bytes;
use registry::{Encoded, Found};
use serde_json::{Value, json};

use super::{
    accept::{self, Encoding, Extent, Format, MetaVersion},
    protobuf,
    query::Include,
    yaml,
};

/// How to show objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    /// The kind, in the version in which it is shown.
    pub(crate) served: Served,
    /// How it is written.
    pub(crate) encoding: Encoding,
    /// The form.
    pub(crate) format: Format,
    /// For tables: how much of each object comes with its row.
    pub(crate) include: Include,
    /// For tables: what ages are counted from.
    pub(crate) now: Timestamp,
}

impl View {
    /// The type of an answer that is shown so.
    pub(crate) fn content_type(self) -> &'static str {
        match self.encoding {
            Encoding::Json | Encoding::Protobuf => self.format.content_type(),
            Encoding::Yaml => yaml::TYPE,
            Encoding::Cbor => accept::CBOR,
        }
    }

    /// The type of a watch that is shown so.
    pub(crate) fn stream_type(self) -> &'static str {
        match self.encoding {
            Encoding::Json | Encoding::Yaml | Encoding::Protobuf => self.format.stream_type(),
            Encoding::Cbor => "application/cbor-seq",
        }
    }
}

/// What a list says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListMeta {
    /// The revision that was read; empty where there is none.
    pub(crate) revision: String,
    /// The token for the rest; empty at the end.
    pub(crate) continue_: String,
    /// How many objects the rest has, if that is known.
    pub(crate) remaining: Option<u64>,
}

impl ListMeta {
    fn value(&self) -> Value {
        let mut value = json!({ "resourceVersion": self.revision });
        if !self.continue_.is_empty() {
            value["continue"] = self.continue_.as_str().into();
        }
        if let Some(remaining) = self.remaining {
            value["remainingItemCount"] = remaining.into();
        }
        value
    }

    fn message(&self) -> meta_v1::ListMeta {
        meta_v1::ListMeta {
            resource_version: self.revision.clone(),
            r#continue: self.continue_.clone(),
            remaining_item_count: self.remaining.map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
            ..meta_v1::ListMeta::default()
        }
    }
}

/// Whether a table says what its columns are: a watch says it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// It does.
    Shown,
    /// It was said before.
    Omitted,
}

/// A message that is no object of its own; `name` is its full name in `proto/`.
pub(crate) fn message(name: &str, message: &impl prost::Message) -> Value {
    json::encode_message(name, &message.encode_to_vec()).expect("a message is what its own type encodes")
}

/// What was written as JSON, as CBOR.
pub(crate) fn cbor(json: &[u8]) -> Vec<u8> {
    let mut document = Vec::new();
    cbor::write(&read_again(json), &mut document);
    document
}

/// The value that was written. What is nested deeper than JSON is read is left out.
fn read_again(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_default()
}

/// Writes one object as JSON.
pub(crate) fn object(found: &Found, view: View, header: Header, into: &mut Vec<u8>) {
    match view.format {
        Format::Object => whole(found, view.served, &mut Speller::once(), into),
        Format::Partial(version) => partial(found, (view.served, version), &mut Speller::once(), into),
        Format::Protobuf(extent) => protobuf::object(found, view.served, extent, &type_of(view), into),
        Format::Table(version) => {
            let revision = found.revision().map(|revision| revision.to_string()).unwrap_or_default();
            let meta = ListMeta { revision, ..ListMeta::default() };
            opening(&meta, view, header, into);
            row(found, (version, view), &mut Speller::once(), into);
            into.extend_from_slice(CLOSING);
        }
    }
}

/// What an answer about one object is.
fn type_of(view: View) -> meta_v1::TypeMeta {
    let info = view.served.info();
    let (kind, api_version) = match view.format {
        Format::Object | Format::Protobuf(Extent::Whole) => (info.kind, info.api_version()),
        Format::Partial(version) | Format::Protobuf(Extent::Metadata(version)) => {
            ("PartialObjectMetadata", version.api_version().to_owned())
        }
        Format::Table(version) => ("Table", version.api_version().to_owned()),
    };
    meta_v1::TypeMeta { api_version, kind: kind.to_owned() }
}

/// What an answer about many objects is.
fn list_type(view: View) -> meta_v1::TypeMeta {
    let one = type_of(view);
    if let Format::Table(_) = view.format {
        return one;
    }
    let kind = match view.format {
        Format::Object | Format::Protobuf(Extent::Whole) => view.served.info().list_kind.to_owned(),
        Format::Partial(_) | Format::Protobuf(Extent::Metadata(_)) | Format::Table(_) => format!("{}List", one.kind),
    };
    meta_v1::TypeMeta { kind, ..one }
}

fn whole(found: &Found, served: Served, speller: &mut Speller, into: &mut Vec<u8>) {
    speller.write(found.encoded(served).subject(), into);
}

/// Metadata are the same in every version of a kind.
fn partial(found: &Found, (served, version): (Served, MetaVersion), speller: &mut Speller, into: &mut Vec<u8>) {
    open_partial(version, into);
    speller.write_metadata(found.encoded(served.kind().into()).subject(), into);
    into.push(b'}');
}

/// As [`partial`], without owners: who reads tables shows them, and writes nothing back.
fn partial_of_row(found: &Found, served: Served, version: MetaVersion, into: &mut Vec<u8>) {
    let Encoded { bytes, revision, .. } = found.encoded(served.kind().into());
    open_partial(version, into);
    shown::write_metadata_without_owners(&bytes, revision, into);
    into.push(b'}');
}

fn open_partial(version: MetaVersion, into: &mut Vec<u8>) {
    into.extend_from_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"");
    into.extend_from_slice(version.api_version().as_bytes());
    into.extend_from_slice(b"\",\"metadata\":");
}

fn row(found: &Found, (version, view): (MetaVersion, View), speller: &mut Speller, into: &mut Vec<u8>) {
    into.extend_from_slice(b"{\"cells\":");
    let cells: Value = table::row_as(view.served, &found.object(), view.now).iter().map(cell).collect();
    put(&cells, into);
    match view.include {
        Include::None => {}
        Include::Metadata => {
            into.extend_from_slice(b",\"object\":");
            partial_of_row(found, view.served, version, into);
        }
        Include::Object => {
            into.extend_from_slice(b",\"object\":");
            whole(found, view.served, speller, into);
        }
    }
    into.push(b'}');
}

fn put(value: &Value, into: &mut Vec<u8>) {
    serde_json::to_writer(into, value).expect("memory takes what is written");
}

/// What stands behind the elements of every list in JSON.
const CLOSING: &[u8] = b"]}";

/// Writes all of a list in JSON that stands before its elements, of which there are none yet.
fn opening(meta: &ListMeta, view: View, header: Header, into: &mut Vec<u8>) {
    let list = list_type(view);
    let mut opening = json!({ "kind": list.kind, "apiVersion": list.api_version, "metadata": meta.value() });
    if let Format::Table(_) = view.format {
        let columns = || table::columns_as(view.served).iter().map(column).collect::<Vec<_>>();
        opening["columnDefinitions"] = (header == Header::Shown).then(columns).into();
    }
    put(&opening, into);
    // The elements are one more member.
    into.pop();
    into.extend_from_slice(format!(",\"{}\":[", elements(view.format)).as_bytes());
}

/// What the elements of a list are called.
fn elements(format: Format) -> &'static str {
    match format {
        Format::Object | Format::Partial(_) | Format::Protobuf(_) => "items",
        Format::Table(_) => "rows",
    }
}

/// About how much of a list is written before it is sent, in bytes: enough for few writes to the socket, little enough for
/// the first of it to come soon and for many lists at once to take little memory.
const CHUNK_BYTES: usize = 64 << 10;

/// A list of objects of one kind, piece by piece, as the client takes it.
pub(crate) struct ListBody {
    /// What stands before the elements; `None` once it is written.
    meta: Option<ListMeta>,
    items: std::vec::IntoIter<Found>,
    view: View,
    /// What is known of the elements from those before.
    speller: Speller,
    has_elements: bool,
    /// What stands behind the elements, if the form does not tell.
    behind: Vec<u8>,
    is_closed: bool,
}

impl ListBody {
    pub(crate) fn new(items: Vec<Found>, meta: ListMeta, view: View) -> Self {
        Self {
            meta: Some(meta),
            items: items.into_iter(),
            view,
            speller: Speller::default(),
            has_elements: false,
            behind: Vec::new(),
            is_closed: false,
        }
    }

    /// The type of the answer.
    pub(crate) fn content_type(&self) -> &'static str {
        self.view.content_type()
    }

    fn open(&mut self, meta: &ListMeta, into: &mut Vec<u8>) {
        match self.view.format {
            Format::Object | Format::Table(_) | Format::Partial(_) => self.open_text(meta, into),
            Format::Protobuf(extent) => {
                let items = (self.items.as_slice(), self.view.served, extent);
                let (is, meta) = (list_type(self.view), meta.message());
                protobuf::opening(items, (&is, &meta), &mut self.speller, into);
            }
        }
    }

    fn open_text(&mut self, meta: &ListMeta, into: &mut Vec<u8>) {
        opening(meta, self.view, Header::Shown, into);
        match self.view.encoding {
            Encoding::Json | Encoding::Protobuf => {}
            Encoding::Cbor => {
                into.extend_from_slice(CLOSING);
                let value = read_again(into);
                into.clear();
                let (list, count) = (elements(self.view.format), self.items.len());
                let members = value.as_object().into_iter();
                members.for_each(|members| self.behind = cbor::write_around(list, count, members, into));
            }
            Encoding::Yaml => {
                into.extend_from_slice(CLOSING);
                let is_empty = self.items.len() == 0;
                let list = elements(self.view.format);
                *into = if is_empty { yaml::document(into) } else { yaml::before(list, into) };
            }
        }
    }

    fn next_element(&mut self, found: &Found, into: &mut Vec<u8>) {
        match self.view.encoding {
            Encoding::Json | Encoding::Protobuf => self.element(found, into),
            Encoding::Yaml => {
                let mut json = Vec::new();
                self.element(found, &mut json);
                into.extend(yaml::element(&json));
            }
            Encoding::Cbor => {
                let mut json = Vec::new();
                self.element(found, &mut json);
                cbor::write_part(&read_again(&json), into);
            }
        }
    }

    fn element(&mut self, found: &Found, into: &mut Vec<u8>) {
        match self.view.format {
            Format::Object => {
                self.separate(into);
                self.speller.write_item(found.encoded(self.view.served).subject(), into);
            }
            Format::Partial(version) => {
                self.separate(into);
                partial(found, (self.view.served, version), &mut self.speller, into);
            }
            Format::Table(version) => {
                self.separate(into);
                row(found, (version, self.view), &mut self.speller, into);
            }
            Format::Protobuf(extent) => protobuf::item(found, self.view.served, extent, &mut self.speller, into),
        }
    }

    /// Writes what stands between the elements of a list in JSON; in YAML each begins with a dash.
    fn separate(&mut self, into: &mut Vec<u8>) {
        let is_first = !std::mem::replace(&mut self.has_elements, true);
        if !is_first && self.view.encoding == Encoding::Json {
            into.push(b',');
        }
    }

    fn close(&mut self, into: &mut Vec<u8>) {
        self.is_closed = true;
        match (self.view.format, self.view.encoding) {
            (Format::Object | Format::Table(_) | Format::Partial(_), Encoding::Json | Encoding::Protobuf) => {
                into.extend_from_slice(CLOSING);
            }
            (Format::Object | Format::Table(_) | Format::Partial(_), Encoding::Yaml | Encoding::Cbor)
            | (Format::Protobuf(_), _) => into.append(&mut self.behind),
        }
    }
}

impl Iterator for ListBody {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.is_closed {
            return None;
        }
        let mut chunk = Vec::new();
        if let Some(meta) = self.meta.take() {
            self.open(&meta, &mut chunk);
        }
        while chunk.len() < CHUNK_BYTES {
            let Some(found) = self.items.next() else {
                self.close(&mut chunk);
                break;
            };
            self.next_element(&found, &mut chunk);
        }
        (!chunk.is_empty()).then(|| chunk.into())
    }
}

/// Writes a bookmark among tables: a row without content.
pub(crate) fn bookmark_row(metadata: Value, version: MetaVersion, view: View, header: Header, into: &mut Vec<u8>) {
    let meta = ListMeta { revision: super::body::text(&metadata, "resourceVersion").to_owned(), ..ListMeta::default() };
    let cells = vec![Value::Null; table::columns_as(view.served).len()];
    let object = json!({ "kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata });
    opening(&meta, view, header, into);
    put(&json!({ "cells": cells, "object": object }), into);
    into.extend_from_slice(CLOSING);
}

fn column(column: &table::Column) -> Value {
    json!({
        "name": column.name,
        "type": column.r#type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    })
}

fn cell(cell: &table::Cell) -> Value {
    match cell {
        table::Cell::Text(text) => text.as_str().into(),
        table::Cell::Int(number) => (*number).into(),
        table::Cell::Value(value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use api::{Kind, Object, core_v1::ConfigMap, meta_v1::ObjectMeta};
    use prost::Message as _;

    use super::*;

    /// As long as an object of these tests at most, as text.
    const OBJECT_BYTES_MAX: usize = 2 << 10;

    fn maps(count: usize) -> Vec<Found> {
        let map = |n: usize| ConfigMap {
            metadata: Some(ObjectMeta { name: format!("m{n:05}"), resource_version: "7".into(), ..Default::default() }),
            data: [("k".to_owned(), "\"v\"\n".repeat(200))].into(),
            ..Default::default()
        };
        (0..count).map(|n| Object::from(map(n)).into()).collect()
    }

    fn pieces(count: usize, encoding: Encoding, format: Format) -> Vec<Bytes> {
        let served = Kind::ConfigMap.into();
        let view = View { served, encoding, format, include: Include::Object, now: Timestamp(0) };
        let meta = ListMeta { revision: "9".to_owned(), continue_: "next".to_owned(), remaining: Some(3) };
        ListBody::new(maps(count), meta, view).collect()
    }

    /// A list of any kind as it is in protobuf.
    #[derive(Clone, PartialEq, prost::Message)]
    struct Items {
        #[prost(message, optional, tag = "1")]
        metadata: Option<meta_v1::ListMeta>,
        #[prost(bytes = "bytes", repeated, tag = "2")]
        items: Vec<Bytes>,
    }

    #[test]
    fn a_list_in_protobuf_has_the_length_that_it_says_and_comes_in_pieces() {
        for (extent, kind, data) in
            [(Extent::Whole, "ConfigMapList", 1), (Extent::Metadata(MetaVersion::V1), "PartialObjectMetadataList", 0)]
        {
            for count in [0, 1, 2, 1000] {
                let pieces = pieces(count, Encoding::Protobuf, Format::Protobuf(extent));
                let fits = |piece: &Bytes| !piece.is_empty() && piece.len() < CHUNK_BYTES + OBJECT_BYTES_MAX;
                assert!(pieces.iter().all(fits), "{kind} {count}");
                // A length that is wrong would have been told.
                let envelope = api::envelope::decode(&pieces.concat()).unwrap();
                assert_eq!(envelope.kind, kind);
                let list = Items::decode(envelope.raw).unwrap();
                let meta = list.metadata.unwrap();
                let told = (meta.resource_version.as_str(), meta.r#continue.as_str(), meta.remaining_item_count);
                assert_eq!(told, ("9", "next", Some(3)));
                let maps = list.items.into_iter().map(|bytes| ConfigMap::decode(bytes).unwrap());
                let told: Vec<_> = maps.map(|map| (map.metadata.unwrap().name, map.data.len())).collect();
                assert_eq!(told, (0..count).map(|n| (format!("m{n:05}"), data)).collect::<Vec<_>>());
                assert!(count < 1000 || data == 0 || pieces.len() > 10);
            }
        }
    }

    #[test]
    fn a_list_of_any_length_is_whole_and_comes_in_pieces() {
        for (format, elements, name) in [
            (Format::Object, "items", "/metadata/name"),
            (Format::Partial(MetaVersion::V1), "items", "/metadata/name"),
            (Format::Table(MetaVersion::V1), "rows", "/object/metadata/name"),
        ] {
            for count in [0, 1, 2, 1000] {
                let pieces = pieces(count, Encoding::Json, format);
                assert!(pieces.iter().all(|piece| piece.len() < CHUNK_BYTES + OBJECT_BYTES_MAX), "{format:?} {count}");
                let whole: Value = serde_json::from_slice(&pieces.concat()).unwrap();
                let meta = json!({ "resourceVersion": "9", "continue": "next", "remainingItemCount": 3 });
                assert_eq!(whole["metadata"], meta);
                let elements = whole[elements].as_array().unwrap();
                let names: Vec<&str> =
                    elements.iter().map(|one| one.pointer(name).unwrap().as_str().unwrap()).collect();
                assert_eq!(names, (0..count).map(|n| format!("m{n:05}")).collect::<Vec<_>>());
                assert!(count < 1000 || format == Format::Partial(MetaVersion::V1) || pieces.len() > 10);
            }
        }
    }

    #[test]
    fn a_list_says_the_same_in_cbor() {
        for format in [Format::Object, Format::Partial(MetaVersion::V1), Format::Table(MetaVersion::V1)] {
            for count in [0, 1, 1000] {
                let json: Value = serde_json::from_slice(&pieces(count, Encoding::Json, format).concat()).unwrap();
                let written = pieces(count, Encoding::Cbor, format);
                assert!(written.iter().all(|piece| piece.len() < CHUNK_BYTES + OBJECT_BYTES_MAX), "{format:?} {count}");
                let written = written.concat();
                assert_eq!(cbor::parse(&written).unwrap(), json, "{format:?} {count}");
                let mut whole = Vec::new();
                cbor::write(&json, &mut whole);
                assert_eq!(written, whole, "there is one form of it: {format:?} {count}");
            }
        }
    }

    #[test]
    fn a_list_says_the_same_in_yaml() {
        for format in [Format::Object, Format::Partial(MetaVersion::V1), Format::Table(MetaVersion::V1)] {
            for count in [0, 1, 1000] {
                let json: Value = serde_json::from_slice(&pieces(count, Encoding::Json, format).concat()).unwrap();
                let written = pieces(count, Encoding::Yaml, format);
                assert!(written.iter().all(|piece| piece.len() < CHUNK_BYTES + OBJECT_BYTES_MAX), "{format:?} {count}");
                let yaml: Value = serde_yaml::from_slice(&written.concat()).unwrap();
                assert_eq!(yaml, json, "{format:?} {count}");
            }
        }
    }
}
