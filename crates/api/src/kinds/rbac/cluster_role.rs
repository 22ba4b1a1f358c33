//! ClusterRoles.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    rbac_v1::ClusterRole,
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
kind: ClusterRole
metadata:
  name: read-pods
rules:
- apiGroups: ['']
  resources: [pods, pods/log]
  verbs: [get, list, watch]
";

pub(crate) struct ClusterRoleStrategy;

impl Strategy for ClusterRoleStrategy {
    type Object = ClusterRole;

    fn name_syntax(&self) -> Syntax {
        names::path_segment
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut ClusterRole) {}

    fn validate(&self, causes: &mut Causes, role: &ClusterRole) {
        rbac::rules(causes, &role.rules, rbac::Scope::Cluster, &Path::Root.field("rules"));
        if let Some(aggregation) = &role.aggregation_rule {
            rbac::aggregation(causes, aggregation, &Path::Root.field("aggregationRule"));
        }
    }

    fn validate_update(&self, _: &mut Causes, _: &ClusterRole, _: &ClusterRole) {}

    fn validate_status(&self, _: &mut Causes, _: &ClusterRole) {}

    fn warn(&self, _: &mut Warnings, _: &ClusterRole) {}

    fn prepare_for_create(&self, _: &mut ClusterRole) {}

    fn prepare_for_update(&self, _: &mut ClusterRole, _: &ClusterRole) {}

    fn update_status(&self, _: &mut ClusterRole, _: &ClusterRole) {}

    fn scale(&self, _: &ClusterRole) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut ClusterRole, _: i32) {}

    fn is_new_generation(&self, _: Option<&ClusterRole>, _: &ClusterRole, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut ClusterRole) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ClusterRole) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, role: &mut ClusterRole, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut role.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ClusterRole) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, role: &ClusterRole, common: Common, _: Timestamp) -> Vec<Cell> {
        vec![common.name, table::created_at(role.metadata.as_ref()).into()]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a ClusterRole, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}
