//! Schemas, and what they make of objects.

#![expect(clippy::unwrap_used, reason = "tests")]

mod judging;
mod owning;
mod random;
mod ruling;
mod shaping;

use serde_json::{Value, json};

use super::{Validator, check};

const AT: &str = "spec.versions[0].schema.openAPIV3Schema";

/// The schema of a kind whose `spec` is this one.
fn with_spec(spec: Value) -> Value {
    json!({"type": "object", "properties": {"spec": spec}})
}

fn compiled(schema: &Value) -> Validator {
    check(schema, AT, false).unwrap_or_else(|causes| panic!("{causes:?}"))
}

/// What is wrong with a schema, without the place where it stands.
fn faults(schema: &Value, has_status: bool) -> Vec<String> {
    let causes = check(schema, AT, has_status).err().unwrap_or_default();
    let short = |field: &str| field.strip_prefix(AT).map_or(field, |rest| rest.trim_start_matches('.')).to_owned();
    causes.iter().map(|cause| format!("{}: {}", short(&cause.field), cause.message.replace(AT, "~"))).collect()
}

/// A schema is refused for one reason.
#[track_caller]
fn refused(schema: &Value, why: &str) {
    assert_eq!(faults(schema, false), [why], "{schema}");
}
