//! Defaults of Services.
//!
//! A change of type takes back what the old type had by default, or else a manifest that changes nothing but the type would
//! be refused for fields that nobody wrote.

use super::text;
use crate::{
    core_v1::{ClientIpConfig, Service, ServicePort, ServiceSpec, SessionAffinityConfig},
    int_or_string::Value,
    meta_v1::IntOrString,
};

/// Where traffic goes, if nobody says: to all Pods, on whichever node.
const POLICY: &str = "Cluster";
/// Seconds for which a client keeps its Pod with `sessionAffinity: ClientIP`: three hours.
const AFFINITY_TIMEOUT_SECONDS: i32 = 10_800;

pub(super) fn defaults(service: &mut Service) {
    let spec = service.spec.get_or_insert_default();
    text(&mut spec.r#type, "ClusterIP");
    text(&mut spec.session_affinity, "None");
    spec.ports.iter_mut().for_each(port);
    affinity(spec);
    policies(spec);
    if spec.r#type == "ExternalName" {
        spec.ip_families.clear();
        spec.ip_family_policy = None;
    } else {
        addresses(spec);
    }
    service.status.get_or_insert_default().load_balancer.get_or_insert_default();
}

fn port(port: &mut ServicePort) {
    text(&mut port.protocol, "TCP");
    let unset = |target: &IntOrString| matches!(target.value(), Value::Int(0) | Value::Text(""));
    if port.target_port.as_ref().is_none_or(unset) {
        port.target_port = Some(IntOrString::int(port.port));
    }
}

fn affinity(spec: &mut ServiceSpec) {
    if spec.session_affinity == "ClientIP" {
        let config: &mut SessionAffinityConfig = spec.session_affinity_config.get_or_insert_default();
        let client: &mut ClientIpConfig = config.client_ip.get_or_insert_default();
        client.timeout_seconds.get_or_insert(AFFINITY_TIMEOUT_SECONDS);
    } else if spec.session_affinity == "None" {
        spec.session_affinity_config = None;
    }
}

fn policies(spec: &mut ServiceSpec) {
    let outside = matches!(spec.r#type.as_str(), "NodePort" | "LoadBalancer");
    let inside = outside || spec.r#type == "ClusterIP";
    if outside {
        text(&mut spec.external_traffic_policy, POLICY);
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
fn addresses(spec: &mut ServiceSpec) {
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
