//! Fields that are to be set in an object, whatever else is in it: what a policy that changes objects makes.

use serde_json::Value;

use super::{
    typed::{Merging, Typed, merging},
    value,
};

/// Sets what a configuration says in `object`.
///
/// # Errors
/// Why it cannot be merged: it names a field that is not there, or something that would be replaced as a whole.
pub fn configure<T: Typed>(root: T, object: &mut Value, configuration: &Value) -> Result<(), String> {
    let mut atomic = Vec::new();
    check(root, configuration, "", &mut atomic)?;
    if !atomic.is_empty() {
        let why = format!("may not mutate atomic arrays, maps or structs: {}", atomic.join(", "));
        return Err(format!("invalid ApplyConfiguration: {why}"));
    }
    *object = value::merged(root, Some(object), configuration)?;
    Ok(())
}

fn check<T: Typed>(typed: T, value: &Value, path: &str, atomic: &mut Vec<String>) -> Result<(), String> {
    match (merging(typed, Some(value)), value) {
        (Merging::Members, Value::Object(members)) => {
            for (name, value) in members {
                let (member, at) = (typed.member(name), format!("{path}.{name}"));
                if member.is_undeclared() {
                    let why = "failed to convert patch object to typed object";
                    return Err(format!("{why}: {at}: field not declared in schema"));
                }
                check(member, value, &at, atomic)?;
            }
        }
        (Merging::Keyed, Value::Array(items)) => {
            for item in items {
                check(typed.element(), item, path, atomic)?;
            }
        }
        (Merging::Leaf, Value::Array(_) | Value::Object(_)) => atomic.push(path.to_owned()),
        (Merging::Members | Merging::Set | Merging::Keyed | Merging::Leaf | Merging::Deduced, _) => {}
    }
    Ok(())
}
