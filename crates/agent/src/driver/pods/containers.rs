//! Running containers: starting them with all they need, stopping them, and telling how they ended.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use api::{
    Cidr,
    core_v1::Pod,
    kinds::{
        Resource as _,
        core::service::{KUBERNETES, kubernetes_address},
    },
    well_known::DEFAULT_NAMESPACE,
};
use futures::FutureExt as _;
use proxy::{LocalHandler, Proxy, Resolved};
use sandbox::{Container, Exit, ExitReason, HttpHandle, Sandbox, Spec, Stdin};

use super::{
    dirs::PodDirs,
    environment,
    following::{Follower, Following},
    images::Images,
    logs, manifest,
    runs::{Running, Runs},
    sources::Sources,
    upkeep::Upkeep,
    volumes::{self, Mounted},
};
use crate::{
    brain::{Ended, Event, Failure, Run, Shape, Uid},
    driver::{inbox::Inbox, serving::network::Networks},
};

/// The shortest time between two reports that a container's requests ran out of memory: whoever sends such requests must not be
/// able to flood the masters.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// How often it is looked whether a Pod is drained.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(5);

/// What runs the containers of this node.
pub(crate) struct Containers {
    pub(crate) runs: Arc<Runs<Container>>,
    pub(crate) images: Arc<Images>,
    pub(crate) sandbox: Sandbox,
    pub(crate) sources: Sources,
    pub(crate) follower: Follower,
    pub(crate) dirs: PodDirs,
    pub(crate) networks: Networks,
    /// Hands requests to handlers.
    pub(crate) proxy: Proxy,
    pub(crate) inbox: Inbox,
    /// The range of the addresses of Services.
    pub(crate) services: Cidr,
}

/// A container that has started.
struct Begun {
    container: Container,
    addresses: Vec<SocketAddr>,
    /// What of its volumes is kept fresh.
    followed: Box<[Following]>,
}

impl Containers {
    /// Asks a run to end, also one that is only being started. Requests that come from now on go to other Pods.
    pub(crate) fn stop(&self, run: &Run, grace: Duration) {
        self.runs.stop(run, grace, |running| {
            running.addresses.iter().for_each(|address| self.proxy.close_local(*address));
            running.container.stop(grace);
        });
    }

    /// Starts a container and stays with it until it ends. What starting needs is given back before the long wait: a node waits
    /// for thousands.
    pub(crate) async fn start(self: Arc<Self>, run: Run, pod: Arc<Pod>, address: Ipv4Addr) {
        self.runs.begin(run.clone());
        let upkeep = manifest::container(&pod, &run.container)
            .map(|container| Upkeep::of(&self.dirs, &pod, container))
            .unwrap_or_default();
        let Begun { container, addresses, followed } = match Box::pin(self.begin(&run, pod, address)).await {
            Ok(begun) => begun,
            Err(failure) => {
                self.runs.end(&run);
                return self.inbox.say(Event::NotStarted(run, failure)).await;
            }
        };
        let exit = if upkeep.is_empty() {
            self.stay(&run, &container).await
        } else {
            let fresh = Box::pin(upkeep.keep(&self.sources));
            tokio::select! {
                exit = self.stay(&run, &container) => exit,
                never = fresh => match never {},
            }
        };
        drop(followed);
        addresses.into_iter().for_each(|address| self.proxy.unregister_local(address));
        self.runs.end(&run);
        self.inbox.say(Event::Ended(run, ended(exit))).await;
    }

