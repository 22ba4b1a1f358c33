//! Which address leads to which Pods. Pure: built from Services and their EndpointSlices.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use api::{
    Key, Kind,
    core_v1::{Service, ServiceSpec},
    discovery_v1::{self, EndpointSlice},
    kinds::{Resource as _, core::service::AFFINITY_TIMEOUT_SECONDS},
    well_known::SERVICE_NAME_LABEL,
};

use crate::affinity::Turns;

/// How long a client stays with its Pod if the Service does not say.
const AFFINITY_DEFAULT: Duration = Duration::from_secs(AFFINITY_TIMEOUT_SECONDS.unsigned_abs() as u64);

/// Every route and name of the cluster, at one moment, as one node sees it.
#[derive(Debug, Default)]
pub struct Table {
    routes: HashMap<SocketAddr, Route>,
    names: HashMap<Key, Named>,
}

/// What stands under the name of a Service.
#[derive(Debug)]
pub enum Named {
    /// An address of its own, and the ports that it has there.
    Address(IpAddr, Vec<u16>),
    /// The Pods themselves: a headless Service.
    Pods(Headless),
    /// Another name.
    Alias(String),
}

/// The Pods of a Service without an address.
#[derive(Debug, Default)]
pub struct Headless {
    /// The addresses of the Pods, in order.
    pub addresses: Vec<IpAddr>,
    /// Those of the Pods that have a name of their own below the Service's.
    pub hosts: HashMap<String, Vec<IpAddr>>,
    ports: HashMap<u16, Route>,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The address of a Service.
    Address(SocketAddr),
    /// A port of the Pods of a headless Service.
    Pods(Key, u16),
}

/// Where one address of a Service leads.
#[derive(Debug)]
pub struct Route {
    /// The Service.
    pub service: Key,
    /// The Pods that take turns, ordered by address.
    pub endpoints: Vec<Endpoint>,
    /// What is spoken there.
    pub speech: Speech,
    /// How long a client stays with one Pod; `None` if it does not.
    pub affinity: Option<Duration>,
    turns: Arc<Turns>,
}

/// One Pod behind a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it answers.
    pub address: SocketAddr,
    /// The node that it runs on, if that is known.
    pub node: Option<Arc<str>>,
}

/// What clients of a Service speak: its port's `appProtocol`, if it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1: each request is balanced.
    Http,
    /// Something else: each connection is balanced, and no byte of it is looked at.
    Bytes,
    /// Nobody says: the first bytes of each connection tell.
    Unsaid,
}

impl Speech {
    fn of(app_protocol: Option<&str>) -> Self {
        match app_protocol {
            None | Some("") => Self::Unsaid,
            Some("http" | "kubernetes.io/ws") => Self::Http,
            Some(_) => Self::Bytes,
        }
    }
}

