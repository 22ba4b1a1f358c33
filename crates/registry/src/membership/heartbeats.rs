//! Which nodes have lately said that they are alive. Kept in memory: heartbeats never enter the log.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{Error, Key, Kind, Timestamp};
use futures::{Stream, stream};
use store::View;
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    sync::broadcast::{self, error::RecvError},
    time::{MissedTickBehavior, timeout},
};

use crate::{Registry, access::Access, nodes};

/// How many signs a reader may be behind before it gets the latest of every node instead.
const BACKLOG_MAX: usize = 4096;

/// Signs of life of one node within this time are told to readers once: nodes talk to every master, and masters tell each
/// other.
pub const MERGED_WITHIN: Duration = Duration::from_millis(200);

/// How often masters tell each other whom they have heard: well below what counts as silence.
pub const SHARE_EVERY: Duration = Duration::from_millis(200);

/// How long an agent may take to accept a connection before nobody knows what became of it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a process that seems to end is looked at, and how long to wait in between.
const LOOKS_MAX: usize = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Marks, in what masters tell each other, a node whose process has ended. No name of a node begins with it.
const GONE: char = '-';

/// What is known of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It said that it is alive.
    Alive,
    /// Its connection broke, and nobody listens at its address any more.
    Gone,
}

/// A sign of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The node's name.
    pub node: Arc<str>,
    /// When, by the clock of the Registry.
    pub at: Timestamp,
    /// What it says.
    pub sign: Sign,
}

#[derive(Debug)]
pub(crate) struct Heartbeats {
    /// Since when this master listens.
    since: Timestamp,
    latest: Mutex<HashMap<Arc<str>, Known>>,
    /// The nodes that were heard here and that the other masters were not told of yet.
    untold: Mutex<HashSet<Arc<str>>>,
    news: broadcast::Sender<Heartbeat>,
}

/// The latest signs of a node.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    alive: Option<Timestamp>,
    gone: Option<Timestamp>,
    /// When readers were told that it is alive.
    told: Option<Timestamp>,
}

impl Registry {
    /// Notes that a node is alive.
    ///
    /// # Errors
    /// If no such node is registered: it should register itself again; if another node asks.
    pub fn heartbeat(&self, node: &str) -> Result<(), Error> {
        self.caller.authorise(Access::Heartbeat(node), || self.state(), &self.inner.node_uses)?;
        let view = self.state();
        let key = Key::cluster(Kind::Node, node);
        if view.get(&key).is_none() {
            return Err(Error::not_found(&key));
        }
        lock(&self.inner.heartbeats.untold).insert(key.name.clone());
        self.inner.heartbeats.note(&view, Heartbeat { node: key.name, at: self.now(), sign: Sign::Alive });
        Ok(())
    }

    /// The heartbeats of a node have ended: finds out whether its process has ended, too. When a process ends, its connections
    /// close at once and its host refuses new ones. Of a host that does not answer nothing is known; its silence is noticed
    /// later.
    pub async fn lost(&self, node: &str) {
        let (since, view) = (self.now(), self.state());
        let key = Key::cluster(Kind::Node, node);
        // Told now, the other masters would take the last heartbeat for one that came after the end.
        lock(&self.inner.heartbeats.untold).remove(&*key.name);
        let Some(agent) = agent(&view, &key) else { return };
        let refuses = refuses(agent).await;
        let view = self.state();
        // If another process has started meanwhile, it has sent a heartbeat or listens elsewhere.
        let is_back = self.inner.heartbeats.alive(&key.name).is_some_and(|alive| alive > since);
        if !refuses || is_back || self::agent(&view, &key) != Some(agent) {
            return;
        }
        tracing::info!(node, "the node's process has ended");
        self.inner.consensus.broadcast(format!("{GONE}{node}").into());
        self.inner.heartbeats.note(&view, Heartbeat { node: key.name, at: self.now(), sign: Sign::Gone });
    }

    /// Hears of the nodes that other masters heard, and tells them of those that were heard here, until the process stops:
    /// whichever master a node can reach, the one that leads must know that it lives.
    pub async fn hear_masters(&self) {
        let mut notes = self.inner.consensus.notes();
        let mut share = tokio::time::interval(SHARE_EVERY);
        share.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                note = notes.recv() => match note {
                    Ok((_, note)) => self.take_note(&note),
                    // What was missed is told again in a moment.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                _ = share.tick() => self.share(),
            }
        }
    }

    fn share(&self) {
        if let Some(heard) = self.heard() {
            self.inner.consensus.broadcast(heard.into());
        }
    }

    /// The nodes that were heard here and that the other masters were not told of yet, a line each.
    #[must_use]
    pub fn heard(&self) -> Option<String> {
        let heard = std::mem::take(&mut *lock(&self.inner.heartbeats.untold));
        let names: Vec<&str> = heard.iter().map(|node| &**node).collect();
        (!names.is_empty()).then(|| names.join("\n"))
    }

    fn take_note(&self, note: &[u8]) {
        let Ok(lines) = std::str::from_utf8(note) else { return };
        let view = self.state();
        for line in lines.lines() {
            let (name, sign) = line.strip_prefix(GONE).map_or((line, Sign::Alive), |name| (name, Sign::Gone));
            let key = Key::cluster(Kind::Node, name);
            if view.get(&key).is_some() {
                self.inner.heartbeats.note(&view, Heartbeat { node: key.name, at: self.now(), sign });
            }
        }
    }

    /// The latest signs of every node, then signs as they come. A reader that is too slow misses some, never the latest.
    pub fn heartbeats(&self) -> impl Stream<Item = Vec<Heartbeat>> + Send + 'static + use<> {
        let news = self.inner.heartbeats.news.subscribe();
        let start = (self.clone(), news, true);
        stream::unfold(start, |(registry, mut news, all)| async move {
            let heartbeats = &registry.inner.heartbeats;
            let batch = if all { Some(heartbeats.all()) } else { heartbeats.fresh(&mut news).await };
            batch.map(|batch| (batch, (registry, news, false)))
        })
    }

    /// Notes to whom a node has no route. Call it only for a node that was heard.
    pub fn note_unrouted(&self, by: &str, missing: Vec<String>) {
        self.inner.routes.note(by, missing);
    }

    /// Who has no route to a node.
    #[must_use]
    pub fn unrouted_by(&self, node: &str) -> Vec<String> {
        self.inner.routes.missing(node)
    }

    /// Waits until open streams should end, because the process stops.
    pub async fn closing(&self) {
        self.inner.closing.cancelled().await;
    }
}