    /// Starts a container, and has requests handed to it.
    async fn begin(&self, run: &Run, pod: Arc<Pod>, address: Ipv4Addr) -> Result<Begun, Failure> {
        let (container, followed) = self.sandbox(run, &pod, address).await?;
        let handle = container.http();
        let shape = if handle.is_some() { Shape::Handler } else { Shape::Program };
        if shape == Shape::Handler && manifest::is_initial(&pod, &run.container) {
            container.kill();
            let message =
                "an init container must come to an end, and an HTTP handler never does; use a command".to_owned();
            return Err(Failure { reason: "RunContainerError", message });
        }
        let addresses = addresses(run, &pod, address, shape);
        let running = Running { container: container.clone(), shape, addresses: addresses.clone() };
        let stop = self.runs.started(run, running, is_open).map_err(|taken| {
            container.kill();
            let (port, other) = (taken.address.port(), taken.by);
            let message = format!(
                "port {port} is served by container {other} of the same Pod; give each container a containerPort of its own"
            );
            Failure { reason: "RunContainerError", message }
        })?;
        if let Some(handle) = handle {
            listen(&self.proxy, &pod, &addresses, &handle);
        }
        if let Some(grace) = stop {
            container.stop(grace);
        }
        self.inbox.say(Event::Started(run.clone(), shape)).await;
        Ok(Begun { container, addresses, followed })
    }

    /// The address of the Service `kubernetes`. As long as nobody has told, it is the one that is kept for it.
    fn kubernetes(&self) -> IpAddr {
        let told = match self.proxy.resolve(KUBERNETES, DEFAULT_NAMESPACE) {
            Resolved::Inside(inside) => inside.addresses.first().copied(),
            Resolved::Nobody | Resolved::Outside(_) => None,
        };
        told.unwrap_or(kubernetes_address(self.services).into())
    }

    /// The sandbox of a container, with all that its Pod gives it, and what of that is kept fresh.
    async fn sandbox(&self, run: &Run, pod: &Pod, address: Ipv4Addr) -> Result<(Container, Box<[Following]>), Failure> {
        let failure = |message: &str| Failure { reason: "CreateContainerError", message: message.to_owned() };
        let image = self.images.take(run).ok_or_else(|| failure("its image is no longer ready"))?;
        let container = manifest::container(pod, &run.container);
        let container = container.ok_or_else(|| failure("the Pod has no such container any more"))?;
        let mut env = environment::resolve(&self.sources, pod, container, address, self.kubernetes()).await?;
        let mounted = volumes::mounts(&self.sources, &self.dirs, &self.follower, pod, container, &env).await?;
        let Mounted { mounts, followed } = mounted;
        let log = logs::Writer::open(self.dirs.logs(&run.pod, &run.container), run.number);
        let mut spec = Spec::new(image);
        spec.args = manifest::arguments(container, &mut env).map_err(environment::too_large)?;
        spec.env = env.into_variables();
        spec.mounts = mounts;
        spec.limits = manifest::limits(container);
        spec.stdin = if container.stdin { Stdin::OpenUntilStop } else { Stdin::Empty };
        spec.log = Arc::new(move |stream, bytes| log.write(stream, bytes));
        spec.network = self.networks.of(address, pod.namespace());
        spec.http.reuse = manifest::reuse(pod).unwrap_or(spec.http.reuse);
        let refused = |error| Failure { reason: "RunContainerError", message: with_source(&error) };
        Ok((self.sandbox.start(spec).map_err(refused)?, followed.into()))
    }

    /// Waits for the end of a container, and tells of requests that run out of memory meanwhile.
    async fn stay(&self, run: &Run, container: &Container) -> Exit {
        loop {
            tokio::select! {
                exit = container.exited() => return exit,
                starved = container.out_of_memory() => {
                    self.inbox.say(Event::InstancesEnded(run.clone(), ended(starved))).await;
                }
            }
            tokio::select! {
                exit = container.exited() => return exit,
                () = tokio::time::sleep(REPORT_EVERY) => {}
            }
        }
    }

