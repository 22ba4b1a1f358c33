//! The routes of a node: the ranges that it answers for itself, and the ranges that lie behind other nodes.
//!
//! A whole range becomes local with one route (`ip route add local RANGE dev lo`), so no address is configured for a Pod or
//! a Service. Routes carry a protocol number of their own, so that what an earlier run left behind is found and removed.
//! Ranges within 127.0.0.0/8 are local on every host and need no route and no privilege.

use std::{collections::BTreeMap, net::Ipv4Addr};

use api::Cidr;
use futures::TryStreamExt as _;
use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType},
};

/// Marks our routes. Numbers from 5 on are free for routing daemons; none that is registered has this one.
const PROTOCOL: RouteProtocol = RouteProtocol::Other(75);

/// The table of local addresses, by the kernel's convention.
const LOCAL_TABLE: u32 = 255;

/// The loopback interface is the first of every network namespace.
const LOOPBACK_INDEX: u32 = 1;

/// What the kernel answers to those who may not set routes.
const NOT_PERMITTED: i32 = -1;

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
    /// The kernel refused.
    #[error("cannot route {range}: {source}")]
    Refused {
        /// The range.
        range: Cidr,
        /// What the kernel said.
        source: rtnetlink::Error,
    },
    /// The kernel does not tell its routes.
    #[error("cannot read the routes: {0}")]
    Unreadable(rtnetlink::Error),
}

/// The routes of this node. They stay when it is dropped: Pods and Services that no agent looks after keep their addresses
/// for the agent that comes next.
#[derive(Debug, Default)]
pub struct Net {
    /// Opened with the first range that needs a route.
    handle: Option<Handle>,
    set: BTreeMap<Cidr, Way>,
    /// Whether what an earlier run left was looked at.
    swept: bool,
}

impl Net {
    /// Makes exactly these routes ours: sets what is missing, removes what is not wanted any more.
    ///
    /// # Errors
    /// At the first route that cannot be set; the others are tried when this is called again. Call it within a Tokio
    /// runtime.
    pub async fn set(&mut self, wanted: &BTreeMap<Cidr, Way>) -> Result<(), NetError> {
        let wanted: BTreeMap<Cidr, Way> =
            wanted.iter().filter(|(range, _)| !range.base().is_loopback()).map(|(range, way)| (*range, *way)).collect();
        if self.set == wanted {
            return Ok(());
        }
        let handle = self.handle()?;
        if !self.swept {
            sweep(&handle, &wanted).await?;
            self.swept = true;
        }
        let gone: Vec<Cidr> = self.set.keys().filter(|range| !wanted.contains_key(*range)).copied().collect();
        for range in gone {
            if let Some(way) = self.set.remove(&range) {
                // Somebody else may have removed it: it is gone either way.
                let _ = handle.route().del(route(range, way)).execute().await;
            }
        }
        for (range, way) in wanted {
            if self.set.get(&range) != Some(&way) {
                let add = handle.route().add(route(range, way)).replace();
                add.execute().await.map_err(|source| refusal(range, source))?;
                self.set.insert(range, way);
            }
        }
        Ok(())
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

/// Removes routes of ours that an earlier run left and nobody wants.
async fn sweep(handle: &Handle, wanted: &BTreeMap<Cidr, Way>) -> Result<(), NetError> {
    let all = handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
    let routes: Vec<RouteMessage> = all.try_collect().await.map_err(NetError::Unreadable)?;
    for route in routes {
        let is_ours = route.header.protocol == PROTOCOL;
        if is_ours && destination(&route).is_none_or(|range| !wanted.contains_key(&range)) {
            let _ = handle.route().del(route).execute().await;
        }
    }
    Ok(())
}

fn destination(route: &RouteMessage) -> Option<Cidr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(base)) => {
            Cidr::new(*base, route.header.destination_prefix_length).ok()
        }
        _ => None,
    })
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

fn refusal(range: Cidr, source: rtnetlink::Error) -> NetError {
    match &source {
        rtnetlink::Error::NetlinkError(message) if message.raw_code() == NOT_PERMITTED => NetError::NotPermitted(range),
        _ => NetError::Refused { range, source },
    }
}
