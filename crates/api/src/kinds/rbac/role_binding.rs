//! RoleBindings.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    rbac_v1::RoleBinding,
    table::{
        self, Cell, Column, Common, NONE,
        columns::{AGE, NAME, text, wide},
    },
    validate::{
        Causes, Path,
        names::{self, Syntax},
        rbac,
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[
    NAME,
    text("Role", "Whose rights it gives."),
    AGE,
    wide(text("Users", "The users to whom it gives them.")),
    wide(text("Groups", "The groups to which it gives them.")),
    wide(text("ServiceAccounts", "The accounts to which it gives them.")),
];

const SAMPLE: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: read-pods
  namespace: default
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: read-pods
subjects:
- kind: ServiceAccount
  name: hello
  namespace: default
- kind: User
  apiGroup: rbac.authorization.k8s.io
  name: ada
";

pub(crate) struct RoleBindingStrategy;

impl Strategy for RoleBindingStrategy {
    type Object = RoleBinding;

    fn name_syntax(&self) -> Syntax {
        names::path_segment
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, binding: &mut RoleBinding) {
        rbac::binding_defaults(&mut binding.subjects, binding.role_ref.get_or_insert_default());
    }

    fn validate(&self, causes: &mut Causes, binding: &RoleBinding) {
        let role = binding.role_ref.clone().unwrap_or_default();
        rbac::role_ref(causes, &role, &["Role", "ClusterRole"], &Path::Root.field("roleRef"));
        rbac::subjects(causes, &binding.subjects, &Path::Root.field("subjects"));
    }

    fn validate_update(&self, causes: &mut Causes, old: &RoleBinding, new: &RoleBinding) {
        if old.role_ref != new.role_ref {
            causes.invalid(
                &Path::Root.field("roleRef"),
                &new.role_ref,
                "cannot change roleRef; delete the binding and create it anew",
            );
        }
    }

    fn validate_status(&self, _: &mut Causes, _: &RoleBinding) {}

    fn warn(&self, _: &mut Warnings, _: &RoleBinding) {}

    fn prepare_for_create(&self, _: &mut RoleBinding) {}

    fn prepare_for_update(&self, _: &mut RoleBinding, _: &RoleBinding) {}

    fn update_status(&self, _: &mut RoleBinding, _: &RoleBinding) {}

    fn scale(&self, _: &RoleBinding) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut RoleBinding, _: i32) {}

    fn is_new_generation(&self, _: Option<&RoleBinding>, _: &RoleBinding, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut RoleBinding) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &RoleBinding) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, binding: &mut RoleBinding, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut binding.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &RoleBinding) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, binding: &RoleBinding, common: Common, _: Timestamp) -> Vec<Cell> {
        let role = binding.role_ref.clone().unwrap_or_default();
        let subjects = |kind| table::or(&rbac::named(&binding.subjects, kind), NONE).into();
        vec![
            common.name,
            format!("{}/{}", role.kind, role.name).into(),
            common.age,
            subjects("User"),
            subjects("Group"),
            subjects("ServiceAccount"),
        ]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a RoleBinding, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}
