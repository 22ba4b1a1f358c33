//! Running containers: starting them with all they need, stopping them, and telling how they ended.

use std::{
    collections::{BTreeSet, HashMap},
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

use super::{World, beneath, environment, images, logs, network, volumes};
use crate::brain::{Ended, Event, Failure, Run, Shape, Uid};

/// The port of an HTTP handler whose container names none.
pub(crate) const HTTP_PORT: u16 = 8080;

/// The annotation by which an owner lets an instance answer several requests, one after the other.
const REUSE: &str = "kapelle.dev/http-reuse";

/// The shortest time between two reports that a container's requests ran out of memory: whoever sends such requests must not be
/// able to flood the masters.
const REPORT_EVERY: Duration = Duration::from_secs(10);

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

    /// Whether a program has come so far that it has not failed at its start.
    pub(crate) fn has_settled(&self, run: &Run) -> bool {
        matches!(self.lock().get(run), Some(Place::Running(running)) if running.container.has_settled())
    }

    /// The ports under which a handler answers.
    pub(crate) fn ports(&self, run: &Run) -> Vec<u16> {
        match self.lock().get(run) {
            Some(Place::Running(running)) => running.addresses.iter().map(SocketAddr::port).collect(),
            _ => Vec::new(),
        }
    }

    /// Takes addresses for a run that serves requests under them. Fails with the one that another container of the Pod has, and
    /// its name.
    fn claim(&self, run: &Run, running: Running) -> Result<Option<Duration>, (SocketAddr, Arc<str>)> {
        let mut places = self.lock();
        for (other, place) in places.iter().filter(|(other, _)| other.pod == run.pod && *other != run) {
            let Place::Running(theirs) = place else { continue };
            let taken = |address: &&SocketAddr| match theirs.container.http() {
                Some(_) => theirs.addresses.contains(address),
                // A program opens what it likes: only the kernel knows.
                None => is_open(**address),
            };
            if let Some(address) = running.addresses.iter().find(taken) {
                return Err((*address, other.container.clone()));
            }
        }
        match places.insert(run.clone(), Place::Running(running)) {
            Some(Place::Starting(stop)) => Ok(stop),
            _ => Ok(None),
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

/// Whether somebody listens on an address of this node.
fn is_open(address: SocketAddr) -> bool {
    std::net::TcpListener::bind(address).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
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
    world.containers.lock().insert(run.clone(), Place::Starting(None));
    let (container, addresses) = match Box::pin(begin(&world, &run, pod, address)).await {
        Ok(begun) => begun,
        Err(failure) => {
            world.containers.lock().remove(&run);
            return world.say(Event::NotStarted(run, failure)).await;
        }
    };
    let exit = stay(&world, &run, &container).await;
    addresses.into_iter().for_each(|address| world.proxy.unregister_local(address));
    world.containers.lock().remove(&run);
    world.say(Event::Ended(run, ended(exit))).await;
}

/// The running container and its addresses.
async fn begin(
    world: &Arc<World>,
    run: &Run,
    pod: Arc<Pod>,
    address: Ipv4Addr,
) -> Result<(Container, Vec<SocketAddr>), Failure> {
    let container = try_start(world, run, &pod, address).await?;
    let initial = pod.spec.as_ref().is_some_and(|spec| spec.init_containers.iter().any(|it| it.name == *run.container));
    if initial && container.http().is_some() {
        container.kill();
        let message = "an init container must come to an end, and an HTTP handler never does; use a command".to_owned();
        return Err(Failure { reason: "RunContainerError", message });
    }
    let addresses = addresses(run, &pod, address, &container);
    let running = Running { container: container.clone(), addresses: addresses.clone() };
    let stop = world.containers.claim(run, running).map_err(|(address, other)| {
        container.kill();
        let port = address.port();
        let message = format!(
            "port {port} is served by container {other} of the same Pod; give each container a containerPort of its own"
        );
        Failure { reason: "RunContainerError", message }
    })?;
    if let Some(handle) = container.http() {
        listen(world, &pod, &addresses, &handle);
    }
    if let Some(grace) = stop {
        container.stop(grace);
    }
    let shape = if container.http().is_some() { Shape::Handler } else { Shape::Program };
    world.say(Event::Started(run.clone(), shape)).await;
    Ok((container, addresses))
}

/// Waits for the end of a container, and tells of requests that run out of memory meanwhile.
async fn stay(world: &World, run: &Run, container: &Container) -> Exit {
    loop {
        tokio::select! {
            exit = container.exited() => return exit,
            starved = container.out_of_memory() => {
                world.say(Event::InstancesEnded(run.clone(), ended(starved))).await;
            }
        }
        tokio::select! {
            exit = container.exited() => return exit,
            () = tokio::time::sleep(REPORT_EVERY) => {}
        }
    }
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
    let mut env = environment::resolve(world, pod, container, address).await?;
    let mounts = volumes::mounts(world, pod, container, &env).await?;
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
    world.sandbox.start(spec).map_err(|error| Failure { reason: "RunContainerError", message: with_source(&error) })
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

/// The addresses of an HTTP handler: each of its ports.
fn addresses(run: &Run, pod: &Pod, address: Ipv4Addr, container: &Container) -> Vec<SocketAddr> {
    if container.http().is_none() {
        return Vec::new();
    }
    let spec = images::container(pod, &run.container);
    let named = spec.into_iter().flat_map(|spec| &spec.ports).filter(|port| matches!(&*port.protocol, "" | "TCP"));
    let mut ports: BTreeSet<u16> = named.filter_map(|port| u16::try_from(port.container_port).ok()).collect();
    if ports.is_empty() {
        ports.insert(HTTP_PORT);
    }
    ports.into_iter().map(|port| SocketAddr::from((address, port))).collect()
}

/// Lets the proxy hand requests to an HTTP handler.
fn listen(world: &World, pod: &Pod, addresses: &[SocketAddr], handle: &HttpHandle) {
    for address in addresses {
        let handle = handle.clone();
        let handler: LocalHandler = Arc::new(move |request| handle.handle(request).boxed());
        world.proxy.register_local(pod.key(), *address, handler);
    }
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
    let (volumes, path) = (volumes::dir(&dir), dir.clone());
    let remove = move || {
        // Guests wrote what is in the volumes; the rest is ours.
        if let Ok(volumes) = std::fs::read_dir(volumes) {
            volumes.flatten().try_for_each(|volume| beneath::remove(&volume.path()))?;
        }
        std::fs::remove_dir_all(path)
    };
    let removed = tokio::task::spawn_blocking(remove).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    if let Err(error) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, dir = %dir.display(), "what a Pod left could not be removed");
    }
    world.say(Event::Cleaned(pod)).await;
}
