//! Carries the brain's effects out: the only part of the crate that waits, reads clocks, and touches files and sockets.
//!
//! Three folders: [`pods`] runs what the brain wants to run, [`node`] tells the masters how this node is, [`serving`] gets bytes to
//! Pods and from them. They stand on what all need: [`memory`] of what the masters said, [`reports`] to them, the brain's
//! [`inbox`], the [`clock`]. Each part is handed what it uses, here.

mod clock;
mod inbox;
mod memory;
mod node;
mod pods;
mod reports;
mod serving;
#[cfg(test)]
mod testing;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use api::{Cidr, Error, Kind, Timestamp};
use futures::Stream;
use proxy::{Net, NetError, News, Proxy};
use rpc::{Client, Incoming, Query, Security, connections::ConnectionLimits};
use sandbox::Sandbox;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{Brain, Effect, Event};
use inbox::Inbox;
pub use memory::remembers;
use memory::{Memory, Watches};
use node::{
    health::Health,
    heartbeats::Heartbeats,
    masters::Masters,
    status::{Identity, StatusKeeper},
};
pub use pods::images::{GRANT_LIFE, MODULE_BYTES_MAX};
use pods::{
    Pods, agent_server::AgentServer, containers::Containers, dirs::PodDirs, following::Follower, images::Images,
    node_http::NodeHttp, ports::Ports, probing::Prober, runs::Runs, sources::Sources, watch::PodWatch,
};
use reports::Reports;
pub use reports::{BATCH_WRITES_MAX, FLUSH_WITHIN};
use serving::{
    hosts,
    listening::Listening,
    network::Networks,
    routes::{Routes, Routing},
    surroundings::Surroundings,
    tables::Tables,
};

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub name: String,
    /// The node's own address, at which masters reach its agent.
    pub host: Ipv4Addr,
    /// Where volumes, logs and images are kept.
    pub dir: PathBuf,
    /// The range of the addresses of Pods, of all nodes together; `None` if this node joined before nodes were told.
    pub pods: Option<Cidr>,
    /// The range of the addresses of Services.
    pub services: Cidr,
    /// The masters.
    pub masters: Client,
    /// How masters prove to the agent who they are.
    pub security: Security,
    /// Whether `file:///…` images may be run: only where whoever writes manifests owns the machine.
    pub file_images: bool,
    /// Whether Pods may reach hosts outside the cluster.
    pub allow_external: bool,
    /// How many connections its own port, and Services and Pods, take.
    pub connections: ConnectionLimits,
}

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The sandbox does not start.
    #[error(transparent)]
    Sandbox(#[from] sandbox::OpenError),
    /// The masters refuse, or a URL is wrong.
    #[error(transparent)]
    Master(#[from] Error),
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] rpc::identity::IdentityError),
    /// A directory or socket cannot be used.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// The networks that this host is on, with its own address in each.
///
/// # Errors
/// If the kernel does not tell.
pub async fn networks() -> Result<Vec<(Ipv4Addr, Cidr)>, NetError> {
    Net::default().networks().await
}

/// Runs the agent of a node until `shutdown`.
///
/// # Errors
/// See [`AgentError`]. If no master answers, the node goes on with what it last knew.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), AgentError> {
    let dirs = PodDirs::below(&config.dir);
    let unusable = cannot(format!("cannot use {}", config.dir.display()));
    tokio::fs::create_dir_all(dirs.all()).await.map_err(&unusable)?;
    let memory = Memory::open(&config.dir).map_err(&unusable)?;
    let client = config.masters.clone().with_field_manager("kapelle-agent");
    let sandbox = Sandbox::new(sandbox::Config::new(config.dir.join("compiled")))?;
    let (proxy, news) = Proxy::new(proxy::Config { allow_external: config.allow_external });
    proxy.limit(config.connections.proxied);
    proxy.believe(config.security.nameless()?);
    let (inbox, events) = Inbox::new();
    let reports = Reports::start(client.clone(), &config.name);
    let shared = Shared {
        health: Arc::new(Health::new()),
        masters: Arc::default(),
        watches: Watches::new(client.clone(), memory.clone()),
        client,
        dirs,
        memory,
        proxy,
        reports: reports.clone(),
        inbox,
    };
    let pods = shared.pods(&config, sandbox);
    let containers = pods.containers.clone();
    tokio::spawn(async move { containers.follower.keep(&containers.sources).await });
    let (port, incoming) = listen(&config).await?;
    tokio::spawn(shared.agent_server(&config, &pods).serve(incoming, shutdown.clone()));
    shared.serve(&config, news).await;
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = think(config.host, shared.pod_watch(&config), events, &pods) => {}
        refused = live(shared.status_keeper(&config, port), shared.heartbeats(&config, pods.images.clone())) => {
            return Err(refused.into());
        }
    }
    reports.flush().await;
    Ok(())
}

fn cannot(what: String) -> impl Fn(io::Error) -> AgentError {
    move |source| AgentError::Io { what: what.clone(), source }
}

/// The port on which masters reach this node, and who comes there.
async fn listen(config: &Config) -> Result<(u16, impl Stream<Item = io::Result<Incoming>> + use<>), AgentError> {
    let listener = TcpListener::bind(SocketAddr::from((config.host, 0))).await;
    let listener = listener.map_err(cannot(format!("cannot listen on {}", config.host)))?;
    let port = listener.local_addr().map_err(cannot("cannot listen".to_owned()))?.port();
    Ok((port, rpc::incoming(listener, &config.security, config.connections)?))
}

