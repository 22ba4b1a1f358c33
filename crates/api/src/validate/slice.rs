//! EndpointSlices.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    causes::{Causes, Path},
    limits::{ADDRESSES_MAX, ENDPOINTS_MAX, SLICE_PORTS_MAX},
    names,
};
use crate::discovery_v1::{Endpoint, EndpointPort, EndpointSlice};

/// What a port may speak.
pub(super) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];

pub(super) fn slice(causes: &mut Causes, slice: &EndpointSlice) {
    let kind = slice.address_type.as_str();
    causes.required_one_of(&Path::Root.field("addressType"), kind, &ADDRESS_TYPES);
    let at = Path::Root.field("endpoints");
    if causes.at_most(&at, slice.endpoints.len(), ENDPOINTS_MAX) {
        for (index, found) in slice.endpoints.iter().enumerate() {
            endpoint(causes, found, kind, &at.index(index));
        }
    }
    ports(causes, &slice.ports, &Path::Root.field("ports"));
}

fn endpoint(causes: &mut Causes, endpoint: &Endpoint, kind: &str, at: &Path<'_>) {
    let addresses = at.field("addresses");
    if endpoint.addresses.is_empty() {
        causes.required(&addresses, "must contain at least 1 address");
    }
    let few = causes.at_most(&addresses, endpoint.addresses.len(), ADDRESSES_MAX);
    for (index, address) in endpoint.addresses.iter().enumerate().filter(|_| few) {
        let at = addresses.index(index);
        match kind {
            "IPv4" if address.parse::<Ipv4Addr>().is_err() => {
                causes.invalid(&at, address, "must be a valid IPv4 address");
            }
            "IPv6" if address.parse::<Ipv6Addr>().is_err() => {
                causes.invalid(&at, address, "must be a valid IPv6 address");
            }
            "FQDN" => causes.syntax(&at, address, names::dns_subdomain),
            _ => {}
        }
    }
    if let Some(name) = &endpoint.hostname {
        causes.syntax(&at.field("hostname"), name, names::dns_label);
    }
    if let Some(name) = &endpoint.node_name {
        causes.syntax(&at.field("nodeName"), name, names::dns_subdomain);
    }
}

fn ports(causes: &mut Causes, ports: &[EndpointPort], at: &Path<'_>) {
    if !causes.at_most(at, ports.len(), SLICE_PORTS_MAX) {
        return;
    }
    let name = |port: &EndpointPort| port.name.clone().unwrap_or_default();
    for (index, port) in ports.iter().enumerate() {
        let at = at.index(index);
        let own = name(port);
        if !own.is_empty() {
            causes.syntax(&at.field("name"), &own, names::dns_label);
        }
        if ports[..index].iter().any(|other| name(other) == own) {
            causes.duplicate(&at.field("name"), &own);
        }
        if let Some(protocol) = &port.protocol {
            causes.one_of(&at.field("protocol"), protocol, &PROTOCOLS);
        }
        if let Some(number) = port.port {
            causes.port(&at.field("port"), number);
        }
    }
}

pub(super) fn update(causes: &mut Causes, old: &EndpointSlice, new: &EndpointSlice) {
    if old.address_type != new.address_type {
        causes.invalid(&Path::Root.field("addressType"), &new.address_type, "field is immutable");
    }
}
