//! What all kinds have alike that users define: one strategy, which answers from what a version says of its objects.
//!
//! Only what the schema says is not asked here, since an object does not carry it: pruning, defaults and validation are those
//! of [`crate::custom::Version`], which whoever decides about a write has at hand.

use std::{borrow::Cow, collections::BTreeSet};

use serde_json::{Map, Value};

use super::{Allocation, Scale, deletion, strategy::Strategy};
use crate::{
    Subresource, Timestamp,
    custom::{self, Paths},
    object::{CustomObject, CustomVersion},
    table::{
        Cell, Column, Common,
        columns::{AGE, NAME},
    },
    validate::{
        Causes,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const STATUS: &str = "status";

/// What is shown of objects of which nobody has said in which version they are looked at.
const UNREAD_COLUMNS: &[Column] = &[NAME, AGE];

/// Answers for objects of a version of a kind, or of none that is known.
#[derive(Clone, Copy)]
pub(crate) struct CustomStrategy {
    version: Option<CustomVersion>,
}

impl CustomStrategy {
    /// For objects of which nobody has said in which version they are looked at.
    pub(crate) const UNREAD: Self = Self { version: None };

    /// For objects in a version.
    pub(crate) fn in_version(version: CustomVersion) -> Self {
        Self { version: Some(version) }
    }

    /// For an object in the version in which it was read.
    pub(crate) fn of(object: &CustomObject) -> Self {
        Self { version: object.version() }
    }

    /// As [`Strategy::columns`], for the life of the process.
    pub(crate) fn own_columns(self) -> &'static [Column] {
        self.paths().map_or(UNREAD_COLUMNS, Paths::columns)
    }

    fn paths(self) -> Option<&'static Paths> {
        self.version.map(custom::paths_of)
    }

    /// Whether a write of the whole leaves the status alone.
    fn has_status(self) -> bool {
        self.version.is_some_and(|version| version.outline().has_status)
    }

    /// What counts for the generation.
    fn wanted(self, object: &CustomObject) -> Map<String, Value> {
        let mut members = object.members();
        if self.has_status() {
            members.remove(STATUS);
        }
        members
    }
}

/// Gives `object` the status of another one, or none.
fn take_status(object: &mut CustomObject, from: &CustomObject) {
    let mut members = object.members();
    match from.members().remove(STATUS) {
        Some(status) => _ = members.insert(STATUS.to_owned(), status),
        None => _ = members.remove(STATUS),
    }
    object.set_members(&members);
}

impl Strategy for CustomStrategy {
    type Object = CustomObject;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut CustomObject) {}

    fn validate(&self, _: &mut Causes, _: &CustomObject) {}

    fn validate_update(&self, _: &mut Causes, _: &CustomObject, _: &CustomObject) {}

    fn validate_status(&self, _: &mut Causes, _: &CustomObject) {}

    fn warn(&self, _: &mut Warnings, _: &CustomObject) {}

    fn prepare_for_create(&self, object: &mut CustomObject) {
        if self.has_status() {
            take_status(object, &CustomObject::default());
        }
    }

    fn prepare_for_update(&self, new: &mut CustomObject, old: &CustomObject) {
        if self.has_status() {
            take_status(new, old);
        }
    }

    fn update_status(&self, object: &mut CustomObject, sent: &CustomObject) {
        take_status(object, sent);
    }

    fn scale(&self, object: &CustomObject) -> Option<Scale> {
        let (at, object) = (self.paths()?.scale()?, object.value());
        let (wanted, present, selector) = (at.wanted(&object), at.present(&object), at.selector(&object));
        Some(Scale { wanted, present, selector })
    }

    fn set_replicas(&self, object: &mut CustomObject, replicas: i32) {
        let mut members = object.value();
        if let Some(scale) = self.paths().and_then(Paths::scale) {
            scale.want(&mut members, replicas);
        }
        if let Value::Object(members) = members {
            object.set_members(&members);
        }
    }

    /// All kinds of users have generations, whether or not anybody reports one.
    fn is_new_generation(&self, old: Option<&CustomObject>, new: &CustomObject, _: Subresource) -> bool {
        old.is_none_or(|old| old.content != new.content && self.wanted(old) != self.wanted(new))
    }

    fn allocation<'a>(&self, _: &'a mut CustomObject) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &CustomObject) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, object: &mut CustomObject, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut object.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &CustomObject) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        self.own_columns()
    }

    fn row(&self, object: &CustomObject, common: Common, now: Timestamp) -> Vec<Cell> {
        match self.paths() {
            Some(paths) => paths.row(object, common, now),
            None => vec![common.name, common.age],
        }
    }

    fn fields(&self) -> Vec<&str> {
        self.version.map(|version| version.fields().to_vec()).unwrap_or_default()
    }

    fn field<'a>(&self, object: &'a CustomObject, index: usize) -> Cow<'a, str> {
        self.paths().and_then(|paths| paths.field(&object.value(), index)).unwrap_or_default().into()
    }

    fn sample(&self) -> &str {
        ""
    }
}