impl Table {
    /// Builds the table of a node. Only Pods that are ready are routed to; if a Service has none, those that still answer
    /// while they stop. Objects that make no sense lead nowhere.
    #[must_use]
    pub fn build<'a>(
        node: &str,
        services: impl IntoIterator<Item = &'a Service>,
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
    ) -> Self {
        let mut by_service: HashMap<Key, Vec<&EndpointSlice>> = HashMap::new();
        for slice in slices {
            let name =
                slice.metadata().and_then(|meta| meta.labels.get(SERVICE_NAME_LABEL)).cloned().unwrap_or_default();
            by_service.entry(Key::namespaced(Kind::Service, slice.namespace(), name)).or_default().push(slice);
        }
        let mut table = Self::default();
        for (service, spec) in services.into_iter().filter_map(|service| Some((service, service.spec.as_ref()?))) {
            let slices = by_service.get(&service.key()).map(Vec::as_slice).unwrap_or_default();
            // Kubernetes asks for this of traffic from inside, and there is no other.
            let only = spec.internal_traffic_policy.as_deref().filter(|policy| *policy == "Local").map(|_| node);
            table.add(service.key(), spec, &Slices { slices, only });
        }
        table
    }

    fn add(&mut self, key: Key, spec: &ServiceSpec, slices: &Slices<'_>) {
        let named = match spec.cluster_ip.parse::<IpAddr>() {
            Ok(address) => Named::Address(address, self.add_ports(&key, address, spec, slices)),
            Err(_) if spec.r#type == "ExternalName" => Named::Alias(spec.external_name.clone()),
            Err(_) => Named::Pods(headless(&key, spec, slices)),
        };
        self.names.insert(key, named);
    }

    fn add_ports(&mut self, key: &Key, address: IpAddr, spec: &ServiceSpec, slices: &Slices<'_>) -> Vec<u16> {
        let mut ports = Vec::new();
        for port in spec.ports.iter().filter(|port| is_tcp(&port.protocol)) {
            let Ok(number) = u16::try_from(port.port) else { continue };
            let speech = Speech::of(port.app_protocol.as_deref());
            let endpoints = slices.endpoints(|candidate| {
                let is_mine = candidate.name.as_deref().unwrap_or_default() == port.name;
                candidate.port.filter(|_| is_mine)
            });
            self.routes.insert(SocketAddr::new(address, number), Route::new(key, endpoints, speech, affinity(spec)));
            ports.push(number);
        }
        ports
    }

    /// Goes on where the turns of an older table stand, so that a change moves no client from its Pod.
    pub(crate) fn inherit(&mut self, older: &Self) {
        for (at, route) in &mut self.routes {
            if let Some(before) = older.routes.get(at).filter(|before| before.service == route.service) {
                route.turns = before.turns.clone();
            }
        }
        for (key, named) in &mut self.names {
            if let (Named::Pods(pods), Some(Named::Pods(before))) = (named, older.names.get(key)) {
                for (port, route) in &mut pods.ports {
                    route.turns = before.ports.get(port).map_or_else(Arc::default, |before| before.turns.clone());
                }
            }
        }
    }

    /// The route of an address.
    #[must_use]
    pub fn route(&self, address: SocketAddr) -> Option<&Route> {
        self.routes.get(&address)
    }

    /// The route of whatever a request is for.
    #[must_use]
    pub fn route_to(&self, aim: &Aim) -> Option<&Route> {
        match aim {
            Aim::Address(address) => self.route(*address),
            Aim::Pods(service, port) => match self.names.get(service)? {
                Named::Pods(pods) => pods.ports.get(port),
                Named::Address(..) | Named::Alias(_) => None,
            },
        }
    }

    /// The routes of addresses, in no order.
    pub fn routes(&self) -> impl Iterator<Item = (SocketAddr, &Route)> {
        self.routes.iter().map(|(address, route)| (*address, route))
    }

    /// What stands under a Service's name; `None` if there is no such Service.
    #[must_use]
    pub fn named(&self, service: &Key) -> Option<&Named> {
        self.names.get(service)
    }

    /// Whether any route leads to a Pod's address.
    #[must_use]
    pub fn leads_to(&self, address: SocketAddr) -> bool {
        self.every_route().any(|route| route.find(address).is_some())
    }

    /// Whether any route leads to some port of a Pod.
    #[must_use]
    pub fn leads_to_pod(&self, pod: IpAddr) -> bool {
        let has = |route: &Route| route.endpoints.binary_search_by_key(&pod, |endpoint| endpoint.address.ip()).is_ok();
        self.every_route().any(has)
    }

    /// Every address that a route leads to.
    pub(crate) fn endpoints(&self) -> HashSet<SocketAddr> {
        self.every_route().flat_map(|route| &route.endpoints).map(|endpoint| endpoint.address).collect()
    }

    fn every_route(&self) -> impl Iterator<Item = &Route> {
        let headless = self.names.values().filter_map(|named| match named {
            Named::Pods(pods) => Some(pods.ports.values()),
            Named::Address(..) | Named::Alias(_) => None,
        });
        self.routes.values().chain(headless.flatten())
    }
}

/// The slices of a Service, and the node whose Pods alone count, if only those of one node do.
struct Slices<'a> {
    slices: &'a [&'a EndpointSlice],
    only: Option<&'a str>,
}

impl<'a> Slices<'a> {
    /// The Pods that should get traffic, each with its slice.
    fn chosen(&self) -> Vec<(&'a EndpointSlice, &'a discovery_v1::Endpoint)> {
        let is_here =
            |endpoint: &discovery_v1::Endpoint| self.only.is_none() || endpoint.node_name.as_deref() == self.only;
        let all = self.slices.iter().flat_map(|slice| slice.endpoints.iter().map(|endpoint| (*slice, endpoint)));
        let all: Vec<_> = all.filter(|(_, endpoint)| is_here(endpoint)).collect();
        let any_ready = all.iter().any(|(_, endpoint)| is_ready(endpoint));
        let counts = |endpoint| if any_ready { is_ready(endpoint) } else { is_last_resort(endpoint) };
        all.into_iter().filter(|(_, endpoint)| counts(endpoint)).collect()
    }

