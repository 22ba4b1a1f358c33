//! What Pods may connect to: one question for sockets and HTTP alike, asked about the address that the connection really goes to.
//!
//! A Pod reaches the Services and Pods of the cluster, the API where masters serve it, and, if that is allowed, hosts outside. It
//! reaches nothing else of what belongs to the nodes and masters themselves: their addresses, whatever only this host or its link
//! can reach, and programs of this host that listen on all addresses and so would answer on those of Pods and Services too.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use api::Cidr;
use arc_swap::ArcSwap;

use crate::{locals::Locals, net};

/// Why a Pod may not connect to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It belongs to a node or a master, or means this host, its link, or many hosts at once.
    #[error("Pods may not connect to {0}: it is an address of a node, a master or a local network")]
    Host(IpAddr),
    /// It lies outside, and that is not allowed.
    #[error("{0} is outside the cluster, which is not allowed")]
    Outside(IpAddr),
    /// It is in a range of Pods or Services of this node, but no Pod and no Service answers there.
    #[error("no Pod and no Service answers on {0}")]
    Nobody(SocketAddr),
}

/// What is known about addresses, as the cluster tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// Ranges that are local to this node: its Pods' and the Services'.
    pub here: Vec<Cidr>,
    /// The ranges of the other nodes' Pods.
    pub elsewhere: Vec<Cidr>,
    /// The nodes' own addresses.
    pub nodes: BTreeSet<IpAddr>,
    /// Where the masters serve the API: those ports are all that Pods reach of them.
    pub masters: BTreeSet<SocketAddr>,
}

/// A Pod's own socket that listens; dropping it says that it no longer does.
#[derive(Debug)]
pub struct PodSocket {
    address: SocketAddr,
    sockets: Arc<Sockets>,
}

/// Whose an address is that a Pod may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Another Pod's.
    Pods,
    /// A master's, where it serves the API.
    Masters,
    /// A host's that is not the cluster's.
    Outsiders,
}

/// How many sockets of Pods listen, by address.
type Sockets = Mutex<HashMap<SocketAddr, usize>>;

/// The question.
pub(crate) struct Egress {
    allow_external: bool,
    ranges: ArcSwap<Ranges>,
    locals: Arc<Locals>,
    sockets: Arc<Sockets>,
}

impl Egress {
    pub(crate) fn new(allow_external: bool, locals: Arc<Locals>) -> Self {
        Self { allow_external, ranges: ArcSwap::default(), locals, sockets: Arc::default() }
    }

    /// Whether a Pod may connect to an address. The answer is about this address as it is; whoever looked up a name or a
    /// Service asks about what came of it.
    pub(crate) fn permit(&self, to: SocketAddr) -> Result<Whose, Denied> {
        let to = canonical(to);
        let ranges = self.ranges.load();
        if self.is_pods(to) {
            return Ok(Whose::Pods);
        }
        if ranges.masters.contains(&to) {
            return Ok(Whose::Masters);
        }
        if ranges.nodes.contains(&to.ip()) || ranges.masters.iter().any(|master| master.ip() == to.ip()) {
            return Err(Denied::Host(to.ip()));
        }
        let within = |all: &[Cidr]| matches!(to.ip(), IpAddr::V4(ip) if all.iter().any(|range| range.contains(ip)));
        if within(&ranges.here) {
            return Err(Denied::Nobody(to));
        }
        if within(&ranges.elsewhere) {
            return Ok(Whose::Pods);
        }
        self.outside(to).map(|()| Whose::Outsiders)
    }

    /// Tells what is known about addresses; `change` gets what was known so far.
    pub(crate) fn learn(&self, change: impl Fn(&mut Ranges)) {
        self.ranges.rcu(|known| {
            let mut ranges = Ranges::clone(known);
            change(&mut ranges);
            ranges
        });
    }

    /// A Pod of this node listens on an address with a socket of its own, for as long as what is returned is kept.
    pub(crate) fn listening(&self, address: SocketAddr) -> PodSocket {
        let sockets = Arc::clone(&self.sockets);
        *sockets.lock().unwrap_or_else(PoisonError::into_inner).entry(address).or_default() += 1;
        PodSocket { address, sockets }
    }

    /// Whether a Pod of this node listens there.
    pub(crate) fn is_pods(&self, address: SocketAddr) -> bool {
        self.locals.has(address) || self.sockets.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&address)
    }

    fn outside(&self, to: SocketAddr) -> Result<(), Denied> {
        if is_special(to.ip()) {
            return Err(Denied::Host(to.ip()));
        }
        if !self.allow_external {
            return Err(Denied::Outside(to.ip()));
        }
        if let Some(carried) = carried(to.ip()) {
            self.permit(SocketAddr::new(IpAddr::V4(carried), to.port()))?;
        }
        match net::leads_away(to.ip()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Denied::Host(to.ip())),
            Err(error) => {
                tracing::error!(%error, %to, "the kernel does not say where an address leads; a Pod is kept from it");
                Err(Denied::Host(to.ip()))
            }
        }
    }
}

