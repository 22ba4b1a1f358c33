//! Services.
//!
//! A change of type takes back what the old type had by default, or else a manifest that changes nothing but the type would
//! be refused for fields that nobody wrote.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use crate::{
    Cidr, Key, Kind, Subresource, Timestamp,
    core_v1::{ClientIpConfig, Service, ServicePort, ServiceSpec, SessionAffinityConfig},
    defaults,
    int_or_string::Value,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    meta_v1::IntOrString,
    selector::{self, Field},
    table::{
        Cell, Column, Common, NONE,
        columns::{AGE, NAME, SELECTOR, text},
        joined, labels, or,
    },
    validate::{
        Causes, PROTOCOLS, Path,
        limits::{CONDITIONS_MAX, SERVICE_PORTS_MAX, SMALL_LIST_MAX},
        meta,
        names::{self, Syntax},
    },
    warnings::Warnings,
    well_known::DEFAULT_NAMESPACE,
};

/// The word for a Service without an address of its own.
pub const HEADLESS: &str = "None";

/// The name of the Service by which the API is reached, in the namespace [`DEFAULT_NAMESPACE`].
pub const KUBERNETES: &str = "kubernetes";
/// Its port.
pub const KUBERNETES_PORT: u16 = 443;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
/// Where traffic goes, if nobody says: to all Pods, on whichever node.
const POLICY: &str = "Cluster";
/// Seconds for which a client keeps its Pod with `sessionAffinity: ClientIP`, if nobody says: three hours.
pub const AFFINITY_TIMEOUT_SECONDS: i32 = 10_800;
/// The longest `ClientIP` affinity, in seconds: a day.
const AFFINITY_TIMEOUT_SECONDS_MAX: i32 = 86_400;

const NO_NODE_PORTS: &str = "no port of the nodes is opened; use the Service's address";

const COLUMNS: &[Column] = &[
    NAME,
    text("Type", "How the Service can be reached."),
    text("Cluster-IP", "Its address inside the cluster."),
    text("External-IP", "Its addresses outside the cluster."),
    text("Port(s)", "Its ports."),
    AGE,
    SELECTOR,
];

static FIELDS: &[Field<Service>] = selector::selectable! { service: Service;
    "spec.type" => Some(service.spec.as_ref()?.r#type.as_str().into());
    "spec.clusterIP" => Some(service.spec.as_ref()?.cluster_ip.as_str().into());
};

const SAMPLE: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: hello
  namespace: default
spec:
  selector: {app: hello}
  ports:
  - {name: http, port: 80, targetPort: 8080}
";

pub(crate) struct ServiceStrategy;

impl Strategy for ServiceStrategy {
    type Object = Service;

    fn name_syntax(&self) -> Syntax {
        names::dns_1035_label
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, service: &mut Service) {
        apply_defaults(service);
    }

    fn validate(&self, causes: &mut Causes, service: &Service) {
        validate(causes, service);
    }

    fn validate_update(&self, causes: &mut Causes, old: &Service, new: &Service) {
        validate_update(causes, old, new);
    }

    fn validate_status(&self, causes: &mut Causes, service: &Service) {
        validate_status(causes, service);
    }

    fn warn(&self, warnings: &mut Warnings, service: &Service) {
        warn(warnings, service);
    }

    fn prepare_for_create(&self, service: &mut Service) {
        service.status = None;
    }

    fn prepare_for_update(&self, new: &mut Service, old: &Service) {
        carry_over(old, new);
        new.status.clone_from(&old.status);
    }

    fn update_status(&self, service: &mut Service, sent: &Service) {
        service.status.clone_from(&sent.status);
    }

    fn scale(&self, _: &Service) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut Service, _: i32) {}

    fn is_new_generation(&self, _: Option<&Service>, _: &Service, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, service: &'a mut Service) -> Allocation<'a> {
        Allocation::Service(service.spec.get_or_insert_default())
    }

    fn claims(&self, service: &Service) -> BTreeSet<String> {
        let Some(spec) = &service.spec else { return BTreeSet::new() };
        let addressed = spec.r#type != "ExternalName" && !matches!(spec.cluster_ip.as_str(), "" | HEADLESS);
        let address = addressed.then(|| address_claim(&spec.cluster_ip));
        let ports = spec.ports.iter().filter(|port| port.node_port != 0);
        address.into_iter().chain(ports.map(|port| port_claim(&port.protocol, port.node_port))).collect()
    }

    fn mark_for_deletion(&self, service: &mut Service, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut service.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &Service) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, service: &Service, common: Common, _: Timestamp) -> Vec<Cell> {
        row(service, common)
    }

    fn fields(&self) -> Vec<&str> {
        selector::paths(FIELDS)
    }

    fn field<'a>(&self, service: &'a Service, index: usize) -> Cow<'a, str> {
        selector::read(FIELDS, index, service)
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