    fn endpoints(&self, number: impl Fn(&discovery_v1::EndpointPort) -> Option<i32>) -> Vec<Endpoint> {
        let endpoint = |(slice, endpoint): (&EndpointSlice, &discovery_v1::Endpoint)| {
            let port = u16::try_from(slice.ports.iter().find_map(&number)?).ok()?;
            let address = SocketAddr::new(ip(endpoint)?, port);
            Some(Endpoint { address, node: endpoint.node_name.as_deref().map(Arc::from) })
        };
        let mut endpoints: Vec<Endpoint> = self.chosen().into_iter().filter_map(endpoint).collect();
        endpoints.sort_unstable_by_key(|endpoint| endpoint.address);
        endpoints.dedup_by_key(|endpoint| endpoint.address);
        endpoints
    }
}

fn headless(key: &Key, spec: &ServiceSpec, slices: &Slices<'_>) -> Headless {
    let mut pods = Headless::default();
    for (_, endpoint) in slices.chosen() {
        let Some(ip) = ip(endpoint) else { continue };
        pods.addresses.push(ip);
        if let Some(host) = &endpoint.hostname {
            pods.hosts.entry(host.to_ascii_lowercase()).or_default().push(ip);
        }
    }
    pods.addresses.sort_unstable();
    pods.addresses.dedup();
    let ports = slices.slices.iter().flat_map(|slice| &slice.ports);
    for port in ports.filter(|port| is_tcp(port.protocol.as_deref().unwrap_or_default())) {
        let Some(number) = port.port.and_then(|port| u16::try_from(port).ok()) else { continue };
        let endpoints = slices.endpoints(|candidate| candidate.port.filter(|other| Some(*other) == port.port));
        let speech = Speech::of(port.app_protocol.as_deref());
        pods.ports.insert(number, Route::new(key, endpoints, speech, affinity(spec)));
    }
    pods
}

fn is_tcp(protocol: &str) -> bool {
    protocol.is_empty() || protocol == "TCP"
}

/// An absent `ready` counts as ready, as Kubernetes demands.
fn is_ready(endpoint: &discovery_v1::Endpoint) -> bool {
    endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready.unwrap_or(true))
}

/// Whether a Pod still answers while it stops.
fn is_last_resort(endpoint: &discovery_v1::Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.is_some_and(|conditions| conditions.serving == Some(true) && conditions.terminating == Some(true))
}

impl Route {
    fn new(service: &Key, endpoints: Vec<Endpoint>, speech: Speech, affinity: Option<Duration>) -> Self {
        Self { service: service.clone(), endpoints, speech, affinity, turns: Arc::default() }
    }

    /// Where the next request or connection of a client is tried first, as an index into `endpoints`; those after it
    /// follow. `None` if there is no Pod.
    #[must_use]
    pub fn turn(&self, client: IpAddr, now: Instant) -> Option<usize> {
        let stays = self.affinity.and_then(|life| self.turns.stays_with(client, life, now));
        if let Some(index) = stays.and_then(|address| self.find(address)) {
            return Some(index);
        }
        let index = self.turns.next().checked_rem(self.endpoints.len())?;
        self.stay(client, self.endpoints.get(index)?.address, now);
        Some(index)
    }

    /// Remembers which Pod took a client, if clients stay.
    pub fn stay(&self, client: IpAddr, address: SocketAddr, now: Instant) {
        if let Some(life) = self.affinity {
            self.turns.stay(client, address, life, now);
        }
    }

    fn find(&self, address: SocketAddr) -> Option<usize> {
        self.endpoints.binary_search_by_key(&address, |endpoint| endpoint.address).ok()
    }
}

fn affinity(spec: &ServiceSpec) -> Option<Duration> {
    let seconds = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    let life = seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(AFFINITY_DEFAULT, Duration::from_secs);
    (spec.session_affinity == "ClientIP").then_some(life)
}

fn ip(endpoint: &discovery_v1::Endpoint) -> Option<IpAddr> {
    endpoint.addresses.first()?.parse().ok()
}
