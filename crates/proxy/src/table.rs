//! Which address leads to which Pods. Pure: built from Services and their EndpointSlices.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicUsize, Ordering},
};

use api::{
    Key, Kind,
    core_v1::{Service, ServicePort},
    discovery_v1::{self, EndpointSlice},
    kinds::Resource as _,
};

/// The label by which a slice names its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Every route and name of the cluster, at one moment.
#[derive(Debug, Default)]
pub struct Table {
    routes: HashMap<SocketAddr, Route>,
    names: HashMap<Key, Vec<IpAddr>>,
    ports: HashMap<Key, Vec<(u16, SocketAddr)>>,
}

/// Where one address of a Service leads.
#[derive(Debug)]
pub struct Route {
    /// The Service.
    pub service: Key,
    /// The Pods that take turns.
    pub endpoints: Vec<Endpoint>,
    /// Whether a client stays with one Pod.
    pub sticky: bool,
    turn: AtomicUsize,
}

/// One Pod behind a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it answers.
    pub address: SocketAddr,
}

impl Table {
    /// Builds the table. Only Pods that are ready are routed to; if a Service has none, those that still answer while they
    /// stop. Objects that make no sense lead nowhere.
    #[must_use]
    pub fn build<'a>(
        services: impl IntoIterator<Item = &'a Service>,
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
    ) -> Self {
        let mut by_service: HashMap<Key, Vec<&EndpointSlice>> = HashMap::new();
        for slice in slices {
            let name = slice.metadata().and_then(|meta| meta.labels.get(SERVICE_NAME)).cloned().unwrap_or_default();
            by_service.entry(Key::namespaced(Kind::Service, slice.namespace(), name)).or_default().push(slice);
        }
        let mut table = Self::default();
        for service in services {
            let slices = by_service.get(&service.key()).map(Vec::as_slice).unwrap_or_default();
            table.add(service, slices);
        }
        table
    }

    fn add(&mut self, service: &Service, slices: &[&EndpointSlice]) {
        let Some(spec) = &service.spec else { return };
        let key = service.key();
        let Ok(address) = spec.cluster_ip.parse::<IpAddr>() else {
            let mut pods: Vec<IpAddr> = slices.iter().flat_map(|slice| choose(slice)).filter_map(ip).collect();
            pods.sort_unstable();
            pods.dedup();
            let first =
                slices.iter().flat_map(|slice| &slice.ports).filter_map(|port| u16::try_from(port.port?).ok()).next();
            if let (Some(pod), Some(port)) = (pods.first(), first) {
                self.ports.insert(key.clone(), vec![(port, SocketAddr::new(*pod, port))]);
            }
            self.names.insert(key, pods);
            return;
        };
        self.names.insert(key.clone(), vec![address]);
        for port in spec.ports.iter().filter(|port| port.protocol.is_empty() || port.protocol == "TCP") {
            let Ok(number) = u16::try_from(port.port) else { continue };
            let at = SocketAddr::new(address, number);
            let endpoints = endpoints(port, slices);
            let sticky = spec.session_affinity == "ClientIP";
            self.ports.entry(key.clone()).or_default().push((number, at));
            self.routes.insert(at, Route { service: key.clone(), endpoints, sticky, turn: AtomicUsize::new(0) });
        }
    }

    /// The route of an address.
    #[must_use]
    pub fn route(&self, address: SocketAddr) -> Option<&Route> {
        self.routes.get(&address)
    }

    /// Every route, in no order.
    pub fn routes(&self) -> impl Iterator<Item = (SocketAddr, &Route)> {
        self.routes.iter().map(|(address, route)| (*address, route))
    }

    /// The addresses of a Service: its own, or for a headless one those of its Pods. `None` if there is no such Service.
    #[must_use]
    pub fn addresses(&self, service: &Key) -> Option<&[IpAddr]> {
        self.names.get(service).map(Vec::as_slice)
    }

    /// Where a Service answers on a port.
    #[must_use]
    pub fn socket(&self, service: &Key, port: u16) -> Option<SocketAddr> {
        self.ports.get(service)?.iter().find(|(number, _)| *number == port).map(|(_, address)| *address)
    }

    /// Whether any route leads to a Pod's address.
    #[must_use]
    pub fn leads_to(&self, address: SocketAddr) -> bool {
        self.routes.values().any(|route| route.endpoints.iter().any(|endpoint| endpoint.address == address))
    }
}

impl Route {
    /// Whose turn it is: a number that [`Route::at`] understands. For a sticky route it belongs to the client.
    #[must_use]
    pub fn turn(&self, client: IpAddr) -> usize {
        if self.sticky { spread(client) } else { self.turn.fetch_add(1, Ordering::Relaxed) }
    }

    /// The Pod at a turn; following numbers give the others. `None` if there is none at all.
    #[must_use]
    pub fn at(&self, turn: usize) -> Option<Endpoint> {
        self.endpoints.get(turn.checked_rem(self.endpoints.len())?).copied()
    }

    /// The next Pod, in turn; for a sticky route the one that belongs to the client.
    #[must_use]
    pub fn pick(&self, client: IpAddr) -> Option<Endpoint> {
        self.at(self.turn(client))
    }
}

/// The same client always gives the same number.
fn spread(client: IpAddr) -> usize {
    let bits = match client {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    // Fibonacci hashing: neighbouring addresses must not meet on one Pod.
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 80) as usize
}

fn endpoints(port: &ServicePort, slices: &[&EndpointSlice]) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for slice in slices {
        let mine = |candidate: &&discovery_v1::EndpointPort| candidate.name.as_deref().unwrap_or_default() == port.name;
        let Some(number) = slice.ports.iter().find(mine).and_then(|port| u16::try_from(port.port?).ok()) else {
            continue;
        };
        endpoints.extend(choose(slice).filter_map(ip).map(|ip| Endpoint { address: SocketAddr::new(ip, number) }));
    }
    endpoints.sort_unstable_by_key(|endpoint| endpoint.address);
    endpoints.dedup();
    endpoints
}

/// The endpoints of a slice that should get traffic.
fn choose(slice: &EndpointSlice) -> impl Iterator<Item = &discovery_v1::Endpoint> {
    // An absent `ready` counts as ready, as Kubernetes demands.
    let ready =
        |endpoint: &discovery_v1::Endpoint| endpoint.conditions.as_ref().is_none_or(|c| c.ready.unwrap_or(true));
    let last_resort = |endpoint: &discovery_v1::Endpoint| {
        endpoint.conditions.as_ref().is_some_and(|c| c.serving == Some(true) && c.terminating == Some(true))
    };
    let any_ready = slice.endpoints.iter().any(ready);
    slice.endpoints.iter().filter(move |endpoint| if any_ready { ready(endpoint) } else { last_resort(endpoint) })
}

fn ip(endpoint: &discovery_v1::Endpoint) -> Option<IpAddr> {
    endpoint.addresses.first()?.parse().ok()
}
