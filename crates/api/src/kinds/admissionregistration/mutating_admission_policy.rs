//! MutatingAdmissionPolicies.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    admission::{
        Scope, Wanted,
        check::{
            REINVOCATION_POLICIES, conditions, default_match_resources, expression, failure_policy, match_resources,
            no_deletions, param_kind, variables,
        },
    },
    admissionregistration_v1::{MutatingAdmissionPolicy, MutatingAdmissionPolicySpec, Mutation},
    defaults::text,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        self, Cell, Column, Common,
        columns::{AGE, NAME, integer, text as column},
    },
    validate::{
        Causes, Path,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[
    NAME,
    integer("Mutations", "How many changes it makes."),
    column("ParamKind", "The kind of the objects that bindings give to the expressions."),
    AGE,
];

/// Changes of one policy. Each is made to each object that the policy is about.
pub(crate) const MUTATIONS_MAX: usize = 256;

const SAMPLE: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata:
  name: team-label
spec:
  matchConstraints:
    resourceRules:
    - operations: [CREATE]
      apiGroups: [\"\"]
      apiVersions: [v1]
      resources: [configmaps]
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: 'Object{metadata: Object.metadata{labels: {\"team\": \"blue\"}}}'
";

pub(crate) struct MutatingAdmissionPolicyStrategy;

impl Strategy for MutatingAdmissionPolicyStrategy {
    type Object = MutatingAdmissionPolicy;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, policy: &mut MutatingAdmissionPolicy) {
        let Some(spec) = &mut policy.spec else { return };
        text(&mut spec.failure_policy, "Fail");
        spec.match_constraints.iter_mut().for_each(default_match_resources);
    }

    fn validate(&self, causes: &mut Causes, policy: &MutatingAdmissionPolicy) {
        let (at, none) = (Path::Root.field("spec"), MutatingAdmissionPolicySpec::default());
        let spec = policy.spec.as_ref().unwrap_or(&none);
        failure_policy(causes, &spec.failure_policy, &at.field("failurePolicy"));
        spec.param_kind.iter().for_each(|kind| param_kind(causes, kind, &at.field("paramKind")));
        let constraints = at.field("matchConstraints");
        match &spec.match_constraints {
            None => causes.required(&constraints, ""),
            Some(resources) => {
                match_resources(causes, resources, &constraints);
                no_deletions(causes, resources, &constraints);
                if resources.resource_rules.is_empty() {
                    causes.required(&constraints.field("resourceRules"), "");
                }
            }
        }
        let mut scope = Scope::of_policies(spec.param_kind.is_some());
        conditions(causes, &spec.match_conditions, &scope, &at.field("matchConditions"));
        variables(causes, &spec.variables, &mut scope, &at.field("variables"));
        mutations(causes, &spec.mutations, &scope.with_patches(), &at.field("mutations"));
        causes.required_one_of(&at.field("reinvocationPolicy"), &spec.reinvocation_policy, &REINVOCATION_POLICIES);
    }

    fn validate_update(&self, _: &mut Causes, _: &MutatingAdmissionPolicy, _: &MutatingAdmissionPolicy) {}

    fn validate_status(&self, _: &mut Causes, _: &MutatingAdmissionPolicy) {}

    fn warn(&self, _: &mut Warnings, _: &MutatingAdmissionPolicy) {}

    fn prepare_for_create(&self, _: &mut MutatingAdmissionPolicy) {}

    fn prepare_for_update(&self, _: &mut MutatingAdmissionPolicy, _: &MutatingAdmissionPolicy) {}

    fn update_status(&self, _: &mut MutatingAdmissionPolicy, _: &MutatingAdmissionPolicy) {}

    fn scale(&self, _: &MutatingAdmissionPolicy) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut MutatingAdmissionPolicy, _: i32) {}

    fn is_new_generation(
        &self,
        old: Option<&MutatingAdmissionPolicy>,
        new: &MutatingAdmissionPolicy,
        _: Subresource,
    ) -> bool {
        old.is_none_or(|old| old.spec != new.spec)
    }

    fn allocation<'a>(&self, _: &'a mut MutatingAdmissionPolicy) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &MutatingAdmissionPolicy) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        object: &mut MutatingAdmissionPolicy,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut object.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &MutatingAdmissionPolicy) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, policy: &MutatingAdmissionPolicy, common: Common, _: Timestamp) -> Vec<Cell> {
        let spec = policy.spec.clone().unwrap_or_default();
        let kind = spec.param_kind.map(|kind| format!("{}/{}", kind.api_version, kind.kind)).unwrap_or_default();
        vec![common.name, spec.mutations.len().into(), table::or(&kind, "<unset>").into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a MutatingAdmissionPolicy, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn mutations(causes: &mut Causes, mutations: &[Mutation], scope: &Scope, at: &Path<'_>) {
    if mutations.is_empty() {
        causes.required(at, "mutations must contain at least one item");
    }
    if !causes.at_most(at, mutations.len(), MUTATIONS_MAX) {
        return;
    }
    for (index, mutation) in mutations.iter().enumerate() {
        self::mutation(causes, mutation, scope, &at.index(index));
    }
}

fn mutation(causes: &mut Causes, mutation: &Mutation, scope: &Scope, at: &Path<'_>) {
    let apply = mutation.apply_configuration.as_ref().map(|apply| apply.expression.as_str());
    let patch = mutation.json_patch.as_ref().map(|patch| patch.expression.as_str());
    let (apply, patch) = (("applyConfiguration", apply, Wanted::Object), ("jsonPatch", patch, Wanted::Patch));
    let (meant, other) = match mutation.patch_type.as_str() {
        "ApplyConfiguration" => (apply, patch),
        "JSONPatch" => (patch, apply),
        "" => return causes.required(&at.field("patchType"), ""),
        unknown => return causes.unsupported(&at.field("patchType"), unknown, &["ApplyConfiguration", "JSONPatch"]),
    };
    let (field, kind) = (at.field(meant.0), &mutation.patch_type);
    match meant.1 {
        Some(text) => drop(expression(causes, text, scope, meant.2, &field.field("expression"))),
        None => causes.required(&field, &format!("must be specified when patchType is {kind}")),
    }
    if other.1.is_some() {
        causes.invalid_as(&at.field(other.0), format_args!("must not be specified when patchType is {kind}"));
    }
}
