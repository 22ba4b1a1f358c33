//! Kinds that users define, as data: what the schema in a CustomResourceDefinition says, and what follows from it for objects.
//!
//! [`check`] judges a schema when its definition is written and makes a [`Validator`] of it. By the [`Schema`] in it objects
//! are pruned ([`prune`]), brought into form ([`coerce`]) and given defaults ([`apply_defaults`]), in this order, and then
//! judged. A [`Definition`] is what a CustomResourceDefinition says at one moment, with its [`Version`]s, which do all of that to
//! objects; [`Definitions`] are all that there are. Nothing here knows where they are kept.

mod check;
mod columns;
mod compiled;
mod defaults;
mod definition;
mod definitions;
mod embedded;
mod lists;
mod openapi;
mod owned;
mod path;
mod paths;
mod priority;
mod protobuf;
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
pub use compiled::COMPILED_MAX;
pub use defaults::{DEFAULTED_BYTES_MAX, TooLarge, apply_defaults};
pub use definition::{Definition, Version, is, kind_of, schema_of};
pub use definitions::Definitions;
pub use embedded::coerce;
pub(crate) use openapi::type_meta;
pub use openapi::{definition_name, published, published_v2};
pub use owned::{OwnedKind, Structural};
pub use path::{BadPath, JsonPath};
pub use paths::{Paths, ScaleAt, paths_of};
pub use priority::priority;
pub use protobuf::definition_from_protobuf;
pub use prune::{Unknown, prune};
pub use rules::{MESSAGE_BYTES_MAX, OBJECT_STEPS_MAX, RULE_COST_MAX, RULE_STEPS_MAX, SCHEMA_COST_MAX};
pub use schema::{Additional, ListType, MapType, PATTERN_BYTES_MAX, Rule, Schema, Type};
pub use validator::Validator;
pub use values::STEPS_MAX;
