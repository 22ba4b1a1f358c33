//! Who answers on the cluster's addresses of this node: the packet filter that keeps others away, and what is said of
//! addresses on which the proxy cannot listen.

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use api::{Cidr, event::EventType};
use proxy::{News, Shield, Way};
use tokio::sync::mpsc;

use super::{World, health::Trouble, now};

/// How many problems the condition names; the Events of the Services have them all.
const NAMED_MAX: usize = 5;

/// The packet filter, and for which ranges it was set.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    ranges: Vec<Cidr>,
    shield: Option<Shield>,
}

impl Keeper {
    /// Keeps the ranges of this node to those who listen on their addresses, and tells the proxy who its fellows are.
    pub(crate) fn follow(&mut self, world: &World, own: Option<Cidr>, ways: &BTreeMap<Cidr, Way>) {
        let (source, others) = sources(own, ways);
        world.proxy.set_nodes(source, others);
        world.proxy.listen_again();
        let ranges: Vec<Cidr> = ways.iter().filter(|(_, way)| **way == Way::Here).map(|(range, _)| *range).collect();
        if self.ranges == ranges {
            return;
        }
        match Shield::new(&ranges) {
            // The new rules stand before the old ones go.
            Ok(shield) => self.shield = Some(shield),
            Err(error) => tracing::warn!(%error, "the addresses of Services and Pods are not kept from other daemons"),
        }
        self.ranges = ranges;
    }
}

/// The addresses from which proxies pass requests on: the first one of each node's range, which no Pod gets. Ranges within
/// 127.0.0.0/8 have no other node behind them.
fn sources(own: Option<Cidr>, ways: &BTreeMap<Cidr, Way>) -> (Option<IpAddr>, HashSet<IpAddr>) {
    let source = |range: &Cidr| Some(IpAddr::V4(range.base())).filter(|base| !base.is_loopback());
    let others = ways.iter().filter(|(_, way)| matches!(way, Way::Via(_)));
    (own.as_ref().and_then(source), others.filter_map(|(range, _)| source(range)).collect())
}

/// Tells users on which addresses the proxy cannot listen: an Event at the Service or Pod, and a condition of the Node.
pub(crate) async fn report(world: Arc<World>, mut news: mpsc::UnboundedReceiver<News>) {
    let mut problems: BTreeMap<SocketAddr, String> = BTreeMap::new();
    while let Some(first) = news.recv().await {
        let more = std::iter::from_fn(|| news.try_recv().ok());
        for one in std::iter::once(first).chain(more).collect::<Vec<_>>() {
            match one {
                News::Failed(problem) => {
                    tracing::warn!(about = %problem.about, "{}", problem.message);
                    if let Ok(object) = world.client.get(&problem.about).await {
                        world.reports.event(&object, EventType::Warning, "ListenFailed", &problem.message, now());
                    }
                    problems.insert(problem.address, format!("{}: {}", problem.about, problem.message));
                }
                News::Mended(address) => drop(problems.remove(&address)),
            }
        }
        world.health.listening(trouble(&problems));
    }
}

fn trouble(problems: &BTreeMap<SocketAddr, String>) -> Option<Trouble> {
    let mut named: Vec<&str> = problems.values().take(NAMED_MAX).map(String::as_str).collect();
    let more = format!("and {} more", problems.len().saturating_sub(NAMED_MAX));
    if problems.len() > NAMED_MAX {
        named.push(&more);
    }
    (!named.is_empty()).then(|| Trouble { reason: "ListenFailed", message: named.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_names_some_problems_and_counts_the_rest() {
        let problem = |port: u16| (SocketAddr::from(([10, 0, 0, 1], port)), format!("problem {port}"));
        assert_eq!(trouble(&BTreeMap::new()), None);
        let some = trouble(&(1..=7).map(problem).collect()).map(|trouble| trouble.message).unwrap_or_default();
        assert_eq!(some, "problem 1; problem 2; problem 3; problem 4; problem 5; and 2 more");
    }

    #[test]
    fn requests_are_passed_on_from_addresses_that_no_pod_has() {
        let range = |text: &str| text.parse::<Cidr>().expect("a range");
        let via = Way::Via([192, 168, 0, 2].into());
        let ways = BTreeMap::from([
            (range("10.43.0.0/16"), Way::Here),
            (range("10.42.0.0/24"), Way::Here),
            (range("10.42.1.0/24"), via),
        ]);
        let (own, others) = sources(Some(range("10.42.0.0/24")), &ways);
        assert_eq!((own, others), (Some([10, 42, 0, 0].into()), [[10, 42, 1, 0].into()].into()));
        assert_eq!(sources(Some(range("127.64.0.0/18")), &BTreeMap::new()), (None, HashSet::new()));
    }
}
