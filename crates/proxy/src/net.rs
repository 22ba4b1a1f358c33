//! The routes of a node: the ranges that are its own, and the ranges that lie behind other nodes.
//!
//! A whole range becomes local with one route (`ip route add local RANGE dev lo`), so no address is configured for a Pod or
//! a Service. Routes carry a protocol number of their own, so that what an earlier run left behind is found and removed.
//! Ranges within 127.0.0.0/8 are local on every host and need no route and no privilege.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr},
};

use api::Cidr;
use futures::TryStreamExt as _;
use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage},
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType},
    },
    sys::{Socket, SocketAddr as KernelAddress, protocols::NETLINK_ROUTE},
};

/// Marks our routes. Numbers from 5 on are free for routing daemons; none that is registered has this one.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(75);

/// The table of local addresses, by the kernel's convention.
const LOCAL_TABLE: u32 = 255;

/// The loopback interface is the first of every network namespace.
const LOOPBACK_INDEX: u32 = 1;

/// What the kernel answers to those who may not set routes.
const NOT_PERMITTED: i32 = -1;

/// What the kernel answers if the next host is on no network of this one: ENETUNREACH and EHOSTUNREACH.
const UNREACHABLE: [i32; 2] = [-101, -113];

/// Where packets for a range go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To this node.
    Here,
    /// To the node with this address, which must be on a network that this one is on.
    Via(Ipv4Addr),
}

/// Why routes cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// There is no netlink socket.
    #[error("cannot talk to the kernel about routes")]
    Socket(#[from] std::io::Error),
    /// The process has no right to.
    #[error(
        "not permitted to route {0}: run as root or with CAP_NET_ADMIN, or found the cluster with ranges within \
         127.0.0.0/8, which need no routes but stay on one host"
    )]
    NotPermitted(Cidr),
    /// The other node is on no network that this one is on.
    #[error(
        "cannot route {range} to the node at {node}: no network of this host has that address; nodes must be on one network, \
         or give each an address on one with --address"
    )]
    NotBeside {
        /// The range.
        range: Cidr,
        /// The node.
        node: Ipv4Addr,
    },
    /// The kernel refused.
    #[error("cannot route {range}: {source}")]
    Refused {
        /// The range.
        range: Cidr,
        /// What the kernel said.
        source: rtnetlink::Error,
    },
    /// The kernel does not tell its routes or addresses.
    #[error("cannot read the routes: {0}")]
    Unreadable(rtnetlink::Error),
}

impl NetError {
    /// The range that has no route because of it; `None` if it is all of them.
    #[must_use]
    pub fn range(&self) -> Option<Cidr> {
        match self {
            Self::NotPermitted(range) | Self::NotBeside { range, .. } | Self::Refused { range, .. } => Some(*range),
            Self::Socket(_) | Self::Unreadable(_) => None,
        }
    }
}

/// The routes of this node. They stay when it is dropped: Pods and Services that no agent looks after keep their addresses
/// for the agent that comes next.
#[derive(Debug, Default)]
pub struct Net {
    /// Opened with the first range that needs a route.
    handle: Option<Handle>,
}

impl Net {
    /// Sets one route, and leaves the others as they are. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// If it cannot be set.
    pub async fn add(&mut self, range: Cidr, way: Way) -> Result<(), NetError> {
        if range.base().is_loopback() {
            return Ok(());
        }
        let add = self.handle()?.route().add(route(range, way)).replace();
        add.execute().await.map_err(|source| refusal(range, way, source))
    }

    /// Makes exactly these routes ours: removes what is not wanted any more, sets what is missing, whoever took it away.
    /// Returns what could not be set; the rest is as it should be. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// If the routes that there are cannot be read.
    pub async fn set(&mut self, wanted: &BTreeMap<Cidr, Way>) -> Result<Vec<NetError>, NetError> {
        let wanted: BTreeMap<Cidr, Way> =
            wanted.iter().filter(|(range, _)| !range.base().is_loopback()).map(|(range, way)| (*range, *way)).collect();
        if wanted.is_empty() && self.handle.is_none() {
            return Ok(Vec::new());
        }
        let present = self.sweep(&wanted).await?;
        let mut refusals = Vec::new();
        for (range, way) in wanted {
            if present.get(&range) != Some(&way)
                && let Err(refusal) = self.add(range, way).await
            {
                refusals.push(refusal);
            }
        }
        Ok(refusals)
    }

    /// Removes our routes that nobody wants, also those that an earlier run left. Returns those that stay.
    async fn sweep(&mut self, wanted: &BTreeMap<Cidr, Way>) -> Result<BTreeMap<Cidr, Way>, NetError> {
        let handle = self.handle()?;
        let all = handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
        let routes: Vec<RouteMessage> = all.try_collect().await.map_err(NetError::Unreadable)?;
        let mut present = BTreeMap::new();
        for route in routes.into_iter().filter(|route| route.header.protocol == PROTOCOL) {
            match meaning(&route) {
                Some((range, way)) if wanted.get(&range) == Some(&way) => drop(present.insert(range, way)),
                // Somebody else may have removed it: it is gone either way.
                Some(_) | None => drop(handle.route().del(route).execute().await),
            }
        }
        Ok(present)
    }

