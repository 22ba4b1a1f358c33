//! The ranges of addresses of this and the other nodes, kept as routes of this host.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use api::{Cidr, Key, Kind, Object, core_v1::Node, event::EventType};
use futures::StreamExt as _;
use proxy::{Net, NetError, Way};
use rpc::Query;

use super::{World, mirror::Mirror, now};
use crate::Event;

/// How long to wait before routes are tried again that the kernel refused.
const RETRY: Duration = Duration::from_secs(5);

/// Follows the Nodes for ever: routes their ranges, and tells the brain this node's own once its addresses work.
pub(crate) async fn follow(world: Arc<World>) {
    let mut nodes = pin!(world.client.watch(Query::all(Kind::Node), None));
    let mut mirror = Mirror::default();
    let mut routes = Routes { net: Net::default(), told: None, complaint: String::new() };
    let mut again = false;
    loop {
        let is_news = tokio::select! {
            Some(update) = nodes.next() => mirror.take(update),
            () = tokio::time::sleep(RETRY), if again => true,
        };
        if is_news {
            again = !routes.follow(&world, &mirror).await;
        }
    }
}

struct Routes {
    net: Net,
    /// The range that the brain knows.
    told: Option<Cidr>,
    /// The last complaint, so that it is not repeated.
    complaint: String,
}

impl Routes {
    /// Answers whether everything is as it should be.
    async fn follow(&mut self, world: &World, mirror: &Mirror) -> bool {
        let (own, wanted) = wanted(&world.config.name, world.config.services, mirror);
        if let Err(error) = self.net.set(&wanted).await {
            self.complain(world, &error).await;
            return false;
        }
        self.complaint.clear();
        if let Some(own) = own.filter(|own| self.told != Some(*own)) {
            self.told = Some(own);
            world.say(Event::Range(own.to_string())).await;
        }
        true
    }

    async fn complain(&mut self, world: &World, error: &NetError) {
        let complaint = error.to_string();
        if self.complaint == complaint {
            return;
        }
        tracing::error!(%error, "the routes of this node are not complete");
        if let Ok(node) = world.client.get(&Key::cluster(Kind::Node, world.config.name.as_str())).await {
            world.reports.event(&node, EventType::Warning, "RoutesFailed", &complaint, now());
        }
        self.complaint = complaint;
    }
}

/// This node's range, and the way of every range of the cluster.
fn wanted(name: &str, services: Cidr, mirror: &Mirror) -> (Option<Cidr>, BTreeMap<Cidr, Way>) {
    let mut ways = BTreeMap::from([(services, Way::Here)]);
    let mut own = None;
    for node in mirror.objects().filter_map(Object::get::<Node>) {
        let Some(range) = node.spec.as_ref().and_then(|spec| spec.pod_cidr.parse::<Cidr>().ok()) else { continue };
        if node.metadata.as_ref().is_some_and(|meta| meta.name == name) {
            own = Some(range);
            ways.insert(range, Way::Here);
        } else if let Some(address) = address(node) {
            ways.insert(range, Way::Via(address));
        }
    }
    (own, ways)
}

fn address(node: &Node) -> Option<std::net::Ipv4Addr> {
    let addresses = &node.status.as_ref()?.addresses;
    addresses.iter().find(|address| address.r#type == "InternalIP")?.address.parse().ok()
}
