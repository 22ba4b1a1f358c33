//! The certificate of the cluster's authority, as a ConfigMap in every namespace: whoever is in a Pod verifies the masters
//! with it.

use api::{Key, Timestamp, core_v1::ConfigMap, meta_v1::ObjectMeta, well_known::ROOT_CA_CONFIG_MAP};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// The key under which the certificate stands.
const DATA_KEY: &str = "ca.crt";

/// The annotation that says to people what an object is for.
const DESCRIPTION_ANNOTATION: &str = "kubernetes.io/description";
const DESCRIPTION: &str = "Holds the certificate of the cluster's authority, with which clients verify the masters.";

pub(crate) fn reconcile(world: &World, key: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(namespace) = super::open_namespace(world, key) else { return plan };
    let authority = &world.config.authority;
    let Some(present) = world.named::<ConfigMap>(namespace, ROOT_CA_CONFIG_MAP) else {
        let metadata = ObjectMeta {
            name: ROOT_CA_CONFIG_MAP.to_owned(),
            namespace: namespace.to_owned(),
            ..ObjectMeta::default()
        };
        plan.create(filled(ConfigMap { metadata: Some(metadata), ..ConfigMap::default() }, authority));
        return plan;
    };
    let wanted = filled(present.clone(), authority);
    let is_leaving = present.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_some());
    if is_leaving || *present == wanted {
        return plan;
    }
    let is_fixed = present.immutable == Some(true);
    if is_fixed && (&present.data, &present.binary_data) != (&wanted.data, &wanted.binary_data) {
        // Nobody can change it any more, so it makes way for another.
        plan.delete(present);
    } else {
        plan.update(wanted);
    }
    plan
}

pub(crate) fn concerns(_world: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    super::concerns::<ConfigMap>(ROOT_CA_CONFIG_MAP, shift, look);
}

/// A ConfigMap with the certificate in it and nothing beside it.
fn filled(mut map: ConfigMap, authority: &str) -> ConfigMap {
    map.data = [(DATA_KEY.to_owned(), authority.to_owned())].into();
    map.binary_data.clear();
    let annotations = &mut map.metadata.get_or_insert_default().annotations;
    annotations.insert(DESCRIPTION_ANNOTATION.to_owned(), DESCRIPTION.to_owned());
    map
}

#[cfg(test)]
mod tests;
