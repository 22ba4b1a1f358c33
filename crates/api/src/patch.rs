//! The three ways to change an object in part. What server-side apply does is in [`crate::apply`].

mod operations;
mod strategic;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use crate::Error;

pub use operations::{COPIED_BYTES_MAX, DEPTH_MAX, OPERATIONS_MAX};
pub use strategic::strategic;

/// RFC 6902: a list of operations, all or none.
///
/// # Errors
/// [`Reason::BadRequest`](crate::Reason::BadRequest) if the patch is not one;
/// [`Reason::Invalid`](crate::Reason::Invalid) if an operation does not fit the object;
/// [`Reason::RequestEntityTooLarge`](crate::Reason::RequestEntityTooLarge) if it would make more of it than the limits allow.
pub fn json(target: &mut Value, patch: &Value) -> Result<(), Error> {
    let mut patched = target.clone();
    if let Some(untrue) = operations::apply(&mut patched, patch)? {
        return Err(untrue);
    }
    *target = patched;
    Ok(())
}

/// As [`json`], but nothing happens, and no error, if a `test` does not find what it looks for. Answers whether it did.
///
/// # Errors
/// As [`json`].
pub fn json_if(target: &mut Value, patch: &Value) -> Result<bool, Error> {
    let mut patched = target.clone();
    let untrue = operations::apply(&mut patched, patch)?;
    if untrue.is_none() {
        *target = patched;
    }
    Ok(untrue.is_none())
}

/// RFC 7386: what is there replaces, `null` removes.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}
