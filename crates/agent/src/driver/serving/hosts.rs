//! Tells the proxy which addresses are the cluster's own: its ranges, and those of nodes and masters.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use api::{Cidr, Object, core_v1::Node};
use http::Uri;
use proxy::Proxy;
use rpc::{Client, Mirror};
use tokio::sync::watch;

use super::map::Map;

/// How often the masters' addresses are looked up again: they may be names.
const MASTERS_EVERY: Duration = Duration::from_secs(10);

/// The port of a URL that names none.
const HTTPS: u16 = 443;

/// Tells the proxy which addresses the Nodes say are theirs, and which their Pods', as far as that is believed.
pub(crate) fn know_nodes(proxy: &Proxy, host: Ipv4Addr, services: Cidr, map: &Map<'_>, nodes: &Mirror) {
    let here: Vec<Cidr> = map.own.into_iter().chain([services]).collect();
    let elsewhere: Vec<Cidr> = map.others.keys().copied().collect();
    let addresses: BTreeSet<IpAddr> = addresses(nodes).chain([IpAddr::V4(host)]).collect();
    proxy.learn(|ranges| {
        ranges.here.clone_from(&here);
        ranges.elsewhere.clone_from(&elsewhere);
        ranges.nodes.clone_from(&addresses);
    });
}

/// The addresses that Nodes say are theirs.
fn addresses(nodes: &Mirror) -> impl Iterator<Item = IpAddr> {
    let statuses = nodes.objects().filter_map(Object::get::<Node>).filter_map(|node| node.status.as_ref());
    statuses.flat_map(|status| &status.addresses).filter_map(|address| address.address.parse().ok())
}

/// Tells the proxy, and whoever else wants to know, where this node reaches masters, for ever.
pub(crate) async fn follow_masters(client: Client, proxy: Proxy, masters: watch::Sender<BTreeSet<SocketAddr>>) {
    loop {
        know_masters(&client, &proxy, &masters).await;
        tokio::time::sleep(MASTERS_EVERY).await;
    }
}

/// Tells where this node reaches masters. What a name meant before stays in force while it cannot be looked up.
pub(crate) async fn know_masters(client: &Client, proxy: &Proxy, masters: &watch::Sender<BTreeSet<SocketAddr>>) {
    let mut found = look_up(&client.masters()).await;
    if !found.is_complete {
        found.addresses.extend(&*masters.borrow());
    }
    proxy.learn(|ranges| ranges.masters.clone_from(&found.addresses));
    masters.send_if_modified(|known| {
        let is_news = *known != found.addresses;
        *known = found.addresses;
        is_news
    });
}

/// Where masters are.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    addresses: BTreeSet<SocketAddr>,
    /// Every name could be looked up.
    is_complete: bool,
}

async fn look_up(urls: &[String]) -> Found {
    let mut found = Found { addresses: BTreeSet::new(), is_complete: true };
    for url in urls {
        let Some(authority) = url.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned()) else { continue };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = authority.port_u16().unwrap_or(HTTPS);
        match tokio::net::lookup_host((host, port)).await {
            Ok(all) => found.addresses.extend(all.map(|address| SocketAddr::new(address.ip().to_canonical(), port))),
            Err(error) => {
                tracing::debug!(%error, url, "the address of a master cannot be looked up");
                found.is_complete = false;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::core_v1::{NodeAddress, NodeStatus};
    use proxy::Denied;

    use super::*;
    use crate::driver::testing;

    #[tokio::test]
    async fn pods_do_not_reach_the_addresses_that_nodes_say_are_theirs() {
        let address = |text: &str| NodeAddress { r#type: "InternalIP".to_owned(), address: text.to_owned() };
        let addresses = ["203.0.113.9", "a-name", "fd00::9"].map(address).to_vec();
        let node = Node { status: Some(NodeStatus { addresses, ..NodeStatus::default() }), ..Node::default() };
        let mut nodes = Mirror::default();
        nodes.take(Ok(testing::added([node])));
        nodes.take(Ok(testing::synced()));
        let (proxy, _news) = Proxy::new(proxy::Config { allow_external: true });

        know_nodes(&proxy, [203, 0, 113, 1].into(), "10.96.0.0/12".parse().unwrap(), &Map::default(), &nodes);

        let pod = IpAddr::from([10, 244, 0, 7]);
        for text in ["203.0.113.9:80", "[fd00::9]:80", "203.0.113.1:80"] {
            let to = text.parse().unwrap();
            assert!(matches!(proxy.way(to, pod), Err(Denied::Host(_))), "{text}: {:?}", proxy.way(to, pod));
        }
        let nobody = proxy.way("10.96.0.7:80".parse().unwrap(), pod);
        assert!(matches!(nobody, Err(Denied::Nobody(_))), "{nobody:?}");
    }

    #[tokio::test]
    async fn masters_are_found_by_address_of_either_family() {
        let urls = ["https://192.0.2.1:6443", "https://[2001:db8::1]", "https://[::ffff:192.0.2.2]:6443", "?"];
        let found = look_up(&urls.map(ToOwned::to_owned)).await;
        let addresses = ["192.0.2.1:6443", "192.0.2.2:6443", "[2001:db8::1]:443"];
        let addresses = addresses.map(|text| text.parse().unwrap()).into();
        assert_eq!(found, Found { addresses, is_complete: true });
    }
}
