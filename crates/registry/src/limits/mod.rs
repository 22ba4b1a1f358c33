//! How much a caller may ask for at a time, and how much the state may hold. What exceeds a limit is refused at once, and the
//! refusal says what to do.

pub mod budget;
pub(crate) mod events;
pub mod fair;
pub(crate) mod quota;
