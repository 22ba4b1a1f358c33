//! The status of this node's Node: what it is, what it can carry, and how it is.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use api::{
    Error, Key, Kind, Object, Reason, Subresource, Timestamp,
    conditions::{self, ConditionStatus, READY},
    core_v1::{DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus},
    kinds::Resource as _,
};
use rpc::Client;
use tokio::sync::Notify;

use super::{
    health::{Health, State},
    machine, range,
};
use crate::{addresses::RESERVED, driver::clock::now};

/// How many Pods a node takes: an HTTP Pod that serves nobody costs some KiB and a socket, and a process may have 20,000
/// files on an untuned system.
const PODS_MAX: u64 = 10_000;

/// How long to wait before the masters are asked again.
const RETRY: Duration = Duration::from_millis(200);

/// Under which name and addresses this node is reached.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) host: Ipv4Addr,
    /// Where its agent listens.
    pub(crate) port: u16,
}

/// Keeps the status of the Node object, which the masters made, up to date.
pub(crate) struct StatusKeeper {
    pub(crate) client: Client,
    pub(crate) identity: Identity,
    pub(crate) health: Arc<Health>,
}

impl StatusKeeper {
    /// Writes the status whenever it changes. Waits for masters that do not answer yet; `known` is told once they have heard.
    /// Ends only if they refuse, and says why.
    pub(crate) async fn keep(&self, known: &Notify) -> Error {
        let mut health = self.health.subscribe();
        loop {
            let state = health.borrow_and_update().clone();
            match self.write(&state).await {
                Ok(()) => known.notify_one(),
                Err(error) if error.reason.retryable() || error.reason == Reason::Conflict => {
                    tracing::debug!(%error, "waiting for a master");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                Err(error) => return error,
            }
            let is_news = |new: &State| new.forgotten > state.forgotten || !is_settled(&self.identity, new, now());
            if health.wait_for(is_news).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn write(&self, state: &State) -> Result<(), Error> {
        let key = Key::cluster(Kind::Node, self.identity.name.as_str());
        let mut node = self.client.get(&key).await?.get::<Node>().cloned().unwrap_or_default();
        let wanted = status(&self.identity, &node, state, now());
        if node.status.as_ref() == Some(&wanted) {
            return Ok(());
        }
        node.status = Some(wanted);
        node.metadata_mut().resource_version.clear();
        self.client.update(Object::from(node), Subresource::Status).await.map(drop)
    }
}

/// Whether the masters know this node as it is. A node that they gave up has to be heard before it says anything else.
fn is_settled(identity: &Identity, state: &State, now: Timestamp) -> bool {
    let Some(node) = &state.node else { return true };
    let known = node.status.clone().unwrap_or_default();
    let ready: Option<&NodeCondition> = conditions::get(&known.conditions, READY);
    let is_given_up = ready.is_some_and(|ready| ready.status == ConditionStatus::Unknown.word());
    is_given_up || status(identity, node, state, now) == known
}

/// What the status of the Node should be. Times of conditions that did not change stay.
fn status(identity: &Identity, node: &Node, state: &State, now: Timestamp) -> NodeStatus {
    let capacity = machine::capacity(pods(node));
    let mut status = NodeStatus {
        allocatable: capacity.clone(),
        capacity,
        addresses: vec![address("InternalIP", &identity.host.to_string()), address("Hostname", &identity.name)],
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: identity.port.into() }),
        }),
        node_info: Some(machine::system()),
        ..node.status.clone().unwrap_or_default()
    };
    let ready: NodeCondition = conditions::new(READY, ConditionStatus::True, "AgentReady", "the agent takes Pods", now);
    conditions::set(&mut status.conditions, ready);
    let network = state.network_trouble();
    for (kind, trouble, reason, message) in [
        ("MemoryPressure", &None, "AgentHasSufficientMemory", "the agent has sufficient memory available"),
        ("DiskPressure", &state.disk, "AgentHasNoDiskPressure", "the agent has no disk pressure"),
        ("PIDPressure", &None, "AgentHasNoProcesses", "Pods have no processes"),
        ("NetworkUnavailable", &network, "RoutesCreated", "the ranges of the cluster are routed"),
        ("ServicePortsUnavailable", &state.listening, "AllPortsServed", "every address of a Service is listened on"),
    ] {
        let (reason, message) = trouble.as_ref().map_or((reason, message), |it| (it.reason, it.message.as_str()));
        let holds = ConditionStatus::from(trouble.is_some());
        conditions::set::<NodeCondition>(&mut status.conditions, conditions::new(kind, holds, reason, message, now));
    }
    status
}

