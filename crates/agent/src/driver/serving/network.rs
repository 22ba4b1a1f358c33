//! What a guest can reach: the Services of the cluster by name and address, and outside hosts if that is allowed.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use api::{Cidr, Object, core_v1::Node};
use http::Uri;
use proxy::{Denied, Resolved};
use sandbox::{Name, Network, Refusal, SendError};

use super::{World, mirror::Mirror, ranges::Map};

/// How often the masters' addresses are looked up again: they may be names.
const MASTERS_EVERY: Duration = Duration::from_secs(10);

/// The network of a Pod in a namespace.
pub(crate) fn of(world: Arc<World>, address: Ipv4Addr, namespace: String) -> Network {
    let address = IpAddr::V4(address);
    let namespace: Arc<str> = namespace.into();
    let (resolver, connector, listener, sender) = (world.clone(), world.clone(), world.clone(), world);
    let resolve_in = namespace.clone();
    Network {
        ip: Some(address),
        resolve: Arc::new(move |name| match resolver.proxy.resolve(name, &resolve_in) {
            Resolved::Inside(inside) => Name::Known(inside.addresses),
            // The addresses of hosts outside are asked about when they are connected to, like all others.
            Resolved::Outside(name) if resolver.config.allow_external => Name::Outside(name),
            Resolved::Nobody | Resolved::Outside(_) => Name::Unknown,
        }),
        connect: Arc::new(move |to| connector.proxy.way(to, address).map_err(refused)),
        listen: Arc::new(move |at| Box::new(listener.proxy.listening(at))),
        send: Arc::new(move |request, _| {
            let (world, namespace) = (sender.clone(), namespace.clone());
            Box::pin(async move { world.proxy.send(request, &namespace, address).await.map_err(refusal) })
        }),
    }
}

fn refused(denied: Denied) -> Refusal {
    match denied {
        Denied::Host(_) | Denied::Outside(_) => Refusal::Denied,
        Denied::Nobody(_) => Refusal::NobodyListens,
    }
}

fn refusal(error: proxy::SendError) -> SendError {
    match error {
        proxy::SendError::Uri(what) => SendError::Refused(what),
        proxy::SendError::NoEndpoint(host) => SendError::Refused(format!("nobody answers for {host}")),
        proxy::SendError::NoService(host) | proxy::SendError::Outside(host) => SendError::NameUnknown(host),
        proxy::SendError::Service(failure) => SendError::Broken(failure.into()),
        proxy::SendError::Denied(_) => SendError::Denied,
        proxy::SendError::Connection(error) => SendError::Broken(error.into()),
    }
}

/// Tells the proxy which addresses the Nodes say are theirs, and which their Pods', as far as that is believed.
pub(crate) fn know_nodes(world: &World, map: &Map<'_>, nodes: &Mirror) {
    let mut addresses = BTreeSet::from([IpAddr::V4(world.config.host)]);
    let here: Vec<Cidr> = map.own.into_iter().chain([world.config.services]).collect();
    let elsewhere: Vec<Cidr> = map.others.keys().copied().collect();
    for node in nodes.objects().filter_map(Object::get::<Node>) {
        let status = node.status.iter().flat_map(|status| &status.addresses);
        addresses.extend(status.filter_map(|address| address.address.parse::<IpAddr>().ok()));
    }
    world.proxy.learn(|ranges| {
        ranges.here.clone_from(&here);
        ranges.elsewhere.clone_from(&elsewhere);
        ranges.nodes.clone_from(&addresses);
    });
}

/// Tells the proxy, for ever, where the masters are.
pub(crate) async fn follow_masters(world: Arc<World>) {
    loop {
        know_masters(&world).await;
        tokio::time::sleep(MASTERS_EVERY).await;
    }
}

/// Tells the proxy where the masters are. What a name meant before stays in force while it cannot be looked up.
pub(crate) async fn know_masters(world: &World) {
    let mut addresses = BTreeSet::new();
    let mut complete = true;
    for url in world.client.masters() {
        let Some(authority) = url.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned()) else { continue };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        match tokio::net::lookup_host((host, authority.port_u16().unwrap_or_default())).await {
            Ok(found) => addresses.extend(found.map(|address| address.ip().to_canonical())),
            Err(error) => {
                tracing::debug!(%error, url, "the address of a master cannot be looked up");
                complete = false;
            }
        }
    }
    world.proxy.learn(|ranges| {
        if complete {
            ranges.masters.clear();
        }
        ranges.masters.extend(&addresses);
    });
}