    /// The networks that this host is on, with its own address in each, loopback left out. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub async fn networks(&mut self) -> Result<Vec<(Ipv4Addr, Cidr)>, NetError> {
        let addresses = self.interfaces().await?;
        Ok(addresses.iter().filter_map(network).filter(|(own, _)| !own.is_loopback()).collect())
    }

    /// The addresses that the interfaces of this host have. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// If the kernel does not tell.
    pub async fn addresses(&mut self) -> Result<Vec<IpAddr>, NetError> {
        Ok(self.interfaces().await?.iter().filter_map(address).collect())
    }

    async fn interfaces(&mut self) -> Result<Vec<AddressMessage>, NetError> {
        self.handle()?.address().get().execute().try_collect().await.map_err(NetError::Unreadable)
    }

    fn handle(&mut self) -> Result<Handle, NetError> {
        if let Some(handle) = &self.handle {
            return Ok(handle.clone());
        }
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        self.handle = Some(handle.clone());
        Ok(handle)
    }
}

/// Whether packets to an address leave this host, as the kernel would send them now; `false` for all of its own addresses, for
/// broadcasts, and where there is no way. The kernel answers at once, so that this does not block.
pub(crate) fn leads_away(to: IpAddr) -> io::Result<bool> {
    let bits = if to.is_ipv4() { 32 } else { 128 };
    let question = RouteMessageBuilder::<IpAddr>::new().destination_prefix(to, bits).map_err(io::Error::other)?.build();
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(question));
    message.header.flags = NLM_F_REQUEST;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let socket = Socket::new(NETLINK_ROUTE)?;
    socket.send_to(&bytes, &KernelAddress::new(0, 0), 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    Ok(match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => route.header.kind == RouteType::Unicast,
        // The kernel knows no way.
        _ => false,
    })
}

/// An address of this host. The kernel calls it local, and an IPv6 one just an address.
fn address(message: &AddressMessage) -> Option<IpAddr> {
    let all = || message.attributes.iter();
    let local = all().find_map(|one| if let AddressAttribute::Local(own) = one { Some(*own) } else { None });
    local.or_else(|| all().find_map(|one| if let AddressAttribute::Address(own) = one { Some(*own) } else { None }))
}

fn network(message: &AddressMessage) -> Option<(Ipv4Addr, Cidr)> {
    let Some(IpAddr::V4(own)) = address(message) else { return None };
    Cidr::around(own, message.header.prefix_len).ok().map(|network| (own, network))
}

/// What one of our routes leads where.
fn meaning(route: &RouteMessage) -> Option<(Cidr, Way)> {
    let range = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(base)) => {
            Cidr::new(*base, route.header.destination_prefix_length).ok()
        }
        _ => None,
    });
    let via = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(node)) => Some(Way::Via(*node)),
        _ => None,
    });
    let here = (route.header.kind == RouteType::Local).then_some(Way::Here);
    range.zip(here.or(via))
}

fn route(range: Cidr, way: Way) -> RouteMessage {
    let route =
        RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(range.base(), range.prefix()).protocol(PROTOCOL);
    match way {
        Way::Here => route
            .kind(RouteType::Local)
            .scope(RouteScope::Host)
            .table_id(LOCAL_TABLE)
            .output_interface(LOOPBACK_INDEX)
            .build(),
        Way::Via(node) => route.gateway(node).build(),
    }
}

fn refusal(range: Cidr, way: Way, source: rtnetlink::Error) -> NetError {
    let code = if let rtnetlink::Error::NetlinkError(message) = &source { message.raw_code() } else { 0 };
    match way {
        _ if code == NOT_PERMITTED => NetError::NotPermitted(range),
        Way::Via(node) if UNREACHABLE.contains(&code) => NetError::NotBeside { range, node },
        Way::Via(_) | Way::Here => NetError::Refused { range, source },
    }
}

#[cfg(test)]
mod tests {
    use super::{Net, leads_away};

    #[tokio::test]
    async fn the_kernel_tells_the_addresses_of_its_interfaces() {
        let addresses = Net::default().addresses().await.expect("netlink is there for everybody");
        assert!(addresses.contains(&[127, 0, 0, 1].into()), "{addresses:?}");
    }

    #[test]
    fn the_kernel_knows_its_own_addresses() {
        for own in ["127.0.0.1", "127.99.1.2", "::1"] {
            let own = own.parse().expect("an address");
            assert!(!leads_away(own).expect("netlink is there for everybody"), "{own}");
        }
    }
}
