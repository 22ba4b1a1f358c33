//! Carries the brain's effects out: the only part of the crate that waits, reads clocks, and touches files and sockets.

mod beneath;
mod containers;
mod disk;
mod environment;
mod health;
mod heartbeats;
mod images;
mod listening;
mod logs;
mod masters;
mod memory;
mod mirror;
mod network;
mod node;
mod probing;
mod ranges;
mod reports;
mod server;
mod surroundings;
mod tables;
mod volumes;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

use api::{Cidr, Error, Kind, Timestamp, core_v1::Pod};
use proxy::{Net, NetError, Proxy};
use rpc::{Client, Query, Security, Update, seats::Rooms};
use sandbox::Sandbox;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{Brain, Effect, Event};
pub use memory::remembers;
use memory::{Memory, Remembered};
use surroundings::Surroundings;

/// How many events may wait before whoever sends more has to wait as well.
const INBOX: usize = 4096;

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
    pub rooms: Rooms,
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

/// What the parts of the driver share.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) sandbox: Sandbox,
    pub(crate) proxy: Proxy,
    pub(crate) images: images::Images,
    pub(crate) containers: containers::Containers,
    pub(crate) reports: reports::Reports,
    /// What this node last knew.
    pub(crate) memory: Memory,
    /// How this node is.
    pub(crate) health: Arc<health::Health>,
    /// Who may ask this node.
    pub(crate) masters: masters::Masters,
    /// What this node knows of addresses by itself.
    pub(crate) surroundings: watch::Sender<Surroundings>,
    events: mpsc::Sender<Event>,
}

impl World {
    /// Tells the brain.
    pub(crate) async fn say(&self, event: Event) {
        // The brain stops listening only when the process ends.
        let _ = self.events.send(event).await;
    }

    /// Watches, beginning with what was last known if no master answers.
    pub(crate) fn watch(&self, query: Query) -> Remembered {
        let kind = query.kind;
        Remembered::new(self.client.watch(query, None), self.memory.clone(), kind)
    }

    pub(crate) fn pod_dir(&self, uid: &str) -> PathBuf {
        self.config.dir.join("pods").join(uid)
    }
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
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
    let io = |what: String| |source| AgentError::Io { what, source };
    tokio::fs::create_dir_all(config.dir.join("pods"))
        .await
        .map_err(io(format!("cannot use {}", config.dir.display())))?;
    let memory = Memory::open(&config.dir).map_err(io(format!("cannot use {}", config.dir.display())))?;
    let client = config.masters.clone().with_field_manager("kapelle-agent");
    let sandbox = Sandbox::new(sandbox::Config::new(config.dir.join("compiled")))?;
    let (proxy, news) = Proxy::new(proxy::Config { allow_external: config.allow_external });
    proxy.limit(config.rooms.proxied);
    let (events, inbox) = mpsc::channel(INBOX);
    let health = Arc::new(health::Health::new());
    let world = Arc::new(World {
        images: images::Images::new(&config, client.clone(), sandbox.clone(), health.clone()),
        reports: reports::Reports::start(client.clone(), &config.name),
        containers: containers::Containers::default(),
        memory,
        health,
        masters: masters::Masters::default(),
        surroundings: watch::Sender::new(Surroundings::new(config.pods, config.services, config.host.into())),
        config,
        client,
        sandbox,
        proxy,
        events,
    });
    let listener = tokio::net::TcpListener::bind(SocketAddr::from((world.config.host, 0)));
    let listener = listener.await.map_err(io(format!("cannot listen on {}", world.config.host)))?;
    let port = listener.local_addr().map_err(io("cannot listen".to_owned()))?.port();
    let incoming = rpc::incoming(listener, &world.config.security, world.config.rooms)?;
    tokio::spawn(server::serve(incoming, world.clone(), shutdown.clone()));
    let ranges = ranges::Routes::begin(&world).await;
    network::know_masters(&world).await;
    tokio::spawn(network::follow_masters(world.clone()));
    tokio::spawn(tables::follow(world.clone()));
    tokio::spawn(ranges.follow(world.clone()));
    tokio::spawn(disk::follow(world.clone()));
    tokio::spawn(listening::report(world.clone(), news));
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = think(world.clone(), inbox) => {}
        refused = live(&world, port) => return Err(refused),
    }
    world.reports.flush().await;
    Ok(())
}

