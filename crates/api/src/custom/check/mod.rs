//! Judges the schema of a kind when its definition is written, in four steps, each of which relies on the one before: its
//! keywords have the right types (`shape`), they may stand where they stand (`keywords`) and leave the schema structural
//! (`structural`), its defaults are values of it (`defaults`), and its rules can be run.

mod defaults;
mod keywords;
mod shape;
mod structural;

use serde_json::Value;

use super::{rules, schema::Schema, validator::Validator};
use crate::{
    error::Cause,
    validate::{Causes, Path},
};
pub use shape::{SCHEMA_DEPTH_MAX, SCHEMA_RULES_MAX, SCHEMAS_MAX};

/// Judges the schema of a kind, as it stands in a definition, and makes of it what objects are judged by. `at` is where it
/// stands, such as `spec.versions[0].schema.openAPIV3Schema`; `has_status` is whether the kind has the part `status`.
///
/// # Errors
/// All that is wrong with it.
pub fn check(schema: &Value, at: &str, has_status: bool) -> Result<Validator, Vec<Cause>> {
    let mut causes = Causes::default();
    let at = Path::Field(&Path::Root, at);
    let validator = checked(&mut causes, schema, &at, has_status);
    validator.filter(|_| causes.is_empty()).ok_or_else(|| causes.told())
}

fn checked(causes: &mut Causes, schema: &Value, at: &Path<'_>, has_status: bool) -> Option<Validator> {
    let source = shape::check(causes, schema, at)?;
    keywords::root(causes, source, at, has_status);
    structural::check(causes, source, at);
    if !causes.is_empty() {
        return None;
    }
    let schema = Schema::compile(source);
    defaults::check(causes, &schema, at);
    let rules = rules::compile(causes, &schema, at);
    Some(Validator::new(schema, rules))
}
