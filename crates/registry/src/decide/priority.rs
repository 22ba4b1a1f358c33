//! PriorityClasses: what the class of a new Pod says of it, and that there is one default. Kubernetes' admission plugin Priority.

use api::{
    Error, Key, Kind, Object,
    kinds::{Resource as _, scheduling::priority_class::system_classes},
    scheduling_v1::PriorityClass,
    well_known::PREEMPT_LOWER,
};
use store::{News, Op};

use super::{Decider, forbidden};

impl Decider<'_> {
    /// Gives a new Pod the priority of its class.
    pub(super) fn take_priority(&self, key: &Key, object: &mut Object) -> Result<(), Error> {
        let Object::Pod(pod) = object else { return Ok(()) };
        let spec = pod.spec.get_or_insert_default();
        let class = self.class_of(key, &spec.priority_class_name)?;
        let (priority, policy) = (class.value, class.preemption_policy);
        if let Some(class) = class.metadata {
            spec.priority_class_name = class.name;
        }
        if let Some(said) = spec.priority.filter(|said| *said != priority) {
            let why = format_args!(
                "the integer value of priority ({said}) must not be provided in pod spec; priority admission controller \
                 computed {priority} from the given PriorityClass name"
            );
            return Err(forbidden(key, why));
        }
        spec.priority = Some(priority);
        let Some(policy) = policy else { return Ok(()) };
        if let Some(said) = spec.preemption_policy.as_ref().filter(|said| **said != policy) {
            let why = format_args!(
                "the string value of PreemptionPolicy ({said}) must not be provided in pod spec; priority admission \
                 controller computed {policy} from the given PriorityClass name"
            );
            return Err(forbidden(key, why));
        }
        spec.preemption_policy = Some(policy);
        Ok(())
    }

    /// The class that a Pod names, or the default; without one, a class that has no name.
    fn class_of(&self, pod: &Key, name: &str) -> Result<PriorityClass, Error> {
        if name.is_empty() {
            let none = PriorityClass { preemption_policy: Some(PREEMPT_LOWER.to_owned()), ..PriorityClass::default() };
            return Ok(self.default_class().unwrap_or(none));
        }
        let record = self.view.get(&Key::cluster(Kind::PriorityClass, name));
        let found = record.and_then(|record| record.object().get::<PriorityClass>().cloned());
        // Those of every cluster count even where nobody has made them yet.
        let class = found.or_else(|| system_classes().find(|class| class.name() == name));
        class.ok_or_else(|| forbidden(pod, format_args!("no PriorityClass with name {name} was found")))
    }

    /// The class of Pods that name none; of several, that with the least value.
    fn default_class(&self) -> Option<PriorityClass> {
        let all = self.view.list(Kind::PriorityClass, None, None);
        let defaults =
            all.filter_map(|record| record.object().get::<PriorityClass>().filter(|it| it.global_default).cloned());
        defaults.min_by_key(|class| class.value)
    }

    /// Refuses a second default. What must be so for there to be no other: that no class was written meanwhile.
    pub(super) fn only_default(&self, key: &Key, object: &Object) -> Result<Option<Op>, Error> {
        if !object.get::<PriorityClass>().is_some_and(|class| class.global_default) {
            return Ok(None);
        }
        if let Some(other) = self.default_class().filter(|other| other.name() != &*key.name) {
            let name = other.name();
            let why = format_args!("PriorityClass {name} is already marked as default. Only one default can exist");
            return Err(forbidden(key, why));
        }
        let (kind, namespace, since) = (Kind::PriorityClass, key.namespace.clone(), self.view.revision());
        Ok(Some(Op::Still { kind, namespace, since, news: News::Changed }))
    }
}