/// How many Pods the node takes: as many as its range has addresses, since each needs one. None before it has a range.
fn pods(node: &Node) -> u64 {
    range(node).map_or(0, |range| range.size().saturating_sub(RESERVED.into()).min(PODS_MAX))
}

fn address(kind: &str, address: &str) -> NodeAddress {
    NodeAddress { r#type: kind.to_owned(), address: address.to_owned() }
}

#[cfg(test)]
mod tests {
    use api::core_v1::NodeSpec;

    use super::*;
    use crate::driver::node::health::Trouble;

    #[test]
    fn a_node_takes_as_many_pods_as_its_range_has_addresses() {
        let takes = |range: &str| {
            let spec = NodeSpec { pod_cidr: range.to_owned(), ..NodeSpec::default() };
            pods(&Node { spec: Some(spec), ..Node::default() })
        };
        for (range, count) in [("", 0), ("10.244.0.0/30", 2), ("10.244.3.0/24", 254), ("10.244.0.0/16", PODS_MAX)] {
            assert_eq!(takes(range), count, "{range:?}");
        }
    }

    fn identity() -> Identity {
        Identity { name: "n1".to_owned(), host: Ipv4Addr::new(10, 0, 0, 1), port: 10250 }
    }

    fn condition<'a>(status: &'a NodeStatus, kind: &str) -> &'a NodeCondition {
        conditions::get(&status.conditions, kind).expect("it is there")
    }

    #[test]
    fn a_status_tells_where_the_node_is_and_what_troubles_it() {
        let disk = Trouble { reason: "AgentHasDiskPressure", message: "it is full".to_owned() };
        let state = State { disk: Some(disk), ..State::default() };
        let troubled = status(&identity(), &Node::default(), &state, Timestamp(1000));
        let addresses: Vec<&str> = troubled.addresses.iter().map(|address| address.address.as_str()).collect();
        assert_eq!(addresses, ["10.0.0.1", "n1"]);
        assert_eq!(condition(&troubled, READY).status, "True");
        let disk = condition(&troubled, "DiskPressure");
        assert_eq!((disk.status.as_str(), disk.message.as_str()), ("True", "it is full"));
        assert_eq!(condition(&troubled, "NetworkUnavailable").status, "False");

        let node = Node { status: Some(troubled.clone()), ..Node::default() };
        let better = status(&identity(), &node, &State::default(), Timestamp(5000));
        assert_eq!(condition(&better, "DiskPressure").reason, "AgentHasNoDiskPressure");
        let since = |status: &NodeStatus, kind| condition(status, kind).last_transition_time;
        assert_ne!(since(&better, "DiskPressure"), since(&troubled, "DiskPressure"));
        assert_eq!(since(&better, "Ready"), since(&troubled, "Ready"), "that has not changed");
    }

    #[test]
    fn nothing_is_written_that_the_masters_know_or_while_they_have_given_the_node_up() {
        let settled = |node: &Node| {
            let state = State { node: Some(node.clone()), ..State::default() };
            is_settled(&identity(), &state, Timestamp(9000))
        };
        assert!(is_settled(&identity(), &State::default(), Timestamp(0)), "nobody has told of it yet");
        assert!(!settled(&Node::default()), "it says nothing yet");
        let known = status(&identity(), &Node::default(), &State::default(), Timestamp(1000));
        let mut node = Node { status: Some(known), ..Node::default() };
        assert!(settled(&node));
        let status = node.status.get_or_insert_default();
        status.addresses.clear();
        assert!(!settled(&node), "somebody wrote over it");
        let status = node.status.get_or_insert_default();
        conditions::set::<NodeCondition>(
            &mut status.conditions,
            conditions::new(READY, ConditionStatus::Unknown, "NodeStatusUnknown", "", Timestamp(2000)),
        );
        assert!(settled(&node), "it is heard first");
    }
}
