//! Policies that judge what is written.

use super::{
    Conditions, FailurePolicy,
    matching::Selection,
    scope::{About, Expression, POLICY_STEPS_MAX, Scope, Tank, Wanted},
    variables::{Said, Variables},
};
use crate::{
    Reason,
    admissionregistration_v1::{ParamKind, ValidatingAdmissionPolicy, ValidatingAdmissionPolicySpec, Validation},
    cel::Value,
};

/// The longest message that an expression may make, in bytes, as in Kubernetes.
pub const MESSAGE_BYTES_MAX: usize = 5 << 10;
/// How much of a text that a policy tells is kept, in bytes, as in Kubernetes.
pub const ANNOTATION_BYTES_MAX: usize = 10 << 10;

/// A ValidatingAdmissionPolicy, ready to judge.
#[derive(Clone, Debug)]
pub struct ValidatingPolicy {
    /// What it is about.
    pub selection: Selection,
    /// The kind of what bindings give to it.
    pub param_kind: Option<ParamKind>,
    /// What happens if an expression has no value.
    pub failure_policy: FailurePolicy,
    conditions: Conditions,
    variables: Variables,
    rules: Vec<Rule>,
    annotations: Vec<(String, Result<Expression, String>)>,
}

#[derive(Clone, Debug)]
struct Rule {
    rule: Result<Expression, String>,
    making: Option<Expression>,
    message: String,
    reason: Reason,
}

/// What a policy says of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The rules that are not followed.
    pub broken: Vec<Broken>,
    /// What is told with the request: keys and texts.
    pub annotations: Vec<(String, String)>,
    /// What could not be told, and so refuses the request.
    pub untold: Vec<String>,
}

/// A rule that is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which one.
    pub index: usize,
    /// What is said.
    pub message: String,
    /// Why, for programs.
    pub reason: Reason,
}

impl ValidatingPolicy {
    /// Compiles a policy. What is stored can be compiled; an expression that cannot has no value.
    #[must_use]
    pub fn compile(policy: &ValidatingAdmissionPolicy) -> Self {
        let none = ValidatingAdmissionPolicySpec::default();
        let spec = policy.spec.as_ref().unwrap_or(&none);
        let mut scope = Scope::of_policies(spec.param_kind.is_some());
        let conditions = Conditions::compile(&spec.match_conditions, &scope);
        let variables = Variables::compile(&spec.variables, &mut scope);
        let annotation = |key: &str, text: &str| (key.to_owned(), scope.compile(text, Wanted::TextOrNull));
        Self {
            selection: Selection::of_resources(spec.match_constraints.as_ref()),
            param_kind: spec.param_kind.clone(),
            failure_policy: FailurePolicy::of(&spec.failure_policy),
            conditions,
            variables,
            rules: spec.validations.iter().map(|validation| Rule::compile(validation, &scope)).collect(),
            annotations: spec.audit_annotations.iter().map(|one| annotation(&one.key, &one.value_expression)).collect(),
        }
    }

    /// Judges a request.
    #[must_use]
    pub fn judge(&self, about: About<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        match self.conditions.are_met(&about) {
            Ok(true) => {}
            Ok(false) => return verdict,
            Err(why) => {
                verdict.broken.extend(self.failed(0, why));
                return verdict;
            }
        }
        let (mut said, mut tank) = (Said::default(), Tank::new(POLICY_STEPS_MAX));
        for (index, rule) in self.rules.iter().enumerate() {
            let found = match &rule.rule {
                Ok(expression) => self.variables.run(expression, &about, &mut said, &mut tank),
                Err(why) => Err(why.clone()),
            };
            match found {
                Ok(Value::Bool(true)) => {}
                Ok(_) => {
                    let made = rule.making.as_ref();
                    let made = made.and_then(|making| self.variables.run(making, &about, &mut said, &mut tank).ok());
                    let message = made.and_then(|made| message(&made)).unwrap_or_else(|| rule.told());
                    verdict.broken.push(Broken { index, message, reason: rule.reason });
                }
                Err(why) => verdict.broken.extend(self.failed(index, why)),
            }
        }
        self.annotate(&about, &mut verdict);
        verdict
    }

    fn failed(&self, index: usize, message: String) -> Option<Broken> {
        match self.failure_policy {
            FailurePolicy::Fail => Some(Broken { index, message, reason: Reason::Invalid }),
            FailurePolicy::Ignore => None,
        }
    }

    fn annotate(&self, about: &About<'_>, verdict: &mut Verdict) {
        let (mut said, mut tank) = (Said::default(), Tank::new(POLICY_STEPS_MAX));
        for (key, expression) in &self.annotations {
            let found = match expression {
                Ok(expression) => self.variables.run(expression, about, &mut said, &mut tank),
                Err(why) => Err(why.clone()),
            };
            match found {
                Ok(Value::Text(text)) if !text.trim().is_empty() => {
                    let text = text.trim();
                    let end = text.floor_char_boundary(ANNOTATION_BYTES_MAX);
                    verdict.annotations.push((key.clone(), text[..end].to_owned()));
                }
                Ok(_) => {}
                Err(why) if self.failure_policy == FailurePolicy::Fail => verdict.untold.push(why),
                Err(_) => {}
            }
        }
    }
}

impl Rule {
    fn compile(validation: &Validation, scope: &Scope) -> Self {
        let making = Some(&validation.message_expression).filter(|text| !text.trim().is_empty());
        Self {
            rule: scope.compile(&validation.expression, Wanted::Bool),
            making: making.and_then(|text| scope.compile(text, Wanted::Text).ok()),
            message: validation.message.trim().to_owned(),
            reason: match validation.reason.as_str() {
                "Forbidden" => Reason::Forbidden,
                "RequestEntityTooLarge" => Reason::RequestEntityTooLarge,
                "Unauthorized" => Reason::Unauthorized,
                _ => Reason::Invalid,
            },
        }
    }

    fn told(&self) -> String {
        if !self.message.is_empty() {
            return self.message.clone();
        }
        let text = self.rule.as_ref().map_or("", Expression::text);
        format!("failed expression: {text}")
    }
}

/// A message that an expression made, if it is one.
fn message(made: &Value<'_>) -> Option<String> {
    let Value::Text(text) = made else { return None };
    let text = text.trim();
    let good = !text.is_empty() && text.len() <= MESSAGE_BYTES_MAX && !text.contains('\n');
    good.then(|| text.to_owned())
}
