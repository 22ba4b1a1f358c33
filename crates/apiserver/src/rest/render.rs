//! Objects in the form that the client asked for: as they are, as tables, or as metadata alone.

use std::sync::Arc;

use api::{Kind, Object, Timestamp, json, table};
use serde_json::{Value, json};

use super::{
    accept::{Format, MetaVersion},
    query::Include,
};

/// How to show objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    /// The form.
    pub(crate) format: Format,
    /// For tables: how much of each object comes with its row.
    pub(crate) include: Include,
    /// For tables: what ages are counted from.
    pub(crate) now: Timestamp,
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

/// One object.
pub(crate) fn object(object: &Object, view: View) -> Value {
    match view.format {
        Format::Object => json::encode(object),
        Format::Partial(version) => partial(object, version),
        Format::Table(_) => one_row(object, view, Header::Shown),
    }
}

/// One object as a table of one row.
pub(crate) fn one_row(object: &Object, view: View, header: Header) -> Value {
    let revision = object.metadata().map(|meta| meta.resource_version.clone()).unwrap_or_default();
    let meta = ListMeta { revision, ..ListMeta::default() };
    table(object.kind(), std::iter::once(object), &meta, view, header)
}

/// A list of objects of one kind.
pub(crate) fn list(kind: Kind, objects: &[Arc<Object>], meta: &ListMeta, view: View) -> Value {
    match view.format {
        Format::Object => json!({
            "kind": format!("{kind}List"),
            "apiVersion": kind.api_version(),
            "metadata": meta.value(),
            "items": objects.iter().map(|object| json::encode_item(object)).collect::<Vec<_>>(),
        }),
        Format::Partial(version) => json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": version.api_version(),
            "metadata": meta.value(),
            "items": objects.iter().map(|object| partial(object, version)).collect::<Vec<_>>(),
        }),
        Format::Table(_) => table(kind, objects.iter().map(|object| &**object), meta, view, Header::Shown),
    }
}

fn partial(object: &Object, version: MetaVersion) -> Value {
    let metadata = object.metadata().cloned().unwrap_or_default();
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": version.api_version(),
        "metadata": message("kapelle.meta.v1.ObjectMeta", &metadata),
    })
}

fn table<'a>(
    kind: Kind,
    objects: impl Iterator<Item = &'a Object>,
    meta: &ListMeta,
    view: View,
    header: Header,
) -> Value {
    let version = table_version(view.format);
    let columns = table::columns(kind).iter().map(column);
    let columns: Option<Vec<Value>> = (header == Header::Shown).then(|| columns.collect());
    json!({
        "kind": "Table",
        "apiVersion": version.api_version(),
        "metadata": meta.value(),
        "columnDefinitions": columns,
        "rows": objects.map(|object| row(object, version, view)).collect::<Vec<_>>(),
    })
}

fn table_version(format: Format) -> MetaVersion {
    match format {
        Format::Table(version) | Format::Partial(version) => version,
        Format::Object => MetaVersion::V1,
    }
}

fn row(object: &Object, version: MetaVersion, view: View) -> Value {
    let cells: Vec<Value> = table::row(object, view.now).iter().map(cell).collect();
    match view.include {
        Include::None => json!({ "cells": cells }),
        Include::Metadata => json!({ "cells": cells, "object": partial(object, version) }),
        Include::Object => json!({ "cells": cells, "object": json::encode(object) }),
    }
}

/// A bookmark among tables: a row without content.
pub(crate) fn bookmark_row(kind: Kind, metadata: Value, view: View, header: Header) -> Value {
    let version = table_version(view.format);
    let meta = ListMeta { revision: super::body::text(&metadata, "resourceVersion").to_owned(), ..ListMeta::default() };
    let cells = vec![Value::Null; table::columns(kind).len()];
    let object = json!({ "kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata });
    let mut table = table(kind, std::iter::empty(), &meta, view, header);
    table["rows"] = json!([{ "cells": cells, "object": object }]);
    table
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
    }
}
