//! Which ConfigMaps and Secrets a Pod uses.

use std::collections::BTreeSet;

use api::{
    Key, Kind,
    core_v1::{Container, LocalObjectReference, Pod, Volume},
    kinds::Resource as _,
};

/// The ConfigMaps and Secrets that a Pod's volumes and variables come from.
pub(crate) fn uses(pod: &Pod) -> BTreeSet<Key> {
    let spec = pod.spec.iter();
    let names = spec.flat_map(|spec| {
        let containers = spec.init_containers.iter().chain(&spec.containers).flat_map(of_container);
        containers.chain(spec.volumes.iter().flat_map(of_volume)).collect::<Vec<_>>()
    });
    names.map(|(kind, name)| Key::namespaced(kind, pod.namespace(), name)).collect()
}

type Use = (Kind, String);

fn named(kind: Kind, reference: Option<&LocalObjectReference>) -> Option<Use> {
    reference.map(|reference| (kind, reference.name.clone()))
}

fn of_container(container: &Container) -> Vec<Use> {
    let mut uses = Vec::new();
    for source in &container.env_from {
        let map = source.config_map_ref.as_ref().and_then(|map| map.local_object_reference.as_ref());
        let secret = source.secret_ref.as_ref().and_then(|secret| secret.local_object_reference.as_ref());
        uses.extend(named(Kind::ConfigMap, map).into_iter().chain(named(Kind::Secret, secret)));
    }
    for source in container.env.iter().filter_map(|variable| variable.value_from.as_ref()) {
        let map = source.config_map_key_ref.as_ref().and_then(|map| map.local_object_reference.as_ref());
        let secret = source.secret_key_ref.as_ref().and_then(|secret| secret.local_object_reference.as_ref());
        uses.extend(named(Kind::ConfigMap, map).into_iter().chain(named(Kind::Secret, secret)));
    }
    uses
}

fn of_volume(volume: &Volume) -> Vec<Use> {
    let Some(source) = &volume.volume_source else { return Vec::new() };
    let map = source.config_map.as_ref().and_then(|map| map.local_object_reference.as_ref());
    let mut uses: Vec<Use> = named(Kind::ConfigMap, map).into_iter().collect();
    uses.extend(source.secret.as_ref().map(|secret| (Kind::Secret, secret.secret_name.clone())));
    for projection in source.projected.iter().flat_map(|projected| &projected.sources) {
        let map = projection.config_map.as_ref().and_then(|map| map.local_object_reference.as_ref());
        let secret = projection.secret.as_ref().and_then(|secret| secret.local_object_reference.as_ref());
        uses.extend(named(Kind::ConfigMap, map).into_iter().chain(named(Kind::Secret, secret)));
    }
    uses
}
