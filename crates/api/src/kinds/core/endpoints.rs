//! Endpoints: what came before EndpointSlices.

use std::{borrow::Cow, collections::BTreeSet, net::IpAddr};

use crate::{
    Subresource, Timestamp,
    core_v1::{EndpointAddress, EndpointSubset, Endpoints},
    defaults,
    kinds::{Allocation, Scale, deletion, strategy::Strategy},
    table::{
        self, Cell, Column, Common, NONE,
        columns::{AGE, NAME, text},
    },
    validate::{
        Causes, PROTOCOLS, Path,
        limits::{ENDPOINTS_MAX, SLICE_PORTS_MAX, SMALL_LIST_MAX},
        names::{self, Syntax},
    },
    warnings::Warnings,
};

const COLUMNS: &[Column] = &[NAME, text("Endpoints", "The addresses and ports that are ready."), AGE];

const SAMPLE: &str = "\
apiVersion: v1
kind: Endpoints
metadata:
  name: hello
  namespace: default
subsets:
- addresses:
  - {ip: 10.64.1.7}
  ports:
  - {name: http, port: 8080, protocol: TCP}
";

pub(crate) struct EndpointsStrategy;

impl Strategy for EndpointsStrategy {
    type Object = Endpoints;

    fn name_syntax(&self) -> Syntax {
        names::dns_subdomain
    }

    fn hides_values(&self) -> bool {
        false
    }

    fn apply_defaults(&self, endpoints: &mut Endpoints) {
        for port in endpoints.subsets.iter_mut().flat_map(|subset| &mut subset.ports) {
            defaults::text(&mut port.protocol, "TCP");
        }
    }

    fn validate(&self, causes: &mut Causes, endpoints: &Endpoints) {
        let at = Path::Root.field("subsets");
        let few = causes.at_most(&at, endpoints.subsets.len(), SMALL_LIST_MAX);
        for (index, found) in endpoints.subsets.iter().enumerate().filter(|_| few) {
            subset(causes, found, &at.index(index));
        }
    }

    fn validate_update(&self, _: &mut Causes, _: &Endpoints, _: &Endpoints) {}

    fn validate_status(&self, _: &mut Causes, _: &Endpoints) {}

    fn warn(&self, warnings: &mut Warnings, _: &Endpoints) {
        warnings.say("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned());
    }

    fn prepare_for_create(&self, _: &mut Endpoints) {}

    fn prepare_for_update(&self, _: &mut Endpoints, _: &Endpoints) {}

    fn update_status(&self, _: &mut Endpoints, _: &Endpoints) {}

    fn scale(&self, _: &Endpoints) -> Option<Scale> {
        None
    }

    fn set_replicas(&self, _: &mut Endpoints, _: i32) {}

    fn is_new_generation(&self, _: Option<&Endpoints>, _: &Endpoints, _: Subresource) -> bool {
        false
    }

    fn allocation<'a>(&self, _: &'a mut Endpoints) -> Allocation<'a> {
        Allocation::Nothing
    }

    fn claims(&self, _: &Endpoints) -> BTreeSet<String> {
        BTreeSet::new()
    }

    fn mark_for_deletion(&self, endpoints: &mut Endpoints, _: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
        deletion::mark_now(&mut endpoints.metadata, now);
        Ok(())
    }

    fn is_held(&self, _: &Endpoints) -> bool {
        false
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn row(&self, endpoints: &Endpoints, common: Common, _: Timestamp) -> Vec<Cell> {
        vec![common.name, shown(endpoints).into(), common.age]
    }

    fn fields(&self) -> Vec<&str> {
        Vec::new()
    }

    fn field<'a>(&self, _: &'a Endpoints, _: usize) -> Cow<'a, str> {
        Cow::default()
    }

    fn sample(&self) -> &str {
        SAMPLE
    }
}

fn subset(causes: &mut Causes, subset: &EndpointSubset, at: &Path<'_>) {
    if subset.addresses.is_empty() && subset.not_ready_addresses.is_empty() {
        causes.required(at, "must specify `addresses` or `notReadyAddresses`");
    }
    addresses(causes, &subset.addresses, &at.field("addresses"));
    addresses(causes, &subset.not_ready_addresses, &at.field("notReadyAddresses"));
    let at = at.field("ports");
    let few = causes.at_most(&at, subset.ports.len(), SLICE_PORTS_MAX);
    for (index, port) in subset.ports.iter().enumerate().filter(|_| few) {
        let at = at.index(index);
        if port.name.is_empty() && subset.ports.len() > 1 {
            causes.required(&at.field("name"), "");
        } else if !port.name.is_empty() {
            causes.syntax(&at.field("name"), &port.name, names::dns_label);
        }
        causes.port(&at.field("port"), port.port);
        causes.one_of(&at.field("protocol"), &port.protocol, &PROTOCOLS);
    }
}

fn addresses(causes: &mut Causes, addresses: &[EndpointAddress], at: &Path<'_>) {
    let few = causes.at_most(at, addresses.len(), ENDPOINTS_MAX);
    for (index, address) in addresses.iter().enumerate().filter(|_| few) {
        let at = at.index(index);
        if address.ip.parse::<IpAddr>().is_err() {
            causes.invalid(
                &at.field("ip"),
                &address.ip,
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            );
        }
        if !address.hostname.is_empty() {
            causes.syntax(&at.field("hostname"), &address.hostname, names::dns_label);
        }
        if let Some(name) = &address.node_name {
            causes.syntax(&at.field("nodeName"), name, names::dns_subdomain);
        }
    }
}

/// The first few addresses with their ports, and how many more there are.
fn shown(endpoints: &Endpoints) -> String {
    let pairs = |subset: &EndpointSubset| {
        let ports = subset.ports.clone();
        let one = move |address: &EndpointAddress| match ports.as_slice() {
            [] => vec![address.ip.clone()],
            ports => ports.iter().map(|port| format!("{}:{}", address.ip, port.port)).collect(),
        };
        subset.addresses.iter().flat_map(one).collect::<Vec<_>>()
    };
    table::some_of(endpoints.subsets.iter().flat_map(pairs), NONE)
}
