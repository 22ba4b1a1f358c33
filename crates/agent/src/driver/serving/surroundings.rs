//! What this node knows of addresses by itself, against which it holds what masters tell: a second check.
//!
//! Masters refuse ranges that cannot be a node's and addresses that cannot be a Pod's. But administrators may
//! write what they like, and one slip must not lead the traffic of every host, this one's own included, to some node.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use api::{
    Cidr,
    discovery_v1::EndpointSlice,
    kinds::{Resource as _, core::service::KUBERNETES},
    well_known::{DEFAULT_NAMESPACE, SERVICE_NAME_LABEL},
};
use proxy::{Net, NetError, is_special};

/// Ranges that are local to every host or its link, or mean many hosts: no node can have them.
const NOBODYS: [&str; 4] = ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"];

/// The addresses of the cluster and of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// The range of all Pods; `None` on a node that joined before nodes were told.
    pods: Option<Cidr>,
    services: Cidr,
    /// Where this node is reached.
    host: IpAddr,
    /// The networks that this host is on.
    networks: Vec<Cidr>,
    /// The addresses of this host.
    addresses: BTreeSet<IpAddr>,
}

impl Surroundings {
    pub(crate) fn new(pods: Option<Cidr>, services: Cidr, host: IpAddr) -> Self {
        Self { pods, services, host, networks: Vec::new(), addresses: [host].into() }
    }

    pub(crate) fn services(&self) -> Cidr {
        self.services
    }

    /// The same, with the networks and addresses that the kernel reports now.
    pub(crate) async fn seen_now(&self) -> Result<Self, NetError> {
        let mut net = Net::default();
        let networks = net.networks().await?.into_iter().map(|(_, network)| network).collect();
        let addresses = net.addresses().await?.into_iter().chain([self.host]).collect();
        Ok(Self { networks, addresses, ..self.clone() })
    }

    /// Why a range cannot be that of a node's Pods.
    pub(crate) fn doubt(&self, range: Cidr) -> Option<String> {
        let nobodys =
            || NOBODYS.iter().filter_map(|other| other.parse::<Cidr>().ok()).find(|other| range.overlaps(*other));
        match self.pods {
            Some(pods) if !pods.covers(range) => return Some(format!("it is no part of the Pods' range {pods}")),
            None if let Some(other) = nobodys() => return Some(format!("it overlaps {other}, which is no node's")),
            Some(_) | None => {}
        }
        range.overlaps(self.services).then(|| format!("it overlaps the Services' range {}", self.services))
    }

    /// Why a range cannot be led to another node: this host would lose what it has there.
    pub(crate) fn crossed(&self, range: Cidr) -> Option<String> {
        let network = self.networks.iter().find(|network| network.overlaps(range))?;
        Some(format!("it overlaps {network}, a network of this host"))
    }

    /// A slice without the endpoints that are not believed, and the addresses of those. Where this node itself reaches
    /// masters, the Service `kubernetes` may lead as well, also if that is this host.
    pub(crate) fn believed<'a>(
        &self,
        masters: &BTreeSet<SocketAddr>,
        slice: &'a EndpointSlice,
    ) -> (Cow<'a, EndpointSlice>, Vec<IpAddr>) {
        let may_be = |ip: IpAddr| self.may_be_endpoint(ip) || is_master(masters, slice, ip);
        let doubted = |text: &String| text.parse::<IpAddr>().ok().filter(|ip| !may_be(*ip));
        let found: Vec<IpAddr> = slice.endpoints.iter().flat_map(|one| &one.addresses).filter_map(doubted).collect();
        if found.is_empty() {
            return (Cow::Borrowed(slice), found);
        }
        let mut slice = slice.clone();
        slice.endpoints.retain(|endpoint| !endpoint.addresses.iter().any(|text| doubted(text).is_some()));
        (Cow::Owned(slice), found)
    }

    /// Whether somebody may answer for a Service there: a Pod, or another host. Not this host and what only it can reach,
    /// nor a Service, which would lead on to itself.
    fn may_be_endpoint(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let is_in = |range: Cidr| matches!(ip, IpAddr::V4(ip) if range.contains(ip));
        if is_in(self.services) || self.addresses.contains(&ip) {
            return false;
        }
        // The Pods of `kapelle dev` have loopback addresses.
        self.pods.is_some_and(is_in) || !is_special(ip)
    }
}

