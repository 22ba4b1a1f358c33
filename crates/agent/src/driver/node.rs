//! Registering this node: what it is and what it can carry.

use std::{collections::BTreeMap, fs, time::Duration};

use api::{
    Key, Kind, Object, Reason, Subresource,
    conditions::{self, ConditionStatus},
    core_v1::{
        DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo,
    },
    kinds::Resource as _,
    meta_v1::Quantity,
};

use super::{AgentError, World, now};

/// How many Pods a node takes: an HTTP Pod that serves nobody costs some KiB and a socket, and a process may have 20,000
/// files on an untuned system.
const PODS_MAX: u64 = 10_000;

/// How long to wait before the masters are asked again.
const RETRY: Duration = Duration::from_millis(200);

/// Makes the Node object say what this node is. Waits for masters that do not answer yet.
pub(crate) async fn register(world: &World, agent_port: u16) -> Result<(), AgentError> {
    loop {
        match once(world, agent_port).await {
            Ok(()) => return Ok(()),
            Err(error) if error.reason.retryable() || error.reason == Reason::Conflict => {
                tracing::info!(%error, "waiting for a master");
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn once(world: &World, agent_port: u16) -> Result<(), api::Error> {
    let key = Key::cluster(Kind::Node, world.config.name.as_str());
    let mut node = match world.client.get(&key).await {
        Ok(object) => object.get::<Node>().cloned().unwrap_or_default(),
        Err(error) if error.reason == Reason::NotFound => create(world).await?,
        Err(error) => return Err(error),
    };
    node.status = Some(status(world, agent_port, node.status.take().unwrap_or_default()));
    node.metadata_mut().resource_version.clear();
    world.client.update(Object::from(node), Subresource::Status).await.map(drop)
}

async fn create(world: &World) -> Result<Node, api::Error> {
    let mut node = Node { spec: Some(NodeSpec::default()), ..Node::default() };
    let meta = node.metadata_mut();
    meta.name.clone_from(&world.config.name);
    meta.labels = BTreeMap::from([
        ("kubernetes.io/hostname".to_owned(), world.config.name.clone()),
        ("kubernetes.io/os".to_owned(), std::env::consts::OS.to_owned()),
        ("kubernetes.io/arch".to_owned(), "wasm".to_owned()),
    ]);
    let made = world.client.create(Object::from(node)).await?;
    Ok(made.get::<Node>().cloned().unwrap_or_default())
}

fn status(world: &World, agent_port: u16, before: NodeStatus) -> NodeStatus {
    let capacity = capacity();
    let mut status = NodeStatus {
        allocatable: capacity.clone(),
        capacity,
        addresses: vec![address("InternalIP", &world.config.host.to_string()), address("Hostname", &world.config.name)],
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: agent_port.into() }),
        }),
        node_info: Some(system()),
        ..before
    };
    let ready: NodeCondition =
        conditions::new("Ready", ConditionStatus::True, "AgentReady", "the agent takes Pods", now());
    conditions::set(&mut status.conditions, ready);
    for (kind, reason, message) in [
        ("MemoryPressure", "AgentHasSufficientMemory", "the agent has sufficient memory available"),
        ("DiskPressure", "AgentHasNoDiskPressure", "the agent has no disk pressure"),
        ("PIDPressure", "AgentHasNoProcesses", "Pods have no processes"),
    ] {
        let calm: NodeCondition = conditions::new(kind, ConditionStatus::False, reason, message, now());
        conditions::set(&mut status.conditions, calm);
    }
    status
}

fn address(kind: &str, address: &str) -> NodeAddress {
    NodeAddress { r#type: kind.to_owned(), address: address.to_owned() }
}

fn capacity() -> BTreeMap<String, Quantity> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let quantity = |text: String| Quantity { string: text };
    BTreeMap::from([
        ("cpu".to_owned(), quantity(cores.to_string())),
        ("memory".to_owned(), quantity(format!("{}Ki", memory_kib()))),
        ("pods".to_owned(), quantity(PODS_MAX.to_string())),
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
