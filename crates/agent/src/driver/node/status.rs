//! Registering this node: what it is and what it can carry.

use std::{collections::BTreeMap, fs, time::Duration};

use api::{
    Key, Kind, Object, Reason, Subresource,
    conditions::{self, ConditionStatus},
    core_v1::{DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus, NodeSystemInfo},
    kinds::Resource as _,
    meta_v1::Quantity,
};

use tokio::sync::Notify;

use super::{AgentError, World, health::State, now, ranges};

/// How many Pods a node takes: an HTTP Pod that serves nobody costs some KiB and a socket, and a process may have 20,000
/// files on an untuned system.
const PODS_MAX: u64 = 10_000;

/// The first and the last address of a range are never a Pod's.
const RESERVED_ADDRESSES: u64 = 2;

/// How long to wait before the masters are asked again.
const RETRY: Duration = Duration::from_millis(200);

/// Makes the Node object, which the masters made, say what this node is, and keeps it so. Waits for masters that do not
/// answer yet; `known` is told once they have heard. Ends only if they refuse.
pub(crate) async fn keep(world: &World, agent_port: u16, known: &Notify) -> AgentError {
    let mut health = world.health.subscribe();
    loop {
        let state = health.borrow_and_update().clone();
        match once(world, agent_port, &state).await {
            Ok(()) => known.notify_one(),
            Err(error) if error.reason.retryable() || error.reason == Reason::Conflict => {
                tracing::debug!(%error, "waiting for a master");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            Err(error) => return error.into(),
        }
        let is_news = |now: &State| now.forgotten > state.forgotten || !is_settled(world, agent_port, now);
        if health.wait_for(is_news).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether the masters know this node as it is. A node that they gave up has to be heard before it says anything else.
fn is_settled(world: &World, agent_port: u16, state: &State) -> bool {
    let Some(node) = &state.node else { return true };
    let known = node.status.clone().unwrap_or_default();
    let ready: Option<&NodeCondition> = conditions::get(&known.conditions, conditions::READY);
    let is_given_up = ready.is_some_and(|ready| ready.status == ConditionStatus::Unknown.word());
    is_given_up || status(world, agent_port, node, state) == known
}

async fn once(world: &World, agent_port: u16, state: &State) -> Result<(), api::Error> {
    let key = Key::cluster(Kind::Node, world.config.name.as_str());
    let mut node = world.client.get(&key).await?.get::<Node>().cloned().unwrap_or_default();
    let wanted = status(world, agent_port, &node, state);
    if node.status.as_ref() == Some(&wanted) {
        return Ok(());
    }
    node.status = Some(wanted);
    node.metadata_mut().resource_version.clear();
    world.client.update(Object::from(node), Subresource::Status).await.map(drop)
}

/// What the status of the Node should be. Times of conditions that did not change stay.
fn status(world: &World, agent_port: u16, node: &Node, state: &State) -> NodeStatus {
    let capacity = capacity(pods(node));
    let mut status = NodeStatus {
        allocatable: capacity.clone(),
        capacity,
        addresses: vec![address("InternalIP", &world.config.host.to_string()), address("Hostname", &world.config.name)],
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: agent_port.into() }),
        }),
        node_info: Some(system()),
        ..node.status.clone().unwrap_or_default()
    };
    let ready: NodeCondition =
        conditions::new(conditions::READY, ConditionStatus::True, "AgentReady", "the agent takes Pods", now());
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
        conditions::set::<NodeCondition>(&mut status.conditions, conditions::new(kind, holds, reason, message, now()));
    }
    status
}

/// How many Pods the node takes: as many as its range has addresses, since each needs one. None before it has a range.
fn pods(node: &Node) -> u64 {
    ranges::range(node).map_or(0, |range| range.size().saturating_sub(RESERVED_ADDRESSES).min(PODS_MAX))
}

fn address(kind: &str, address: &str) -> NodeAddress {
    NodeAddress { r#type: kind.to_owned(), address: address.to_owned() }
}

/// What this node has, all of which Pods may use.
pub(crate) fn capacity(pods: u64) -> BTreeMap<String, Quantity> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let quantity = |text: String| Quantity { string: text };
    BTreeMap::from([
        ("cpu".to_owned(), quantity(cores.to_string())),
        ("memory".to_owned(), quantity(format!("{}Ki", memory_kib()))),
        ("pods".to_owned(), quantity(pods.to_string())),
    ])
}

/// All memory of the machine, in KiB.
fn memory_kib() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn system() -> NodeSystemInfo {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let release = file("/etc/os-release");
    let os = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    NodeSystemInfo {
        machine_id: file("/etc/machine-id"),
        system_uuid: file("/etc/machine-id"),
        boot_id: file("/proc/sys/kernel/random/boot_id"),
        kernel_version: file("/proc/sys/kernel/osrelease"),
        os_image: os.trim_matches('"').to_owned(),
        container_runtime_version: "wasmtime://48".to_owned(),
        kubelet_version: version.clone(),
        kube_proxy_version: version,
        operating_system: std::env::consts::OS.to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        ..NodeSystemInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use api::core_v1::NodeSpec;

    use super::*;

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
}
