//! The certificate of the cluster's authority, as a ConfigMap in every namespace: whoever is in a Pod verifies the masters
//! with it.

use api::{
    Key, Timestamp,
    core_v1::ConfigMap,
    well_known::{ROOT_CA_CONFIG_MAP, ROOT_CA_KEY},
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// The annotation that says to people what an object is for.
const DESCRIPTION_ANNOTATION: &str = "kubernetes.io/description";
const DESCRIPTION: &str = "Holds the certificate of the cluster's authority, with which clients verify the masters.";

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(namespace) = super::open_namespace(world, key) else { return plan };
    let filled = |map| filled(map, &world.config.authority);
    super::publish(world, (namespace, ROOT_CA_CONFIG_MAP), filled, &mut plan);
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    super::concerns::<ConfigMap>(ROOT_CA_CONFIG_MAP, shift, look);
}

/// A ConfigMap with the certificate in it and nothing beside it.
fn filled(mut map: ConfigMap, authority: &str) -> ConfigMap {
    map.data = [(ROOT_CA_KEY.to_owned(), authority.to_owned())].into();
    map.binary_data.clear();
    let annotations = &mut map.metadata.get_or_insert_default().annotations;
    annotations.insert(DESCRIPTION_ANNOTATION.to_owned(), DESCRIPTION.to_owned());
    map
}

#[cfg(test)]
mod tests;
