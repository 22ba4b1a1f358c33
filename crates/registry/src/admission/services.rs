//! Where a webhook behind a Service answers: the ready endpoints of its port.

use std::net::{IpAddr, SocketAddr};

use api::{
    Key, Kind, Object,
    core_v1::{Service, ServicePort},
    discovery_v1::{self, EndpointSlice},
    encoded,
    well_known::SERVICE_NAME_LABEL,
};
use store::View;

use super::calls::Endpoint;

/// The most endpoints that are told to whoever calls: enough to pass over some that have just gone.
const ENDPOINTS_MAX: usize = 16;

/// The endpoints of a Service's port. `turn` says with which of them to begin.
///
/// # Errors
/// Why there are none, in Kubernetes' words.
pub(super) fn endpoints(
    view: &View,
    namespace: &str,
    name: &str,
    port: i32,
    turn: usize,
) -> Result<Vec<Endpoint>, String> {
    let record = view.get(&Key::namespaced(Kind::Service, namespace, name));
    let record = record.ok_or_else(|| format!("service {name:?} not found"))?;
    let object = record.object();
    let spec = object.get::<Service>().and_then(|service| service.spec.as_ref());
    let spec = spec.ok_or_else(|| format!("service {name:?} not found"))?;
    if spec.r#type == "ExternalName" {
        return Err(format!("unsupported service type {:?}", spec.r#type));
    }
    let wanted = spec.ports.iter().find(|known| known.port == port);
    let wanted = wanted.ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    let slices = view.list(Kind::EndpointSlice, Some(namespace), None);
    let slices = slices.filter(|slice| encoded::label(&slice.bytes, SERVICE_NAME_LABEL) == Some(name));
    let mut found: Vec<Endpoint> = slices.flat_map(|slice| of_slice(namespace, &slice.object(), wanted)).collect();
    if found.is_empty() {
        return Err(format!("no endpoints available for service {name:?}"));
    }
    let first = turn % found.len();
    found.rotate_left(first);
    found.truncate(ENDPOINTS_MAX);
    Ok(found)
}

fn of_slice(namespace: &str, slice: &Object, wanted: &ServicePort) -> Vec<Endpoint> {
    let Some(slice) = slice.get::<EndpointSlice>() else { return Vec::new() };
    let port = slice.ports.iter().find(|port| port.name.as_deref().unwrap_or_default() == wanted.name);
    let Some(port) = port.and_then(|port| u16::try_from(port.port?).ok()) else { return Vec::new() };
    let is_ready = |ready: Option<bool>| ready.unwrap_or(true);
    let ready = slice.endpoints.iter().filter(|one| is_ready(one.conditions.as_ref().and_then(|now| now.ready)));
    let place = |endpoint: &discovery_v1::Endpoint| match &endpoint.target_ref {
        Some(pod) if pod.kind == "Pod" => Some(Endpoint::Pod(Key::namespaced(Kind::Pod, namespace, &*pod.name), port)),
        Some(_) | None => {
            let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
            Some(Endpoint::Address(SocketAddr::new(address, port)))
        }
    };
    ready.filter_map(place).collect()
}
