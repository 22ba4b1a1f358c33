//! Which objects are meant: by labels and by fields. A selector that is not understood is refused, never ignored, for an
//! ignored selector on a deletion deletes everything.

mod fields;
mod labels;

use crate::{Error, limits::TERMS_MAX};

pub use fields::{Condition, Fields, fields_of};
pub(crate) use fields::{Field, flag, paths, read, selectable};
pub use labels::{Labels, Operator, Requirement, print};

/// The longest selector, in bytes.
pub const SELECTOR_BYTES_MAX: usize = 64 << 10;

/// Refuses a text that is too long to be read as a selector.
fn short(what: &str, text: &str) -> Result<(), Error> {
    if text.len() <= SELECTOR_BYTES_MAX {
        return Ok(());
    }
    let message = format!("{what}: {} bytes are more than the limit of {SELECTOR_BYTES_MAX}", text.len());
    Err(Error::bad_request(message))
}

/// Refuses a selector with too many conditions: each is tried on every object.
fn few(what: &str, conditions: usize) -> Result<(), Error> {
    if conditions <= TERMS_MAX {
        return Ok(());
    }
    Err(Error::bad_request(format!("{what}: {conditions} conditions are more than the limit of {TERMS_MAX}")))
}

#[cfg(test)]
mod tests;
