//! Paths to fields, as columns, scales, selectable fields and rules name them: `.spec.replicas`, `.metadata.labels['app']`.

use serde_json::Value;

/// The longest path that is read, in bytes.
const PATH_BYTES_MAX: usize = 4_096;

/// The way from an object to one of its fields, through named fields only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    names: Vec<String>,
}

/// Why a text is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Kubernetes' paths begin with a dot.
    #[error("expected [ or . but got: {0}")]
    Beginning(String),
    /// Something must follow.
    #[error("unexpected end of JSON path")]
    End,
    /// A name in brackets stands in single quotes.
    #[error("expected single quoted string but got {0}")]
    Quotes(String),
    /// It is longer than any object is deep.
    #[error("must be no more than {PATH_BYTES_MAX} bytes")]
    Length,
}

impl JsonPath {
    /// Reads a path. `.` is the object itself.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        if text.len() > PATH_BYTES_MAX {
            return Err(BadPath::Length);
        }
        let mut names = Vec::new();
        let mut rest = if text == "." { "" } else { text };
        while !rest.is_empty() {
            let (name, behind) = if let Some(rest) = rest.strip_prefix('.') {
                plain(rest)?
            } else if let Some(rest) = rest.strip_prefix('[') {
                quoted(rest)?
            } else {
                return Err(BadPath::Beginning(rest.to_owned()));
            };
            names.push(name);
            rest = behind;
        }
        Ok(Self { names })
    }

    /// The path through fields of these names.
    #[must_use]
    pub fn of(names: &[&str]) -> Self {
        Self { names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// The names on the way.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Where it leads in an object.
    #[must_use]
    pub fn get<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.names.iter().try_fold(object, |value, name| value.get(name))
    }

    /// Sets what stands there, with the objects on the way.
    pub fn set(&self, object: &mut Value, to: Value) {
        let mut place = object;
        for name in &self.names {
            if !place.is_object() {
                *place = Value::Object(serde_json::Map::new());
            }
            let Value::Object(fields) = place else { return };
            place = fields.entry(name.clone()).or_insert(Value::Null);
        }
        *place = to;
    }
}

/// A name behind a dot, and what follows.
fn plain(rest: &str) -> Result<(String, &str), BadPath> {
    let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    if name.is_empty() { Err(BadPath::End) } else { Ok((name.to_owned(), behind)) }
}

/// A name in quotes and brackets, and what follows.
fn quoted(rest: &str) -> Result<(String, &str), BadPath> {
    let inside = rest.strip_prefix('\'').ok_or_else(|| BadPath::Quotes(rest.to_owned()))?;
    let mut name = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => name.push(chars.next().ok_or(BadPath::End)?.1),
            '\'' => {
                let behind = inside[at + 1..].strip_prefix(']').ok_or(BadPath::End)?;
                return Ok((name, behind));
            }
            char => name.push(char),
        }
    }
    Err(BadPath::End)
}