/// What several parts are handed; none is handed all of it.
struct Shared {
    client: Client,
    dirs: PodDirs,
    health: Arc<Health>,
    inbox: Inbox,
    masters: Arc<Masters>,
    memory: Memory,
    proxy: Proxy,
    reports: Reports,
    watches: Watches,
}

impl Shared {
    fn pods(&self, config: &Config, sandbox: Sandbox) -> Pods {
        let (health, inbox) = (self.health.clone(), self.inbox.clone());
        let client = self.client.clone();
        let images = Images::new(&config.dir, config.file_images, client, sandbox.clone(), health, inbox);
        let (images, runs) = (Arc::new(images), Arc::<Runs<_>>::default());
        let containers = Containers {
            runs: runs.clone(),
            images: images.clone(),
            sandbox,
            sources: Sources::new(self.client.clone(), self.memory.clone(), config.host, self.reports.clone()),
            follower: Follower::default(),
            dirs: self.dirs.clone(),
            networks: Networks::new(self.proxy.clone(), config.allow_external),
            proxy: self.proxy.clone(),
            inbox: self.inbox.clone(),
            services: config.services,
        };
        let prober = Prober { runs, inbox: self.inbox.clone() };
        Pods { images, containers: Arc::new(containers), prober: Arc::new(prober), reports: self.reports.clone() }
    }

    fn pod_watch(&self, config: &Config) -> PodWatch {
        let fields = format!("spec.nodeName={}", config.name);
        PodWatch::new(self.watches.of(Query { fields, ..Query::all(Kind::Pod) }))
    }

    fn agent_server(&self, config: &Config, pods: &Pods) -> AgentServer {
        let about = NodeHttp::new(&config.name, pods.containers.runs.clone(), self.memory.clone());
        AgentServer {
            client: self.client.clone(),
            masters: self.masters.clone(),
            dirs: self.dirs.clone(),
            ports: Ports::new(self.client.clone(), self.proxy.clone(), about),
            node: config.name.as_str().into(),
        }
    }

    fn status_keeper(&self, config: &Config, port: u16) -> StatusKeeper {
        let identity = Identity { name: config.name.clone(), host: config.host, port };
        StatusKeeper { client: self.client.clone(), identity, health: self.health.clone() }
    }

    fn heartbeats(&self, config: &Config, images: Arc<Images>) -> Heartbeats {
        Heartbeats {
            client: self.client.clone(),
            node: config.name.as_str().into(),
            health: self.health.clone(),
            masters: self.masters.clone(),
            images_came: Arc::new(move |news| {
                let images = images.clone();
                tokio::spawn(async move { images.came(news).await });
            }),
        }
    }

    /// Starts to get bytes to Pods and from them. Returns when the proxy knows the addresses that no Pod may reach.
    async fn serve(&self, config: &Config, news: mpsc::UnboundedReceiver<News>) {
        let surroundings = Surroundings::new(config.pods, config.services, config.host.into());
        let (surroundings, masters) = (watch::Sender::new(surroundings), watch::Sender::default());
        let tables = Tables {
            node: config.name.clone(),
            proxy: self.proxy.clone(),
            reports: self.reports.clone(),
            surroundings: surroundings.subscribe(),
            masters: masters.subscribe(),
        };
        let routing = Routing {
            node: config.name.clone(),
            host: config.host,
            surroundings,
            proxy: self.proxy.clone(),
            health: self.health.clone(),
            reports: self.reports.clone(),
            inbox: self.inbox.clone(),
        };
        let routes = Routes::begin(routing).await;
        hosts::know_masters(&self.client, &self.proxy, &masters).await;
        let all = |kind| self.watches.of(Query::all(kind));
        tokio::spawn(hosts::follow_masters(self.client.clone(), self.proxy.clone(), masters));
        tokio::spawn(tables.follow(all(Kind::Service), all(Kind::EndpointSlice)));
        tokio::spawn(routes.follow(all(Kind::Node)));
        tokio::spawn(node::disk::follow(config.dir.clone(), self.health.clone()));
        let listening =
            Listening { client: self.client.clone(), reports: self.reports.clone(), health: self.health.clone() };
        tokio::spawn(listening.report(news));
    }
}

/// Makes the node known and says that it lives, for ever; returns why it may not. What runs here does not wait for that.
async fn live(status: StatusKeeper, heartbeats: Heartbeats) -> Error {
    let known = Notify::new();
    let speak = async {
        // Masters refuse the heartbeats of a node that they do not know.
        known.notified().await;
        heartbeats.send().await
    };
    tokio::select! {
        refused = status.keep(&known) => refused,
        never = speak => match never {},
    }
}

/// The loop around the brain.
async fn think(host: Ipv4Addr, mut watch: PodWatch, mut inbox: mpsc::Receiver<Event>, pods: &Pods) {
    let mut brain = Brain::new(host);
    let mut wake: Option<Timestamp> = None;
    loop {
        let event = tokio::select! {
            Some(event) = watch.next() => event,
            Some(event) = inbox.recv() => event,
            () = clock::reached(wake) => {
                wake = None;
                Event::Woken
            }
        };
        for effect in brain.handle(event, clock::now()) {
            match effect {
                Effect::WakeAt(at) => wake = Some(wake.map_or(at, |known| known.min(at))),
                effect => pods.carry_out(effect),
            }
        }
    }
}
