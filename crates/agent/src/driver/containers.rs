//! Running containers: starting them with all they need, stopping them, and telling how they ended.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    core_v1::{self, Pod},
    expansion::{Environment, TooLarge},
    kinds::Resource as _,
    pod,
};
use futures::FutureExt as _;
use proxy::LocalHandler;
use sandbox::{Container, Exit, ExitReason, HttpHandle, Limits, Spec, Stdin};

use super::{World, environment, images, logs, network, volumes};
use crate::brain::{Ended, Event, Failure, Run, Uid};

/// The port of an HTTP handler whose container names none.
const HTTP_PORT: u16 = 8080;

/// The annotation by which an owner lets an instance answer several requests, one after the other.
const REUSE: &str = "kapelle.dev/http-reuse";

/// How often it is looked whether a Pod is drained.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(5);

/// The containers of this node.
#[derive(Default)]
pub(crate) struct Containers(Mutex<HashMap<Run, Place>>);

/// What is known of one run.
enum Place {
    /// It is being started; it may have been asked to stop meanwhile.
    Starting(Option<Duration>),
    Running(Running),
}

struct Running {
    container: Container,
    addresses: Vec<SocketAddr>,
}

impl Containers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Run, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The handler of a run that answers HTTP.
    pub(crate) fn http(&self, run: &Run) -> Option<HttpHandle> {
        match self.lock().get(run) {
            Some(Place::Running(running)) => running.container.http(),
            _ => None,
        }
    }

    fn addresses(&self, pod: &Uid) -> Vec<SocketAddr> {
        let places = self.lock();
        let mine = places.iter().filter(|(run, _)| run.pod == *pod);
        mine.flat_map(
            |(_, place)| if let Place::Running(running) = place { running.addresses.clone() } else { Vec::new() },
        )
        .collect()
    }
}

/// Asks a run to end, also one that is only being started. Requests that come from now on go to other Pods.
pub(crate) fn stop(world: &World, run: &Run, grace: Duration) {
    match world.containers.lock().get_mut(run) {
        Some(Place::Starting(stop)) => *stop = Some(grace),
        Some(Place::Running(running)) => {
            running.addresses.iter().for_each(|address| world.proxy.close_local(*address));
            running.container.stop(grace);
        }
        None => {}
    }
}

/// Starts a container and stays with it until it ends. What starting needs is given back before the long wait: a node waits
/// for thousands.
pub(crate) async fn start(world: Arc<World>, run: Run, pod: Arc<Pod>, address: Ipv4Addr) {
    let Some((container, addresses)) = Box::pin(begin(&world, &run, pod, address)).await else { return };
    let exit = container.exited().await;
    addresses.into_iter().for_each(|address| world.proxy.unregister_local(address));
    world.containers.lock().remove(&run);
    world.say(Event::Ended(run, ended(exit))).await;
}

/// The running container and its addresses, or nothing if it could not be started.
async fn begin(
    world: &Arc<World>,
    run: &Run,
    pod: Arc<Pod>,
    address: Ipv4Addr,
) -> Option<(Container, Vec<SocketAddr>)> {
    world.containers.lock().insert(run.clone(), Place::Starting(None));
    let container = match try_start(world, run, &pod, address).await {
        Ok(container) => container,
        Err(failure) => {
            world.containers.lock().remove(run);
            world.say(Event::NotStarted(run.clone(), failure)).await;
            return None;
        }
    };
    let addresses = listen(world, run, &pod, address, &container);
    let running = Place::Running(Running { container: container.clone(), addresses: addresses.clone() });
    if let Some(Place::Starting(Some(grace))) = world.containers.lock().insert(run.clone(), running) {
        container.stop(grace);
    }
    world.say(Event::Started(run.clone())).await;
    Some((container, addresses))
}

fn ended(exit: Exit) -> Ended {
    let reason = match exit.reason {
        ExitReason::Completed => "Completed",
        ExitReason::Error | ExitReason::Killed => "Error",
        ExitReason::OomKilled => "OOMKilled",
    };
    Ended { code: exit.code, reason: reason.to_owned(), message: exit.message }
}

