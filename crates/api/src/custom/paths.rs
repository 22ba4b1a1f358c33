//! The paths that a version names, read: what tables show, by what objects are selected, where replicas stand.

use std::{
    collections::HashMap,
    sync::{LazyLock, PoisonError, RwLock},
};

use serde_json::Value;

use super::{
    columns::{ColumnPath, ColumnType},
    path::JsonPath,
};
use crate::{
    Timestamp, json,
    object::{CustomColumn, CustomObject, CustomVersion, ScalePaths},
    table::{Cell, Column, Common, columns::NAME},
};

/// Where the time of creation stands. Nearly every table shows it, and it needs no look into the object.
const CREATED: &str = ".metadata.creationTimestamp";

/// The column of a version that names none.
fn age() -> CustomColumn {
    CustomColumn {
        name: "Age".to_owned(),
        r#type: "date".to_owned(),
        description: "How long ago the object was created.".to_owned(),
        path: CREATED.to_owned(),
        ..CustomColumn::default()
    }
}

/// The paths of a version.
#[derive(Debug)]
pub struct Paths {
    columns: Vec<Column>,
    /// What stands in each column but the first.
    cells: Vec<Shown>,
    /// Whether a column shows metadata.
    shows_metadata: bool,
    fields: Vec<Option<JsonPath>>,
    scale: Option<ScaleAt>,
}

/// What a column shows.
#[derive(Debug)]
enum Shown {
    /// How old the object is.
    Age,
    /// What stands at a path.
    At(ColumnPath, ColumnType),
    /// Nothing: it has a path that cannot be read.
    Nothing,
}

/// Where objects say how many replicas there are.
#[derive(Debug)]
pub struct ScaleAt {
    spec: JsonPath,
    status: JsonPath,
    selector: Option<JsonPath>,
}

/// The paths of a version. Read once, and kept as long as the version itself: for good.
#[must_use]
pub fn paths_of(version: CustomVersion) -> &'static Paths {
    static READ: LazyLock<RwLock<HashMap<CustomVersion, &'static Paths>>> = LazyLock::new(RwLock::default);
    let known = READ.read().unwrap_or_else(PoisonError::into_inner).get(&version).copied();
    known.unwrap_or_else(|| {
        let mut read = READ.write().unwrap_or_else(PoisonError::into_inner);
        read.entry(version).or_insert_with(|| Box::leak(Box::new(Paths::of(version))))
    })
}

impl Paths {
    fn of(version: CustomVersion) -> Self {
        let outline = version.outline();
        let usual = [age()];
        let columns: &[CustomColumn] = if outline.columns.is_empty() { &usual } else { &outline.columns };
        let cells = columns.iter().map(Shown::of).collect();
        let headed = columns.iter().map(|column| Column {
            name: kept(&column.name),
            r#type: kept(&column.r#type),
            format: kept(&column.format),
            description: kept(&column.description),
            priority: column.priority,
        });
        let field = |path: &String| JsonPath::parse(&format!(".{path}")).ok();
        Self {
            columns: std::iter::once(NAME).chain(headed).collect(),
            cells,
            shows_metadata: columns.iter().any(|column| column.path != CREATED && column.path.starts_with(".metadata")),
            fields: outline.fields.iter().map(field).collect(),
            scale: outline.scale.as_ref().and_then(ScaleAt::of),
        }
    }

    /// The columns of a table of such objects: their name, and what the version names.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// One cell for each column.
    pub(crate) fn row(&self, object: &CustomObject, common: Common, now: Timestamp) -> Vec<Cell> {
        let whole = self.whole(object);
        let cell = |shown: &Shown| match shown {
            Shown::Age => common.age.clone(),
            Shown::At(path, of) => path.cell(&whole, *of, now).map_or(Cell::Value(Value::Null), Cell::from),
            Shown::Nothing => Cell::Value(Value::Null),
        };
        let cells: Vec<Cell> = self.cells.iter().map(cell).collect();
        std::iter::once(common.name).chain(cells).collect()
    }

    /// As much of an object as columns show.
    fn whole(&self, object: &CustomObject) -> Value {
        let mut members = object.members();
        if self.shows_metadata {
            members.insert("metadata".to_owned(), json::encode_metadata(object.metadata.as_ref()));
        }
        Value::Object(members)
    }

