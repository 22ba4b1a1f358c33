//! EndpointSlices.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::{
    Subresource, Timestamp,
    discovery_v1::{Endpoint, EndpointPort, EndpointSlice},
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        Cell, Column, Common,
        columns::{AGE, NAME, text},
        some_of,
    },
    validate::{
        Causes, PROTOCOLS, Path,
        limits::{ADDRESSES_MAX, ENDPOINTS_MAX, SLICE_PORTS_MAX},
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];

const COLUMNS: &[Column] = &[
    NAME,
    text("AddressType", "What the addresses are: IPv4, IPv6 or names."),
    text("Ports", "The ports of the endpoints."),
    text("Endpoints", "The addresses of the endpoints."),
    AGE,
];

const SAMPLE: &str = "\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: hello-1
  namespace: default
  labels: {kubernetes.io/service-name: hello}
addressType: IPv4
endpoints:
- addresses: [10.64.1.7]
  conditions: {ready: true}
ports:
- {name: http, port: 8080, protocol: TCP}
";

pub(crate) struct EndpointSliceStrategy;

impl Strategy for EndpointSliceStrategy {
    type Object = EndpointSlice;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, slice: &mut EndpointSlice) {
        for port in &mut slice.ports {
            port.name.get_or_insert_default();
            port.protocol.get_or_insert_with(|| "TCP".to_owned());
        }
    }

    fn validate(&self, causes: &mut Causes, slice: &EndpointSlice) {
        validate(causes, slice);
    }

    fn validate_update(&self, causes: &mut Causes, old: &EndpointSlice, new: &EndpointSlice) {
        if old.address_type != new.address_type {
            causes.invalid(&Path::Root.field("addressType"), &new.address_type, "field is immutable");
        }
    }

    fn validate_status(&self, _: &mut Causes, _: &EndpointSlice) {}

    fn warn(&self, _: &mut Warnings, _: &EndpointSlice) {}

    fn prepare_for_create(&self, _: &mut EndpointSlice) {}

    fn prepare_for_update(&self, _: &mut EndpointSlice, _: &EndpointSlice) {}

    fn update_status(&self, _: &mut EndpointSlice, _: &EndpointSlice) {}

    fn scale(&self, _: &EndpointSlice) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut EndpointSlice, _: i32) {}

    fn is_new_generation(&self, _: Option<&EndpointSlice>, _: &EndpointSlice, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut EndpointSlice) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &EndpointSlice) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, slice: &mut EndpointSlice, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut slice.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &EndpointSlice) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, slice: &EndpointSlice, common: Common, _: Timestamp) -> Vec<Cell> {
        row(slice, common)
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a EndpointSlice, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn validate(causes: &mut Causes, slice: &EndpointSlice) {
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

fn row(slice: &EndpointSlice, common: Common) -> Vec<Cell> {
    let port = |port: &EndpointPort| match (port.port, &port.name) {
        (Some(number), _) => number.to_string(),
        (None, Some(name)) => name.clone(),
        (None, None) => "*".to_owned(),
    };
    let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses).cloned();
    vec![
        common.name,
        slice.address_type.as_str().into(),
        some_of(slice.ports.iter().map(port), "<unset>").into(),
        some_of(addresses, "<unset>").into(),
        common.age,
    ]
}
