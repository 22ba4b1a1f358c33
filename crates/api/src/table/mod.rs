//! Objects as rows: the columns that `kubectl get` shows, computed here once for REST, gRPC and the command line.
//!
//! Headings, order and cells are those of Kubernetes 1.32, because scripts cut them apart.

pub mod age;
pub(crate) mod columns;

use std::collections::BTreeMap;

use crate::{
    Kind, Object, Served, Timestamp, core_v1,
    meta_v1::{LabelSelector, ObjectMeta},
    selector,
};

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading; clients print it in capitals.
    pub name: &'static str,
    /// `string` or `integer`: OpenAPI's word.
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
    /// What a column shows that a user has defined; `null` if there is nothing.
    Value(serde_json::Value),
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.pad(text),
            Self::Int(number) => number.fmt(f),
            Self::Value(serde_json::Value::Null) => f.pad(NONE),
            Self::Value(serde_json::Value::String(text)) => f.pad(text),
            Self::Value(value) => f.pad(&value.to_string()),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<serde_json::Value> for Cell {
    fn from(value: serde_json::Value) -> Self {
        if let serde_json::Value::String(text) = value {
            return Self::Text(text);
        }
        value.as_i64().map_or(Self::Value(value), Self::Int)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<i32> for Cell {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// What is shown where there is nothing.
pub(crate) const NONE: &str = "<none>";
/// What is shown where nothing is known.
pub(crate) const UNKNOWN: &str = "<unknown>";

/// How many ports or addresses one cell shows.
const SHOWN_MAX: usize = 3;

/// The columns of a kind, in order, wide ones included. Never empty. Exactly one has the format `name`.
#[must_use]
pub fn columns(kind: Kind) -> &'static [Column] {
    kind.columns()
}

/// As [`columns`], of a kind in one of its versions.
#[must_use]
pub fn columns_as(served: Served) -> &'static [Column] {
    served.columns()
}

/// One cell for each of [`columns`], wide ones included.
#[must_use]
pub fn row(object: &Object, now: Timestamp) -> Vec<Cell> {
    row_as(object.kind().into(), object, now)
}

/// One cell for each of [`columns_as`].
#[must_use]
pub fn row_as(served: Served, object: &Object, now: Timestamp) -> Vec<Cell> {
    let none = ObjectMeta::default();
    let meta = object.metadata().unwrap_or(&none);
    let common =
        Common { name: meta.name.as_str().into(), age: age::since(meta.creation_timestamp.as_ref(), now).into() };
    served.row(object, common, now)
}

/// The cells that most rows have.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) name: Cell,
    pub(crate) age: Cell,
}

/// The text, or what stands for none.
pub(crate) fn or<'a>(text: &'a str, none: &'a str) -> &'a str {
    if text.is_empty() { none } else { text }
}

pub(crate) fn joined<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// The first few, and how many more there are; or what stands for none.
pub(crate) fn some_of(mut parts: impl Iterator<Item = String>, none: &str) -> String {
    let shown: Vec<String> = parts.by_ref().take(SHOWN_MAX).collect();
    let shown = shown.join(",");
    match parts.count() {
        0 => or(&shown, none).to_owned(),
        more => format!("{shown} + {more} more..."),
    }
}

pub(crate) fn labels(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    or(&pairs.join(","), NONE).to_owned()
}

/// When an object was created, to the second.
pub(crate) fn created_at(meta: Option<&ObjectMeta>) -> String {
    let created = meta.and_then(|meta| meta.creation_timestamp.as_ref());
    created.map_or_else(|| UNKNOWN.to_owned(), |time| Timestamp::from(time).to_string())
}

/// How many equal Pods there are, for [`replicas`].
pub(crate) struct Counts {
    pub(crate) wanted: i32,
    pub(crate) present: i32,
    pub(crate) ready: i32,
}

/// The cells of [`columns::REPLICA_COLUMNS`].
pub(crate) fn replicas(
    common: Common,
    counts: Counts,
    template: Option<&core_v1::PodTemplateSpec>,
    selector: Option<&LabelSelector>,
) -> Vec<Cell> {
    let Counts { wanted, present, ready } = counts;
    let mut row = vec![common.name, wanted.into(), present.into(), ready.into(), common.age];
    row.extend(workload(template, selector));
    row
}

/// The cells of [`columns::CONTAINERS`], [`columns::IMAGES`] and [`columns::SELECTOR`].
pub(crate) fn workload(template: Option<&core_v1::PodTemplateSpec>, selector: Option<&LabelSelector>) -> [Cell; 3] {
    let containers = || template.iter().filter_map(|t| t.spec.as_ref()).flat_map(|spec| &spec.containers);
    let names = joined(containers().map(|container| container.name.as_str()));
    let images = joined(containers().map(|container| container.image.as_str()));
    [names.into(), images.into(), selector::print(selector).into()]
}

#[cfg(test)]
mod tests;
