//! Objects as rows: the columns that `kubectl get` shows, computed here once for REST, gRPC and the command line.

pub mod age;

use crate::{Kind, Object, Timestamp};

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading; clients print it in capitals.
    pub name: &'static str,
    /// `string`, `integer`, …: OpenAPI's word.
    pub r#type: &'static str,
    /// OpenAPI's format; `name` marks the column of the object's name.
    pub format: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// 0: always shown; 1: only in wide output.
    pub priority: i32,
}

/// What stands in one place of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// A text.
    Text(String),
    /// A number.
    Int(i64),
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Int(number) => number.fmt(f),
        }
    }
}

/// The columns of a kind, in order. Never empty; the first is the name.
#[must_use]
pub fn columns(_kind: Kind) -> &'static [Column] {
    const NAME: Column =
        Column { name: "Name", r#type: "string", format: "name", description: "The object's name.", priority: 0 };
    &[NAME]
}

/// One cell for each of [`columns`], wide ones included.
#[must_use]
pub fn row(object: &Object, _now: Timestamp) -> Vec<Cell> {
    vec![Cell::Text(object.key().name.to_string())]
}
