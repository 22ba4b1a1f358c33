//! From the parser's events to values: anchors, merge keys and limits.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value, map::Entry};

use super::{DEPTH_MAX, DOCUMENT_BYTES_MAX, DOCUMENTS_MAX, scalar, too_large, too_many};
use crate::{
    Error,
    json::{DUPLICATES_MAX, clipped},
};

/// The documents of a text; empty ones are `null`. A key that stands twice is refused.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, Error> {
    Composer::new(text, Twice::Refused).documents()
}

/// As [`documents`], with the keys that stand twice, of which the last counts: `line 6: key "k" already set in map`.
pub(super) fn noting(text: &str) -> Result<(Vec<Value>, Vec<String>), Error> {
    let mut composer = Composer::new(text, Twice::Noted(Vec::new()));
    let documents = composer.documents()?;
    match composer.twice {
        Twice::Noted(duplicates) => Ok((documents, duplicates)),
        Twice::Refused => Ok((documents, Vec::new())),
    }
}

/// What becomes of a key that stands twice in one mapping.
enum Twice {
    /// It is an error.
    Refused,
    /// It is noted, in the words of Kubernetes' reader.
    Noted(Vec<String>),
}

/// How much of a document may have anchors, in bytes: all of it, twice, since anchors stand within anchors.
const ANCHORED_BYTES_MAX: usize = 2 * DOCUMENT_BYTES_MAX;

/// What an anchor names.
struct Anchored {
    value: Value,
    /// How large it is, as [`Composer::bytes`] counts.
    bytes: usize,
}

struct Composer<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// The number of the document, from 1.
    document: usize,
    /// The line of the latest event, from 1.
    line: usize,
    depth: usize,
    /// How large the document is so far: the bytes of its scalars, and one for each node.
    bytes: usize,
    /// How much is kept for aliases, counted likewise. What several anchors name counts for each.
    anchored: usize,
    anchors: HashMap<usize, Anchored>,
    twice: Twice,
}

impl<'a> Composer<'a> {
    fn new(text: &'a str, twice: Twice) -> Self {
        Self {
            events: Parser::new_from_str(text),
            document: 0,
            line: 1,
            depth: 0,
            bytes: 0,
            anchored: 0,
            anchors: HashMap::new(),
            twice,
        }
    }

    fn documents(&mut self) -> Result<Vec<Value>, Error> {
        let mut documents = Vec::new();
        loop {
            match self.next()? {
                Event::StreamEnd => return Ok(documents),
                Event::DocumentStart(_) if documents.len() >= DOCUMENTS_MAX => return Err(too_many()),
                Event::DocumentStart(_) => {
                    self.document += 1;
                    self.bytes = 0;
                    self.anchored = 0;
                    self.anchors.clear();
                }
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                event => documents.push(self.node(event)?),
            }
        }
    }

