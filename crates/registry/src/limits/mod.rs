//! How much anybody may ask for, and how much the state may hold. What is too much is refused at once, with what to do.

pub mod budget;
pub(crate) mod events;
pub(crate) mod quota;