/// Whether a slice says of an address that a master answers there, and that is so.
fn is_master(masters: &BTreeSet<SocketAddr>, slice: &EndpointSlice, ip: IpAddr) -> bool {
    let service = slice.metadata().and_then(|meta| meta.labels.get(SERVICE_NAME_LABEL));
    if slice.namespace() != DEFAULT_NAMESPACE || service.is_none_or(|service| service != KUBERNETES) {
        return false;
    }
    let is_theirs = |port: i32| u16::try_from(port).is_ok_and(|port| masters.contains(&SocketAddr::new(ip, port)));
    !slice.ports.is_empty() && slice.ports.iter().all(|port| port.port.is_some_and(is_theirs))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::discovery_v1::{Endpoint, EndpointPort};

    use super::*;

    fn range(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn host() -> Surroundings {
        Surroundings {
            pods: Some(range("10.244.0.0/16")),
            services: range("10.96.0.0/12"),
            host: [192, 168, 7, 2].into(),
            networks: vec![range("192.168.7.0/24"), range("10.244.200.0/24")],
            addresses: ["192.168.7.2", "fd00::2"].map(|text| text.parse().unwrap()).into(),
        }
    }

    /// Of `kapelle dev`.
    fn loopback() -> Surroundings {
        Surroundings::new(Some(range("127.64.0.0/10")), range("127.128.0.0/12"), [127, 0, 0, 1].into())
    }

    #[test]
    fn a_nodes_range_lies_within_the_clusters_and_beside_this_hosts_networks() {
        let doubt = |text: &str| host().doubt(range(text)).unwrap_or_default();
        assert_eq!(doubt("10.244.3.0/24"), "");
        assert_eq!(host().crossed(range("10.244.3.0/24")), None);
        for wrong in ["0.0.0.0/1", "0.0.0.0/0", "10.0.0.0/8", "10.245.0.0/24", "127.0.0.0/8", "192.168.7.0/24"] {
            assert!(doubt(wrong).contains("no part of the Pods' range 10.244.0.0/16"), "{wrong}: {}", doubt(wrong));
        }
        let crossed = host().crossed(range("10.244.200.0/26")).unwrap();
        assert!(crossed.contains("10.244.200.0/24, a network of this host"), "{crossed}");
        assert_eq!(loopback().doubt(range("127.64.0.0/18")), None);
    }

    #[test]
    fn a_node_that_was_not_told_the_pods_range_doubts_what_cannot_be_one() {
        let doubt = |text: &str| Surroundings { pods: None, ..host() }.doubt(range(text)).unwrap_or_default();
        assert_eq!(doubt("10.50.3.0/24"), "");
        for (wrong, why) in [
            ("0.0.0.0/1", "0.0.0.0/8"),
            ("128.0.0.0/1", "169.254.0.0/16"),
            ("127.64.0.0/18", "127.0.0.0/8"),
            ("224.0.0.0/8", "224.0.0.0/3"),
            ("10.96.7.0/24", "the Services' range"),
        ] {
            assert!(doubt(wrong).contains(why), "{wrong}: {}", doubt(wrong));
        }
    }

    /// The addresses of a slice that are believed, and how many are not.
    fn believed(known: &Surroundings, addresses: &[&str]) -> (Vec<String>, usize) {
        let endpoint = |text: &&str| Endpoint { addresses: vec![(*text).to_owned()], ..Endpoint::default() };
        let slice = EndpointSlice { endpoints: addresses.iter().map(endpoint).collect(), ..EndpointSlice::default() };
        let (slice, doubted) = known.believed(&["192.168.7.2:6443".parse().unwrap()].into(), &slice);
        (slice.endpoints.iter().flat_map(|endpoint| endpoint.addresses.clone()).collect(), doubted.len())
    }

    #[test]
    fn the_service_kubernetes_leads_to_masters_of_this_host_and_to_nothing_else_of_it() {
        let masters = ["192.168.7.2:6443", "192.168.7.3:6443"].map(|text| text.parse().unwrap()).into();
        let believed = |namespace: &str, service: &str, address: &str, ports: &[i32]| {
            let endpoint = Endpoint { addresses: vec![address.to_owned()], ..Endpoint::default() };
            let port = |port: &i32| EndpointPort { port: Some(*port), ..EndpointPort::default() };
            let ports = ports.iter().map(port).collect();
            let mut slice = EndpointSlice { endpoints: vec![endpoint], ports, ..EndpointSlice::default() };
            let meta = slice.metadata_mut();
            namespace.clone_into(&mut meta.namespace);
            meta.labels.insert(SERVICE_NAME_LABEL.to_owned(), service.to_owned());
            host().believed(&masters, &slice).1.is_empty()
        };
        assert!(believed("default", "kubernetes", "192.168.7.2", &[6443]));
        for (namespace, service, address, ports) in [
            ("shop", "kubernetes", "192.168.7.2", &[6443][..]),
            ("default", "web", "192.168.7.2", &[6443]),
            ("default", "kubernetes", "192.168.7.2", &[22]),
            ("default", "kubernetes", "192.168.7.2", &[6443, 22]),
            ("default", "kubernetes", "192.168.7.2", &[]),
            ("default", "kubernetes", "127.0.0.1", &[6443]),
        ] {
            assert!(!believed(namespace, service, address, ports), "{namespace}/{service} {address} {ports:?}");
        }
    }

    #[test]
    fn endpoints_are_pods_or_other_hosts() {
        let good = ["10.244.3.7", "192.168.7.3", "203.0.113.9", "fd00::3"];
        let bad = [
            "127.0.0.1",
            "127.64.0.7",
            "0.0.0.0",
            "0.0.0.7",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "192.168.7.2",
            "10.96.0.10",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00::2",
            "::ffff:127.0.0.1",
            "::ffff:192.168.7.2",
        ];
        assert_eq!(believed(&host(), &good), (good.map(ToOwned::to_owned).to_vec(), 0));
        assert_eq!(believed(&host(), &bad), (Vec::new(), bad.len()));
        let mixed = [&good[..], &bad].concat();
        assert_eq!(believed(&host(), &mixed).0, good, "one does not cost the others");
        assert_eq!(believed(&loopback(), &["127.64.0.7", "127.0.0.1", "127.128.0.1"]), (vec!["127.64.0.7".into()], 2));
    }
}