    fn next(&mut self) -> Result<Event<'a>, Error> {
        match self.events.next_event() {
            None => Ok(Event::StreamEnd),
            Some(Ok((event, Span { start, .. }))) => {
                self.line = start.line();
                Ok(event)
            }
            Some(Err(error)) => Err(self.broken(&error)),
        }
    }

    /// The value that begins with an event.
    fn node(&mut self, event: Event<'a>) -> Result<Value, Error> {
        let before = self.bytes;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, self.scalar(&text, style, tag.as_deref())?),
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq")?;
                (anchor, self.nested(Self::sequence)?)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map")?;
                (anchor, self.nested(Self::mapping)?)
            }
            Event::Alias(anchor) => return self.alias(anchor),
            other => return Err(self.wrong(format!("{other:?} where a value is expected"))),
        };
        // The parser numbers anchors from 1.
        if anchor > 0 {
            let bytes = self.bytes - before;
            self.anchored += bytes;
            if self.anchored > ANCHORED_BYTES_MAX {
                return Err(self.wrong("too much has anchors; remove those that no alias needs".to_owned()));
            }
            self.anchors.insert(anchor, Anchored { value: value.clone(), bytes });
        }
        Ok(value)
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<Value, Error>) -> Result<Value, Error> {
        self.grow(1)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn sequence(&mut self) -> Result<Value, Error> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::Array(items)),
                event => items.push(self.node(event)?),
            }
        }
    }

    fn mapping(&mut self) -> Result<Value, Error> {
        let (mut fields, mut merged) = (Map::new(), Vec::new());
        loop {
            let key = match self.next()? {
                Event::MappingEnd => break,
                Event::Scalar(text, ScalarStyle::Plain, 0, None) if text == "<<" => None,
                event => Some(self.key(event)?),
            };
            let line = self.line;
            let event = self.next()?;
            let value = self.node(event)?;
            match key.map(|key| fields.entry(key)) {
                None => self.merged(value, &mut merged)?,
                Some(Entry::Vacant(slot)) => {
                    slot.insert(value);
                }
                Some(Entry::Occupied(mut slot)) => {
                    self.again(slot.key(), line)?;
                    slot.insert(value);
                }
            }
        }
        for (key, value) in merged {
            fields.entry(key).or_insert(value);
        }
        Ok(Value::Object(fields))
    }

    /// What is said of a key that stands in its mapping already.
    fn again(&mut self, key: &str, line: usize) -> Result<(), Error> {
        match &mut self.twice {
            Twice::Refused => {
                self.line = line;
                Err(self.wrong(format!("key {key:?} already set in map; remove one")))
            }
            Twice::Noted(noted) => {
                if noted.len() < DUPLICATES_MAX {
                    noted.push(format!("line {line}: key {:?} already set in map", clipped(key)));
                }
                Ok(())
            }
        }
    }

    /// A key is a text. As `kubectl` does, what looks like a number or a truth value becomes one.
    fn key(&mut self, event: Event<'a>) -> Result<String, Error> {
        match self.node(event)? {
            Value::String(text) => Ok(text),
            Value::Bool(flag) => Ok(flag.to_string()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Null => Err(self.wrong("a key cannot be empty or null; put it in quotes".to_owned())),
            Value::Array(_) | Value::Object(_) => {
                Err(self
                    .wrong("a key must be a text, not a list or a mapping; is a template not filled in?".to_owned()))
            }
        }
    }

    /// What `<<` takes in: a mapping, or several, of which earlier ones win.
    fn merged(&self, value: Value, into: &mut Vec<(String, Value)>) -> Result<(), Error> {
        match value {
            Value::Object(fields) => into.extend(fields),
            Value::Array(maps) if maps.iter().all(Value::is_object) => {
                maps.into_iter().try_for_each(|map| self.merged(map, into))?;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(self.wrong("the key << takes an alias of a mapping, or a list of them".to_owned()));
            }
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize) -> Result<Value, Error> {
        let Some(Anchored { value, bytes }) = self.anchors.get(&anchor) else {
            return Err(self.wrong("an alias stands within what it is an alias of".to_owned()));
        };
        if self.bytes + bytes > DOCUMENT_BYTES_MAX {
            return Err(self.wrong(format!(
                "with its aliases expanded, the document is larger than {DOCUMENT_BYTES_MAX} bytes; use fewer aliases"
            )));
        }
        self.bytes += bytes;
        Ok(value.clone())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, Error> {
        self.grow(text.len() + 1)?;
        let plain = style == ScalarStyle::Plain;
        let value = match tag.map(|tag| (tag.handle.as_str(), tag.suffix.as_str())) {
            None if plain => scalar::resolve(text),
            None | Some(("", "!") | ("!", "")) => Ok(Value::String(text.to_owned())),
            Some((CORE, "str")) => Ok(Value::String(text.to_owned())),
            Some((CORE, "binary")) => binary(text),
            Some((CORE, wanted @ ("int" | "float" | "bool" | "null"))) => scalar::resolve(text).and_then(|value| {
                if scalar::is(&value, wanted) { Ok(value) } else { Err(format!("{text:?} is not a !!{wanted}")) }
            }),
            Some(_) => return Err(self.unknown_tag(tag)),
        };
        value.map_err(|error| self.wrong(error))
    }

    fn check_tag(&self, tag: Option<&Tag>, wanted: &str) -> Result<(), Error> {
        match tag {
            Some(tag) if tag.handle != CORE || tag.suffix != wanted => Err(self.unknown_tag(Some(tag))),
            _ => Ok(()),
        }
    }

    fn unknown_tag(&self, tag: Option<&Tag>) -> Error {
        let tag = tag.map(Tag::to_string).unwrap_or_default();
        self.wrong(format!("the tag {tag} means nothing here; remove it"))
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes;
        if self.bytes > DOCUMENT_BYTES_MAX { Err(too_large(self.document)) } else { Ok(()) }
    }

    fn wrong(&self, what: String) -> Error {
        Error::bad_request(format!("document {}, line {}: {what}", self.document, self.line))
    }

    fn broken(&self, error: &ScanError) -> Error {
        let (document, marker) = (self.document.max(1), error.marker());
        let place = format!("document {document}, line {}, column {}", marker.line(), marker.col() + 1);
        Error::bad_request(format!("{place}: not YAML: {}", error.info()))
    }
}

/// A text in base64, which may be folded.
fn binary(text: &str) -> Result<Value, String> {
    let letters: String = text.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(letters).map_err(|error| format!("!!binary is not base64: {error}"))?;
    String::from_utf8(bytes).map(Value::String).map_err(|_| "!!binary is no text; use binaryData or data".to_owned())
}

/// The handle of the tags that YAML itself defines, such as `!!str`.
const CORE: &str = "tag:yaml.org,2002:";