/// The Service by which the API is reached.
#[must_use]
pub fn kubernetes_key() -> Key {
    Key::namespaced(Kind::Service, DEFAULT_NAMESPACE, KUBERNETES)
}

/// Whether it is the Service by which the API is reached.
#[must_use]
pub fn is_kubernetes(key: &Key) -> bool {
    key.kind == Kind::Service && &*key.namespace == DEFAULT_NAMESPACE && &*key.name == KUBERNETES
}

/// The address that is kept for it: the first of the range, which certificates of masters name.
#[must_use]
pub fn kubernetes_address(services: Cidr) -> Ipv4Addr {
    services.address(1)
}

/// The name under which an address belongs to one Service.
#[must_use]
pub fn address_claim(address: &str) -> String {
    format!("service-address/{address}")
}

/// The name under which a port of every node belongs to one Service.
#[must_use]
pub fn port_claim(protocol: &str, port: i32) -> String {
    format!("node-port/{protocol}/{port}")
}

fn apply_defaults(service: &mut Service) {
    let spec = service.spec.get_or_insert_default();
    defaults::text(&mut spec.r#type, "ClusterIP");
    defaults::text(&mut spec.session_affinity, "None");
    spec.ports.iter_mut().for_each(default_port);
    default_affinity(spec);
    default_policies(spec);
    if spec.r#type == "ExternalName" {
        spec.ip_families.clear();
        spec.ip_family_policy = None;
    } else {
        default_addresses(spec);
    }
    service.status.get_or_insert_default().load_balancer.get_or_insert_default();
}

fn default_port(port: &mut ServicePort) {
    defaults::text(&mut port.protocol, "TCP");
    let unset = |target: &IntOrString| matches!(target.value(), Value::Int(0) | Value::Text(""));
    if port.target_port.as_ref().is_none_or(unset) {
        port.target_port = Some(IntOrString::int(port.port));
    }
}

fn default_affinity(spec: &mut ServiceSpec) {
    if spec.session_affinity == "ClientIP" {
        let config: &mut SessionAffinityConfig = spec.session_affinity_config.get_or_insert_default();
        let client: &mut ClientIpConfig = config.client_ip.get_or_insert_default();
        client.timeout_seconds.get_or_insert(AFFINITY_TIMEOUT_SECONDS);
    } else if spec.session_affinity == "None" {
        spec.session_affinity_config = None;
    }
}

fn default_policies(spec: &mut ServiceSpec) {
    let outside = matches!(spec.r#type.as_str(), "NodePort" | "LoadBalancer");
    let inside = outside || spec.r#type == "ClusterIP";
    if outside {
        defaults::text(&mut spec.external_traffic_policy, POLICY);
    } else if spec.external_traffic_policy == POLICY && spec.external_ips.is_empty() {
        spec.external_traffic_policy.clear();
    }
    if inside {
        spec.internal_traffic_policy.get_or_insert_with(|| POLICY.to_owned());
    } else if spec.internal_traffic_policy.as_deref() == Some(POLICY) {
        spec.internal_traffic_policy = None;
    }
    if spec.r#type == "LoadBalancer" {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
    } else if spec.allocate_load_balancer_node_ports == Some(true) {
        spec.allocate_load_balancer_node_ports = None;
    }
}