async fn try_start(world: &Arc<World>, run: &Run, pod: &Pod, address: Ipv4Addr) -> Result<Container, Failure> {
    let image = world.images.take(run).ok_or_else(|| Failure {
        reason: "CreateContainerError",
        message: "its image is no longer ready".to_owned(),
    })?;
    let container = images::container(pod, &run.container);
    let container = container.ok_or_else(|| Failure {
        reason: "CreateContainerError",
        message: "the Pod has no such container any more".to_owned(),
    })?;
    let mounts = volumes::mounts(world, pod, container).await?;
    let mut env = environment::resolve(world, pod, container, address).await?;
    let log = logs::Writer::open(world.pod_dir(&run.pod), &run.container, run.number);
    let mut spec = Spec::new(image);
    spec.args = arguments(container, &mut env).map_err(environment::too_large)?;
    spec.env = env.into_variables();
    spec.mounts = mounts;
    spec.limits = limits(container);
    spec.stdin = if container.stdin { Stdin::OpenUntilStop } else { Stdin::Empty };
    spec.log = Arc::new(move |stream, bytes| log.write(stream, bytes));
    spec.network = network::of(world.clone(), address, pod.namespace().to_owned());
    if let Some(reuse) = pod.metadata().and_then(|meta| meta.annotations.get(REUSE)).and_then(|text| text.parse().ok())
    {
        spec.http.reuse = reuse;
    }
    world.sandbox.start(spec).map_err(|error| Failure { reason: "CreateContainerError", message: with_source(&error) })
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// `argv`: the command, or the container's name, then the arguments, with `$(NAME)` filled in.
fn arguments(container: &core_v1::Container, env: &mut Environment) -> Result<Vec<String>, TooLarge> {
    let name = std::slice::from_ref(&container.name);
    let command = if container.command.is_empty() { name } else { &container.command };
    env.words(command.iter().chain(&container.args))
}

fn limits(container: &core_v1::Container) -> Limits {
    let limits = pod::container_limits(container);
    let requests = pod::container_requests(container);
    let millis = |amount: u64| u32::try_from(amount).unwrap_or(u32::MAX);
    let default = Limits::default();
    Limits {
        memory_bytes: limits.memory.map_or(default.memory_bytes, |memory| memory.0.min(sandbox::MAX_MEMORY_BYTES)),
        cpu_millis: limits.cpu.map(|cpu| millis(cpu.0)),
        cpu_weight_millis: if requests.cpu.0 == 0 { default.cpu_weight_millis } else { millis(requests.cpu.0) },
    }
}

/// Lets the proxy hand requests to an HTTP handler under each of its ports.
fn listen(world: &World, run: &Run, pod: &Pod, address: Ipv4Addr, container: &Container) -> Vec<SocketAddr> {
    let Some(handle) = container.http() else { return Vec::new() };
    let spec = images::container(pod, &run.container);
    let named =
        spec.into_iter().flat_map(|spec| &spec.ports).filter_map(|port| u16::try_from(port.container_port).ok());
    let mut ports: Vec<u16> = named.collect();
    if ports.is_empty() {
        ports.push(HTTP_PORT);
    }
    let addresses: Vec<SocketAddr> = ports.into_iter().map(|port| SocketAddr::from((address, port))).collect();
    for address in &addresses {
        let handle = handle.clone();
        let handler: LocalHandler = Arc::new(move |request| handle.handle(request).boxed());
        world.proxy.register_local(pod.key(), *address, handler);
    }
    addresses
}

/// Waits until nothing reaches the Pod through a Service of this node. From then on what other nodes still send, because
/// they do not know yet, goes to other Pods; what is under way is answered.
pub(crate) async fn drain(world: &World, pod: Uid, ips: &[Ipv4Addr]) {
    // The status that takes the Pod out of its Services travels to the masters and comes back as a new table.
    while ips.iter().any(|ip| world.proxy.leads_to((*ip).into())) {
        tokio::time::sleep(DRAIN_LOOK_EVERY).await;
    }
    let addresses = world.containers.addresses(&pod);
    addresses.iter().for_each(|address| world.proxy.close_local(*address));
    while !addresses.iter().all(|address| world.proxy.drained(*address)) {
        tokio::time::sleep(DRAIN_LOOK_EVERY).await;
    }
    world.say(Event::Drained(pod)).await;
}

/// Removes what a Pod left on this node.
pub(crate) async fn clean(world: &World, pod: Uid) {
    world.images.waiting.forget(&pod);
    let dir = world.pod_dir(&pod);
    if let Err(error) = tokio::fs::remove_dir_all(&dir).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, dir = %dir.display(), "what a Pod left could not be removed");
    }
    world.say(Event::Cleaned(pod)).await;
}
