//! What may be stored. Every rule names the field, what is wrong with it and what would be right.

pub mod names;

use crate::{Object, error::Cause};

/// What is wrong with a new object, after defaulting. Empty if it may be stored.
#[must_use]
pub fn create(_object: &Object) -> Vec<Cause> {
    Vec::new()
}

/// What is wrong with replacing `old` by `new`: all that [`create`] finds, and changes of what may not change.
#[must_use]
pub fn update(_old: &Object, new: &Object) -> Vec<Cause> {
    create(new)
}