/// `clusterIP` is the first of `clusterIPs`; whichever is given fills in the other.
fn default_addresses(spec: &mut ServiceSpec) {
    match (spec.cluster_ip.is_empty(), spec.cluster_ips.first()) {
        (true, Some(first)) => spec.cluster_ip.clone_from(first),
        (false, None) => spec.cluster_ips.push(spec.cluster_ip.clone()),
        (true, None) | (false, Some(_)) => {}
    }
    if spec.ip_families.is_empty() {
        spec.ip_families.push("IPv4".to_owned());
    }
    spec.ip_family_policy.get_or_insert_with(|| "SingleStack".to_owned());
}

fn validate(causes: &mut Causes, service: &Service) {
    let at = Path::Root.field("spec");
    let Some(spec) = &service.spec else { return causes.required(&at, "") };
    causes.required_one_of(&at.field("type"), &spec.r#type, &TYPES);
    causes.required_one_of(&at.field("sessionAffinity"), &spec.session_affinity, &["ClientIP", "None"]);
    meta::labels(causes, &spec.selector, &at.field("selector"));
    validate_ports(causes, spec, &at.field("ports"));
    validate_affinity(causes, spec, &at);
    validate_policies(causes, spec, &at);
    if spec.r#type == "ExternalName" {
        external_name(causes, spec, &at);
    } else {
        cluster_ip(causes, spec, &at);
        families(causes, spec, &at);
    }
}

fn validate_ports(causes: &mut Causes, spec: &ServiceSpec, at: &Path<'_>) {
    let headless = spec.cluster_ip == HEADLESS;
    if spec.ports.is_empty() && !headless && spec.r#type != "ExternalName" {
        return causes.required(at, "");
    }
    if !causes.at_most(at, spec.ports.len(), SERVICE_PORTS_MAX) {
        return;
    }
    for (index, own) in spec.ports.iter().enumerate() {
        let at = at.index(index);
        validate_port(causes, own, spec, &at);
        let others = &spec.ports[..index];
        if !own.name.is_empty() && others.iter().any(|other| other.name == own.name) {
            causes.duplicate(&at.field("name"), &own.name);
        }
        if others.iter().any(|other| other.port == own.port && other.protocol == own.protocol) {
            causes.duplicate(&at, format!("{}/{}", own.port, own.protocol));
        }
    }
}

