//! Which objects are meant: by labels and by fields. A selector that is not understood is refused, never ignored, for an
//! ignored selector on a deletion deletes everything.

mod fields;
mod labels;

pub use fields::{Fields, fields_of};
pub use labels::{Labels, Operator, Requirement, print};

#[cfg(test)]
mod tests;
