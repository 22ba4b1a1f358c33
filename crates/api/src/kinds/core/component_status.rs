//! ComponentStatuses: how the parts of the control plane are. They are not stored; whoever asks is answered with what the
//! master finds.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    conditions::ConditionStatus,
    core_v1::ComponentStatus,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        Cell, Column, Common,
        columns::{NAME, text},
    },
    validate::{
        Causes, Path,
        limits::CONDITIONS_MAX,
        names::{self, Syntax},
    },
    warnings::Warnings,
};

/// The condition that says whether all is well with a part.
pub const HEALTHY: &str = "Healthy";

const COLUMNS: &[Column] = &[
    NAME,
    text("Status", "Healthy, Unhealthy, or Unknown if nothing is said about it."),
    text("Message", "What is said."),
    text("Error", "A fault of the look itself."),
];

const SAMPLE: &str = "\
apiVersion: v1
kind: ComponentStatus
metadata:
  name: scheduler
conditions:
- {type: Healthy, status: 'True', message: ok}
";

pub(crate) struct ComponentStatusStrategy;

impl Strategy for ComponentStatusStrategy {
    type Object = ComponentStatus;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, _: &mut ComponentStatus) {}

    fn validate(&self, causes: &mut Causes, component: &ComponentStatus) {
        causes.at_most(&Path::Root.field("conditions"), component.conditions.len(), CONDITIONS_MAX);
    }

    fn validate_update(&self, _: &mut Causes, _: &ComponentStatus, _: &ComponentStatus) {}

    fn validate_status(&self, _: &mut Causes, _: &ComponentStatus) {}

    fn warn(&self, _: &mut Warnings, _: &ComponentStatus) {}

    fn prepare_for_create(&self, _: &mut ComponentStatus) {}

    fn prepare_for_update(&self, _: &mut ComponentStatus, _: &ComponentStatus) {}

    fn update_status(&self, _: &mut ComponentStatus, _: &ComponentStatus) {}

    fn scale(&self, _: &ComponentStatus) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut ComponentStatus, _: i32) {}

    fn is_new_generation(&self, _: Option<&ComponentStatus>, _: &ComponentStatus, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut ComponentStatus) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &ComponentStatus) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(
        &self,
        component: &mut ComponentStatus,
        _: Option<i64>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        deletion::mark_now(&mut component.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &ComponentStatus) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, component: &ComponentStatus, common: Common, _: Timestamp) -> Vec<Cell> {
        let health = component.conditions.iter().find(|condition| condition.r#type == HEALTHY);
        let (status, message, error) = match health {
            None => ("Unknown", "", ""),
            Some(said) => {
                let is_well = said.status == ConditionStatus::True.word();
                let status = if is_well { HEALTHY } else { "Unhealthy" };
                (status, said.message.as_str(), said.error.as_str())
            }
        };
        vec![common.name, status.into(), message.into(), error.into()]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a ComponentStatus, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}
