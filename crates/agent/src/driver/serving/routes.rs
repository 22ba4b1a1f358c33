//! The ranges of addresses of this and the other nodes, kept as routes of this host.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use api::{Cidr, Object, core_v1::Node, event::EventType};
use proxy::{Net, Proxy, Way};
use rpc::Mirror;
use tokio::sync::watch;

use super::{
    hosts,
    listening::Keeper,
    map::{Map, summary, trouble},
    surroundings::Surroundings,
};
use crate::{
    Event,
    driver::{clock::now, inbox::Inbox, memory::Remembered, node::health::Health, reports::Reports},
};

/// How long to wait before routes are tried again that the kernel refused.
const RETRY: Duration = Duration::from_secs(5);

/// How often the routes are compared with those of the kernel: a link that was down has lost those over it.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Who this node is, and whom its routes concern.
pub(crate) struct Routing {
    /// The node's name.
    pub(crate) node: String,
    /// The node's own address.
    pub(crate) host: Ipv4Addr,
    /// What this node knows of addresses by itself, kept up to date here.
    pub(crate) surroundings: watch::Sender<Surroundings>,
    pub(crate) proxy: Proxy,
    pub(crate) health: Arc<Health>,
    pub(crate) reports: Reports,
    pub(crate) inbox: Inbox,
}

/// The routes of this host.
pub(crate) struct Routes {
    with: Routing,
    net: Net,
    keeper: Keeper,
    /// The range that the brain knows.
    told: Option<Cidr>,
    unrouted: Complaint,
    refused: Complaint,
}

/// What users are told of this node, once.
struct Complaint {
    reason: &'static str,
    last: String,
}

impl Routes {
    /// Makes the addresses of Services this host's, before anybody listens on them: a host that was just started has no route.
    pub(crate) async fn begin(with: Routing) -> Self {
        let mut net = Net::default();
        let services = with.surroundings.borrow().services();
        // What is refused here is tried again, and told, with everything else.
        let _ = net.add(services, Way::Here).await;
        hosts::know_nodes(&with.proxy, with.host, services, &Map::default(), &Mirror::default());
        let [unrouted, refused] =
            ["RoutesFailed", "RangeRefused"].map(|reason| Complaint { reason, last: String::new() });
        Self { with, net, keeper: Keeper::default(), told: None, unrouted, refused }
    }

    /// Follows the Nodes for ever: routes their ranges, and tells the brain this node's own once its addresses work.
    pub(crate) async fn follow(mut self, mut nodes: Remembered) {
        let mut mirror = Mirror::default();
        let (mut is_known, mut wait) = (false, LOOK_EVERY);
        loop {
            let look = tokio::select! {
                Some(update) = nodes.next() => mirror.take(update),
                () = tokio::time::sleep(wait), if is_known => true,
            };
            if look {
                is_known = true;
                wait = if self.settle(&mirror).await { LOOK_EVERY } else { RETRY };
            }
        }
    }

    /// Makes everything as the Nodes say; returns whether all of it worked.
    async fn settle(&mut self, nodes: &Mirror) -> bool {
        let surroundings = look_around(&self.with.surroundings).await;
        let services = surroundings.services();
        let map = Map::of(&self.with.node, &surroundings, nodes);
        hosts::know_nodes(&self.with.proxy, self.with.host, services, &map, nodes);
        self.with.health.saw(map.node);
        let refusals = match self.net.set(&map.ways).await {
            Ok(refusals) => refusals,
            Err(error) => vec![error],
        };
        self.keeper.follow(&self.with.proxy, map.own, &map.ways);
        let trouble = trouble(services, &map, &refusals);
        self.with.health.network(trouble, map.without(&refusals), map.others.len());
        self.unrouted.say(&self.with.reports, map.node, summary(&refusals));
        self.refused.say(&self.with.reports, map.node, summary(&map.refused));
        let fails = |range: Cidr| refusals.iter().any(|refusal| refusal.range().is_none_or(|failed| failed == range));
        if let Some(own) = map.own.filter(|own| self.told != Some(*own) && !fails(*own)) {
            self.told = Some(own);
            self.with.inbox.say(Event::Range(own.to_string())).await;
        }
        refusals.is_empty()
    }
}

impl Complaint {
    /// Says it unless that was said last.
    fn say(&mut self, reports: &Reports, node: Option<&Node>, complaint: String) {
        if self.last != complaint && !complaint.is_empty() {
            tracing::error!("{complaint}");
            if let Some(node) = node {
                let node = Object::from(node.clone());
                reports.event(&node, EventType::Warning, self.reason, &complaint, now());
            }
        }
        self.last = complaint;
    }
}

/// What this host is like now. What the kernel does not tell stays as it was.
async fn look_around(surroundings: &watch::Sender<Surroundings>) -> Surroundings {
    let known = surroundings.borrow().clone();
    let seen = match known.seen_now().await {
        Ok(seen) => seen,
        Err(error) => {
            tracing::warn!(%error, "the kernel does not tell the networks of this host");
            known
        }
    };
    surroundings.send_if_modified(|known| std::mem::replace(known, seen.clone()) != seen);
    seen
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{core_v1::NodeSpec, kinds::Resource as _};

    use super::*;
    use crate::driver::testing;

    /// Nodes with ranges within 127.0.0.0/8, which need no route and no privilege.
    fn nodes(nodes: &[(&str, &str)]) -> Mirror {
        let node = |(name, range): &(&str, &str)| {
            let spec = NodeSpec { pod_cidr: (*range).to_owned(), ..NodeSpec::default() };
            let mut node = Node { spec: Some(spec), ..Node::default() };
            (*name).clone_into(&mut node.metadata_mut().name);
            node
        };
        let mut mirror = Mirror::default();
        mirror.take(Ok(testing::added(nodes.iter().map(node))));
        mirror.take(Ok(testing::synced()));
        mirror
    }

    #[tokio::test]
    async fn the_brain_hears_of_its_range_once_and_users_of_one_that_is_refused() {
        let (inbox, mut events) = Inbox::new();
        let (proxy, _news) = Proxy::new(proxy::Config { allow_external: false });
        let (pods, services) = ("127.64.0.0/10".parse().unwrap(), "127.128.0.0/12".parse().unwrap());
        let host = Ipv4Addr::LOCALHOST;
        let surroundings = watch::Sender::new(Surroundings::new(Some(pods), services, host.into()));
        let (health, reports) = (Arc::new(Health::new()), Reports::new("n1"));
        let with = Routing {
            node: "n1".to_owned(),
            host,
            surroundings,
            proxy,
            health: health.clone(),
            reports: reports.clone(),
            inbox,
        };
        let mut routes = Routes::begin(with).await;

        let whole = nodes(&[("n1", "127.64.0.0/18")]);
        assert!(routes.settle(&whole).await && routes.settle(&whole).await);
        assert!(matches!(events.try_recv().unwrap(), Event::Range(range) if range == "127.64.0.0/18"));
        assert!(events.try_recv().is_err(), "it is told once");
        assert!(health.subscribe().borrow().network_trouble().is_none());
        assert!(reports.is_empty());

        routes.settle(&nodes(&[("n1", "10.0.0.0/24")])).await;
        let trouble = health.subscribe().borrow().network_trouble().unwrap();
        assert_eq!(trouble.reason, "RangeRefused");
        assert!(!reports.is_empty() && events.try_recv().is_err());
    }
}
