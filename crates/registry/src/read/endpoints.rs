//! Who answers behind a port of a Service.

use std::net::{IpAddr, SocketAddr};

use api::{
    Key, Kind,
    discovery_v1::{self, EndpointSlice},
    encoded,
    well_known::SERVICE_NAME_LABEL,
};
use store::View;

use crate::Registry;

/// Where something behind a Service answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// At a port of a Pod.
    Pod(Key, u16),
    /// At an address that is no Pod's.
    Address(SocketAddr),
}

impl Registry {
    /// The endpoints that are ready behind a port of a Service, by the port's name. Nobody's rights are asked for.
    #[must_use]
    pub fn endpoints(&self, service: &Key, port: &str) -> Vec<Endpoint> {
        ready(&self.state(), service, port)
    }
}

/// The endpoints that are ready behind a port of a Service, by the port's name.
pub(crate) fn ready(view: &View, service: &Key, port: &str) -> Vec<Endpoint> {
    let slices = view.list(Kind::EndpointSlice, Some(&service.namespace), None);
    let slices = slices.filter(|slice| encoded::label(&slice.bytes, SERVICE_NAME_LABEL) == Some(&service.name));
    let of_slice = |slice: &api::Object| slice.get().map(|slice| of_slice(slice, &service.namespace, port));
    slices.filter_map(|slice| of_slice(&slice.object())).flatten().collect()
}

fn of_slice(slice: &EndpointSlice, namespace: &str, port: &str) -> Vec<Endpoint> {
    let number = slice.ports.iter().find(|known| known.name.as_deref().unwrap_or_default() == port);
    let Some(number) = number.and_then(|port| u16::try_from(port.port?).ok()) else { return Vec::new() };
    let is_ready = |endpoint: &&discovery_v1::Endpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    };
    let to = |endpoint: &discovery_v1::Endpoint| match &endpoint.target_ref {
        Some(pod) if pod.kind == "Pod" => {
            Some(Endpoint::Pod(Key::namespaced(Kind::Pod, namespace, pod.name.as_str()), number))
        }
        Some(_) | None => {
            let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
            Some(Endpoint::Address(SocketAddr::new(address, number)))
        }
    };
    slice.endpoints.iter().filter(is_ready).filter_map(to).collect()
}

#[cfg(test)]
mod tests {
    use api::{
        core_v1::ObjectReference,
        discovery_v1::{EndpointConditions, EndpointPort},
    };

    use super::*;

    #[test]
    fn what_is_ready_is_asked_and_what_is_no_pod_counts_as_outside() {
        let endpoint = |kind: &str, name: &str, ready| discovery_v1::Endpoint {
            target_ref: Some(ObjectReference { kind: kind.into(), name: name.into(), ..ObjectReference::default() }),
            conditions: Some(EndpointConditions { ready, ..EndpointConditions::default() }),
            ..discovery_v1::Endpoint::default()
        };
        let bare = |address: &str| discovery_v1::Endpoint {
            addresses: vec![address.into()],
            ..discovery_v1::Endpoint::default()
        };
        let slice = EndpointSlice {
            endpoints: vec![
                endpoint("Pod", "a", Some(true)),
                endpoint("Pod", "b", Some(false)),
                endpoint("Pod", "c", None),
                endpoint("Node", "n", Some(true)),
                bare("192.0.2.7"),
                bare("example.org"),
            ],
            ports: vec![EndpointPort { name: Some("www".into()), port: Some(8080), ..EndpointPort::default() }],
            ..EndpointSlice::default()
        };
        let pod = |name: &str| Endpoint::Pod(Key::namespaced(Kind::Pod, "default", name), 8080);
        let outside = Endpoint::Address(SocketAddr::from(([192, 0, 2, 7], 8080)));
        assert_eq!(of_slice(&slice, "default", "www"), [pod("a"), pod("c"), outside]);
        assert_eq!(of_slice(&slice, "default", ""), []);
    }
}
