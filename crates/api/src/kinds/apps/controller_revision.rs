//! ControllerRevisions.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    apps_v1::ControllerRevision,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    pod,
    table::{
        Cell, Column, Common, NONE,
        columns::{AGE, NAME, integer, text},
    },
    validate::{
        Causes, Path,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] =
    &[NAME, text("Controller", "The object whose state it is."), integer("Revision", "The number of the state."), AGE];

const SAMPLE: &str = "\
apiVersion: apps/v1
kind: ControllerRevision
metadata:
  name: hello-1
  namespace: default
data: {spec: {template: {}}}
revision: 1
";

pub(crate) struct ControllerRevisionStrategy;

impl Strategy for ControllerRevisionStrategy {
    type Object = ControllerRevision;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut ControllerRevision) {}

    fn validate(&self, causes: &mut Causes, revision: &ControllerRevision) {
        if revision.data.as_ref().is_none_or(|data| data.raw.is_empty()) {
            causes.required(&Path::Root.field("data"), "data is mandatory");
        }
        causes.not_negative(&Path::Root.field("revision"), revision.revision);
    }

    fn validate_update(&self, causes: &mut Causes, old: &ControllerRevision, new: &ControllerRevision) {
        if old.data != new.data {
            let at = Path::Root.field("data");
            causes.invalid(&at, "", "field is immutable; a new state is a new ControllerRevision");
        }
    }

    fn validate_status(&self, _: &mut Causes, _: &ControllerRevision) {}

    fn warn(&self, _: &mut Warnings, _: &ControllerRevision) {}

    fn prepare_for_create(&self, _: &mut ControllerRevision) {}

    fn prepare_for_update(&self, _: &mut ControllerRevision, _: &ControllerRevision) {}

    fn update_status(&self, _: &mut ControllerRevision, _: &ControllerRevision) {}

    fn scale(&self, _: &ControllerRevision) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut ControllerRevision, _: i32) {}

    fn is_new_generation(&self, _: Option<&ControllerRevision>, _: &ControllerRevision, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut ControllerRevision) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ControllerRevision) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        revision: &mut ControllerRevision,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut revision.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ControllerRevision) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, revision: &ControllerRevision, common: Common, _: Timestamp) -> Vec<Cell> {
        let owner = revision.metadata.as_ref().and_then(pod::controller_of);
        let controller = owner.map_or_else(
            || NONE.to_owned(),
            |owner| {
                let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
                let dot = if group.is_empty() { "" } else { "." };
                format!("{}{dot}{group}/{}", owner.kind.to_lowercase(), owner.name)
            },
        );
        vec![common.name, controller.into(), revision.revision.into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a ControllerRevision, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}
