//! What policies have in common: kinds and objects that are given to them, and their expressions.

use super::{Causes, FAILURE_POLICIES, Path, limits, meta, names};
use crate::{
    admission::scope::{Scope, Wanted},
    admissionregistration_v1::{MatchCondition, MatchResources, ParamKind, ParamRef, Variable},
};

/// Conditions of one webhook or policy: Kubernetes' limit.
pub const MATCH_CONDITIONS_MAX: usize = 64;
/// Variables of one policy. Each is an expression that may run for each request.
pub const VARIABLES_MAX: usize = 256;

const NOT_FOUND_ACTIONS: [&str; 2] = ["Deny", "Allow"];
const OPERATIONS_THAT_CHANGE: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

pub(crate) fn failure_policy(causes: &mut Causes, policy: &str, at: &Path<'_>) {
    causes.required_one_of(at, policy, &FAILURE_POLICIES);
}

pub(crate) fn policy_name(causes: &mut Causes, name: &str, at: &Path<'_>) {
    causes.required_syntax(at, name, names::dns_subdomain);
}

pub(crate) fn conditions(causes: &mut Causes, conditions: &[MatchCondition], scope: &Scope, at: &Path<'_>) {
    if !causes.at_most(at, conditions.len(), MATCH_CONDITIONS_MAX) {
        return;
    }
    for (index, condition) in conditions.iter().enumerate() {
        let at = at.index(index);
        expression(causes, &condition.expression, scope, Wanted::Bool, &at.field("expression"));
        causes.required_syntax(&at.field("name"), &condition.name, names::qualified);
        if conditions[..index].iter().any(|before| before.name == condition.name) {
            causes.duplicate(&at.field("name"), &condition.name);
        }
    }
}

/// Judges variables and makes each known to what follows it.
pub(crate) fn variables(causes: &mut Causes, variables: &[Variable], scope: &mut Scope, at: &Path<'_>) {
    if !causes.at_most(at, variables.len(), VARIABLES_MAX) {
        return;
    }
    for (index, variable) in variables.iter().enumerate() {
        let at = at.index(index);
        let name = at.field("name");
        if variable.name.trim().is_empty() {
            causes.required(&name, "name is not specified");
        } else if !crate::cel::is_name(&variable.name) {
            causes.invalid(&name, &variable.name, "must be a valid CEL identifier");
        }
        if variables[..index].iter().any(|before| before.name == variable.name) {
            causes.duplicate(&name, &variable.name);
        }
        let of = expression(causes, &variable.expression, scope, Wanted::Anything, &at.field("expression"));
        scope.declare(&variable.name, of.unwrap_or(crate::cel::Type::Dyn));
    }
}

/// Judges an expression; answers the type of what it says.
pub(crate) fn expression(
    causes: &mut Causes,
    text: &str,
    scope: &Scope,
    wanted: Wanted,
    at: &Path<'_>,
) -> Option<crate::cel::Type> {
    if text.trim().is_empty() {
        causes.required(at, "expression is not specified");
        return None;
    }
    match scope.compile(text, wanted) {
        Ok(expression) => Some(expression.result().clone()),
        Err(why) => {
            causes.invalid(at, text, why);
            None
        }
    }
}

pub(crate) fn param_kind(causes: &mut Causes, kind: &ParamKind, at: &Path<'_>) {
    let field = at.field("apiVersion");
    match kind.api_version.split_once('/').unwrap_or(("", kind.api_version.as_str())) {
        ("", "") => causes.required(&field, ""),
        (_, version) if version.contains('/') => {
            let why = format_args!("unexpected GroupVersion string: {}", kind.api_version);
            causes.invalid(&field, &kind.api_version, why);
        }
        (group, version) => {
            if !group.is_empty() {
                causes.syntax(&field, group, names::dns_subdomain);
            }
            if version.is_empty() {
                causes.invalid(&field, &kind.api_version, "version must be specified");
            } else {
                causes.syntax(&field, version, names::dns_1035_label);
            }
        }
    }
    let field = at.field("kind");
    if kind.kind.is_empty() {
        return causes.required(&field, "");
    }
    for why in names::dns_1035_label(&kind.kind.to_ascii_lowercase()) {
        let why = format_args!("may have mixed case, but should otherwise match: {why}");
        causes.invalid(&field, &kind.kind, why);
    }
}

pub(crate) fn param_ref(causes: &mut Causes, reference: &ParamRef, at: &Path<'_>) {
    const ONE: &str = "name and selector are mutually exclusive";
    let (name, selector) = (at.field("name"), at.field("selector"));
    match (reference.name.is_empty(), &reference.selector) {
        (true, None) => causes.required(at, "one of name or selector must be specified"),
        (false, None) => causes.syntax(&name, &reference.name, names::path_segment),
        (true, Some(labels)) => meta::selector(causes, labels, &selector),
        (false, Some(_)) => {
            causes.forbidden(&name, ONE);
            causes.forbidden(&selector, ONE);
        }
    }
    let action = at.field("parameterNotFoundAction");
    causes.required_one_of(&action, &reference.parameter_not_found_action, &NOT_FOUND_ACTIONS);
}

/// What is deleted cannot be changed.
pub(crate) fn no_deletions(causes: &mut Causes, resources: &MatchResources, at: &Path<'_>) {
    let at = at.field("resourceRules");
    for (index, named) in resources.resource_rules.iter().enumerate().take(limits::RULES_MAX) {
        let at = at.index(index);
        let at = at.field("operations");
        let operations = named.rule_with_operations.iter().flat_map(|rule| &rule.operations);
        operations.for_each(|operation| causes.one_of(&at, operation, &OPERATIONS_THAT_CHANGE));
    }
}
