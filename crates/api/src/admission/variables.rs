//! Expressions with names. Each is run when an expression first uses it, and what it says is kept.

use std::collections::{BTreeMap, BTreeSet};

use super::scope::{About, Expression, Scope, Tank, Wanted};
use crate::{
    admissionregistration_v1::Variable,
    cel::{Type, Value},
};

/// The variables of a policy.
#[derive(Clone, Debug)]
pub(super) struct Variables(Vec<(String, Result<Expression, String>)>);

/// What they have said so far.
#[derive(Default)]
pub(super) struct Said<'a> {
    values: BTreeMap<String, Value<'a>>,
    /// Those that have no value: why.
    faults: BTreeMap<String, String>,
}

impl Variables {
    /// Compiles variables, and makes each known to what follows it.
    pub(super) fn compile(variables: &[Variable], scope: &mut Scope) -> Self {
        let mut compiled = Vec::new();
        for variable in variables {
            let expression = scope.compile(&variable.expression, Wanted::Anything);
            let of = expression.as_ref().map_or(Type::Dyn, |expression| expression.result().clone());
            scope.declare(&variable.name, of);
            compiled.push((variable.name.clone(), expression));
        }
        Self(compiled)
    }

    /// Runs an expression, and before it the variables that it uses and that were not run before.
    pub(super) fn run<'a>(
        &'a self,
        expression: &'a Expression,
        about: &About<'a>,
        said: &mut Said<'a>,
        tank: &mut Tank,
    ) -> Result<Value<'a>, String> {
        for (name, variable) in self.needed(expression) {
            if said.values.contains_key(name) || said.faults.contains_key(name) {
                continue;
            }
            let values = said.values.clone();
            let found = match variable {
                Ok(variable) => {
                    let found = variable.run(about, || Value::map(values), tank);
                    found.map_err(|why| said.explained(why))
                }
                Err(why) => Err(why.clone()),
            };
            match found {
                Ok(value) => drop(said.values.insert(name.clone(), value)),
                Err(why) => drop(said.faults.insert(name.clone(), why)),
            }
        }
        let values = said.values.clone();
        expression.run(about, || Value::map(values), tank).map_err(|why| said.explained(why))
    }

    /// Those that an expression uses, and those that they use, in order.
    fn needed(&self, expression: &Expression) -> Vec<&(String, Result<Expression, String>)> {
        let mut needed = BTreeSet::new();
        for (place, (name, _)) in self.0.iter().enumerate().rev() {
            let by_others = needed.iter().filter_map(|other: &usize| self.0.get(*other)?.1.as_ref().ok());
            if std::iter::once(expression).chain(by_others).any(|user| user.uses_variable(name)) {
                needed.insert(place);
            }
        }
        needed.into_iter().filter_map(|place| self.0.get(place)).collect()
    }
}

impl Said<'_> {
    /// A variable without a value is missing to the expressions that use it: what they say is told with its reason.
    fn explained(&self, why: String) -> String {
        let missing =
            why.rsplit_once("no such key: ").and_then(|(before, name)| Some((before, name, self.faults.get(name)?)));
        match missing {
            Some((before, name, fault)) => format!("{before}composited variable \"{name}\" fails to evaluate: {fault}"),
            None => why,
        }
    }
}