/// Makes the node known and says that it lives, for ever; answers why it may not. What runs here does not wait for that.
async fn live(world: &Arc<World>, port: u16) -> AgentError {
    let known = Notify::new();
    let speak = async {
        // Nobody takes the heartbeats of a node that is not known.
        known.notified().await;
        heartbeats::send(world.clone()).await
    };
    tokio::select! {
        refused = node::keep(world, port, &known) => refused,
        refused = speak => refused,
    }
}

/// The loop around the brain.
async fn think(world: Arc<World>, mut inbox: mpsc::Receiver<Event>) {
    let mut brain = Brain::new(world.config.host);
    let fields = format!("spec.nodeName={}", world.config.name);
    let mut pods = Restarts { updates: world.watch(Query { fields, ..Query::all(Kind::Pod) }), again: None };
    let mut wake: Option<Timestamp> = None;
    loop {
        let event = tokio::select! {
            Some(event) = pods.next() => event,
            Some(event) = inbox.recv() => event,
            () = sleep_until(wake) => {
                wake = None;
                Event::Woken
            }
        };
        for effect in brain.handle(event, now()) {
            match effect {
                Effect::WakeAt(at) => wake = Some(wake.map_or(at, |known| known.min(at))),
                effect => carry_out(&world, effect),
            }
        }
    }
}

async fn sleep_until(at: Option<Timestamp>) {
    match at {
        Some(at) => tokio::time::sleep(at.since(now())).await,
        None => std::future::pending().await,
    }
}

fn carry_out(world: &Arc<World>, effect: Effect) {
    let shared = world.clone();
    match effect {
        Effect::Prepare(run, pod) => images::begin(world, run, pod),
        Effect::Start(run, pod, address) => {
            drop(tokio::spawn(async move { containers::start(shared, run, pod, address).await }))
        }
        Effect::Stop(run, grace) => containers::stop(world, &run, grace),
        Effect::Probe(run, kind, pod, address) => {
            drop(tokio::spawn(async move { probing::probe(&shared, run, kind, &pod, address).await }))
        }
        Effect::Drain(uid, ips) => drop(tokio::spawn(async move { containers::drain(&shared, uid, &ips).await })),
        Effect::Clean(uid) => {
            world.images.forget(&uid);
            drop(tokio::spawn(async move { containers::clean(&shared, uid).await }));
        }
        Effect::Report(pod) => world.reports.status(pod),
        Effect::Remove(key, uid) => world.reports.remove(key, &uid),
        Effect::Tell(pod, note) => world.reports.tell(&pod, &note, now()),
        Effect::WakeAt(_) => {}
    }
}

/// Turns a watch that may start over into events that say so.
struct Restarts {
    updates: Remembered,
    /// The Pods seen since the watch started over; `None` while it did not.
    again: Option<Vec<Arc<Pod>>>,
}

impl Restarts {
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.updates.next().await? {
                Ok(Update::Restarted) => self.again = Some(Vec::new()),
                Ok(Update::Changes(changes)) => match &mut self.again {
                    Some(seen) => seen
                        .extend(changes.iter().filter_map(|change| change.object.get::<Pod>().cloned().map(Arc::new))),
                    None => return Some(Event::Pods(changes)),
                },
                Ok(Update::Synced(_)) => {
                    if let Some(seen) = self.again.take() {
                        return Some(Event::AllPods(seen));
                    }
                }
                Err(error) => tracing::error!(%error, "the masters refuse to tell this node its Pods"),
            }
        }
    }
}
