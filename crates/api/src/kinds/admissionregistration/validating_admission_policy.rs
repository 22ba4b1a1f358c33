//! ValidatingAdmissionPolicies.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    admission::{
        self, Scope, Wanted,
        check::{
            conditions, default_match_resources, expression, failure_policy, match_resources, param_kind, variables,
        },
    },
    admissionregistration_v1::{AuditAnnotation, ValidatingAdmissionPolicy, ValidatingAdmissionPolicySpec, Validation},
    defaults::text,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        self, Cell, Column, Common,
        columns::{AGE, NAME, integer, text as column},
    },
    validate::{
        Causes, Path, limits,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[
    NAME,
    integer("Validations", "How many rules there are."),
    column("ParamKind", "The kind of the objects that bindings give to the rules."),
    AGE,
];

/// Rules of one policy. Each runs for each request that the policy is about.
pub(crate) const VALIDATIONS_MAX: usize = 256;
/// Texts that one policy tells: Kubernetes' limit.
pub(crate) const AUDIT_ANNOTATIONS_MAX: usize = 20;
/// The longest expression that makes such a text, in bytes: Kubernetes' limit.
const VALUE_EXPRESSION_BYTES_MAX: usize = 5 << 10;

const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];

const SAMPLE: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: few-replicas
spec:
  matchConstraints:
    resourceRules:
    - operations: [CREATE, UPDATE]
      apiGroups: [apps]
      apiVersions: [v1]
      resources: [deployments]
  validations:
  - expression: object.spec.replicas <= 5
    message: no more than 5 replicas, please
";

pub(crate) struct ValidatingAdmissionPolicyStrategy;

