//! Listening: one task an address, as long as the address is wanted. What cannot be opened is tried again.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use api::Key;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::AbortHandle,
};

use crate::serve::Server;

/// The most connections at the same time, to all Services and Pods of a node together.
const CONNECTIONS_MAX: usize = 16_384;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How long to wait after the system refused a connection, usually for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The first port that any user may bind.
const FREE_PORT: u16 = 1024;

/// The pause before an address is tried the second time; it doubles with each try.
pub(crate) const RETRY_MIN: Duration = Duration::from_millis(250);

/// The longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// From this try on users are told that an address is not this machine's: routes are set while Services are read.
const TOLD_FROM_TRY: u32 = 3;

/// News of an address on which the proxy should listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It cannot, for a new reason.
    Failed(Problem),
    /// It does now, or need not any more.
    Mended(SocketAddr),
}

/// Something that the proxy could not do for an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The Service or Pod.
    pub about: Key,
    /// The address.
    pub address: SocketAddr,
    /// What sort of error it is.
    pub kind: io::ErrorKind,
    /// What is wrong, and what would help.
    pub message: String,
}

impl Problem {
    fn new(about: Key, address: SocketAddr, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied if address.port() < FREE_PORT => {
                "; ports below 1024 need a privilege: use a higher port, or allow them with `sysctl net.ipv4.ip_unprivileged_port_start=0`"
            }
            io::ErrorKind::AddrInUse => {
                "; another process listens there, or on this port of all addresses: stop it, give it an address of its own, or use another port"
            }
            io::ErrorKind::AddrNotAvailable => "; the address is not one of this machine",
            _ => "",
        };
        Self { about, address, kind: error.kind(), message: format!("cannot listen on {address}: {error}{remedy}") }
    }
}

/// Whose an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Service,
    Pod,
}

/// Every address on which the proxy should listen.
pub(crate) struct Listeners {
    slots: Mutex<HashMap<SocketAddr, Slot>>,
    opener: Opener,
}

/// What opens addresses.
struct Opener {
    server: Arc<Server>,
    /// One for each connection that may stand at the same time.
    permits: Arc<Semaphore>,
    news: mpsc::UnboundedSender<News>,
}

struct Slot {
    about: Key,
    owner: Owner,
    /// `None` while it cannot be opened.
    task: Option<Accepting>,
    tries: u32,
    again_at: Instant,
    /// What was told.
    told: Option<io::ErrorKind>,
}

/// A task that accepts connections; dropping it closes the address.
struct Accepting(AbortHandle);

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listeners {
    pub(crate) fn new(server: Arc<Server>, news: mpsc::UnboundedSender<News>) -> Self {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { slots: Mutex::default(), opener: Opener { server, permits, news } }
    }

    /// Takes at most so many connections from now on.
    pub(crate) fn limit(&self, connections: usize) {
        self.opener.permits.forget_permits(CONNECTIONS_MAX.saturating_sub(connections));
    }

    /// Listens on exactly these addresses for Services.
    pub(crate) fn set_services<'a>(
        &self,
        wanted: impl Fn(SocketAddr) -> bool,
        all: impl Iterator<Item = (SocketAddr, &'a Key)>,
    ) {
        let mut slots = self.lock();
        let gone = slots.extract_if(|address, slot| slot.owner == Owner::Service && !wanted(*address));
        gone.for_each(|(address, slot)| self.opener.mended(address, &slot));
        for (address, service) in all {
            let slot = slots.entry(address).or_insert_with(|| Slot::new(service.clone(), Owner::Service));
            if slot.tries == 0 {
                slot.open(address, &self.opener);
            }
        }
    }

    /// Listens on a Pod's address.
    pub(crate) fn add_pod(&self, pod: Key, address: SocketAddr) {
        let mut slot = Slot::new(pod, Owner::Pod);
        let mut slots = self.lock();
        // One that a Pod before it left must be closed first.
        drop(slots.remove(&address));
        slot.open(address, &self.opener);
        slots.insert(address, slot);
    }

    pub(crate) fn remove(&self, address: SocketAddr) {
        if let Some(slot) = self.lock().remove(&address) {
            self.opener.mended(address, &slot);
        }
    }

    /// Tries what is not open and has waited long enough.
    pub(crate) fn retry(&self, is_due: impl Fn(Instant) -> bool) {
        for (address, slot) in self.lock().iter_mut().filter(|(_, slot)| slot.task.is_none()) {
            if is_due(slot.again_at) {
                slot.open(*address, &self.opener);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opener {
    /// Nobody listens to news only while the process ends.
    fn tell(&self, news: News) {
        let _ = self.news.send(news);
    }

    fn mended(&self, address: SocketAddr, slot: &Slot) {
        if slot.told.is_some() {
            self.tell(News::Mended(address));
        }
    }

    /// Listens on an address for its owner.
    fn start(&self, address: SocketAddr, owner: Owner) -> io::Result<Accepting> {
        let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let (server, permits) = (self.server.clone(), self.permits.clone());
        let take = move |stream: TcpStream, client, permit: OwnedSemaphorePermit| {
            let server = server.clone();
            tokio::spawn(async move {
                match owner {
                    Owner::Service => server.service(stream, address, client).await,
                    Owner::Pod => server.pod(stream, address, client).await,
                }
                drop(permit);
            });
        };
        let task = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    // Further clients wait to be accepted; those who are served go on.
                    Ok((stream, client)) => match permits.clone().acquire_owned().await {
                        Ok(permit) => take(stream, client, permit),
                        Err(_) => return,
                    },
                    Err(error) => {
                        tracing::warn!(%error, %address, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        Ok(Accepting(task.abort_handle()))
    }
}

impl Slot {
    fn new(about: Key, owner: Owner) -> Self {
        Self { about, owner, task: None, tries: 0, again_at: Instant::now(), told: None }
    }

    fn open(&mut self, address: SocketAddr, opener: &Opener) {
        self.tries = self.tries.saturating_add(1);
        match opener.start(address, self.owner) {
            Ok(task) => {
                self.task = Some(task);
                if self.told.take().is_some() {
                    opener.tell(News::Mended(address));
                }
            }
            Err(error) => {
                let pause = RETRY_MIN * 2_u32.saturating_pow(self.tries.min(16) - 1);
                self.again_at = Instant::now() + pause.min(RETRY_MAX);
                self.tell(address, &error, opener);
            }
        }
    }

    fn tell(&mut self, address: SocketAddr, error: &io::Error, opener: &Opener) {
        let may_pass = error.kind() == io::ErrorKind::AddrNotAvailable && self.tries < TOLD_FROM_TRY;
        if !may_pass && self.told.replace(error.kind()) != Some(error.kind()) {
            opener.tell(News::Failed(Problem::new(self.about.clone(), address, error)));
        }
    }
}
