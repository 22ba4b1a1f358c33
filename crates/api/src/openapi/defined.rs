//! OpenAPI 2 with what users have defined. A cluster may have thousands of such kinds, and all of them stand in one document, so
//! that it is written kind by kind.

use std::io::{self, Write};

use serde_json::Value;

use super::{Description, Subject, definitions::Dialect, document_v2, gnostic};
use crate::custom;

/// A part of the document that has something of every kind.
#[derive(Clone, Copy, Debug)]
enum Part {
    Paths,
    Definitions,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::Paths => "paths",
            Self::Definitions => "definitions",
        }
    }
}

/// What a version adds to the document: its paths and definitions.
fn added(version: &custom::Version) -> (Value, Value) {
    let mut described = Description::new(Dialect::V2);
    described.kind(Subject::Defined(version));
    described.finish()
}

/// Writes the document of all groups and versions as JSON.
///
/// # Errors
/// If nothing can be written.
pub fn write_v2<'a>(
    defined: impl Iterator<Item = &'a custom::Version> + Clone,
    into: &mut impl Write,
) -> io::Result<()> {
    let mut document = document_v2();
    into.write_all(b"{")?;
    for part in [Part::Paths, Part::Definitions] {
        let of_table = document[part.word()].take();
        write!(into, "\"{}\":{{{}", part.word(), members(&of_table))?;
        for version in defined.clone() {
            let (paths, definitions) = added(version);
            let added = match part {
                Part::Paths => paths,
                Part::Definitions => own(definitions, &of_table),
            };
            write!(into, ",{}", members(&added))?;
        }
        into.write_all(b"},")?;
    }
    if let Value::Object(rest) = &mut document {
        rest.retain(|_, value| !value.is_null());
    }
    write!(into, "{}}}", members(&document))
}

/// As [`write_v2`], in protobuf: what stands behind a message is added to it.
///
/// # Errors
/// If nothing can be written.
pub fn write_v2_protobuf<'a>(
    defined: impl Iterator<Item = &'a custom::Version>,
    into: &mut impl Write,
) -> io::Result<()> {
    let document = document_v2();
    into.write_all(&gnostic::v2::encode(&document))?;
    for version in defined {
        let (paths, definitions) = added(version);
        into.write_all(&gnostic::v2::encode_added(&paths, &own(definitions, &document["definitions"])))?;
    }
    Ok(())
}

/// The definitions that the table of kinds does not have.
fn own(mut definitions: Value, of_table: &Value) -> Value {
    if let Value::Object(definitions) = &mut definitions {
        definitions.retain(|name, _| of_table.get(name).is_none());
    }
    definitions
}

/// The text between the braces of an object.
fn members(object: &Value) -> String {
    let text = object.to_string();
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().to_owned()
}
