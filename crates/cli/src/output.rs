//! How answers look: aligned tables, YAML, JSON, names.

use std::{fmt::Write as _, str::FromStr};

use anyhow::{Result, bail};
use api::{Kind, Object, Timestamp, json, table};
use serde_json::{Value, json};

/// What `-o` chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// A table with the columns that matter most.
    #[default]
    Table,
    /// A table with all columns.
    Wide,
    /// Whole objects as YAML.
    Yaml,
    /// Whole objects as JSON.
    Json,
    /// `kind/name` lines.
    Name,
}

impl FromStr for Format {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        Ok(match word {
            "wide" => Self::Wide,
            "yaml" => Self::Yaml,
            "json" => Self::Json,
            "name" => Self::Name,
            _ => bail!("unknown output format {word:?}; one of wide, yaml, json, name (kubectl knows more)"),
        })
    }
}

/// What a table shows beside the kind's own columns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TableOptions {
    /// Columns that only `-o wide` shows.
    pub(crate) wide: bool,
    /// The namespace, first.
    pub(crate) namespaces: bool,
    /// The labels, last.
    pub(crate) labels: bool,
    /// Leave the headings out.
    pub(crate) no_headers: bool,
    /// Put `kind/` before names, since several kinds are shown.
    pub(crate) kinds: bool,
}

/// The lines of a table, headings first, as cells.
#[must_use]
pub(crate) fn rows(kind: Kind, objects: &[&Object], now: Timestamp, options: TableOptions) -> Vec<Vec<String>> {
    let served = objects.first().map_or_else(|| kind.into(), |object| object.served());
    let columns = table::columns_as(served);
    let shown = |index: usize| columns.get(index).is_some_and(|column| column.priority == 0 || options.wide);
    let mut headings: Vec<String> = columns
        .iter()
        .enumerate()
        .filter(|(index, _)| shown(*index))
        .map(|(_, column)| column.name.to_uppercase())
        .collect();
    surround(&mut headings, options, "NAMESPACE", "LABELS");
    let mut lines = if options.no_headers { Vec::new() } else { vec![headings] };
    lines.extend(objects.iter().map(|object| {
        let cells = table::row_as(served, object, now).into_iter().enumerate().filter(|(index, _)| shown(*index));
        let mut line: Vec<String> = cells.map(|(_, cell)| cell.to_string()).collect();
        // The name is the first column of every kind but Event, which shows none unless asked for wide output.
        if options.kinds
            && columns.first().is_some_and(|column| column.format == "name")
            && let Some(name) = line.first_mut()
        {
            *name = short_name(object);
        }
        let meta = object.metadata();
        let labels = meta.map(|meta| labels(&meta.labels)).unwrap_or_default();
        surround(&mut line, options, meta.map_or("", |meta| &meta.namespace), &labels);
        line
    }));
    lines
}

fn surround(line: &mut Vec<String>, options: TableOptions, first: &str, last: &str) {
    if options.namespaces {
        line.insert(0, first.to_owned());
    }
    if options.labels {
        line.push(last.to_owned());
    }
}

/// `a=b,c=d`, or `<none>`.
pub(crate) fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return "<none>".to_owned();
    }
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// Cells in columns, three spaces apart, as kubectl does.
#[must_use]
pub(crate) fn align(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..).map_while(width).collect();
    let mut text = String::new();
    for line in lines {
        let last = line.len().saturating_sub(1);
        for (column, cell) in line.iter().enumerate() {
            let pad = if column == last { 0 } else { widths[column] + 3 };
            let _ = write!(text, "{cell:pad$}");
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

/// `deployment.apps/web`.
#[must_use]
pub(crate) fn short_name(object: &Object) -> String {
    let key = object.key();
    format!("{}/{}", singular(key.kind), key.name)
}

/// `deployment.apps`.
#[must_use]
pub(crate) fn singular(kind: Kind) -> String {
    let info = kind.info();
    if info.group.is_empty() { info.singular.to_owned() } else { format!("{}.{}", info.singular, info.group) }
}

/// One object whole, or several as a `List`.
///
/// # Errors
/// If the value cannot be written as JSON, which no object of ours can cause.
pub(crate) fn whole(objects: &[&Object], single: bool, format: Format) -> Result<String> {
    let value = match objects {
        [one] if single => encode(one),
        many => list(many),
    };
    Ok(match format {
        Format::Yaml => api::yaml::to_string(&value),
        _ => format!("{}\n", serde_json::to_string_pretty(&value)?),
    })
}

/// Who owns which fields is left out, as kubectl does: it would be half of what is shown.
fn encode(object: &Object) -> Value {
    json::encode_without_owners(object.served(), &object.encode_bytes(), None)
}

fn list(objects: &[&Object]) -> Value {
    let items: Vec<Value> = objects.iter().map(|object| encode(object)).collect();
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
}

#[cfg(test)]
mod tests {
    use super::align;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_blanks() {
        let line = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let text = align(&[line(&["NAME", "AGE"]), line(&["web-1", "5s"]), line(&["x", ""])]);
        assert_eq!(text, "NAME    AGE\nweb-1   5s\nx\n");
    }
}
