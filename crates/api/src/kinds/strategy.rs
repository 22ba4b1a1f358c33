//! What a kind must answer: its [`Strategy`], one file a kind.
//!
//! The table of kinds names a strategy in each row, and `dispatch` asks it. So whoever adds a kind is asked every question by
//! the compiler, and nothing outside the kind's file has to know the kind.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    core_v1::ServiceSpec,
    table::{Cell, Column, Common},
    validate::{Causes, names::Syntax},
    warnings::Warnings,
};

/// All that is peculiar to one kind. Every method is required: a kind to which a question means nothing says so in one line.
///
/// A strategy is a value. Those of built-in kinds are empty structs; the strategy of a kind that users define will carry that
/// kind's definition and answer from it, with one type for all objects of such kinds as [`Strategy::Object`]. Therefore every
/// question is a method on `&self`, nothing is an associated constant, columns and selectable fields are asked for when they
/// are needed, and fields are read by their position in what the strategy itself has named.
pub(crate) trait Strategy {
    /// The type of the kind's objects.
    type Object;

    /// The syntax of `metadata.name`.
    fn name_syntax(&self) -> Syntax;

    /// Whether values stay out of error messages, because nobody may read them in a log.
    fn hides_values(&self) -> bool;

    /// Fills in what a manifest leaves open. Applied again, it changes nothing.
    fn apply_defaults(&self, object: &mut Self::Object);

    /// Judges a whole object, after its defaults. Metadata are judged before, and for all kinds alike.
    fn validate(&self, causes: &mut Causes, object: &Self::Object);

    /// Judges what changes between two objects, each of which is valid in itself.
    fn validate_update(&self, causes: &mut Causes, old: &Self::Object, new: &Self::Object);

    /// Judges the part `status`; nothing to do for kinds without one.
    fn validate_status(&self, causes: &mut Causes, object: &Self::Object);

    /// Names the fields that are kept although they have no effect.
    fn warn(&self, warnings: &mut Warnings, object: &Self::Object);

    /// Takes from a new object what its creator may not say: a status, unless the creator is who observes it.
    fn prepare_for_create(&self, object: &mut Self::Object);

    /// Takes over from the old object what a write of the whole object may not touch: the status, what has a part of its
    /// own, and what was given to the object when it was stored.
    fn prepare_for_update(&self, new: &mut Self::Object, old: &Self::Object);

    /// Writes what was sent to the part `status` into the object as it is. Asked only of kinds that have that part.
    fn update_status(&self, object: &mut Self::Object, sent: &Self::Object);

    /// What the part `scale` shows; `None` for kinds without one.
    fn scale(&self, object: &Self::Object) -> Option<Scale>;

    /// Says how many replicas there should be. Asked only of kinds that have the part `scale`.
    fn set_replicas(&self, object: &mut Self::Object, replicas: i32);

    /// Whether `new` is another generation than `old`, which is `None` for a new object. Always false for kinds of which
    /// nobody reports `observedGeneration`: they have no generations.
    fn is_new_generation(&self, old: Option<&Self::Object>, new: &Self::Object, part: Subresource) -> bool;

    /// What only the cluster as a whole can give to the object.
    fn allocation<'a>(&self, object: &'a mut Self::Object) -> Allocation<'a>;

    /// What the object has that no other may have.
    fn claims(&self, object: &Self::Object) -> BTreeSet<String>;

    /// Marks an object for deletion.
    ///
    /// # Errors
    /// If it may never be deleted: why.
    fn mark_for_deletion(
        &self,
        object: &mut Self::Object,
        grace_period_s: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str>;

    /// Whether something other than `metadata.finalizers` still holds an object that is marked for deletion.
    fn is_held(&self, object: &Self::Object) -> bool;

    /// The columns of a table of such objects. Never empty; exactly one has the format `name`.
    fn columns(&self) -> &[Column];

    /// One cell for each column.
    fn row(&self, object: &Self::Object, common: Common, now: Timestamp) -> Vec<Cell>;

    /// The paths of the fields by which objects can be selected, beside those that every kind has.
    fn fields(&self) -> Vec<&str>;

    /// The field at a position of [`Strategy::fields`]; empty if it is not set.
    fn field<'a>(&self, object: &'a Self::Object, index: usize) -> Cow<'a, str>;

    /// The manifest of a small, typical object: for tests, and for people to begin with.
    fn sample(&self) -> &str;
}

/// What the part `scale` shows of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    /// How many replicas are wanted, if the object says it.
    pub wanted: Option<i32>,
    /// How many there are.
    pub present: i32,
    /// By which labels they are found, as the text of a selector.
    pub selector: String,
}

/// What an object needs that only the cluster as a whole can give.
#[derive(Debug)]
pub enum Allocation<'a> {
    /// Nothing.
    Nothing,
    /// An address of its own, and the ports of nodes that it names.
    Service(&'a mut ServiceSpec),
}
