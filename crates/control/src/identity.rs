//! Who Pods are, and whom they and backends of the API believe: what namespaces have for that is made where it is missing.

pub(crate) mod extension_authentication;
pub(crate) mod root_ca;
pub(crate) mod service_account;

use api::{
    Key, Kind,
    core_v1::{ConfigMap, Namespace},
    kinds::Resource,
    meta_v1::ObjectMeta,
};

use crate::{
    plan::Plan,
    world::{Shift, World},
};

/// The namespace of a task, if it is there and takes new objects.
fn open_namespace<'k>(world: &World, key: &'k Key) -> Option<&'k str> {
    Some(&*key.name).filter(|name| world.object(key).is_some() && !world.is_closing(name))
}

/// Names the namespace that changed, or whose `T` of this name did.
fn concerns<T: Resource>(name: &str, shift: &Shift, look: &mut dyn FnMut(Key)) {
    if let Some(key) = shift.key_of::<Namespace>() {
        look(key.clone());
    }
    if let Some(key) = shift.key_of::<T>().filter(|key| *key.name == *name) {
        look(Key::cluster(Kind::Namespace, key.namespace.clone()));
    }
}

/// Makes a ConfigMap of a namespace what it is to be: `filled` puts into one what is published.
fn publish(world: &World, (namespace, name): (&str, &str), filled: impl Fn(ConfigMap) -> ConfigMap, plan: &mut Plan) {
    let Some(present) = world.named::<ConfigMap>(namespace, name) else {
        let metadata = ObjectMeta { name: name.to_owned(), namespace: namespace.to_owned(), ..ObjectMeta::default() };
        plan.create(filled(ConfigMap { metadata: Some(metadata), ..ConfigMap::default() }));
        return;
    };
    let wanted = filled(present.clone());
    let is_leaving = present.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_some());
    if is_leaving || *present == wanted {
        return;
    }
    let is_fixed = present.immutable == Some(true);
    if is_fixed && (&present.data, &present.binary_data) != (&wanted.data, &wanted.binary_data) {
        // Nobody can change it any more, so it makes way for another.
        plan.delete(present);
    } else {
        plan.update(wanted);
    }
}
