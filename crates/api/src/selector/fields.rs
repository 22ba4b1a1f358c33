//! Field selectors: `status.phase=Running,spec.nodeName!=n1`.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use super::{few, short};
use crate::{
    Error, Kind, Object, Served, encoded,
    schema::{Found, Scalar, Schema, Shape},
};

/// Conditions on fields, all of which must hold.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    path: String,
    source: Source,
    stored: Stored,
    equal: bool,
    value: String,
}

/// Where the value stands in the bytes of an object, if it is a text there. Looked up for the first object: a node asks for its
/// Pods before anything else needs the table of all messages, which takes milliseconds to build.
#[derive(Clone, Debug)]
struct Stored {
    kind: Kind,
    path: String,
    numbers: OnceLock<Option<Vec<u32>>>,
}

impl Stored {
    /// The numbers of the fields that lead there.
    fn numbers(&self) -> Option<&[u32]> {
        self.numbers.get_or_init(|| numbers(self.kind, &self.path)).as_deref()
    }
}

/// Where the value of a field is read.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// `metadata.name`.
    Name,
    /// `metadata.namespace`.
    Namespace,
    /// One of the fields that the kind's own file names.
    Own { served: Served, index: usize },
}

impl Source {
    /// The fields by which objects of every kind can be selected.
    const EVERYWHERE: [(&str, Self); 2] = [("metadata.name", Self::Name), ("metadata.namespace", Self::Namespace)];

    fn of(served: Served, path: &str) -> Option<Self> {
        let everywhere = Self::EVERYWHERE.into_iter().find(|(known, _)| *known == path).map(|(_, source)| source);
        everywhere.or_else(|| Self::own(served, path))
    }

    fn own(served: Served, path: &str) -> Option<Self> {
        let stored = served.fields().contains(&path).then(|| served.path_stored(path))?;
        served.stored_fields().into_iter().position(|known| known == stored).map(|index| Self::Own { served, index })
    }

    fn read(self, object: &Object) -> Cow<'_, str> {
        match self {
            Self::Name => object.metadata().map(|meta| meta.name.as_str().into()).unwrap_or_default(),
            Self::Namespace => object.metadata().map(|meta| meta.namespace.as_str().into()).unwrap_or_default(),
            Self::Own { served, index } if served.kind() == object.kind() => served.field(object, index),
            Self::Own { .. } => Cow::default(),
        }
    }
}

/// A condition on a field, whatever objects have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The path of the field.
    pub path: String,
    /// Whether the value must be this one, or must not.
    pub equal: bool,
    /// The value.
    pub value: String,
}

impl Condition {
    /// Reads the text of a `fieldSelector` parameter, whose fields may be those of any kind.
    ///
    /// # Errors
    /// [`crate::Reason::BadRequest`] if it is not understood.
    pub fn all(text: &str) -> Result<Vec<Self>, Error> {
        short("fieldSelector", text)?;
        let parts: Vec<&str> = split(text).into_iter().filter(|part| !part.is_empty()).collect();
        few("fieldSelector", parts.len())?;
        parts.into_iter().map(|part| condition(part).map_err(|why| unreadable(text, &why))).collect()
    }
}

impl Fields {
    /// Selects every object.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Reads the text of a `fieldSelector` parameter; empty selects everything.
    ///
    /// # Errors
    /// [`crate::Reason::BadRequest`] if it is not understood or names a field by which the kind cannot be selected; the
    /// message lists the fields that exist.
    pub fn parse(served: impl Into<Served>, text: &str) -> Result<Self, Error> {
        let served = served.into();
        let terms = Condition::all(text)?.into_iter().map(|condition| {
            term(served, condition).map_err(|Condition { path, .. }| {
                let (kind, known) = (served.kind(), fields_of(served).collect::<Vec<_>>().join(", "));
                let why = format!("field label not supported for {kind}: {path:?}; supported are {known}");
                unreadable(text, &why)
            })
        });
        Ok(Self { terms: terms.collect::<Result<_, _>>()? })
    }

    /// Those conditions by which objects of a kind can be selected. Without the others more objects are meant, never fewer.
    #[must_use]
    pub fn known(served: impl Into<Served>, conditions: &[Condition]) -> Self {
        let served = served.into();
        Self { terms: conditions.iter().filter_map(|condition| term(served, condition.clone()).ok()).collect() }
    }

    /// Whether the object is meant.
    #[must_use]
    pub fn matches(&self, object: &Object) -> bool {
        self.terms.iter().all(|term| (term.source.read(object) == term.value) == term.equal)
    }