    /// The field at a place among those by which objects can be selected, as a text.
    #[must_use]
    pub fn field(&self, object: &Value, index: usize) -> Option<String> {
        match self.fields.get(index)?.as_ref()?.get(object)? {
            Value::String(text) => Some(text.clone()),
            value @ (Value::Bool(_) | Value::Number(_)) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Where objects say how many replicas there are.
    #[must_use]
    pub fn scale(&self) -> Option<&ScaleAt> {
        self.scale.as_ref()
    }
}

impl Shown {
    fn of(column: &CustomColumn) -> Self {
        match (ColumnPath::parse(&column.path), ColumnType::from_word(&column.r#type)) {
            (Ok(_), Some(ColumnType::Date)) if column.path == CREATED => Self::Age,
            (Ok(path), Some(of)) => Self::At(path, of),
            (Err(_), _) | (_, None) => Self::Nothing,
        }
    }
}

impl ScaleAt {
    fn of(paths: &ScalePaths) -> Option<Self> {
        let read = |text: &str| JsonPath::parse(text).ok();
        let selector = Some(paths.selector.as_str()).filter(|path| !path.is_empty());
        Some(Self { spec: read(&paths.spec)?, status: read(&paths.status)?, selector: selector.and_then(read) })
    }

    /// Where it stands how many replicas are wanted.
    #[must_use]
    pub fn wanted_at(&self) -> &JsonPath {
        &self.spec
    }

    /// How many replicas are wanted, if the object says it.
    #[must_use]
    pub fn wanted(&self, object: &Value) -> Option<i32> {
        count(self.spec.get(object)?)
    }

    /// How many there are.
    #[must_use]
    pub fn present(&self, object: &Value) -> i32 {
        self.status.get(object).and_then(count).unwrap_or_default()
    }

    /// By which labels they are found.
    #[must_use]
    pub fn selector(&self, object: &Value) -> String {
        let selector = self.selector.as_ref().and_then(|path| path.get(object)).and_then(Value::as_str);
        selector.unwrap_or_default().to_owned()
    }

    /// Says how many replicas there should be.
    pub fn want(&self, object: &mut Value, replicas: i32) {
        self.spec.set(object, replicas.into());
    }
}

fn count(value: &Value) -> Option<i32> {
    i32::try_from(value.as_i64()?).ok()
}

fn kept(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::{
        meta_v1::ObjectMeta,
        object::{CustomKind, KindName, Outline},
    };

    fn version(outline: Outline) -> CustomVersion {
        let name =
            KindName { group: "paths.test".into(), plural: "widgets".into(), kind: "Widget".into(), namespaced: true };
        CustomVersion::of(CustomKind::of(&name), outline)
    }

    fn object(members: &Value) -> CustomObject {
        let mut object = CustomObject::default();
        object.metadata =
            Some(ObjectMeta { name: "a".into(), labels: [("app".into(), "x".into())].into(), ..Default::default() });
        object.set_members(members.as_object().unwrap_or(&Map::new()));
        object
    }

    fn row(outline: Outline, members: &Value) -> Vec<Cell> {
        let common = Common { name: "a".into(), age: "5m".into() };
        paths_of(version(outline)).row(&object(members), common, Timestamp(0))
    }

    #[test]
    fn a_table_shows_the_name_and_what_the_version_names() {
        let column = |r#type: &str, path: &str| CustomColumn {
            name: "C".into(),
            r#type: r#type.into(),
            path: path.into(),
            ..CustomColumn::default()
        };
        let columns = vec![
            column("integer", ".spec.size"),
            column("date", CREATED),
            column("string", ".metadata.labels.app"),
            column("boolean", ".spec.absent"),
        ];
        let cells = row(Outline { columns, ..Outline::default() }, &json!({"spec": {"size": 3}}));
        assert_eq!(cells, ["a".into(), 3_i64.into(), "5m".into(), "x".into(), Cell::Value(Value::Null)]);
        assert_eq!(row(Outline::default(), &json!({})), ["a".into(), Cell::from("5m")]);
        let names: Vec<_> = paths_of(version(Outline::default())).columns().iter().map(|column| column.name).collect();
        assert_eq!(names, ["Name", "Age"]);
    }

    #[test]
    fn fields_are_selected_by_their_text_and_replicas_found_by_their_path() {
        let fields = vec!["spec.color".to_owned(), "spec.size".to_owned(), "spec.list".to_owned()];
        let scale =
            ScalePaths { spec: ".spec.size".into(), status: ".status.size".into(), selector: ".status.by".into() };
        let paths = paths_of(version(Outline { fields, scale: Some(scale), ..Outline::default() }));
        let mut object = json!({"spec": {"color": "red", "size": 3, "list": []}, "status": {"size": 2, "by": "app=x"}});
        let told: Vec<_> = (0..4).map(|index| paths.field(&object, index)).collect();
        assert_eq!(told, [Some("red".to_owned()), Some("3".to_owned()), None, None]);
        let scale = paths.scale().expect("a scale");
        scale.want(&mut object, 9);
        assert_eq!(
            (scale.wanted(&object), scale.present(&object), scale.selector(&object)),
            (Some(9), 2, "app=x".to_owned())
        );
    }
}