impl Drop for PodSocket {
    fn drop(&mut self) {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sockets.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                sockets.remove(&self.address);
            }
        }
    }
}

/// An IPv4 address that is written as one of IPv6 counts as what it is.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether an address never leads to another host than this one or its link, or leads to many.
#[must_use]
pub fn is_special(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let this_network = ip.octets()[0] == 0;
            this_network || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast(),
    }
}

/// The IPv4 address that a gateway makes of an IPv6 one: NAT64's well-known prefix, 6to4, and the old compatible form.
fn carried(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match Ipv6Addr::segments(&ip) {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{Denied, Egress, Ranges};
    use std::{net::SocketAddr, sync::Arc};

    fn egress(allow_external: bool) -> Egress {
        let egress = Egress::new(allow_external, Arc::default());
        egress.ranges.store(Arc::new(Ranges {
            here: vec!["127.64.0.0/18".parse().unwrap(), "127.128.0.0/12".parse().unwrap()],
            elsewhere: vec!["127.64.64.0/18".parse().unwrap(), "10.244.1.0/24".parse().unwrap()],
            nodes: ["127.64.64.9".parse().unwrap(), "192.0.2.7".parse().unwrap()].into(),
            masters: ["192.0.2.1:6443", "127.0.0.1:6444"].map(|text| text.parse().unwrap()).into(),
        }));
        egress
    }

    fn ask(egress: &Egress, to: &str) -> Result<(), Denied> {
        egress.permit(to.parse::<SocketAddr>().unwrap()).map(drop)
    }

    #[test]
    fn what_belongs_to_hosts_is_refused_in_every_form() {
        for allow_external in [false, true] {
            let egress = egress(allow_external);
            for host in [
                "127.0.0.1:6443",
                "127.0.0.53:53",
                "127.63.255.255:1",
                "127.64.64.9:80",
                "0.0.0.0:6443",
                "0.1.2.3:80",
                "169.254.169.254:80",
                "224.0.0.1:80",
                "255.255.255.255:80",
                "192.0.2.1:6442",
                "192.0.2.1:22",
                "127.0.0.2:6444",
                "192.0.2.7:22",
                "[::]:6443",
                "[::1]:6443",
                "[fe80::1]:80",
                "[ff02::1]:80",
                "[::ffff:127.0.0.1]:6443",
                "[::ffff:169.254.169.254]:80",
                "[::ffff:192.0.2.1]:443",
                "[::ffff:0.0.0.0]:1",
            ] {
                assert!(matches!(ask(&egress, host), Err(Denied::Host(_))), "{host}: {:?}", ask(&egress, host));
            }
        }
    }

    #[test]
    fn masters_are_reached_where_they_serve_the_api() {
        let egress = egress(false);
        for api in ["192.0.2.1:6443", "[::ffff:192.0.2.1]:6443", "127.0.0.1:6444"] {
            assert_eq!(ask(&egress, api), Ok(()), "{api}");
        }
        egress.learn(|ranges| ranges.masters.clear());
        assert_eq!(ask(&egress, "127.0.0.1:6444"), Err(Denied::Host([127, 0, 0, 1].into())));
        assert_eq!(ask(&egress, "192.0.2.1:6443"), Err(Denied::Outside([192, 0, 2, 1].into())));
    }

    #[test]
    fn an_ipv4_address_that_a_gateway_would_make_of_an_ipv6_one_counts() {
        for host in ["[64:ff9b::7f00:1]:6443", "[64:ff9b::c000:201]:22", "[2002:7f00:1::1]:80", "[::127.0.0.1]:80"] {
            assert!(matches!(ask(&egress(true), host), Err(Denied::Host(_))), "{host}");
        }
    }

    #[test]
    fn what_the_kernel_calls_its_own_is_refused() {
        // The documentation's network is on no interface, so there is no way to it either.
        assert_eq!(
            ask(&egress(true), "203.0.113.1:80").is_ok(),
            crate::net::leads_away([203, 0, 113, 1].into()).unwrap_or(false)
        );
        assert_eq!(ask(&egress(false), "203.0.113.1:80"), Err(Denied::Outside([203, 0, 113, 1].into())));
    }

    #[test]
    fn pods_of_other_nodes_are_reached_and_those_of_this_one_where_they_listen() {
        let egress = egress(false);
        assert_eq!(ask(&egress, "10.244.1.7:8080"), Ok(()));
        assert_eq!(ask(&egress, "127.64.64.10:8080"), Ok(()));
        assert!(
            matches!(ask(&egress, "127.64.0.7:22"), Err(Denied::Nobody(_))),
            "a program of this host may listen there"
        );
        assert!(matches!(ask(&egress, "127.128.0.7:22"), Err(Denied::Nobody(_))));
    }
}
