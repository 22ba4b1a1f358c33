//! Policies that change what is written.

use serde_json::Value as Json;

use super::{
    Conditions, FailurePolicy,
    matching::Selection,
    scope::{About, Expression, POLICY_STEPS_MAX, Scope, Tank, Wanted},
    variables::{Said, Variables},
};
use crate::admissionregistration_v1::{MutatingAdmissionPolicy, MutatingAdmissionPolicySpec, Mutation, ParamKind};

/// The most that one expression may make, in bytes: as much as a request may bring.
pub const MADE_BYTES_MAX: usize = 3 << 20;

/// A MutatingAdmissionPolicy, ready to change objects.
#[derive(Clone, Debug)]
pub struct MutatingPolicy {
    /// What it is about.
    pub selection: Selection,
    /// The kind of what bindings give to it.
    pub param_kind: Option<ParamKind>,
    /// What happens if an expression has no value.
    pub failure_policy: FailurePolicy,
    /// Whether its changes are made again if others changed the object after it.
    pub is_reinvoked: bool,
    conditions: Conditions,
    variables: Variables,
    mutations: Vec<Made>,
}

#[derive(Clone, Debug)]
struct Made {
    expression: Result<Expression, String>,
    wanted: Wanted,
}

/// A change that a policy makes.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Fields that are to be set.
    Apply(Json),
    /// Operations of RFC 6902.
    Patch(Json),
}

impl MutatingPolicy {
    /// Compiles a policy. What is stored can be compiled; an expression that cannot has no value.
    #[must_use]
    pub fn compile(policy: &MutatingAdmissionPolicy) -> Self {
        let none = MutatingAdmissionPolicySpec::default();
        let spec = policy.spec.as_ref().unwrap_or(&none);
        let mut scope = Scope::of_policies(spec.param_kind.is_some());
        let conditions = Conditions::compile(&spec.match_conditions, &scope);
        let variables = Variables::compile(&spec.variables, &mut scope);
        let scope = scope.with_patches();
        Self {
            selection: Selection::of_resources(spec.match_constraints.as_ref()),
            param_kind: spec.param_kind.clone(),
            failure_policy: FailurePolicy::of(&spec.failure_policy),
            is_reinvoked: spec.reinvocation_policy == "IfNeeded",
            conditions,
            variables,
            mutations: spec.mutations.iter().map(|mutation| Made::compile(mutation, &scope)).collect(),
        }
    }

    /// How many changes it makes, one after the other.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.mutations.len()
    }

    /// Whether it is about a request.
    ///
    /// # Errors
    /// Why a condition has no value.
    pub fn is_about(&self, about: &About<'_>) -> Result<bool, String> {
        self.conditions.are_met(about)
    }

    /// One of its changes to an object.
    ///
    /// # Errors
    /// Why the expression has no value.
    pub fn change(&self, index: usize, about: &About<'_>) -> Result<Change, String> {
        let Some(made) = self.mutations.get(index) else { return Err("there is no such mutation".to_owned()) };
        let expression = made.expression.as_ref().map_err(Clone::clone)?;
        let (mut said, mut tank) = (Said::default(), Tank::new(POLICY_STEPS_MAX));
        let value = self.variables.run(expression, about, &mut said, &mut tank)?;
        let mut left = MADE_BYTES_MAX;
        let json = value.json(&mut left).map_err(|fault| expression.failed(&fault.to_string()))?;
        Ok(if made.wanted == Wanted::Patch { Change::Patch(json) } else { Change::Apply(json) })
    }
}

impl Made {
    fn compile(mutation: &Mutation, scope: &Scope) -> Self {
        let apply = mutation.apply_configuration.as_ref().map(|apply| (&apply.expression, Wanted::Object));
        let patch = mutation.json_patch.as_ref().map(|patch| (&patch.expression, Wanted::Patch));
        match if mutation.patch_type == "JSONPatch" { patch } else { apply } {
            Some((text, wanted)) => Self { expression: scope.compile(text, wanted), wanted },
            None => Self { expression: Err("the mutation has no expression".to_owned()), wanted: Wanted::Object },
        }
    }
}