fn validate_port(causes: &mut Causes, port: &ServicePort, spec: &ServiceSpec, at: &Path<'_>) {
    if !port.name.is_empty() {
        causes.syntax(&at.field("name"), &port.name, names::dns_label);
    } else if spec.ports.len() > 1 {
        causes.required(&at.field("name"), "a Service with several ports names each of them");
    }
    causes.port(&at.field("port"), port.port);
    causes.one_of(&at.field("protocol"), &port.protocol, &PROTOCOLS);
    match port.target_port.as_ref().map(|target| target.value()) {
        Some(Value::Int(number)) => causes.port(&at.field("targetPort"), number),
        Some(Value::Text(name)) => causes.syntax(&at.field("targetPort"), name, names::port_name),
        None => causes.required(&at.field("targetPort"), ""),
    }
    let node_port = at.field("nodePort");
    if port.node_port != 0 {
        causes.port(&node_port, port.node_port);
        if matches!(spec.r#type.as_str(), "ClusterIP" | "ExternalName") {
            causes.forbidden(&node_port, format_args!("may not be used when `type` is '{}'", spec.r#type));
        }
    }
}

fn validate_affinity(causes: &mut Causes, spec: &ServiceSpec, at: &Path<'_>) {
    let client = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let Some(seconds) = client.and_then(|client| client.timeout_seconds) else { return };
    if !(1..=AFFINITY_TIMEOUT_SECONDS_MAX).contains(&seconds) {
        let at = at.field("sessionAffinityConfig");
        let at = at.field("clientIP");
        let why = format!("must be greater than 0 and at most {AFFINITY_TIMEOUT_SECONDS_MAX}");
        causes.invalid(&at.field("timeoutSeconds"), seconds, why);
    }
}

fn validate_policies(causes: &mut Causes, spec: &ServiceSpec, at: &Path<'_>) {
    let external = at.field("externalTrafficPolicy");
    if !spec.external_traffic_policy.is_empty() {
        causes.one_of(&external, &spec.external_traffic_policy, &POLICIES);
        if !matches!(spec.r#type.as_str(), "NodePort" | "LoadBalancer") && spec.external_ips.is_empty() {
            causes.invalid(
                &external,
                &spec.external_traffic_policy,
                "may only be set for externally-accessible services",
            );
        }
    }
    if let Some(policy) = &spec.internal_traffic_policy {
        causes.one_of(&at.field("internalTrafficPolicy"), policy, &POLICIES);
    }
    causes.at_most(&at.field("loadBalancerSourceRanges"), spec.load_balancer_source_ranges.len(), SMALL_LIST_MAX);
    let few = causes.at_most(&at.field("externalIPs"), spec.external_ips.len(), SMALL_LIST_MAX);
    for (index, address) in spec.external_ips.iter().enumerate().filter(|_| few) {
        if address.parse::<IpAddr>().is_err() {
            causes.invalid(&at.field("externalIPs").index(index), address, "must be a valid IP address");
        }
    }
}

fn external_name(causes: &mut Causes, spec: &ServiceSpec, at: &Path<'_>) {
    let name = spec.external_name.strip_suffix('.').unwrap_or(&spec.external_name);
    causes.required_syntax(&at.field("externalName"), name, names::dns_subdomain);
    if !spec.cluster_ip.is_empty() {
        causes.forbidden(&at.field("clusterIP"), "may not be set for ExternalName services");
    }
}

fn cluster_ip(causes: &mut Causes, spec: &ServiceSpec, at: &Path<'_>) {
    let own = at.field("clusterIP");
    match spec.cluster_ip.as_str() {
        "" => {}
        HEADLESS if spec.r#type != "ClusterIP" => {
            causes.invalid(&own, HEADLESS, format_args!("may not be set to 'None' for {} services", spec.r#type));
        }
        HEADLESS => {}
        address if address.parse::<Ipv4Addr>().is_err() => {
            causes.invalid(&own, address, "must be empty, 'None', or a valid IPv4 address");
        }
        _ => {}
    }
    if spec.cluster_ips.len() > 1 {
        causes.too_many(&at.field("clusterIPs"), spec.cluster_ips.len(), 1);
    }
    if spec.cluster_ips.first().is_some_and(|first| *first != spec.cluster_ip) {
        causes.invalid(&at.field("clusterIPs"), &spec.cluster_ips, "first value must match `clusterIP`");
    }
}

/// Services speak IPv4 only. A second family that is merely preferred is let go, as on any single-stack cluster.
fn families(causes: &mut Causes, spec: &ServiceSpec, at: &Path<'_>) {
    let few = causes.at_most(&at.field("ipFamilies"), spec.ip_families.len(), 2);
    for (index, family) in spec.ip_families.iter().enumerate().filter(|_| few) {
        causes.one_of(&at.field("ipFamilies").index(index), family, &["IPv4"]);
    }
    if let Some(policy) = &spec.ip_family_policy {
        causes.one_of(&at.field("ipFamilyPolicy"), policy, &["SingleStack", "PreferDualStack"]);
    }
}

/// What a balancer may report.
fn validate_status(causes: &mut Causes, service: &Service) {
    let Some(status) = &service.status else { return };
    let at = Path::Root.field("status");
    causes.at_most(&at.field("conditions"), status.conditions.len(), CONDITIONS_MAX);
    let ingress = status.load_balancer.as_ref().map_or(0, |balancer| balancer.ingress.len());
    causes.at_most(&at.field("loadBalancer").field("ingress"), ingress, SMALL_LIST_MAX);
}

fn validate_update(causes: &mut Causes, old: &Service, new: &Service) {
    let (Some(old), Some(new)) = (&old.spec, &new.spec) else { return };
    let without = |spec: &ServiceSpec| spec.r#type == "ExternalName" || spec.cluster_ip.is_empty();
    if !without(old) && !without(new) && old.cluster_ip != new.cluster_ip {
        let at = Path::Root.field("spec");
        causes.invalid(&at.field("clusterIP"), &new.cluster_ip, "field is immutable; it may not change once set");
    }
}

/// A manifest that says nothing of what was given keeps it; a change of type gives back what the new one has no use for.
fn carry_over(old: &Service, new: &mut Service) {
    let (Some(old), Some(new)) = (&old.spec, &mut new.spec) else { return };
    let type_of =
        |spec: &ServiceSpec| if spec.r#type.is_empty() { "ClusterIP".to_owned() } else { spec.r#type.clone() };
    let (before, after) = (type_of(old), type_of(new));
    if after == "ExternalName" {
        if before != after && new.cluster_ip == old.cluster_ip {
            new.cluster_ip.clear();
            new.cluster_ips.clear();
        }
    } else if before != "ExternalName" && new.cluster_ip.is_empty() && new.cluster_ips.is_empty() {
        new.cluster_ip.clone_from(&old.cluster_ip);
        new.cluster_ips.clone_from(&old.cluster_ips);
    }
    carry_ports(old, new, matches!(after.as_str(), "NodePort" | "LoadBalancer"), before == after);
}

fn carry_ports(old: &ServiceSpec, new: &mut ServiceSpec, outside: bool, same_type: bool) {
    let protocol = |text: &str| if text.is_empty() { "TCP".to_owned() } else { text.to_owned() };
    for port in &mut new.ports {
        let is =
            |other: &&ServicePort| other.port == port.port && protocol(&other.protocol) == protocol(&port.protocol);
        let before = old.ports.iter().find(is).map_or(0, |port| port.node_port);
        if outside && port.node_port == 0 {
            port.node_port = before;
        } else if !outside && !same_type && port.node_port == before {
            port.node_port = 0;
        }
    }
}

fn warn(warnings: &mut Warnings, service: &Service) {
    let Some(spec) = &service.spec else { return };
    let pinned = !spec.load_balancer_ip.is_empty();
    warnings.ignored(
        "spec",
        [
            (
                "externalIPs",
                !spec.external_ips.is_empty(),
                "no outside addresses are taken over; use the Service's address",
            ),
            ("loadBalancerIP", pinned, "no load balancer is set up; use the Service's address"),
            ("loadBalancerSourceRanges", !spec.load_balancer_source_ranges.is_empty(), "no load balancer is set up"),
            ("loadBalancerClass", spec.load_balancer_class.is_some(), "no load balancer is set up"),
            ("healthCheckNodePort", spec.health_check_node_port != 0, NO_NODE_PORTS),
            ("trafficDistribution", spec.traffic_distribution.is_some(), "traffic goes to all ready Pods alike"),
        ],
    );
    for (index, port) in spec.ports.iter().enumerate() {
        warnings.ignored(format_args!("spec.ports[{index}]"), [("nodePort", port.node_port != 0, NO_NODE_PORTS)]);
        if !matches!(port.protocol.as_str(), "" | "TCP") {
            warnings.say(format!("spec.ports[{index}]: ignored: only TCP is forwarded, not {}", port.protocol));
        }
    }
    match spec.r#type.as_str() {
        "NodePort" => warnings.say(format!("spec.type: NodePort works as ClusterIP: {NO_NODE_PORTS}")),
        "LoadBalancer" => {
            warnings.say("spec.type: LoadBalancer works as ClusterIP: no load balancer is set up yet".to_owned());
        }
        _ => {}
    }
}

fn row(service: &Service, common: Common) -> Vec<Cell> {
    let none = ServiceSpec::default();
    let spec = service.spec.as_ref().unwrap_or(&none);
    let ports: Vec<String> = spec.ports.iter().map(shown_port).collect();
    vec![
        common.name,
        spec.r#type.as_str().into(),
        or(&spec.cluster_ip, NONE).into(),
        external_ip(service, spec).into(),
        or(&ports.join(","), NONE).into(),
        common.age,
        labels(&spec.selector).into(),
    ]
}

/// The port at which the Service answers. No port of a node is shown, since none is opened.
fn shown_port(port: &ServicePort) -> String {
    let ServicePort { port, protocol, .. } = port;
    format!("{port}/{protocol}")
}

fn external_ip(service: &Service, spec: &ServiceSpec) -> String {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress =
        balancer.into_iter().flat_map(|balancer| &balancer.ingress).map(|ingress| or(&ingress.ip, &ingress.hostname));
    // Addresses that a user wrote into the spec are not taken over, so they are not shown.
    match spec.r#type.as_str() {
        "ExternalName" => spec.external_name.clone(),
        "LoadBalancer" => or(&joined(ingress), "<pending>").to_owned(),
        _ => NONE.to_owned(),
    }
}
