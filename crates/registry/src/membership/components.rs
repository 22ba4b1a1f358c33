//! How the parts of the control plane are, as readers of the API see them: Kubernetes' ComponentStatuses, under the names
//! that its users and their programs look for.
//!
//! The scheduler and the controllers run on the master that leads; what is etcd there is the log here.

use api::{
    Object,
    conditions::ConditionStatus,
    core_v1::{ComponentCondition, ComponentStatus},
    kinds::{Resource as _, core::component_status::HEALTHY},
};

use crate::{Registry, refused};

/// What is said of a part with which all is well.
const OK: &str = "ok";

impl Registry {
    /// The parts of the control plane as this master finds them now, by name.
    pub(crate) async fn components(&self) -> Vec<Object> {
        let log = self.inner.consensus.read_barrier().await.map_err(|error| refused(&error).message);
        let is_led = self.group().borrow().leader.is_some();
        statuses(log, is_led).map(Object::from).into()
    }
}

fn statuses(log: Result<(), String>, is_led: bool) -> [ComponentStatus; 3] {
    let led = if is_led { Ok(()) } else { Err("this master knows of none that leads".to_owned()) };
    [("controller-manager", &led), ("etcd-0", &log), ("scheduler", &led)].map(|(name, found)| status(name, found))
}

fn status(name: &str, found: &Result<(), String>) -> ComponentStatus {
    let (status, message) = match found {
        Ok(()) => (ConditionStatus::True, OK),
        Err(why) => (ConditionStatus::False, why.as_str()),
    };
    let condition = ComponentCondition {
        r#type: HEALTHY.to_owned(),
        status: status.word().to_owned(),
        message: message.to_owned(),
        ..ComponentCondition::default()
    };
    let mut component = ComponentStatus { metadata: None, conditions: vec![condition] };
    name.clone_into(&mut component.metadata_mut().name);
    component
}

#[cfg(test)]
mod tests {
    use super::statuses;

    fn told(log: Result<(), String>, is_led: bool) -> Vec<String> {
        let line = |status: &api::core_v1::ComponentStatus| {
            let name = status.metadata.as_ref().map_or("", |meta| &meta.name);
            format!("{name}: {} {}", status.conditions[0].status, status.conditions[0].message)
        };
        statuses(log, is_led).iter().map(line).collect()
    }

    #[test]
    fn a_part_is_well_or_says_what_is_wrong() {
        assert_eq!(told(Ok(()), true), ["controller-manager: True ok", "etcd-0: True ok", "scheduler: True ok"]);
        let alone = told(Err("no majority".to_owned()), false);
        let none = "this master knows of none that leads";
        assert_eq!(
            alone,
            [
                format!("controller-manager: False {none}"),
                "etcd-0: False no majority".to_owned(),
                format!("scheduler: False {none}")
            ]
        );
    }
}
