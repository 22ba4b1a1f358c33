//! The ServiceAccount that every namespace has, for Pods that name none.

use api::{Key, Timestamp, core_v1::ServiceAccount, meta_v1::ObjectMeta, well_known::DEFAULT_SERVICE_ACCOUNT};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(namespace) = super::open_namespace(world, key) else { return plan };
    if world.named::<ServiceAccount>(namespace, DEFAULT_SERVICE_ACCOUNT).is_none() {
        let metadata = ObjectMeta {
            name: DEFAULT_SERVICE_ACCOUNT.to_owned(),
            namespace: namespace.to_owned(),
            ..ObjectMeta::default()
        };
        plan.create(ServiceAccount { metadata: Some(metadata), ..ServiceAccount::default() });
    }
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    super::concerns::<ServiceAccount>(DEFAULT_SERVICE_ACCOUNT, shift, look);
}

#[cfg(test)]
mod tests;
