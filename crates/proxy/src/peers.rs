//! Pods that are reached over the network: connections that wait for the next request, and what is remembered of those
//! that do not answer.
//!
//! Who refuses a connection is passed over for a while, and so is every Pod of a node that is silent: no client waits for
//! the same dead node twice. In the background each is tried again, ever less often, until it answers or leaves the table.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use imbl::HashMap;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tracing::{debug, info};

use crate::{
    link::Link,
    table::{Endpoint, Table},
};

/// How long a connection is kept for the next request: shorter than any server that is known to us keeps one, so that a
/// request does not meet its end.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(4);

/// How many idle connections are kept for one Pod.
const IDLE_COUNT_MAX: usize = 128;

/// How long a Pod in doubt may take to accept a connection.
pub(crate) const TRIAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause before the second trial; it doubles with each one.
const TRIAL_PAUSE_MIN: Duration = Duration::from_millis(250);

/// The longest pause between trials.
const TRIAL_PAUSE_MAX: Duration = Duration::from_secs(4);

/// How often the kernel asks the other end of a quiet connection whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// How long an answer is waited for before its node is tried, and how often the node is tried from then on.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long it takes at most until a request to a node that fell silent is given up.
const SILENCE_SEEN_WITHIN: Duration = Duration::from_secs(3);

const _: () = assert!(LOOK_EVERY.as_millis() + TRIAL_TIMEOUT.as_millis() <= SILENCE_SEEN_WITHIN.as_millis());

/// Every Pod behind a socket that was reached, or tried.
#[derive(Default)]
pub(crate) struct Peers {
    known: ArcSwap<Known>,
    source: Source,
}

/// The address from which requests are passed on, if it is a particular one.
type Source = Arc<ArcSwapOption<IpAddr>>;

#[derive(Clone, Default)]
struct Known {
    peers: HashMap<SocketAddr, Arc<Peer>>,
    hosts: HashMap<Arc<str>, Arc<Doubt>>,
}

/// One Pod behind a socket.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    doubt: Doubt,
    /// Shared by the Pods of a node.
    host: Arc<Doubt>,
    idle: Mutex<Vec<(Link, Instant)>>,
    source: Source,
}

/// Whether somebody is believed not to answer.
#[derive(Default)]
struct Doubt {
    stands: AtomicBool,
    /// Whether somebody is looking.
    is_looked_at: AtomicBool,
}

impl Doubt {
    /// Returns whether it is news.
    fn raise(&self) -> bool {
        !self.stands.swap(true, Ordering::Relaxed)
    }

    fn settle(&self) {
        self.stands.store(false, Ordering::Relaxed);
    }

    fn stands(&self) -> bool {
        self.stands.load(Ordering::Relaxed)
    }
}

/// One look at a node at a time; it may be broken off.
struct Look<'a>(&'a Doubt);

impl<'a> Look<'a> {
    fn begin(doubt: &'a Doubt) -> Option<Self> {
        (!doubt.is_looked_at.swap(true, Ordering::AcqRel)).then_some(Self(doubt))
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.0.is_looked_at.store(false, Ordering::Release);
    }
}

impl Peers {
    /// What is known of an endpoint.
    pub(crate) fn get(&self, endpoint: &Endpoint) -> Arc<Peer> {
        if let Some(peer) = self.known.load().peers.get(&endpoint.address) {
            return peer.clone();
        }
        let mut peer = None;
        self.known.rcu(|known| {
            let mut known = Known::clone(known);
            peer = Some(known.meet(endpoint, &self.source));
            known
        });
        peer.unwrap_or_else(|| Known::default().meet(endpoint, &self.source))
    }

    /// Sets the address from which requests are passed on.
    pub(crate) fn pass_on_from(&self, address: Option<IpAddr>) {
        self.source.store(address.map(Arc::new));
    }

    /// Forgets the Pods that the table no longer has; connections in use stay.
    pub(crate) fn retain(&self, table: &Table) {
        if self.known.load().peers.is_empty() {
            return;
        }
        let wanted = table.endpoints();
        self.known.rcu(|known| {
            if known.peers.keys().all(|address| wanted.contains(address)) {
                return Known::clone(known);
            }
            let stays = known.peers.iter().filter(|(address, _)| wanted.contains(*address));
            let peers: HashMap<_, _> = stays.map(own).collect();
            let lives = |host: &Arc<Doubt>| peers.values().any(|peer: &Arc<Peer>| Arc::ptr_eq(&peer.host, host));
            let hosts = known.hosts.iter().filter(|(_, host)| lives(host)).map(own).collect();
            Known { peers, hosts }
        });
    }

    /// Closes connections that nobody wanted for a while.
    pub(crate) fn sweep(&self, now: Instant) {
        for peer in self.known.load().peers.values() {
            peer.idle().retain(|(_, since)| now.saturating_duration_since(*since) < IDLE_MAX);
        }
    }
}

fn own<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

