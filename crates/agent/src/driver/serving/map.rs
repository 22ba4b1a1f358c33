//! Where the ranges of addresses of this and the other nodes are, as far as what the Nodes say is believed.

use std::{collections::BTreeMap, fmt, net::Ipv4Addr};

use api::{Cidr, Object, Timestamp, core_v1::Node, kinds::Resource as _};
use proxy::{NetError, Way};
use rpc::Mirror;

use super::surroundings::Surroundings;
use crate::driver::node::{health::Trouble, range};

/// Where the ranges of the cluster are.
#[derive(Default)]
pub(crate) struct Map<'a> {
    /// This node.
    pub(super) node: Option<&'a Node>,
    /// This node's range.
    pub(super) own: Option<Cidr>,
    pub(super) ways: BTreeMap<Cidr, Way>,
    /// The names of the other nodes, by their ranges.
    pub(super) others: BTreeMap<Cidr, &'a str>,
    /// The nodes whose ranges are not believed.
    pub(super) refused: Vec<Refused<'a>>,
}

/// A node whose range is not believed.
pub(super) struct Refused<'a> {
    name: &'a str,
    range: Cidr,
    why: String,
}

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, range, why } = self;
        write!(f, "the range {range} of the node {name:?} is not used: {why}; its Pods are not reached from here")
    }
}

impl<'a> Map<'a> {
    /// The map as the node of this name sees it. Where ranges overlap, this node's own counts, then that of the oldest.
    pub(super) fn of(own: &str, surroundings: &Surroundings, mirror: &'a Mirror) -> Self {
        let mut map = Self { ways: BTreeMap::from([(surroundings.services(), Way::Here)]), ..Self::default() };
        let mut nodes: Vec<&Node> = mirror.objects().filter_map(Object::get::<Node>).collect();
        nodes.sort_by_key(|node| (node.name() != own, age(node), node.name()));
        for node in nodes {
            let is_own = node.name() == own;
            map.node = if is_own { Some(node) } else { map.node };
            let Some(range) = range(node) else { continue };
            // The networks of this host were checked when it started: its own Pods are not cut off by one that came later.
            let others = || if is_own { None } else { surroundings.crossed(range).or_else(|| map.taken(range)) };
            match surroundings.doubt(range).or_else(others) {
                Some(why) => map.refused.push(Refused { name: node.name(), range, why }),
                None if is_own => {
                    map.own = Some(range);
                    map.ways.insert(range, Way::Here);
                }
                None => map.lead(node, range),
            }
        }
        map
    }

    /// Whose range overlaps another one that is used.
    fn taken(&self, range: Cidr) -> Option<String> {
        if let Some(own) = self.own.filter(|own| own.overlaps(range)) {
            return Some(format!("it overlaps {own}, the range of this node"));
        }
        // Those that are used overlap nobody: only the next ones can be in the way.
        let next = [self.others.range(..range).next_back(), self.others.range(range..).next()];
        let (other, name) = next.into_iter().flatten().find(|(other, _)| other.overlaps(range))?;
        Some(format!("it overlaps {other}, the range of the node {name:?}"))
    }

    fn lead(&mut self, node: &'a Node, range: Cidr) {
        if let Some(address) = address(node) {
            self.ways.insert(range, Way::Via(address));
            self.others.insert(range, node.name());
        }
    }
}

impl Map<'_> {
    /// The nodes to which there is no way.
    pub(super) fn without(&self, refusals: &[NetError]) -> Vec<String> {
        let failed = refusals.iter().filter_map(NetError::range).filter_map(|range| self.others.get(&range)).copied();
        let refused = self.refused.iter().filter(|refused| !self.is_own(refused)).map(|refused| refused.name);
        failed.chain(refused).map(ToOwned::to_owned).collect()
    }

    fn is_own(&self, refused: &Refused<'_>) -> bool {
        self.node.is_some_and(|node| node.name() == refused.name)
    }
}

/// When a node was made.
fn age(node: &Node) -> Option<Timestamp> {
    node.metadata()?.creation_timestamp.as_ref().map(Timestamp::from)
}

