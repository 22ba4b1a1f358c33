//! Who Pods are, and whom they believe: what every namespace has for that is made where it is missing.

pub(crate) mod root_ca;
pub(crate) mod service_account;

use api::{Key, Kind, core_v1::Namespace, kinds::Resource};

use crate::world::{Shift, World};

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