impl Known {
    fn meet(&mut self, endpoint: &Endpoint, source: &Source) -> Arc<Peer> {
        // Somebody else may have been faster.
        if let Some(peer) = self.peers.get(&endpoint.address) {
            return peer.clone();
        }
        let host = match &endpoint.node {
            Some(node) => self.hosts.entry(node.clone()).or_default().clone(),
            None => Arc::default(),
        };
        let peer = Arc::new(Peer {
            address: endpoint.address,
            doubt: Doubt::default(),
            host,
            idle: Mutex::default(),
            source: source.clone(),
        });
        self.peers.insert(endpoint.address, peer.clone());
        peer
    }
}

impl Peer {
    /// Whether nothing speaks against sending something.
    pub(crate) fn is_trusted(&self) -> bool {
        !self.doubt.stands() && !self.host.stands()
    }

    /// A connection that waits, if it is still open.
    pub(crate) fn take(&self) -> Option<Link> {
        loop {
            let (mut link, since) = self.idle().pop()?;
            if since.elapsed() < IDLE_MAX && link.is_open() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(crate) fn put(&self, link: Link) {
        let mut idle = self.idle();
        if idle.len() < IDLE_COUNT_MAX {
            idle.push((link, Instant::now()));
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Link, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection for requests. A failure is remembered.
    pub(crate) async fn connect(self: &Arc<Self>, patience: Duration) -> io::Result<TcpStream> {
        let source = self.source.load();
        self.remember(open(self.address, source.as_deref().copied(), patience).await)
    }

    /// A new connection for whatever a client speaks. A failure is remembered.
    pub(crate) async fn connect_bytes(self: &Arc<Self>, patience: Duration) -> io::Result<TcpStream> {
        self.remember(open(self.address, None, patience).await)
    }

    fn remember(self: &Arc<Self>, opened: io::Result<TcpStream>) -> io::Result<TcpStream> {
        let stream = opened.inspect_err(|error| self.suspect(error))?;
        let socket = SockRef::from(&stream);
        let alive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(2);
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&alive)?;
        Ok(stream)
    }

    /// Waits until the node is known to be silent. What was sent to it is lost without a sign, and a Pod may take its time
    /// to answer or to read, so only a trial can tell; the first who has waited long enough makes it for all.
    pub(crate) async fn silence(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.host.stands() {
                return;
            }
            let Some(_look) = Look::begin(&self.host) else { continue };
            if let Err(error) = trial(self.address).await {
                self.suspect(&error);
            }
        }
    }

    /// Passes over this Pod, and its whole node if that is silent, until a trial in the background succeeds.
    pub(crate) fn suspect(self: &Arc<Self>, error: &io::Error) {
        debug!(address = %self.address, %error, "a Pod does not accept connections");
        match Blame::of(error.kind()) {
            Blame::Pod => {
                if self.doubt.raise() {
                    tokio::spawn(try_pod(Arc::downgrade(self)));
                }
            }
            Blame::Node => {
                if self.host.raise() {
                    info!(address = %self.address, %error, "a node does not answer; its Pods are passed over");
                    self.idle().clear();
                    tokio::spawn(try_node(Arc::downgrade(self), self.host.clone()));
                }
            }
            Blame::Nobody => {}
        }
    }
}

/// Whom a failure speaks against.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// Its node answers.
    Pod,
    /// Nothing answers.
    Node,
    /// This node could not even try.
    Nobody,
}

impl Blame {
    fn of(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Self::Pod,
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Node,
            _ => Self::Nobody,
        }
    }
}

/// Tries a Pod until it answers or is no longer wanted. It has just refused, so a pause comes first.
async fn try_pod(peer: std::sync::Weak<Peer>) {
    let mut pause = TRIAL_PAUSE_MIN;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(TRIAL_PAUSE_MAX);
        let Some(peer) = peer.upgrade() else { return };
        if trial(peer.address).await.is_ok() {
            return peer.doubt.settle();
        }
    }
}

/// Tries a node by one of its Pods. A refusal is an answer as well. The first trial is made at once, with more patience
/// than a client has.
async fn try_node(peer: std::sync::Weak<Peer>, host: Arc<Doubt>) {
    let mut pause = TRIAL_PAUSE_MIN;
    while let Some(address) = peer.upgrade().map(|peer| peer.address) {
        let answers = trial(address).await.map_or_else(|error| Blame::of(error.kind()) == Blame::Pod, |()| true);
        if answers {
            info!(%address, "the node answers again");
            break;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(TRIAL_PAUSE_MAX);
    }
    // If its Pod has left the table, another one will show whether the node still is silent.
    host.settle();
}

async fn trial(address: SocketAddr) -> io::Result<()> {
    open(address, None, TRIAL_TIMEOUT).await.map(drop)
}

async fn open(to: SocketAddr, from: Option<IpAddr>, patience: Duration) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(from) = from {
        // Without it the Pod's node takes this one for any client, which is better than nothing.
        let _ = socket.bind(SocketAddr::new(from, 0));
    }
    let connected = tokio::time::timeout(patience, socket.connect(to)).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
