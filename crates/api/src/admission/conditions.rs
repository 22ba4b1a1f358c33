//! Expressions that must all be true for somebody to be asked.

use super::scope::{About, CONDITIONS_STEPS_MAX, Expression, Scope, Tank, Wanted};
use crate::{admissionregistration_v1::MatchCondition, cel::Value};

/// The conditions of a webhook or policy.
#[derive(Clone, Debug)]
pub struct Conditions(Vec<Result<Expression, String>>);

impl Conditions {
    /// Compiles conditions. What is stored can be compiled; one that cannot is told of when it is asked.
    #[must_use]
    pub fn compile(conditions: &[MatchCondition], scope: &Scope) -> Self {
        Self(conditions.iter().map(|condition| scope.compile(&condition.expression, Wanted::Bool)).collect())
    }

    /// Whether there are none, so that nothing has to be known of a request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of them are true. One that is false makes up for others that have no value.
    ///
    /// # Errors
    /// Why some have no value.
    pub fn are_met(&self, about: &About<'_>) -> Result<bool, String> {
        let mut tank = Tank::new(CONDITIONS_STEPS_MAX);
        let mut faults = Vec::new();
        for condition in &self.0 {
            let said = match condition {
                Ok(condition) => condition.run(about, || Value::Null, &mut tank),
                Err(why) => Err(why.clone()),
            };
            match said {
                Ok(Value::Bool(true)) => {}
                Ok(_) => return Ok(false),
                Err(why) => faults.push(why),
            }
        }
        match faults.as_slice() {
            [] => Ok(true),
            [only] => Err(only.clone()),
            several => Err(format!("[{}]", several.join(", "))),
        }
    }
}
