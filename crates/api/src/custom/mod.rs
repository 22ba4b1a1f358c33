//! Kinds that users define, as data: what the schema in a CustomResourceDefinition says, and what follows from it for objects.
//!
//! [`check`] judges a schema when its definition is written and makes a [`Validator`] of it. By the [`Schema`] in it objects
//! are pruned ([`prune`]), brought into form ([`coerce`]) and given defaults ([`apply_defaults`]), in this order, and then
//! judged. Nothing here knows whether a schema is in force, or where objects are kept.

mod check;
mod columns;
mod defaults;
mod embedded;
mod lists;
mod path;
mod prune;
mod rules;
mod schema;
mod shown;
mod source;
mod validator;
mod values;

#[cfg(test)]
mod tests;

pub use check::{SCHEMA_DEPTH_MAX, SCHEMA_RULES_MAX, SCHEMAS_MAX, check};
pub use columns::{BadColumn, ColumnPath, ColumnType};
pub use defaults::{DEFAULTED_BYTES_MAX, TooLarge, apply_defaults};
pub use embedded::coerce;
pub use path::{BadPath, JsonPath};
pub use prune::{Unknown, prune};
pub use rules::{MESSAGE_BYTES_MAX, OBJECT_STEPS_MAX, RULE_COST_MAX, RULE_STEPS_MAX, SCHEMA_COST_MAX};
pub use schema::{Additional, ListType, MapType, PATTERN_BYTES_MAX, Rule, Schema, Type};
pub use validator::Validator;
pub use values::STEPS_MAX;
