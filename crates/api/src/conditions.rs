//! Conditions: the same fields in every type of them, read and written by one rule.

use crate::{Timestamp, apiextensions_v1, apiregistration_v1, apps_v1, core_v1, flowcontrol_v1, meta_v1};

/// A Pod, or a node: may be given work.
pub const READY: &str = "Ready";
/// A Pod: has a node.
pub const POD_SCHEDULED: &str = "PodScheduled";
/// A Pod: all init containers are done.
pub const INITIALIZED: &str = "Initialized";
/// A Pod: all containers are ready.
pub const CONTAINERS_READY: &str = "ContainersReady";

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can say.
    Unknown,
}

impl ConditionStatus {
    /// The word in `status`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What the condition types of all kinds have in common.
pub trait Condition: Clone + Default {
    /// What it says something about: `Ready`.
    fn kind(&self) -> &str;
    /// `True`, `False` or `Unknown`.
    fn status(&self) -> &str;
    /// Why, in one word.
    fn reason(&self) -> &str;
    /// Why, in a sentence.
    fn message(&self) -> &str;
    /// When `status` last changed.
    fn last_transition_time(&self) -> Option<&meta_v1::Time>;
    /// Sets when `status` last changed.
    fn set_last_transition_time(&mut self, time: Option<meta_v1::Time>);
    /// Sets when anything in the condition last changed, where the type records it.
    fn set_last_update_time(&mut self, _time: meta_v1::Time) {}
    /// Fills in what it says.
    fn fill(&mut self, kind: &str, status: &str, reason: &str, message: &str);
}

macro_rules! condition {
    ($type:ty $(, $update:item)?) => {
        impl Condition for $type {
            fn kind(&self) -> &str {
                &self.r#type
            }
            fn status(&self) -> &str {
                &self.status
            }
            fn reason(&self) -> &str {
                &self.reason
            }
            fn message(&self) -> &str {
                &self.message
            }
            fn last_transition_time(&self) -> Option<&meta_v1::Time> {
                self.last_transition_time.as_ref()
            }
            fn set_last_transition_time(&mut self, time: Option<meta_v1::Time>) {
                self.last_transition_time = time;
            }
            $($update)?
            fn fill(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
                self.r#type = kind.to_owned();
                self.status = status.to_owned();
                self.reason = reason.to_owned();
                self.message = message.to_owned();
            }
        }
    };
}

condition!(core_v1::PodCondition);
condition!(core_v1::NodeCondition);
condition!(core_v1::NamespaceCondition);
condition!(apiregistration_v1::ApiServiceCondition);
condition!(apps_v1::ReplicaSetCondition);
condition!(flowcontrol_v1::FlowSchemaCondition);
condition!(flowcontrol_v1::PriorityLevelConfigurationCondition);
condition!(meta_v1::Condition);
condition!(apiextensions_v1::CustomResourceDefinitionCondition);
condition!(
    apps_v1::DeploymentCondition,
    fn set_last_update_time(&mut self, time: meta_v1::Time) {
        self.last_update_time = Some(time);
    }
);

/// A condition that begins at `now`.
pub fn new<C: Condition>(kind: &str, status: ConditionStatus, reason: &str, message: &str, now: Timestamp) -> C {
    let mut condition = C::default();
    condition.fill(kind, status.word(), reason, message);
    condition.set_last_transition_time(Some(now.into()));
    condition.set_last_update_time(now.into());
    condition
}

/// The condition of a type, if it was ever reported.
pub fn get<'a, C: Condition>(conditions: &'a [C], kind: &str) -> Option<&'a C> {
    conditions.iter().find(|condition| condition.kind() == kind)
}

/// Whether the condition of a type is reported as `True`.
pub fn is_true<C: Condition>(conditions: &[C], kind: &str) -> bool {
    get(conditions, kind).is_some_and(|condition| condition.status() == "True")
}

/// Puts a condition among the others, in place of the one of its type.
///
/// `lastTransitionTime` moves only when `status` does. Says whether anything changed; if nothing but times would change,
/// nothing is touched, so that a level-triggered writer comes to rest.
pub fn set<C: Condition>(conditions: &mut Vec<C>, mut condition: C) -> bool {
    let Some(old) = conditions.iter_mut().find(|old| old.kind() == condition.kind()) else {
        conditions.push(condition);
        return true;
    };
    if old.status() == condition.status() {
        if old.reason() == condition.reason() && old.message() == condition.message() {
            return false;
        }
        condition.set_last_transition_time(old.last_transition_time().copied());
    }
    *old = condition;
    true
}

/// Takes away the condition of a type. Says whether there was one.
pub fn remove<C: Condition>(conditions: &mut Vec<C>, kind: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|condition| condition.kind() != kind);
    conditions.len() < before
}

#[cfg(test)]
mod tests {
    use super::{ConditionStatus, get, is_true, new, remove, set};
    use crate::{Timestamp, core_v1::PodCondition, meta_v1::Time};

    fn ready(status: ConditionStatus, reason: &str, second: i64) -> PodCondition {
        new("Ready", status, reason, "", Timestamp(second * 1000))
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut all = Vec::new();
        assert!(set(&mut all, ready(ConditionStatus::False, "Starting", 1)), "new");
        assert!(!set(&mut all, ready(ConditionStatus::False, "Starting", 2)), "the same again");
        assert!(set(&mut all, ready(ConditionStatus::False, "Probing", 3)), "another reason");
        let at = |all: &[PodCondition]| get(all, "Ready").and_then(|c| c.last_transition_time);
        assert_eq!(at(&all), Some(Time { seconds: 1, nanos: 0 }));
        assert!(set(&mut all, ready(ConditionStatus::True, "", 4)), "another status");
        assert_eq!(at(&all), Some(Time { seconds: 4, nanos: 0 }));
        assert!(is_true(&all, "Ready") && !is_true(&all, "Initialized"));
        assert!(remove(&mut all, "Ready") && !remove(&mut all, "Ready") && all.is_empty());
    }
}
