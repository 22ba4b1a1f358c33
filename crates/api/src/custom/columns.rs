//! Columns of tables, as definitions describe them: a path to a field, with lists on the way, and what is shown of it.

use serde_json::Value;

use crate::{Timestamp, meta_v1, table::age};

/// The longest path of a column that is read, in bytes.
const PATH_BYTES_MAX: usize = 4_096;

/// The way to what a column shows: `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// An element; from the end if negative.
    Place(i64),
    /// Any element or field.
    Any,
    /// The elements of which something is true.
    Where {
        path: ColumnPath,
        compare: Compare,
        value: Value,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A text that is no such path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no path of a column; write one such as .status.phase or .status.conditions[?(@.type==\"Ready\")].status"
)]
pub struct BadColumn(String);

/// What is shown of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// A text, or whatever there is as text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
    /// How long ago a time was.
    Date,
}

impl ColumnType {
    /// Every one, with its word.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Boolean, "boolean"),
        (Self::Date, "date"),
        (Self::Integer, "integer"),
        (Self::Number, "number"),
        (Self::String, "string"),
    ];

    /// The type of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == word).map(|(of, _)| of)
    }
}

/// Operators; of those that begin alike the longer ones first.
const COMPARES: [(&str, Compare); 6] = [
    ("==", Compare::Equal),
    ("!=", Compare::NotEqual),
    ("<=", Compare::LessOrEqual),
    (">=", Compare::GreaterOrEqual),
    ("<", Compare::Less),
    (">", Compare::Greater),
];

impl ColumnPath {
    /// Reads a path.
    ///
    /// # Errors
    /// If it is none, or goes down through all levels (`..`).
    pub fn parse(text: &str) -> Result<Self, BadColumn> {
        let short = Some(text).filter(|text| text.len() <= PATH_BYTES_MAX && text.starts_with('.'));
        short.and_then(read).ok_or_else(|| BadColumn(text.chars().take(64).collect()))
    }

    /// What stands where it leads; of several fields the first.
    #[must_use]
    pub fn get<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        first(&self.steps, object)
    }

    /// What the column shows of an object; nothing if it does not have the field, or one of another type.
    #[must_use]
    pub fn cell(&self, object: &Value, of: ColumnType, now: Timestamp) -> Option<Value> {
        let value = self.get(object).filter(|value| !value.is_null())?;
        match of {
            ColumnType::String => Some(Value::from(value.as_str().map_or_else(|| value.to_string(), str::to_owned))),
            ColumnType::Integer => {
                value.as_i64().or_else(|| value.as_f64().and_then(crate::json::whole)).map(Value::from)
            }
            ColumnType::Number => value.is_number().then(|| value.clone()),
            ColumnType::Boolean => value.is_boolean().then(|| value.clone()),
            ColumnType::Date => {
                let time: Timestamp = value.as_str()?.parse().ok()?;
                Some(Value::from(age::since(Some(&meta_v1::Time::from(time)), now)))
            }
        }
    }
}

/// The first place to which steps lead.
fn first<'a>(steps: &[Step], value: &'a Value) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    match (step, value) {
        (Step::Field(name), Value::Object(fields)) => first(rest, fields.get(name)?),
        (Step::Place(place), Value::Array(items)) => {
            let from_end = usize::try_from(place.unsigned_abs()).ok()?;
            let place = if *place < 0 { items.len().checked_sub(from_end)? } else { from_end };
            first(rest, items.get(place)?)
        }
        (Step::Any, Value::Array(items)) => items.iter().find_map(|item| first(rest, item)),
        (Step::Any, Value::Object(fields)) => fields.values().find_map(|field| first(rest, field)),
        (Step::Where { path, compare, value }, Value::Array(items)) => {
            let is = |item: &&Value| path.get(item).is_some_and(|found| compare.holds(found, value));
            items.iter().filter(is).find_map(|item| first(rest, item))
        }
        (Step::Field(_) | Step::Place(_) | Step::Any | Step::Where { .. }, _) => None,
    }
}

impl Compare {
    fn holds(self, one: &Value, other: &Value) -> bool {
        let order = match (one, other) {
            (Value::Number(one), Value::Number(other)) => one.as_f64().partial_cmp(&other.as_f64()),
            (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
            (one, other) => {
                return (one == other) == (self == Self::Equal) && matches!(self, Self::Equal | Self::NotEqual);
            }
        };
        order.is_some_and(|order| match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        })
    }
}

fn read(text: &str) -> Option<ColumnPath> {
    let mut steps = Vec::new();
    let mut rest = if text == "." { "" } else { text };
    while !rest.is_empty() {
        let (step, behind) = match rest.strip_prefix('.') {
            Some(rest) if rest.starts_with('[') => bracket(rest.strip_prefix('[')?)?,
            Some(rest) => field(rest)?,
            None => bracket(rest.strip_prefix('[')?)?,
        };
        steps.push(step);
        rest = behind;
    }
    Some(ColumnPath { steps })
}

/// A name behind a dot, in which a backslash takes the meaning from a dot, and what follows.
fn field(rest: &str) -> Option<(Step, &str)> {
    let mut name = String::new();
    let mut chars = rest.char_indices();
    let end = loop {
        match chars.next() {
            None => break rest.len(),
            Some((_, '\\')) => name.push(chars.next()?.1),
            Some((at, '.' | '[')) => break at,
            Some((_, char)) => name.push(char),
        }
    };
    let step = if name == "*" { Step::Any } else { Step::Field(name) };
    (end > 0).then_some((step, &rest[end..]))
}

/// What stands in brackets, and what follows.
fn bracket(rest: &str) -> Option<(Step, &str)> {
    if let Some(filter) = rest.strip_prefix("?(") {
        let end = outside_quotes(filter, ")]")?;
        return Some((filtered(filter[..end].trim())?, &filter[end + 2..]));
    }
    let end = outside_quotes(rest, "]")?;
    let (inside, behind) = (rest[..end].trim(), &rest[end + 1..]);
    let step = match (inside, quoted(inside)) {
        (_, Some(name)) => Step::Field(name),
        ("*", None) => Step::Any,
        (place, None) => Step::Place(place.parse().ok()?),
    };
    Some((step, behind))
}

/// Where something first stands outside of quotes.
fn outside_quotes(text: &str, what: &str) -> Option<usize> {
    let mut quote = None;
    text.char_indices()
        .find(|(at, char)| {
            match (quote, char) {
                (None, '\'' | '"') => quote = Some(*char),
                (Some(open), char) if open == *char => quote = None,
                (None | Some(_), _) => {}
            }
            quote.is_none() && text[*at..].starts_with(what)
        })
        .map(|(at, _)| at)
}

fn quoted(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|char| matches!(char, '\'' | '"'))?;
    Some(text.strip_prefix(quote)?.strip_suffix(quote)?.to_owned())
}

/// `@.type=="Ready"`.
fn filtered(text: &str) -> Option<Step> {
    let (at, (sign, compare)) = COMPARES
        .into_iter()
        .filter_map(|(sign, compare)| Some((outside_quotes(text, sign)?, (sign, compare))))
        .min_by_key(|(at, (sign, _))| (*at, usize::MAX - sign.len()))?;
    let path = read(text[..at].trim().strip_prefix('@')?)?;
    let literal = text[at + sign.len()..].trim();
    let value = quoted(literal).map(Value::from).or_else(|| serde_json::from_str(literal).ok())?;
    Some(Step::Where { path, compare, value })
}
