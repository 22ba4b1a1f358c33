//! StorageVersionMigrations.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    storagemigration_v1::StorageVersionMigration,
    table::{
        self, Cell, Column, Common,
        columns::{NAME, text},
    },
    validate::{
        Causes, Path,
        limits::CONDITIONS_MAX,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[NAME, text("Created At", "When the object was created.")];

const SAMPLE: &str = "\
apiVersion: storagemigration.k8s.io/v1
kind: StorageVersionMigration
metadata:
  name: deployments
spec:
  resource: {group: apps, resource: deployments}
";

pub(crate) struct StorageVersionMigrationStrategy;

impl Strategy for StorageVersionMigrationStrategy {
    type Object = StorageVersionMigration;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut StorageVersionMigration) {}

    fn validate(&self, causes: &mut Causes, migration: &StorageVersionMigration) {
        let resource = migration.spec.as_ref().and_then(|spec| spec.resource.as_ref());
        let at = Path::Root.field("spec");
        let at = at.field("resource");
        if resource.is_none_or(|resource| resource.resource.is_empty()) {
            causes.required(&at.field("resource"), "name the resource, such as deployments");
        }
    }

    fn validate_update(&self, causes: &mut Causes, old: &StorageVersionMigration, new: &StorageVersionMigration) {
        if old.spec != new.spec {
            causes.invalid(&Path::Root.field("spec"), "", "field is immutable; create another object");
        }
    }

    fn validate_status(&self, causes: &mut Causes, migration: &StorageVersionMigration) {
        let count = migration.status.as_ref().map_or(0, |status| status.conditions.len());
        causes.at_most(&Path::Root.field("status").field("conditions"), count, CONDITIONS_MAX);
    }

    fn warn(&self, warnings: &mut Warnings, _: &StorageVersionMigration) {
        warnings.say("nothing happens: every object is kept in the one form that there is".to_owned());
    }

    fn prepare_for_create(&self, migration: &mut StorageVersionMigration) {
        migration.status = None;
    }

    fn prepare_for_update(&self, new: &mut StorageVersionMigration, old: &StorageVersionMigration) {
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, migration: &mut StorageVersionMigration, sent: &StorageVersionMigration) {
        migration.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &StorageVersionMigration) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut StorageVersionMigration, _: i32) {}

    fn is_new_generation(
        &self,
        _: Option<&StorageVersionMigration>,
        _: &StorageVersionMigration,
        _: Subresource,
    ) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut StorageVersionMigration) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &StorageVersionMigration) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        migration: &mut StorageVersionMigration,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut migration.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &StorageVersionMigration) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, migration: &StorageVersionMigration, common: Common, _: Timestamp) -> Vec<Cell> {
        vec![common.name, table::created_at(migration.metadata.as_ref()).into()]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a StorageVersionMigration, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}
