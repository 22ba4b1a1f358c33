//! Judges objects of a kind by all that its schema says.

use serde_json::Value;

use super::{rules::Rules, schema::Schema, values};
use crate::{
    error::Cause,
    validate::{Causes, Path},
};

/// A schema with its rules, ready to judge objects.
#[derive(Debug)]
pub struct Validator {
    schema: Schema,
    rules: Option<Rules>,
}

/// What is wrong with a value that rules could not look at.
const BLOCKING: [&str; 4] = ["FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"];

impl Validator {
    pub(super) fn new(schema: Schema, rules: Option<Rules>) -> Self {
        Self { schema, rules }
    }

    /// What may stand in objects.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What is wrong with a new object, pruned and with its defaults.
    #[must_use]
    pub fn create(&self, object: &Value) -> Vec<Cause> {
        let mut causes = Causes::default();
        values::check(&mut causes, object, &self.schema, &Path::Root);
        self.follow(causes, object, None)
    }

    /// What is wrong with an object that replaces another. What is as it was is not judged again.
    #[must_use]
    pub fn update(&self, old: &Value, new: &Value) -> Vec<Cause> {
        let mut causes = Causes::default();
        values::check_update(&mut causes, old, new, &self.schema);
        self.follow(causes, new, Some(old))
    }

    /// Runs the rules, if what was found lets them.
    fn follow(&self, mut causes: Causes, object: &Value, old: Option<&Value>) -> Vec<Cause> {
        let Some(rules) = &self.rules else { return causes.told() };
        if causes.found.iter().any(|cause| BLOCKING.contains(&cause.reason)) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing errors to \
                       complete validation";
            causes.invalid_as(&Path::Root, why);
        } else {
            rules.run(&mut causes, object, old);
        }
        causes.told()
    }
}
