//! Roles.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    rbac_v1::Role,
    table::{
        self, Cell, Column, Common,
        columns::{NAME, text},
    },
    validate::{
        Causes, Path,
        names::{self, Syntax},
        rbac,
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[NAME, text("Created At", "When the object was created.")];

const SAMPLE: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: read-pods
  namespace: default
rules:
- apiGroups: ['']
  resources: [pods, pods/log]
  verbs: [get, list, watch]
";

pub(crate) struct RoleStrategy;

impl Strategy for RoleStrategy {
    type Object = Role;

    fn name_syntax(&self) -> Syntax {
        names::path_segment
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut Role) {}

    fn validate(&self, causes: &mut Causes, role: &Role) {
        rbac::rules(causes, &role.rules, rbac::Scope::Namespace, &Path::Root.field("rules"));
    }

    fn validate_update(&self, _: &mut Causes, _: &Role, _: &Role) {}

    fn validate_status(&self, _: &mut Causes, _: &Role) {}

    fn warn(&self, _: &mut Warnings, _: &Role) {}

    fn prepare_for_create(&self, _: &mut Role) {}

    fn prepare_for_update(&self, _: &mut Role, _: &Role) {}

    fn update_status(&self, _: &mut Role, _: &Role) {}

    fn scale(&self, _: &Role) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut Role, _: i32) {}

    fn is_new_generation(&self, _: Option<&Role>, _: &Role, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut Role) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &Role) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, role: &mut Role, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut role.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &Role) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, role: &Role, common: Common, _: Timestamp) -> Vec<Cell> {
        vec![common.name, table::created_at(role.metadata.as_ref()).into()]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a Role, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}
