//! The ranges of addresses of this and the other nodes, kept as routes of this host.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

use api::{Cidr, Object, core_v1::Node, event::EventType, kinds::Resource as _};
use proxy::{Net, NetError, Way};
use rpc::Query;

use super::{World, health::Trouble, listening::Keeper, mirror::Mirror, network, now};
use crate::Event;

/// How long to wait before routes are tried again that the kernel refused.
const RETRY: Duration = Duration::from_secs(5);

/// How often it is looked whether the routes are still there: a link that was down has lost those over it.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// The routes of this host.
pub(crate) struct Routes {
    net: Net,
    keeper: Keeper,
    /// The range that the brain knows.
    told: Option<Cidr>,
    /// The last complaint, so that it is not repeated.
    complaint: String,
}

impl Routes {
    /// Makes the addresses of Services this host's, before anybody listens on them: a host that was just started has no route.
    pub(crate) async fn begin(world: &World) -> Self {
        let mut net = Net::default();
        // What is refused here is tried again, and told, with everything else.
        let _ = net.add(world.config.services, Way::Here).await;
        Self { net, keeper: Keeper::default(), told: None, complaint: String::new() }
    }

    /// Follows the Nodes for ever: routes their ranges, and tells the brain this node's own once its addresses work.
    pub(crate) async fn follow(mut self, world: Arc<World>) {
        let mut nodes = world.watch(Query::all(api::Kind::Node));
        let mut mirror = Mirror::default();
        let (mut is_known, mut wait) = (false, LOOK_EVERY);
        loop {
            let look = tokio::select! {
                Some(update) = nodes.next() => mirror.take(update),
                () = tokio::time::sleep(wait), if is_known => true,
            };
            if look {
                is_known = true;
                network::know_nodes(&world, &mirror);
                wait = if self.settle(&world, &mirror).await { LOOK_EVERY } else { RETRY };
            }
        }
    }

    /// Answers whether everything is as it should be.
    async fn settle(&mut self, world: &World, mirror: &Mirror) -> bool {
        let map = Map::of(world, mirror);
        world.health.saw(map.node);
        let refusals = match self.net.set(&map.ways).await {
            Ok(refusals) => refusals,
            Err(error) => vec![error],
        };
        self.keeper.follow(world, map.own, &map.ways);
        world.health.network(trouble(world.config.services, &map, &refusals), map.without(&refusals), map.others.len());
        self.complain(world, map.node, &refusals);
        let fails = |range: Cidr| refusals.iter().any(|refusal| refusal.range().is_none_or(|failed| failed == range));
        if let Some(own) = map.own.filter(|own| self.told != Some(*own) && !fails(*own)) {
            self.told = Some(own);
            world.say(Event::Range(own.to_string())).await;
        }
        refusals.is_empty()
    }

    /// Tells users what cannot be routed, when it changes.
    fn complain(&mut self, world: &World, node: Option<&Node>, refusals: &[NetError]) {
        let complaint = summary(refusals);
        if self.complaint != complaint && !refusals.is_empty() {
            tracing::error!("{complaint}");
            if let Some(node) = node {
                let node = Object::from(node.clone());
                world.reports.event(&node, EventType::Warning, "RoutesFailed", &complaint, now());
            }
        }
        self.complaint = complaint;
    }
}

/// Where the ranges of the cluster are.
struct Map<'a> {
    /// This node.
    node: Option<&'a Node>,
    /// This node's range.
    own: Option<Cidr>,
    ways: BTreeMap<Cidr, Way>,
    /// The names of the other nodes, by their ranges.
    others: BTreeMap<Cidr, &'a str>,
}

impl<'a> Map<'a> {
    fn of(world: &World, mirror: &'a Mirror) -> Self {
        let ways = BTreeMap::from([(world.config.services, Way::Here)]);
        let mut map = Self { node: None, own: None, ways, others: BTreeMap::new() };
        for node in mirror.objects().filter_map(Object::get::<Node>) {
            let is_own = node.name() == world.config.name;
            map.node = if is_own { Some(node) } else { map.node };
            match (range(node), address(node)) {
                (Some(range), _) if is_own => {
                    map.own = Some(range);
                    map.ways.insert(range, Way::Here);
                }
                (Some(range), Some(address)) => {
                    map.ways.insert(range, Way::Via(address));
                    map.others.insert(range, node.name());
                }
                (Some(_) | None, _) => {}
            }
        }
        map
    }
}

impl Map<'_> {
    /// The nodes to which there is no way.
    fn without(&self, refusals: &[NetError]) -> Vec<String> {
        let ranges = refusals.iter().filter_map(NetError::range);
        ranges.filter_map(|range| self.others.get(&range)).map(|name| (*name).to_owned()).collect()
    }
}

/// The range of addresses that a node was given.
pub(crate) fn range(node: &Node) -> Option<Cidr> {
    node.spec.as_ref()?.pod_cidr.parse().ok()
}

fn address(node: &Node) -> Option<Ipv4Addr> {
    let addresses = &node.status.as_ref()?.addresses;
    addresses.iter().find(|address| address.r#type == "InternalIP")?.address.parse().ok()
}

/// Why this node is not reached by Pods elsewhere, or does not reach them: it has no addresses of its own, or no way to most
/// of the others. A single node to which there is no way is that node's trouble.
fn trouble(services: Cidr, map: &Map<'_>, refusals: &[NetError]) -> Option<Trouble> {
    let is_here = |refusal: &&NetError| refusal.range().is_none_or(|range| range == services || map.own == Some(range));
    if let Some(refusal) = refusals.iter().find(is_here) {
        return Some(Trouble { reason: "RoutesFailed", message: refusal.to_string() });
    }
    let is_most = 2 * refusals.len() > map.others.len();
    is_most.then(|| Trouble { reason: "NoRouteToNodes", message: summary(refusals) })
}

fn summary(refusals: &[NetError]) -> String {
    match refusals {
        [] => String::new(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn map(own: Option<&str>, others: &[&str]) -> Map<'static> {
        let others = others.iter().map(|range| (range.parse().unwrap(), "another")).collect();
        Map { node: None, own: own.map(|own| own.parse().unwrap()), ways: BTreeMap::new(), others }
    }

    fn beside(range: &str) -> NetError {
        NetError::NotBeside { range: range.parse().unwrap(), node: Ipv4Addr::new(10, 9, 0, 1) }
    }

    #[test]
    fn a_node_is_cut_off_if_it_has_no_addresses_or_no_way_to_most_others() {
        let services = "10.96.0.0/12".parse().unwrap();
        let reason = |map: &Map<'_>, refusals: &[NetError]| trouble(services, map, refusals).map(|found| found.reason);
        let all = map(Some("10.244.0.0/24"), &["10.244.1.0/24", "10.244.2.0/24"]);
        assert_eq!(reason(&all, &[]), None);
        assert_eq!(reason(&all, &[beside("10.244.1.0/24")]), None, "that is the other's trouble");
        assert_eq!(reason(&all, &[beside("10.244.1.0/24"), beside("10.244.2.0/24")]), Some("NoRouteToNodes"));
        for range in ["10.244.0.0/24", "10.96.0.0/12"] {
            assert_eq!(reason(&all, &[NetError::NotPermitted(range.parse().unwrap())]), Some("RoutesFailed"));
        }
        let told = trouble(services, &map(None, &["10.244.1.0/24"]), &[beside("10.244.1.0/24")]).unwrap().message;
        assert!(told.contains("10.9.0.1") && told.contains("--address"), "{told}");
    }
}
