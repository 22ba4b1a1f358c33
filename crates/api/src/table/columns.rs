//! The columns that many kinds have, and how to make others.

use super::Column;

/// A column of texts.
pub(crate) const fn text(name: &'static str, description: &'static str) -> Column {
    Column { name, r#type: "string", format: "", description, priority: 0 }
}

/// A column of numbers.
pub(crate) const fn integer(name: &'static str, description: &'static str) -> Column {
    Column { r#type: "integer", ..text(name, description) }
}

/// A column that only wide output has.
pub(crate) const fn wide(column: Column) -> Column {
    Column { priority: 1, ..column }
}

pub(crate) const NAME: Column =
    Column { format: "name", ..text("Name", "The object's name, unique in its namespace.") };
pub(crate) const AGE: Column = text("Age", "How long ago the object was created.");
pub(crate) const CONTAINERS: Column = wide(text("Containers", "The names of the containers in the template."));
pub(crate) const IMAGES: Column = wide(text("Images", "The images of the containers in the template."));
pub(crate) const SELECTOR: Column = wide(text("Selector", "The labels by which the object finds its Pods."));

/// What is shown of a number of equal Pods: see [`super::replicas`].
pub(crate) const REPLICA_COLUMNS: &[Column] = &[
    NAME,
    integer("Desired", "How many Pods are wanted."),
    integer("Current", "How many Pods there are."),
    integer("Ready", "How many Pods are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
