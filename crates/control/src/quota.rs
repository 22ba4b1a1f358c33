//! Counts anew what ResourceQuotas limit: when one is new or limits something else, when something of it goes, and now and then.
//!
//! What comes is charged by whoever writes it, in the same transaction, so that there is nothing to count then. Here it is only seen
//! that a quota says something else than there is; the master that stores its status counts once more, in the state to which the
//! status is added.

use std::time::Duration;

use api::{
    Key, Kind, Object, Timestamp,
    apiextensions_v1::CustomResourceDefinition,
    core_v1::{Pod, ResourceQuota, Service},
    custom,
    kinds::Resource as _,
    pod,
    quota::{self, Contents},
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// How often a quota is counted in any case: Kubernetes' `resource-quota-sync-period`. Nothing is seen of a Pod that should have
/// been stopped by now.
const COUNT_EVERY: Duration = Duration::from_secs(5 * 60);

/// What is in a namespace.
struct Within<'a> {
    world: &'a World,
    namespace: &'a str,
}

impl Contents for Within<'_> {
    fn defined(&self, name: &str) -> Option<Kind> {
        let definition = self.world.named::<CustomResourceDefinition>("", name)?;
        custom::kind_of(definition).filter(|_| custom::is(definition, "Established")).map(Kind::Custom)
    }

    fn count(&self, kind: Kind) -> usize {
        self.world.objects_in(kind, self.namespace).count()
    }

    fn each(&self, kind: Kind, look: &mut dyn FnMut(&Object)) {
        self.world.objects_in(kind, self.namespace).for_each(|object| look(object));
    }
}

pub(crate) fn reconcile(world: &World, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(quota) = world.get::<ResourceQuota>(key) else { return plan };
    if quota.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_some()) {
        return plan;
    }
    plan.again_at(now.after(COUNT_EVERY));
    let status = quota::status(quota, &Within { world, namespace: &key.namespace }, now);
    if quota.status.as_ref() != Some(&status) {
        let mut counted = quota.clone();
        counted.status = Some(status);
        // That somebody adds to it meanwhile is no reason not to count.
        counted.metadata_mut().resource_version.clear();
        plan.update_status(counted);
    }
    plan
}

pub(crate) fn concerns(world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(quota) = shift.became::<ResourceQuota>() {
        let within = Within { world, namespace: &shift.key.namespace };
        if shift.was::<ResourceQuota>().is_none_or(|old| old.spec != quota.spec) || quota::is_uncounted(quota, &within)
        {
            look(shift.key.clone());
        }
    }
    if shift.became::<CustomResourceDefinition>().is_some() {
        let name = format!("count/{}", shift.key.name);
        world.all::<ResourceQuota>().filter(|quota| limits(quota, &name)).for_each(|quota| look(quota.key()));
    }
    if is_less(shift) {
        let kind = shift.key.kind;
        let concerned = world.in_namespace::<ResourceQuota>(&shift.key.namespace).filter(|quota| {
            quota.spec.iter().flat_map(|spec| spec.hard.keys()).any(|name| quota::is_used_by(kind, name))
        });
        concerned.for_each(|quota| look(quota.key()));
    }
}

fn limits(quota: &ResourceQuota, name: &str) -> bool {
    quota.spec.as_ref().is_some_and(|spec| spec.hard.contains_key(name))
}

/// Whether an object uses less than before, or is counted by other quotas.
fn is_less(shift: &Shift) -> bool {
    if shift.before.is_none() || !quota::is_counted(shift.key.kind) {
        return false;
    }
    if shift.after.is_none() {
        return true;
    }
    let deadline = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    if let (Some(old), Some(new)) = (shift.was::<Pod>(), shift.became::<Pod>()) {
        return pod::is_terminal(old) != pod::is_terminal(new) || deadline(old).is_some() != deadline(new).is_some();
    }
    let opens = |service: &Service| service.spec.as_ref().map(|spec| (spec.r#type.clone(), spec.ports.len()));
    shift.was::<Service>().zip(shift.became::<Service>()).is_some_and(|(old, new)| opens(old) != opens(new))
}

#[cfg(test)]
mod tests;
