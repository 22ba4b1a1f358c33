//! Services.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    causes::{Causes, Path},
    limits::{CONDITIONS_MAX, SERVICE_PORTS_MAX, SMALL_LIST_MAX},
    meta, names,
    slice::PROTOCOLS,
};
use crate::{
    core_v1::{Service, ServicePort, ServiceSpec},
    int_or_string::Value,
};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
/// The longest `ClientIP` affinity, in seconds: a day.
const AFFINITY_TIMEOUT_SECONDS_MAX: i32 = 86_400;
/// The word for a Service without an address of its own.
const HEADLESS: &str = "None";

pub(super) fn service(causes: &mut Causes, service: &Service) {
    let at = Path::Root.field("spec");
    let Some(spec) = &service.spec else { return causes.required(&at, "") };
    causes.required_one_of(&at.field("type"), &spec.r#type, &TYPES);
    causes.required_one_of(&at.field("sessionAffinity"), &spec.session_affinity, &["ClientIP", "None"]);
    meta::labels(causes, &spec.selector, &at.field("selector"));
    ports(causes, spec, &at.field("ports"));
    affinity(causes, spec, &at);
    policies(causes, spec, &at);
    if spec.r#type == "ExternalName" {
        external_name(causes, spec, &at);
    } else {
        cluster_ip(causes, spec, &at);
        families(causes, spec, &at);
    }
}

fn ports(causes: &mut Causes, spec: &ServiceSpec, at: &Path<'_>) {
    let headless = spec.cluster_ip == HEADLESS;
    if spec.ports.is_empty() && !headless && spec.r#type != "ExternalName" {
        return causes.required(at, "");
    }
    if !causes.at_most(at, spec.ports.len(), SERVICE_PORTS_MAX) {
        return;
    }
    for (index, own) in spec.ports.iter().enumerate() {
        let at = at.index(index);
        port(causes, own, spec, &at);
        let others = &spec.ports[..index];
        if !own.name.is_empty() && others.iter().any(|other| other.name == own.name) {
            causes.duplicate(&at.field("name"), &own.name);
        }
        if others.iter().any(|other| other.port == own.port && other.protocol == own.protocol) {
            causes.duplicate(&at, &format!("{}/{}", own.port, own.protocol));
        }
    }
}

fn port(causes: &mut Causes, port: &ServicePort, spec: &ServiceSpec, at: &Path<'_>) {
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

fn affinity(causes: &mut Causes, spec: &ServiceSpec, at: &Path<'_>) {
    let client = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let Some(seconds) = client.and_then(|client| client.timeout_seconds) else { return };
    if !(1..=AFFINITY_TIMEOUT_SECONDS_MAX).contains(&seconds) {
        let at = at.field("sessionAffinityConfig");
        let at = at.field("clientIP");
        let why = format!("must be greater than 0 and at most {AFFINITY_TIMEOUT_SECONDS_MAX}");
        causes.invalid(&at.field("timeoutSeconds"), seconds, why);
    }
}

fn policies(causes: &mut Causes, spec: &ServiceSpec, at: &Path<'_>) {
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
pub(super) fn status(causes: &mut Causes, service: &Service) {
    let Some(status) = &service.status else { return };
    let at = Path::Root.field("status");
    causes.at_most(&at.field("conditions"), status.conditions.len(), CONDITIONS_MAX);
    let ingress = status.load_balancer.as_ref().map_or(0, |balancer| balancer.ingress.len());
    causes.at_most(&at.field("loadBalancer").field("ingress"), ingress, SMALL_LIST_MAX);
}

pub(super) fn update(causes: &mut Causes, old: &Service, new: &Service) {
    let (Some(old), Some(new)) = (&old.spec, &new.spec) else { return };
    let without = |spec: &ServiceSpec| spec.r#type == "ExternalName" || spec.cluster_ip.is_empty();
    if !without(old) && !without(new) && old.cluster_ip != new.cluster_ip {
        let at = Path::Root.field("spec");
        causes.invalid(&at.field("clusterIP"), &new.cluster_ip, "field is immutable; it may not change once set");
    }
}
