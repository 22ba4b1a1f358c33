//! What the state says of nodes: which Pods, addresses and Events are whose.

use std::net::Ipv4Addr;

use api::{
    Key, Kind, Object,
    core_v1::{Event, Node},
    encoded, pod,
};
use store::{Record, View};

/// Which node other than `but` has an address. On loopback, where nothing is routed, all nodes share one.
pub(crate) fn holder(view: &View, address: Ipv4Addr, but: &str) -> Option<String> {
    if address.is_loopback() {
        return None;
    }
    let text = address.to_string();
    let has = |object: &Object| {
        let status = object.get::<Node>().and_then(|node| node.status.as_ref());
        status.is_some_and(|status| status.addresses.iter().any(|known| known.address == text))
    };
    let mut others = view.list(Kind::Node, None, None).filter(|record| &*record.key.name != but);
    others.find(|record| has(&record.object())).map(|record| record.key.name.to_string())
}

/// The host and port at which a node's agent answers, as the node says.
pub(crate) fn agent(node: &Node) -> Option<(&str, i32)> {
    let status = node.status.as_ref()?;
    let address = status.addresses.iter().find(|address| address.r#type == "InternalIP")?;
    let port = status.daemon_endpoints.as_ref()?.kubelet_endpoint.as_ref()?.port;
    (port != 0).then_some((address.address.as_str(), port))
}

/// Whether a Pod is there and bound to a node.
pub(crate) fn is_bound(view: &View, key: &Key, node: &str) -> bool {
    key.kind == Kind::Pod && view.get(key).is_some_and(|record| is_on(record, node))
}

/// Whether the record of a Pod says that it is bound to a node.
pub(crate) fn is_on(pod: &Record, node: &str) -> bool {
    !node.is_empty() && encoded::text(&pod.bytes, &pod::NODE_NAME) == node
}

/// The node that tells of an event.
pub(crate) fn source_host(event: &Event) -> &str {
    event.source.as_ref().map_or("", |source| &source.host)
}
