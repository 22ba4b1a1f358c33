//! PriorityClasses.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    Subresource, Timestamp,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    meta_v1::ObjectMeta,
    scheduling_v1::PriorityClass,
    table::{
        Cell, Column, Common,
        columns::{AGE, NAME, integer, wide},
    },
    validate::{
        Causes, Path,
        names::{self, Syntax},
    },
    warnings::Warnings,
    well_known::{PREEMPT_LOWER, PREEMPT_NEVER},
};

/// The greatest priority of a class that users make: Kubernetes' limit.
pub const USER_PRIORITY_MAX: i32 = 1_000_000_000;

/// The priority of the least important of what the cluster itself needs.
const SYSTEM_PRIORITY: i32 = 2 * USER_PRIORITY_MAX;

/// How the names of the cluster's own classes begin.
const SYSTEM_PREFIX: &str = "system-";

/// The classes that every cluster has.
const SYSTEM: [(&str, i32, &str); 2] = [
    (
        "system-node-critical",
        SYSTEM_PRIORITY + 1_000,
        "For Pods without which a node is of no use, and which must not be moved from it.",
    ),
    (
        "system-cluster-critical",
        SYSTEM_PRIORITY,
        "For Pods without which the cluster is of no use, and which may be moved to another node.",
    ),
];

const COLUMNS: &[Column] = &[
    NAME,
    integer("Value", "The priority of Pods of this class."),
    Column { r#type: "boolean", ..integer("Global-Default", "Whether Pods that name no class have this one.") },
    AGE,
    wide(Column { r#type: "string", ..integer("PreemptionPolicy", "Whether its Pods may take the place of others.") }),
];

const SAMPLE: &str = "\
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata:
  name: high
value: 1000
preemptionPolicy: Never
description: For what users wait for.
";

/// The classes that every cluster has, as they are made.
pub fn system_classes() -> impl Iterator<Item = PriorityClass> {
    SYSTEM.into_iter().map(|(name, value, description)| PriorityClass {
        metadata: Some(ObjectMeta { name: name.to_owned(), ..ObjectMeta::default() }),
        value,
        description: description.to_owned(),
        preemption_policy: Some(PREEMPT_LOWER.to_owned()),
        ..PriorityClass::default()
    })
}

pub(crate) struct PriorityClassStrategy;

impl Strategy for PriorityClassStrategy {
    type Object = PriorityClass;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, class: &mut PriorityClass) {
        class.preemption_policy.get_or_insert_with(|| PREEMPT_LOWER.to_owned());
    }

    fn validate(&self, causes: &mut Causes, class: &PriorityClass) {
        let name = class.metadata.as_ref().map_or("", |metadata| &metadata.name);
        if name.starts_with(SYSTEM_PREFIX) {
            if let Some(why) = stranger(name, class) {
                let why = format_args!(
                    "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {why}"
                );
                causes.forbidden(&Path::Root.field("metadata").field("name"), why);
            }
        } else if class.value > USER_PRIORITY_MAX {
            let why = format_args!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}");
            causes.forbidden(&Path::Root.field("value"), why);
        }
        let at = Path::Root.field("preemptionPolicy");
        match class.preemption_policy.as_deref() {
            Some("") => causes.required(&at, ""),
            Some(policy) => causes.one_of(&at, policy, &[PREEMPT_LOWER, PREEMPT_NEVER]),
            None => {}
        }
    }

    fn validate_update(&self, causes: &mut Causes, old: &PriorityClass, new: &PriorityClass) {
        if old.value != new.value {
            causes.forbidden(&Path::Root.field("value"), "may not be changed in an update.");
        }
        if old.preemption_policy != new.preemption_policy {
            let policy = new.preemption_policy.as_deref().unwrap_or_default();
            causes.invalid(&Path::Root.field("preemptionPolicy"), policy, "field is immutable");
        }
    }

    fn validate_status(&self, _: &mut Causes, _: &PriorityClass) {}

    fn warn(&self, warnings: &mut Warnings, class: &PriorityClass) {
        if class.preemption_policy.as_deref() == Some(PREEMPT_LOWER) {
            let why = "no Pod takes the place of another yet; of Pods that wait, those of this class come first as its value says";
            warnings.say(format!("preemptionPolicy: {PREEMPT_LOWER}: kept, not done: {why}"));
        }
    }

    fn prepare_for_create(&self, _: &mut PriorityClass) {}

    fn prepare_for_update(&self, _: &mut PriorityClass, _: &PriorityClass) {}

    fn update_status(&self, _: &mut PriorityClass, _: &PriorityClass) {}

    fn scale(&self, _: &PriorityClass) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut PriorityClass, _: i32) {}

    /// Always the first: nothing that could change it may change.
    fn is_new_generation(&self, old: Option<&PriorityClass>, _: &PriorityClass, _: Subresource) -> bool {
        old.is_none()
    }

    fn allocation<'a>(&self, _: &'a mut PriorityClass) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &PriorityClass) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, class: &mut PriorityClass, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut class.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &PriorityClass) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, class: &PriorityClass, common: Common, _: Timestamp) -> Vec<Cell> {
        let policy = class.preemption_policy.as_deref().unwrap_or_default();
        let is_default = Cell::Value(class.global_default.into());
        vec![common.name, class.value.into(), is_default, common.age, policy.into()]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a PriorityClass, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

/// Why a class with a name of the cluster's own is none of those.
fn stranger(name: &str, class: &PriorityClass) -> Option<String> {
    let Some((_, value, _)) = SYSTEM.iter().find(|(known, ..)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if class.value != *value {
        return Some(format!("value of {name} PriorityClass must be {value}"));
    }
    class.global_default.then(|| format!("globalDefault of {name} PriorityClass must be false"))
}