    /// As [`Fields::matches`], of the bytes of an object, which is decoded only if a value is not simply a text in them.
    #[must_use]
    pub fn matches_stored(&self, bytes: &[u8], decode: impl Fn() -> Arc<Object>) -> bool {
        let mut decoded: Option<Arc<Object>> = None;
        self.terms.iter().all(|term| {
            let same = match term.stored.numbers() {
                Some(path) => encoded::text(bytes, path) == term.value,
                None => term.source.read(decoded.get_or_insert_with(&decode)) == term.value,
            };
            same == term.equal
        })
    }

    /// Whether every object is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that a field must have, if the selector fixes one. With `metadata.name` a list is a look-up.
    #[must_use]
    pub fn required(&self, path: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.path == path).map(|term| term.value.as_str())
    }
}

impl fmt::Display for Fields {
    /// The canonical text. [`Fields::parse`] reads it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Term { path, equal, value, .. }) in self.terms.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let sign = if *equal { "=" } else { "!=" };
            write!(f, "{comma}{path}{sign}{}", escape(value))?;
        }
        Ok(())
    }
}

/// The fields by which objects of a kind can be selected, as a version calls them.
pub fn fields_of(served: impl Into<Served>) -> impl Iterator<Item = &'static str> {
    Source::EVERYWHERE.into_iter().map(|(path, _)| path).chain(served.into().fields())
}

/// Splits at commas that no backslash protects.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (index, char) in text.char_indices() {
        if char == ',' && !escaped {
            parts.push(&text[start..index]);
            start = index + 1;
        }
        escaped = char == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

/// A condition as a term of a selector for a kind, unless it is on a field by which such objects cannot be selected.
fn term(served: Served, condition: Condition) -> Result<Term, Condition> {
    let Some(source) = Source::of(served, &condition.path) else { return Err(condition) };
    let Condition { path, equal, value } = condition;
    let stored = Stored { kind: served.kind(), path: served.path_stored(&path), numbers: OnceLock::new() };
    Ok(Term { path, source, stored, equal, value })
}

/// Reads one condition.
fn condition(part: &str) -> Result<Condition, String> {
    let Some((left, right)) = part.split_once('=') else {
        return Err(format!("{part:?} has no operator; use =, == or !="));
    };
    let (path, equal) = left.strip_suffix('!').map_or((left, true), |path| (path, false));
    let value = if equal { right.strip_prefix('=').unwrap_or(right) } else { right };
    Ok(Condition { path: path.trim().to_owned(), equal, value: unescape(value)? })
}

fn unreadable(text: &str, why: &str) -> Error {
    Error::bad_request(format!("unable to parse field selector {text:?}: {why}"))
}

/// The fields whose value is not the text that is stored under their name.
const MADE: [(Kind, &str); 2] = [(Kind::Pod, "status.phase"), (Kind::Event, "reportingComponent")];

/// The numbers of the fields that lead to a text in the bytes of an object.
fn numbers(kind: Kind, path: &str) -> Option<Vec<u32>> {
    let mut message = Schema::get().message(kind.info().message).filter(|_| !MADE.contains(&(kind, path)))?;
    let mut found = Vec::new();
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let Found { holder: None, field, .. } = message.find(name)? else { return None };
        found.push(field.number);
        match (field.shape, field.scalar, names.peek()) {
            (Shape::One, Scalar::String, None) => return Some(found),
            (Shape::One, Scalar::Message(index), Some(_)) => message = Schema::get().at(index),
            _ => return None,
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some(special @ ('\\' | ',' | '=')) => plain.push(special),
                _ => return Err(format!("in {value:?} a backslash precedes none of \\ , =")),
            },
            '=' => return Err(format!("in {value:?} a = must be written \\=")),
            _ => plain.push(char),
        }
    }
    Ok(plain)
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

/// A field by which objects of a type can be selected, and how to read it.
pub(crate) struct Field<T> {
    pub(crate) path: &'static str,
    pub(crate) read: for<'a> fn(&'a T) -> Option<Cow<'a, str>>,
}

/// What a kind answers of its fields: their paths.
pub(crate) fn paths<T>(fields: &'static [Field<T>]) -> Vec<&'static str> {
    fields.iter().map(|field| field.path).collect()
}

/// What a kind answers of its fields: the value of one of them.
pub(crate) fn read<'a, T>(fields: &[Field<T>], index: usize, object: &'a T) -> Cow<'a, str> {
    fields.get(index).and_then(|field| (field.read)(object)).unwrap_or_default()
}

/// The fields of a kind, one line each: the path, and an expression that reads it from an object.
macro_rules! selectable {
    ($object:ident: $type:ty; $($path:literal => $read:expr;)*) => {
        &[$($crate::selector::Field::<$type> { path: $path, read: |$object| $read }),*]
    };
}
pub(crate) use selectable;

/// A boolean as selectors write it.
pub(crate) fn flag(value: bool) -> Option<Cow<'static, str>> {
    Some(if value { "true" } else { "false" }.into())
}
