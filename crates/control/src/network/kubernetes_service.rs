//! The Service `kubernetes`, by which the API is reached from anywhere in the cluster: port 443 of the first address of the
//! Services' range leads to the masters.
//!
//! As long as masters are known, there are the Service, an Endpoints object and EndpointSlices, as they follow from who the
//! masters are; whatever somebody deletes or changes of that is made again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use api::{
    Key, Object, Timestamp,
    core_v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Namespace, Service, ServicePort, ServiceSpec},
    discovery_v1::{self, Endpoint, EndpointConditions, EndpointSlice},
    kinds::{
        Resource as _,
        core::service::{KUBERNETES, KUBERNETES_PORT, is_kubernetes, kubernetes_key},
    },
    meta_v1::{IntOrString, ObjectMeta},
    well_known::{DEFAULT_NAMESPACE, SERVICE_NAME_LABEL, SKIP_MIRROR_LABEL},
};

use super::{endpoints, slices};
use crate::{
    plan::{Note, Plan},
    world::{Shift, World},
};

const PORT_NAME: &str = "https";
const TCP: &str = "TCP";

/// By these Kubernetes' own programs know the Service.
const LABELS: [(&str, &str); 2] = [("component", "apiserver"), ("provider", "kubernetes")];

pub(crate) fn reconcile(world: &World, _: &Key, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let masters = by_port(world.masters());
    let is_begun = world.named::<Namespace>("", DEFAULT_NAMESPACE).is_some();
    let Some((_, target)) = masters.keys().next().filter(|_| is_begun) else { return plan };
    match world.find::<Service>(&kubernetes_key()) {
        None => create(world, *target, &mut plan),
        Some((_, present)) => correct(world, present, *target, &mut plan),
    }
    let present = world.named::<Endpoints>(DEFAULT_NAMESPACE, KUBERNETES);
    endpoints::settle(present, listed(present, &masters), &mut plan);
    let present = world.in_namespace::<EndpointSlice>(DEFAULT_NAMESPACE).filter(|slice| is_own(slice) && stays(slice));
    slices::settle(world, DEFAULT_NAMESPACE, present, wanted(&masters), &mut plan);
    plan
}

pub(crate) fn concerns(_: &World, shift: &Shift, look: &mut dyn FnMut(Key)) {
    let named = |key: &Key| &*key.namespace == DEFAULT_NAMESPACE && &*key.name == KUBERNETES;
    let is_object = shift.key_of::<Service>().or(shift.key_of::<Endpoints>()).is_some_and(named);
    let is_namespace = shift.key_of::<Namespace>().is_some_and(|key| &*key.name == DEFAULT_NAMESPACE);
    if is_object || is_namespace || shift.states().any(is_own) {
        look(kubernetes_key());
    }
}

/// Whether a slice says where the masters are.
fn is_own(slice: &EndpointSlice) -> bool {
    let meta = slice.metadata.as_ref().filter(|meta| meta.namespace == DEFAULT_NAMESPACE);
    meta.and_then(|meta| meta.labels.get(SERVICE_NAME_LABEL)).is_some_and(|service| service == KUBERNETES)
}

fn stays(slice: &EndpointSlice) -> bool {
    slice.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_none())
}

/// Addresses of masters by what one slice can list: those of one family, IPv4 first, with one port.
type ByPort = BTreeMap<(bool, u16), BTreeSet<IpAddr>>;

fn by_port(masters: &BTreeSet<SocketAddr>) -> ByPort {
    let mut by_port = ByPort::new();
    for master in masters {
        by_port.entry((master.is_ipv6(), master.port())).or_default().insert(master.ip());
    }
    by_port
}

fn ports(target: u16) -> Vec<ServicePort> {
    vec![ServicePort {
        name: PORT_NAME.to_owned(),
        port: KUBERNETES_PORT.into(),
        protocol: TCP.to_owned(),
        target_port: Some(IntOrString::int(target.into())),
        ..ServicePort::default()
    }]
}

/// The first address of the range, or none, so that one is given, if another Service has it; and that Service.
fn address(world: &World) -> (String, Option<&Arc<Object>>) {
    let address = world.config.kubernetes.to_string();
    let has_it = |service: &&Service| service.spec.as_ref().is_some_and(|spec| spec.cluster_ip == address);
    let other = world.all::<Service>().filter(|service| !is_kubernetes(&service.key())).find(has_it);
    match other.and_then(|other| world.object(&other.key())) {
        None => (address, None),
        other => (String::new(), other),
    }
}