impl Strategy for ValidatingAdmissionPolicyStrategy {
    type Object = ValidatingAdmissionPolicy;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, policy: &mut ValidatingAdmissionPolicy) {
        let Some(spec) = &mut policy.spec else { return };
        text(&mut spec.failure_policy, "Fail");
        spec.match_constraints.iter_mut().for_each(default_match_resources);
    }

    fn validate(&self, causes: &mut Causes, policy: &ValidatingAdmissionPolicy) {
        let (at, none) = (Path::Root.field("spec"), ValidatingAdmissionPolicySpec::default());
        let spec = policy.spec.as_ref().unwrap_or(&none);
        failure_policy(causes, &spec.failure_policy, &at.field("failurePolicy"));
        spec.param_kind.iter().for_each(|kind| param_kind(causes, kind, &at.field("paramKind")));
        let constraints = at.field("matchConstraints");
        match &spec.match_constraints {
            None => causes.required(&constraints, ""),
            Some(resources) => {
                match_resources(causes, resources, &constraints);
                if resources.resource_rules.is_empty() {
                    causes.required(&constraints.field("resourceRules"), "");
                }
            }
        }
        let mut scope = Scope::of_policies(spec.param_kind.is_some());
        conditions(causes, &spec.match_conditions, &scope, &at.field("matchConditions"));
        variables(causes, &spec.variables, &mut scope, &at.field("variables"));
        if spec.validations.is_empty() && spec.audit_annotations.is_empty() {
            let why = "validations or auditAnnotations must contain at least one item";
            causes.required(&at.field("validations"), why);
            causes.required(&at.field("auditAnnotations"), why);
        }
        validations(causes, &spec.validations, &scope, &at.field("validations"));
        let name = policy.metadata.as_ref().map_or("", |meta| &meta.name);
        audit_annotations(causes, name, &spec.audit_annotations, &scope, &at.field("auditAnnotations"));
    }

    fn validate_update(&self, _: &mut Causes, _: &ValidatingAdmissionPolicy, _: &ValidatingAdmissionPolicy) {}

    fn validate_status(&self, causes: &mut Causes, policy: &ValidatingAdmissionPolicy) {
        let Some(status) = &policy.status else { return };
        let at = Path::Root.field("status");
        causes.at_most(&at.field("conditions"), status.conditions.len(), limits::CONDITIONS_MAX);
        let at = at.field("typeChecking");
        let at = at.field("expressionWarnings");
        let warnings = status.type_checking.iter().flat_map(|checked| &checked.expression_warnings);
        for (index, warning) in warnings.enumerate().take(admission::EXPRESSION_WARNINGS_MAX) {
            let at = at.index(index);
            for (field, text) in [("fieldRef", &warning.field_ref), ("warning", &warning.warning)] {
                if text.trim().is_empty() {
                    causes.required(&at.field(field), "");
                }
            }
        }
    }

    fn warn(&self, _: &mut Warnings, _: &ValidatingAdmissionPolicy) {}

    fn prepare_for_create(&self, policy: &mut ValidatingAdmissionPolicy) {
        policy.status = None;
    }

    fn prepare_for_update(&self, new: &mut ValidatingAdmissionPolicy, old: &ValidatingAdmissionPolicy) {
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, policy: &mut ValidatingAdmissionPolicy, sent: &ValidatingAdmissionPolicy) {
        policy.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &ValidatingAdmissionPolicy) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut ValidatingAdmissionPolicy, _: i32) {}

    fn is_new_generation(
        &self,
        old: Option<&ValidatingAdmissionPolicy>,
        new: &ValidatingAdmissionPolicy,
        _: Subresource,
    ) -> bool {
        old.is_none_or(|old| old.spec != new.spec)
    }

    fn allocation<'a>(&self, _: &'a mut ValidatingAdmissionPolicy) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ValidatingAdmissionPolicy) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        object: &mut ValidatingAdmissionPolicy,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut object.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ValidatingAdmissionPolicy) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, policy: &ValidatingAdmissionPolicy, common: Common, _: Timestamp) -> Vec<Cell> {
        let spec = policy.spec.clone().unwrap_or_default();
        let kind = spec.param_kind.map(|kind| format!("{}/{}", kind.api_version, kind.kind)).unwrap_or_default();
        vec![common.name, spec.validations.len().into(), table::or(&kind, "<unset>").into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a ValidatingAdmissionPolicy, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn validations(causes: &mut Causes, validations: &[Validation], scope: &Scope, at: &Path<'_>) {
    if !causes.at_most(at, validations.len(), VALIDATIONS_MAX) {
        return;
    }
    for (index, validation) in validations.iter().enumerate() {
        let at = at.index(index);
        expression(causes, &validation.expression, scope, Wanted::Bool, &at.field("expression"));
        let (message, making) = (at.field("message"), at.field("messageExpression"));
        match validation.message_expression.as_str() {
            "" => {}
            text if text.trim().is_empty() => causes.invalid(&making, text, "must be non-empty if specified"),
            text => drop(expression(causes, text, scope, Wanted::Text, &making)),
        }
        match validation.message.as_str() {
            "" => {}
            text if text.trim().is_empty() => causes.invalid(&message, text, "must be non-empty if specified"),
            text if text.trim().contains(['\n', '\r']) => {
                causes.invalid(&message, text, "must not contain line breaks");
            }
            _ => {}
        }
        if !validation.reason.is_empty() {
            causes.one_of(&at.field("reason"), &validation.reason, &REASONS);
        }
    }
}

fn audit_annotations(causes: &mut Causes, policy: &str, annotations: &[AuditAnnotation], scope: &Scope, at: &Path<'_>) {
    if !causes.at_most(at, annotations.len(), AUDIT_ANNOTATIONS_MAX) {
        return;
    }
    for (index, annotation) in annotations.iter().enumerate() {
        let at = at.index(index);
        let key = at.field("key");
        let wrong = names::qualified(&format!("{policy}/{}", annotation.key));
        wrong.iter().for_each(|why| causes.invalid(&key, &annotation.key, why));
        if annotations[..index].iter().any(|before| before.key == annotation.key) {
            causes.duplicate(&key, &annotation.key);
        }
        let value = at.field("valueExpression");
        if annotation.value_expression.trim().len() > VALUE_EXPRESSION_BYTES_MAX {
            causes.too_long(&value, VALUE_EXPRESSION_BYTES_MAX);
        } else {
            expression(causes, &annotation.value_expression, scope, Wanted::TextOrNull, &value);
        }
    }
}