/// Whether nobody listens at an address. A process that is about to end still takes connections for a moment, and then they
/// close.
async fn refuses(address: SocketAddr) -> bool {
    for _ in 0..LOOKS_MAX {
        let mut nothing = [0];
        match timeout(LOOK_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(mut stream)) => match timeout(LOOK_TIMEOUT, stream.read(&mut nothing)).await {
                // Whoever listens there waits for the first word.
                Err(_) => return false,
                Ok(_) => tokio::time::sleep(LOOK_AGAIN).await,
            },
            Ok(Err(error)) => return error.kind() == io::ErrorKind::ConnectionRefused,
            Err(_) => return false,
        }
    }
    false
}

/// Where a node's agent listens.
fn agent(view: &View, key: &Key) -> Option<SocketAddr> {
    let object = view.get(key)?.object();
    let (host, port) = nodes::agent(object.get()?)?;
    Some(SocketAddr::new(host.parse().ok()?, u16::try_from(port).ok()?))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Known {
    /// Takes a sign in. Says whether it is news.
    fn take(&mut self, sign: Sign, at: Timestamp) -> bool {
        let is_gone = self.gone.is_some_and(|gone| self.alive.is_none_or(|alive| alive <= gone));
        match sign {
            Sign::Gone => {
                self.gone = Some(at);
                true
            }
            Sign::Alive => {
                self.alive = Some(at);
                let is_news = is_gone || self.told.is_none_or(|told| told.after(MERGED_WITHIN) <= at);
                self.told = if is_news { Some(at) } else { self.told };
                is_news
            }
        }
    }
}

impl Heartbeats {
    pub(crate) fn new(since: Timestamp) -> Self {
        let (latest, untold) = (Mutex::default(), Mutex::default());
        Self { since, latest, untold, news: broadcast::channel(BACKLOG_MAX).0 }
    }

    /// For how long at least nothing was heard of a node; `None` if it was never heard. A master that has just started has
    /// heard nobody: of a node that `was_ready` it assumes that it was alive at that moment.
    pub(crate) fn silence(&self, node: &str, now: Timestamp, was_ready: bool) -> Option<Duration> {
        self.alive(node).or(was_ready.then_some(self.since)).map(|at| now.since(at))
    }

    pub(super) fn alive(&self, node: &str) -> Option<Timestamp> {
        lock(&self.latest).get(node).and_then(|known| known.alive)
    }

    fn note(&self, view: &View, heartbeat: Heartbeat) {
        let mut latest = lock(&self.latest);
        let is_news = latest.entry(heartbeat.node.clone()).or_default().take(heartbeat.sign, heartbeat.at);
        // Names of nodes that are gone are dropped before they are the majority.
        if latest.len() > 2 * view.count(Kind::Node) {
            latest.retain(|node, _| view.get(&Key::cluster(Kind::Node, node.clone())).is_some());
        }
        drop(latest);
        if is_news {
            // Nobody listening is no failure.
            let _ = self.news.send(heartbeat);
        }
    }

    /// The latest signs of every node.
    pub(super) fn all(&self) -> Vec<Heartbeat> {
        let latest = lock(&self.latest);
        let signs = latest.iter().flat_map(|(node, known)| {
            let signs = [(Sign::Alive, known.alive), (Sign::Gone, known.gone)].into_iter();
            signs.filter_map(|(sign, at)| Some(Heartbeat { node: node.clone(), at: at?, sign }))
        });
        signs.collect()
    }

    async fn fresh(&self, news: &mut broadcast::Receiver<Heartbeat>) -> Option<Vec<Heartbeat>> {
        let mut batch = match news.recv().await {
            Ok(heartbeat) => vec![heartbeat],
            Err(RecvError::Lagged(_)) => return Some(self.all()),
            Err(RecvError::Closed) => return None,
        };
        while let Ok(heartbeat) = news.try_recv() {
            batch.push(heartbeat);
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use tokio::net::TcpListener;

    use super::refuses;

    #[tokio::test]
    async fn who_is_about_to_end_takes_a_connection_for_a_moment() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (last, _) = listener.accept().await.unwrap();
            drop(listener);
            drop(last);
        });
        assert!(refuses(address).await);
    }
}