    /// Waits until nothing reaches the Pod through a Service of this node. From then on what other nodes still send, because
    /// they do not know yet, goes to other Pods; what is under way is answered.
    pub(crate) async fn drain(&self, pod: Uid, ips: &[Ipv4Addr]) {
        // The status that takes the Pod out of its Services travels to the masters and comes back as a new table.
        while ips.iter().any(|ip| self.proxy.leads_to((*ip).into())) {
            tokio::time::sleep(DRAIN_LOOK_EVERY).await;
        }
        let addresses = self.runs.addresses(&pod);
        addresses.iter().for_each(|address| self.proxy.close_local(*address));
        while !addresses.iter().all(|address| self.proxy.drained(*address)) {
            tokio::time::sleep(DRAIN_LOOK_EVERY).await;
        }
        self.inbox.say(Event::Drained(pod)).await;
    }

    /// Removes what a Pod left on this node.
    pub(crate) async fn clean(&self, pod: Uid) {
        self.sources.certificates.forget(&pod);
        if let Err(error) = self.dirs.remove(&pod).await {
            let dir = self.dirs.of(&pod);
            tracing::warn!(%error, dir = %dir.display(), "what a Pod left could not be removed");
        }
        self.inbox.say(Event::Cleaned(pod)).await;
    }
}

/// Whether somebody listens on an address of this node.
fn is_open(address: SocketAddr) -> bool {
    std::net::TcpListener::bind(address).is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
}

fn ended(exit: Exit) -> Ended {
    let reason = match exit.reason {
        ExitReason::Completed => "Completed",
        ExitReason::Error | ExitReason::Killed => "Error",
        ExitReason::OomKilled => "OOMKilled",
    };
    Ended { code: exit.code, reason: reason.to_owned(), message: exit.message }
}

fn with_source(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// The addresses of an HTTP handler: each of its ports.
fn addresses(run: &Run, pod: &Pod, address: Ipv4Addr, shape: Shape) -> Vec<SocketAddr> {
    match shape {
        Shape::Handler => {
            let ports = manifest::handler_ports(manifest::container(pod, &run.container));
            ports.into_iter().map(|port| SocketAddr::from((address, port))).collect()
        }
        Shape::Program => Vec::new(),
    }
}

/// Lets the proxy hand requests to an HTTP handler.
fn listen(proxy: &Proxy, pod: &Pod, addresses: &[SocketAddr], handle: &HttpHandle) {
    for address in addresses {
        let handle = handle.clone();
        let handler: LocalHandler = Arc::new(move |request| handle.handle(request).boxed());
        proxy.register_local(pod.key(), *address, handler);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use sandbox::StartError;

    use super::*;

    #[test]
    fn an_end_is_told_in_kubernetes_words() {
        let of = |code, reason| ended(Exit { code, reason, message: String::new() }).reason;
        assert_eq!(of(0, ExitReason::Completed), "Completed");
        assert_eq!(of(7, ExitReason::Error), "Error");
        assert_eq!(of(137, ExitReason::Killed), "Error");
        assert_eq!(of(137, ExitReason::OomKilled), "OOMKilled");
    }

    #[test]
    fn only_handlers_have_addresses() {
        let run = Run { pod: "a".into(), container: "main".into(), number: 1 };
        let of = |shape| addresses(&run, &Pod::default(), Ipv4Addr::LOCALHOST, shape);
        assert_eq!(of(Shape::Handler), [SocketAddr::from((Ipv4Addr::LOCALHOST, manifest::HTTP_PORT))]);
        assert_eq!(of(Shape::Program), []);
    }

    #[test]
    fn an_address_is_open_while_somebody_listens_there() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(is_open(address));
        drop(listener);
        assert!(!is_open(address));
    }

    #[test]
    fn a_refusal_comes_with_its_cause() {
        let full = StartError::Full { limit: 3 };
        assert_eq!(with_source(&full), full.to_string());
        let source = std::io::Error::other("it is gone");
        let mount = StartError::Mount { host: "/a".into(), guest: "/b".to_owned(), source };
        assert!(with_source(&mount).ends_with("cannot be opened: it is gone"));
    }
}
