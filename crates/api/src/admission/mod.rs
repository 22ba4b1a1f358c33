//! Asking others before something is written: what of webhooks and policies follows from what they say alone.
//!
//! `check` judges configurations, `matching` tells which requests they are about, `scope` what expressions may name and what they cost, `conditions`,
//! `validating` and `mutating` run them. Everything is compiled once and is a value: nothing here knows the state, and nobody is
//! called.

pub mod check;
mod conditions;
mod matching;
mod mutating;
mod scope;
mod types;
mod validating;
mod variables;

#[cfg(test)]
mod tests;

pub use conditions::Conditions;
pub use matching::{Labelled, Operation, Selection, Subject};
pub use mutating::{Change, MADE_BYTES_MAX, MutatingPolicy};
pub use scope::{About, CONDITIONS_STEPS_MAX, EXPRESSION_STEPS_MAX, Expression, POLICY_STEPS_MAX, Scope, Wanted};
pub use types::{EXPRESSION_WARNINGS_MAX, doubts};
pub use validating::{ANNOTATION_BYTES_MAX, Broken, MESSAGE_BYTES_MAX, ValidatingPolicy, Verdict};

/// What happens if an expression has no value, or somebody who is asked has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The write is refused.
    Fail,
    /// It goes on as if nobody had been asked.
    Ignore,
}

impl FailurePolicy {
    /// What a field says.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text == "Ignore" { Self::Ignore } else { Self::Fail }
    }
}
