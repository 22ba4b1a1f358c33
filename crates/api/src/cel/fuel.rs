//! What running an expression costs, and why it may end without a value.

/// How much more may be done: one for each step, and more for steps whose work grows with what they look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuel(u64);

/// Bytes that are looked at or copied within one step.
const BYTES_A_STEP: usize = 10;

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It took more than it may.
    #[error("operation cancelled: actual cost limit exceeded")]
    Fuel,
    /// It has none for these variables: a division by zero, a key that is not there.
    #[error("{0}")]
    Value(String),
}

impl Fault {
    pub(super) fn value(why: impl Into<String>) -> Self {
        Self::Value(why.into())
    }

    pub(super) fn overload() -> Self {
        Self::value("no such overload")
    }
}

impl Fuel {
    /// So many steps.
    #[must_use]
    pub fn new(steps: u64) -> Self {
        Self(steps)
    }

    /// The steps that are left.
    #[must_use]
    pub fn left(self) -> u64 {
        self.0
    }

    pub(super) fn burn(&mut self, steps: usize) -> Result<(), Fault> {
        let left = self.0.checked_sub(steps as u64);
        self.0 = left.unwrap_or_default();
        left.map(drop).ok_or(Fault::Fuel)
    }

    /// Pays for looking at so many bytes, or making them.
    pub(super) fn bytes(&mut self, bytes: usize) -> Result<(), Fault> {
        self.burn(bytes / BYTES_A_STEP)
    }
}