fn create(world: &World, target: u16, plan: &mut Plan) {
    let (cluster_ip, other) = address(world);
    let metadata = ObjectMeta {
        name: KUBERNETES.to_owned(),
        namespace: DEFAULT_NAMESPACE.to_owned(),
        labels: LABELS.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ..ObjectMeta::default()
    };
    let spec = ServiceSpec {
        cluster_ip,
        ports: ports(target),
        r#type: "ClusterIP".to_owned(),
        session_affinity: "None".to_owned(),
        ..ServiceSpec::default()
    };
    let step = plan.create(Service { metadata: Some(metadata), spec: Some(spec), status: None });
    if let Some(other) = other {
        let address = world.config.kubernetes;
        let message = format!(
            "it has {address}, which is meant for the Service {DEFAULT_NAMESPACE}/{KUBERNETES}: that one got another \
             address, which is in no certificate of a master; delete both to mend it"
        );
        step.then(Note::warning(other, "KubernetesAddressTaken", message));
    }
}

/// Takes back what would lead elsewhere than to the masters. Everything else about the Service is its users'.
fn correct(world: &World, service: &Service, target: u16, plan: &mut Plan) {
    let (Some(meta), Some(spec)) = (&service.metadata, &service.spec) else { return };
    let mut wanted = ServiceSpec {
        ports: ports(target),
        r#type: "ClusterIP".to_owned(),
        selector: BTreeMap::new(),
        external_name: String::new(),
        ..spec.clone()
    };
    if spec.cluster_ip.is_empty() {
        wanted.cluster_ip = address(world).0;
    }
    if *spec != wanted && meta.deletion_timestamp.is_none() {
        plan.update(Service { spec: Some(wanted), ..service.clone() });
    }
}

/// The masters as one object. It says that its slices are not made from it.
fn listed(present: Option<&Endpoints>, masters: &ByPort) -> Endpoints {
    let mut metadata = endpoints::metadata(present, DEFAULT_NAMESPACE, KUBERNETES);
    metadata.labels = BTreeMap::from([(SKIP_MIRROR_LABEL.to_owned(), "true".to_owned())]);
    let address = |ip: &IpAddr| EndpointAddress { ip: ip.to_string(), ..EndpointAddress::default() };
    let subset = |((_, port), addresses): (&(bool, u16), &BTreeSet<IpAddr>)| EndpointSubset {
        addresses: addresses.iter().map(address).collect(),
        ports: vec![EndpointPort {
            name: PORT_NAME.to_owned(),
            port: (*port).into(),
            protocol: TCP.to_owned(),
            app_protocol: None,
        }],
        ..EndpointSubset::default()
    };
    Endpoints { metadata: Some(metadata), subsets: masters.iter().map(subset).collect() }
}

/// The masters as slices, by name. That of the first IPv4 port is called like the Service, as there is hardly ever another.
fn wanted(masters: &ByPort) -> BTreeMap<String, EndpointSlice> {
    let first = masters.keys().next().copied().filter(|(is_ipv6, _)| !is_ipv6);
    let named = |(sort, addresses): (&(bool, u16), &BTreeSet<IpAddr>)| {
        let (is_ipv6, port) = *sort;
        let family = if is_ipv6 { "-ipv6" } else { "" };
        let name = if first == Some(*sort) { KUBERNETES.to_owned() } else { format!("{KUBERNETES}{family}-{port}") };
        (name.clone(), slice(name, is_ipv6, port, addresses))
    };
    masters.iter().map(named).collect()
}

fn slice(name: String, is_ipv6: bool, port: u16, addresses: &BTreeSet<IpAddr>) -> EndpointSlice {
    let endpoint = |ip: &IpAddr| Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
        ..Endpoint::default()
    };
    let port = discovery_v1::EndpointPort {
        name: Some(PORT_NAME.to_owned()),
        protocol: Some(TCP.to_owned()),
        port: Some(port.into()),
        app_protocol: None,
    };
    let metadata = ObjectMeta {
        name,
        namespace: DEFAULT_NAMESPACE.to_owned(),
        labels: BTreeMap::from([(SERVICE_NAME_LABEL.to_owned(), KUBERNETES.to_owned())]),
        ..ObjectMeta::default()
    };
    EndpointSlice {
        metadata: Some(metadata),
        endpoints: addresses.iter().map(endpoint).collect(),
        ports: vec![port],
        address_type: if is_ipv6 { "IPv6" } else { "IPv4" }.to_owned(),
    }
}

#[cfg(test)]
mod tests;
