//! What a guest can reach: the Services of the cluster by name and address, and outside hosts if that is allowed.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use proxy::Resolved;
use sandbox::{Network, SendError};

use super::World;

/// The network of a Pod in a namespace.
pub(crate) fn of(world: Arc<World>, address: Ipv4Addr, namespace: String) -> Network {
    let namespace: Arc<str> = namespace.into();
    let (resolver, connector, sender) = (world.clone(), world.clone(), world);
    let resolve_in = namespace.clone();
    Network {
        ip: Some(IpAddr::V4(address)),
        resolve: Arc::new(move |name| match resolver.proxy.resolve(name, &resolve_in) {
            Resolved::Inside(inside) => Some(inside.addresses),
            Resolved::Nobody | Resolved::Outside(_) => None,
        }),
        connect: Arc::new(move |to| connect(&connector, to, address)),
        send: Arc::new(move |request, _| {
            let (world, namespace) = (sender.clone(), namespace.clone());
            Box::pin(async move { world.proxy.send(request, &namespace, IpAddr::V4(address)).await.map_err(refusal) })
        }),
    }
}

/// The Pod behind a Service's address; other Pods and, if allowed, outside hosts as they are. The node's own loopback
/// services, the masters among them, are not the guests' to reach.
fn connect(world: &World, to: SocketAddr, from: Ipv4Addr) -> Option<SocketAddr> {
    if world.proxy.is_service(to) {
        return world.proxy.pick(to, IpAddr::V4(from));
    }
    let is_own = to.ip() == IpAddr::V4(world.config.host) || to.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST);
    let inside = to.ip().is_loopback();
    (!is_own && (inside || world.config.allow_external)).then_some(to)
}

fn refusal(error: proxy::SendError) -> SendError {
    match error {
        proxy::SendError::Uri(what) => SendError::Refused(what),
        proxy::SendError::NoEndpoint(host) => SendError::Refused(format!("nobody answers for {host}")),
        proxy::SendError::NoService(host) | proxy::SendError::Outside(host) => SendError::NameUnknown(host),
        proxy::SendError::Service(failure) => SendError::Broken(failure.into()),
        proxy::SendError::Connection(error) => SendError::Broken(error.into()),
    }
}
