//! MutatingAdmissionPolicyBindings.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    admission::check::{default_match_resources, match_resources, no_deletions, param_ref, policy_name},
    admissionregistration_v1::{MutatingAdmissionPolicyBinding, MutatingAdmissionPolicyBindingSpec},
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

const SAMPLE: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata:
  name: team-label
spec:
  policyName: team-label
";

pub(crate) struct MutatingAdmissionPolicyBindingStrategy;

impl Strategy for MutatingAdmissionPolicyBindingStrategy {
    type Object = MutatingAdmissionPolicyBinding;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, binding: &mut MutatingAdmissionPolicyBinding) {
        let resources = binding.spec.iter_mut().filter_map(|spec| spec.match_resources.as_mut());
        resources.for_each(default_match_resources);
    }

    fn validate(&self, causes: &mut Causes, binding: &MutatingAdmissionPolicyBinding) {
        let (at, none) = (Path::Root.field("spec"), MutatingAdmissionPolicyBindingSpec::default());
        let spec = binding.spec.as_ref().unwrap_or(&none);
        policy_name(causes, &spec.policy_name, &at.field("policyName"));
        spec.param_ref.iter().for_each(|params| param_ref(causes, params, &at.field("paramRef")));
        let at = at.field("matchResources");
        if let Some(resources) = &spec.match_resources {
            match_resources(causes, resources, &at);
            no_deletions(causes, resources, &at);
        }
    }

    fn validate_update(&self, _: &mut Causes, _: &MutatingAdmissionPolicyBinding, _: &MutatingAdmissionPolicyBinding) {}

    fn validate_status(&self, _: &mut Causes, _: &MutatingAdmissionPolicyBinding) {}

    fn warn(&self, _: &mut Warnings, _: &MutatingAdmissionPolicyBinding) {}

    fn prepare_for_create(&self, _: &mut MutatingAdmissionPolicyBinding) {}

    fn prepare_for_update(&self, _: &mut MutatingAdmissionPolicyBinding, _: &MutatingAdmissionPolicyBinding) {}

    fn update_status(&self, _: &mut MutatingAdmissionPolicyBinding, _: &MutatingAdmissionPolicyBinding) {}

    fn scale(&self, _: &MutatingAdmissionPolicyBinding) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut MutatingAdmissionPolicyBinding, _: i32) {}

    fn is_new_generation(
        &self,
        old: Option<&MutatingAdmissionPolicyBinding>,
        new: &MutatingAdmissionPolicyBinding,
        _: Subresource,
    ) -> bool {
        old.is_none_or(|old| old.spec != new.spec)
    }

    fn allocation<'a>(&self, _: &'a mut MutatingAdmissionPolicyBinding) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &MutatingAdmissionPolicyBinding) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        object: &mut MutatingAdmissionPolicyBinding,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut object.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &MutatingAdmissionPolicyBinding) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, binding: &MutatingAdmissionPolicyBinding, common: Common, _: Timestamp) -> Vec<Cell> {
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

    fn field<'a>(&self, _: &'a MutatingAdmissionPolicyBinding, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}
