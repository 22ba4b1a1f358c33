//! Addresses of Services, chosen by the user or given here, and node ports that users chose: owned by one Service at a time.
//!
//! Who has what is kept as claims in the state, so that two Services which are created at the same moment on the same
//! address meet in the log: the second is refused there and decided again.

use std::net::Ipv4Addr;

use api::{
    Error, Key, Object,
    core_v1::ServiceSpec,
    error::Cause,
    kinds::{
        Allocation,
        core::service::{HEADLESS, address_claim, is_kubernetes, kubernetes_address, port_claim},
    },
};
use store::Op;

use super::{Decider, valid};

/// The first addresses of the range are left for what a cluster gives fixed addresses, such as its DNS.
const RESERVED_ADDRESSES: u64 = 10;

/// The ports of nodes at which Services of type `NodePort` can be reached: Kubernetes' range.
const NODE_PORTS: std::ops::RangeInclusive<i32> = 30_000..=32_767;

impl Decider<'_> {
    /// Gives an object what it needs, and says what is to be claimed and released with it.
    pub(super) fn allocate(&self, key: &Key, old: Option<&Object>, new: &mut Object) -> Result<Vec<Op>, Error> {
        match new.allocation() {
            Allocation::Nothing => {}
            Allocation::Service(spec) => self.service(key, spec)?,
        }
        let held = old.map(Object::claims).unwrap_or_default();
        let wanted = new.claims();
        let claimed = wanted.difference(&held).map(|name| Op::Claim { name: name.clone(), owner: key.clone() });
        let released = held.difference(&wanted).map(|name| Op::Release { name: name.clone() });
        Ok(claimed.chain(released).collect())
    }

    fn service(&self, key: &Key, spec: &mut ServiceSpec) -> Result<(), Error> {
        let mut causes = Vec::new();
        causes.extend(self.address(key, spec));
        causes.extend(self.node_ports(key, spec));
        valid(key, causes)
    }

    fn address(&self, key: &Key, spec: &mut ServiceSpec) -> Option<Cause> {
        if spec.r#type == "ExternalName" || spec.cluster_ip == HEADLESS {
            return None;
        }
        if !spec.cluster_ip.is_empty() {
            return self.chosen_address(key, &spec.cluster_ip);
        }
        let Some(address) = self.free_address() else {
            let range = self.rules.service_cidr;
            let message =
                format!("Internal error: all addresses of {range} are taken; delete Services or use a larger range");
            return Some(Cause { reason: "InternalError", field: "spec.clusterIPs".to_owned(), message });
        };
        spec.cluster_ip = address.to_string();
        spec.cluster_ips = vec![address.to_string()];
        None
    }

    fn chosen_address(&self, key: &Key, chosen: &str) -> Option<Cause> {
        let range = self.rules.service_cidr;
        if self.view.claim(&address_claim(chosen)) == Some(key) {
            return None;
        }
        let why = match chosen.parse::<Ipv4Addr>() {
            Err(_) => "must be an IPv4 address, \"None\" or empty".to_owned(),
            Ok(address) if !range.contains(address) => {
                format!("failed to allocate IP {address}: the provided IP is not in the valid range {range}")
            }
            Ok(address) if self.taken(key, &address_claim(chosen)) => {
                format!("failed to allocate IP {address}: provided IP is already allocated")
            }
            Ok(address) if address == kubernetes_address(range) && !is_kubernetes(key) => {
                format!("failed to allocate IP {address}: provided IP is kept for the Service default/kubernetes")
            }
            Ok(_) => return None,
        };
        let message = format!("Invalid value: {chosen:?}: {why}");
        Some(Cause { reason: "FieldValueInvalid", field: "spec.clusterIPs".to_owned(), message })
    }

    /// Addresses are given in order as long as nobody else wants one at the same moment; then by chance.
    fn free_address(&self) -> Option<Ipv4Addr> {
        let range = self.rules.service_cidr;
        let usable = range.size().saturating_sub(RESERVED_ADDRESSES + 1);
        // The Service `kubernetes` has one of the others.
        let in_order = (self.view.count(api::Kind::Service) as u64).saturating_sub(1);
        let start = if self.stamp.attempt == 0 { in_order } else { self.stamp.random };
        let address = |step: u64| range.address(RESERVED_ADDRESSES + start.wrapping_add(step) % usable);
        let free = |address: &Ipv4Addr| self.view.claim(&address_claim(&address.to_string())).is_none();
        (0..usable).map(address).find(free)
    }

    /// Ports that a user chose are kept for the Service, as they are wherever nodes open them. None is given: here nobody would
    /// answer at it.
    fn node_ports(&self, key: &Key, spec: &ServiceSpec) -> Vec<Cause> {
        let mut causes = Vec::new();
        for (index, port) in spec.ports.iter().enumerate().filter(|(_, port)| port.node_port != 0) {
            let problem = self.node_port_problem(key, &port.protocol, port.node_port);
            causes.extend(problem.map(|message| Cause {
                reason: "FieldValueInvalid",
                field: format!("spec.ports[{index}].nodePort"),
                message,
            }));
        }
        causes
    }

    fn node_port_problem(&self, key: &Key, protocol: &str, port: i32) -> Option<String> {
        let (first, last) = (NODE_PORTS.start(), NODE_PORTS.end());
        if self.view.claim(&port_claim(protocol, port)) == Some(key) {
            return None;
        }
        if !NODE_PORTS.contains(&port) {
            return Some(format!("Invalid value: {port}: provided port is not in the valid range, {first}-{last}"));
        }
        let taken = self.taken(key, &port_claim(protocol, port));
        taken.then(|| format!("Invalid value: {port}: provided port is already allocated"))
    }

    fn taken(&self, key: &Key, claim: &str) -> bool {
        self.view.claim(claim).is_some_and(|owner| owner != key)
    }
}
