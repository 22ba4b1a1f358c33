//! ValidatingAdmissionPolicyBindings.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    admission::check::{default_match_resources, match_resources, param_ref, policy_name},
    admissionregistration_v1::{ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec},
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        self, Cell, Column, Common,
        columns::{AGE, NAME, text},
    },
    validate::{
        Causes, Path,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[
    NAME,
    text("PolicyName", "Which policy it puts into force."),
    text("ParamRef", "The objects that it gives to the policy."),
    AGE,
];

const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];

const SAMPLE: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: few-replicas
spec:
  policyName: few-replicas
  validationActions: [Deny]
";

pub(crate) struct ValidatingAdmissionPolicyBindingStrategy;

impl Strategy for ValidatingAdmissionPolicyBindingStrategy {
    type Object = ValidatingAdmissionPolicyBinding;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, binding: &mut ValidatingAdmissionPolicyBinding) {
        let resources = binding.spec.iter_mut().filter_map(|spec| spec.match_resources.as_mut());
        resources.for_each(default_match_resources);
    }

    fn validate(&self, causes: &mut Causes, binding: &ValidatingAdmissionPolicyBinding) {
        let (at, none) = (Path::Root.field("spec"), ValidatingAdmissionPolicyBindingSpec::default());
        let spec = binding.spec.as_ref().unwrap_or(&none);
        policy_name(causes, &spec.policy_name, &at.field("policyName"));
        spec.param_ref.iter().for_each(|params| param_ref(causes, params, &at.field("paramRef")));
        let resources = at.field("matchResources");
        spec.match_resources.iter().for_each(|matched| match_resources(causes, matched, &resources));
        actions(causes, &spec.validation_actions, &at.field("validationActions"));
    }

    fn validate_update(
        &self,
        _: &mut Causes,
        _: &ValidatingAdmissionPolicyBinding,
        _: &ValidatingAdmissionPolicyBinding,
    ) {
    }

    fn validate_status(&self, _: &mut Causes, _: &ValidatingAdmissionPolicyBinding) {}

    fn warn(&self, _: &mut Warnings, _: &ValidatingAdmissionPolicyBinding) {}

    fn prepare_for_create(&self, _: &mut ValidatingAdmissionPolicyBinding) {}

    fn prepare_for_update(&self, _: &mut ValidatingAdmissionPolicyBinding, _: &ValidatingAdmissionPolicyBinding) {}

    fn update_status(&self, _: &mut ValidatingAdmissionPolicyBinding, _: &ValidatingAdmissionPolicyBinding) {}

    fn scale(&self, _: &ValidatingAdmissionPolicyBinding) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut ValidatingAdmissionPolicyBinding, _: i32) {}

    fn is_new_generation(
        &self,
        old: Option<&ValidatingAdmissionPolicyBinding>,
        new: &ValidatingAdmissionPolicyBinding,
        _: Subresource,
    ) -> bool {
        old.is_none_or(|old| old.spec != new.spec)
    }

    fn allocation<'a>(&self, _: &'a mut ValidatingAdmissionPolicyBinding) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ValidatingAdmissionPolicyBinding) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        object: &mut ValidatingAdmissionPolicyBinding,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut object.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ValidatingAdmissionPolicyBinding) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, binding: &ValidatingAdmissionPolicyBinding, common: Common, _: Timestamp) -> Vec<Cell> {
        let spec = binding.spec.clone().unwrap_or_default();
        let params = spec.param_ref.map(|params| match params.namespace.as_str() {
            "" => params.name,
            namespace => format!("{namespace}/{}", params.name),
        });
        let params = params.unwrap_or_default();
        vec![common.name, spec.policy_name.into(), table::or(&params, "<unset>").into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a ValidatingAdmissionPolicyBinding, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn actions(causes: &mut Causes, actions: &[String], at: &Path<'_>) {
    if actions.is_empty() {
        causes.required(at, "at least one validation action is required");
    }
    for (index, action) in actions.iter().enumerate().take(ACTIONS.len() + 1) {
        causes.one_of(&at.index(index), action, &ACTIONS);
        if actions[..index].contains(action) {
            causes.duplicate(&at.index(index), action);
        }
    }
    let has = |wanted: &str| actions.iter().any(|action| action == wanted);
    if has("Deny") && has("Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response \
                   and headers serves no purpose)";
        causes.invalid(at, actions, why);
    }
}
