//! What all who keep EndpointSlices have in common: whose a slice is, and how those that are become those that are wanted.

use std::collections::BTreeMap;

use api::{
    Key, Kind, Propagation,
    core_v1::ServiceSpec,
    discovery_v1::EndpointSlice,
    kinds::{Resource as _, core::service::HEADLESS},
    meta_v1::ObjectMeta,
    well_known::SERVICE_NAME_LABEL,
};

use crate::{plan::Plan, world::World};

/// Says who keeps a slice; slices that others keep are left alone.
pub(super) const MANAGER_LABEL: &str = "endpointslice.kubernetes.io/managed-by";

/// Marks what lists the endpoints of a Service without address.
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// The Service whose endpoints a slice lists.
pub(super) fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let meta = slice.metadata.as_ref()?;
    Some(Key::namespaced(Kind::Service, meta.namespace.as_str(), meta.labels.get(SERVICE_NAME_LABEL)?.as_str()))
}

/// Whether a manager keeps a slice.
pub(super) fn is_kept_by(slice: &EndpointSlice, manager: &str) -> bool {
    let label = slice.metadata.as_ref().and_then(|meta| meta.labels.get(MANAGER_LABEL));
    label.is_some_and(|label| label == manager)
}

/// The slices that a manager keeps for an object and that are not being deleted.
pub(super) fn kept<'a>(
    world: &'a World,
    owner_uid: &str,
    manager: &'static str,
) -> impl Iterator<Item = &'a EndpointSlice> {
    let stays = |slice: &EndpointSlice| slice.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_none());
    world.controlled::<EndpointSlice>(owner_uid).filter(move |slice| is_kept_by(slice, manager) && stays(slice))
}

/// The labels of a Service that whatever lists its endpoints has too.
pub(super) fn labels(service: &ObjectMeta, spec: &ServiceSpec) -> BTreeMap<String, String> {
    let mut labels = service.labels.clone();
    if spec.cluster_ip == HEADLESS {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    labels
}

/// Makes slices of a namespace those that are wanted, by name. Nothing new is made in a namespace that is being deleted.
pub(super) fn settle<'a>(
    world: &'a World,
    namespace: &str,
    present: impl Iterator<Item = &'a EndpointSlice>,
    wanted: BTreeMap<String, EndpointSlice>,
    plan: &mut Plan,
) {
    for slice in present.filter(|slice| !wanted.contains_key(slice.name())) {
        plan.delete_object(&slice.clone().into(), Propagation::Background);
    }
    if world.is_closing(namespace) {
        return;
    }
    for (name, slice) in wanted {
        match world.named::<EndpointSlice>(namespace, &name) {
            None => _ = plan.create(slice),
            Some(present) => update(present, slice, plan),
        }
    }
}

/// Annotations that others gave to a slice stay.
fn update(present: &EndpointSlice, wanted: EndpointSlice, plan: &mut Plan) {
    let (Some(own), Some(told)) = (&present.metadata, &wanted.metadata) else { return };
    let annotated = told.annotations.iter().all(|(key, value)| own.annotations.get(key) == Some(value));
    let same = present.endpoints == wanted.endpoints && present.ports == wanted.ports;
    if own.deletion_timestamp.is_some() || same && annotated && own.labels == told.labels {
        return;
    }
    let mut metadata = own.clone();
    metadata.labels.clone_from(&told.labels);
    metadata.annotations.extend(told.annotations.clone());
    plan.update(EndpointSlice { metadata: Some(metadata), address_type: present.address_type.clone(), ..wanted });
}