fn address(node: &Node) -> Option<Ipv4Addr> {
    let addresses = &node.status.as_ref()?.addresses;
    addresses.iter().find(|address| address.r#type == "InternalIP")?.address.parse().ok()
}

/// Why this node is not reached by Pods elsewhere, or does not reach them: it has no addresses of its own, or no way to most
/// of the others. A single node to which there is no way is that node's trouble.
pub(super) fn trouble(services: Cidr, map: &Map<'_>, refusals: &[NetError]) -> Option<Trouble> {
    if let Some(refused) = map.refused.iter().find(|refused| map.is_own(refused)) {
        return Some(Trouble { reason: "RangeRefused", message: refused.to_string() });
    }
    let is_here = |refusal: &&NetError| refusal.range().is_none_or(|range| range == services || map.own == Some(range));
    if let Some(refusal) = refusals.iter().find(is_here) {
        return Some(Trouble { reason: "RoutesFailed", message: refusal.to_string() });
    }
    let is_most = 2 * refusals.len() > map.others.len();
    is_most.then(|| Trouble { reason: "NoRouteToNodes", message: summary(refusals) })
}

/// All of what is refused, in one line.
pub(super) fn summary(refusals: &[impl fmt::Display]) -> String {
    match refusals {
        [] => String::new(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::core_v1::{NodeAddress, NodeSpec, NodeStatus};

    use super::*;
    use crate::driver::testing;

    fn map(own: Option<&str>, others: &[&str]) -> Map<'static> {
        let others = others.iter().map(|range| (range.parse().unwrap(), "another")).collect();
        Map { own: own.map(|own| own.parse().unwrap()), others, ..Map::default() }
    }

    /// Nodes with their ranges, the oldest first.
    fn nodes(nodes: &[(&str, &str)]) -> Mirror {
        let node = |(age, (name, range)): (i64, &(&str, &str))| {
            let address = format!("192.168.0.{}", age + 1);
            let addresses = vec![NodeAddress { r#type: "InternalIP".to_owned(), address }];
            let mut node = Node {
                spec: Some(NodeSpec { pod_cidr: (*range).to_owned(), ..NodeSpec::default() }),
                status: Some(NodeStatus { addresses, ..NodeStatus::default() }),
                ..Node::default()
            };
            let metadata = node.metadata_mut();
            (*name).clone_into(&mut metadata.name);
            metadata.creation_timestamp = Some(Timestamp(age * 1000).into());
            node
        };
        let mut mirror = Mirror::default();
        mirror.take(Ok(testing::added((0..).zip(nodes).map(node))));
        mirror.take(Ok(testing::synced()));
        mirror
    }

    #[test]
    fn a_range_that_can_be_no_nodes_is_not_used_and_the_node_is_named() {
        let known = Surroundings::new(
            Some("10.244.0.0/16".parse().unwrap()),
            "10.96.0.0/12".parse().unwrap(),
            [192, 168, 0, 2].into(),
        );
        let mirror = nodes(&[
            ("w2", "10.244.2.0/24"),
            ("w1", "10.244.1.0/24"),
            ("all", "0.0.0.0/1"),
            ("double", "10.244.2.128/25"),
            ("mine", "10.244.0.0/23"),
            ("services", "10.100.0.0/24"),
        ]);
        let map = Map::of("w1", &known, &mirror);
        let ways: Vec<String> = map.ways.keys().map(ToString::to_string).collect();
        assert_eq!(ways, ["10.96.0.0/12", "10.244.1.0/24", "10.244.2.0/24"]);
        assert_eq!(map.own, Some("10.244.1.0/24".parse().unwrap()));
        let refused: Vec<String> = map.refused.iter().map(ToString::to_string).collect();
        for (told, words) in refused.iter().zip([
            ["0.0.0.0/1 of the node \"all\"", "no part of the Pods' range"],
            ["10.244.2.128/25 of the node \"double\"", "the range of the node \"w2\""],
            ["10.244.0.0/23 of the node \"mine\"", "the range of this node"],
            ["10.100.0.0/24 of the node \"services\"", "no part of the Pods' range"],
        ]) {
            assert!(words.iter().all(|word| told.contains(word)), "{told}");
        }
        assert_eq!(refused.len(), 4);
        assert_eq!(map.without(&[]), ["all", "double", "mine", "services"]);
        assert!(trouble(known.services(), &map, &[]).is_none(), "that is the others' trouble");

        let map = Map::of("all", &known, &mirror);
        assert_eq!((map.own, map.ways.len()), (None, 3), "its own counts as little");
        assert_eq!(trouble(known.services(), &map, &[]).unwrap().reason, "RangeRefused");
        assert!(!map.without(&[]).contains(&"all".to_owned()));
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
