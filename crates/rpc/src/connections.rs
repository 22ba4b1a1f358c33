//! Who is connected to a server, and who gives way when too many are.
//!
//! Each sort of caller has a limit of its own, so that none can keep the others out: connections that have not proven yet who
//! they are, those that have no certificate, administrators, other users, nodes, masters. Within it each caller has a limit, too. Who comes
//! when a limit is reached replaces the connection that has had nothing to do for longest, its own caller's first; only where
//! all are busy is it turned away. Connections that have not proven themselves are never busy, so that anybody can begin. Who
//! proves itself with a request, by a token, counts as that one from then on.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::identity::Subject;

/// The most connections of a server, however many files it may open: each costs some ten KiB.
const CONNECTIONS_MAX: u64 = 16_384;

/// The fewest, so that a server with hardly any files still answers.
const CONNECTIONS_MIN: u64 = 64;

/// One in this many of the files that a process may open is for connections. The others are for the log, images,
/// Pods and calls to other processes.
const FILES_A_CONNECTION: u64 = 2;

/// The same for connections to Services and Pods: each costs up to two files, so that these are a quarter of all.
const FILES_A_PROXIED: u64 = 8;

/// The most connections of one node: an agent has one to each master.
const NODE_CONNECTIONS_MAX: usize = 16;

/// How long a connection without a certificate may stay in all, busy or not: whoever joins is done long before.
const NOBODY_LIFE: Duration = Duration::from_secs(120);

/// How long a connection without a certificate may have nothing to do.
const NOBODY_IDLE: Duration = Duration::from_secs(10);

/// How long a connection with a certificate may have nothing to do, as in Kubernetes' API server.
const KNOWN_IDLE: Duration = Duration::from_secs(90);

/// Who is at the other end, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// Nobody knows yet.
    Arriving(IpAddr),
    /// Somebody without a certificate.
    Nobody(IpAddr),
    /// Somebody whose certificate the cluster's authority signed; a user is called by its name alone.
    Known(Subject),
    /// A user by its name, known by a token or certificate.
    User(String),
}

/// Sorts of callers, in the order of [`ConnectionLimits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Arriving,
    Nobody,
    Admins,
    Users,
    Nodes,
    Masters,
}

/// The most connections of a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Of all callers.
    pub all: usize,
    /// Of one caller: a name, or an address where there is no name.
    pub each: usize,
}

/// How many connections of each sort a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Those that have not proven yet who they are.
    pub arriving: Limit,
    /// Those without a certificate.
    pub nobody: Limit,
    /// Administrators'.
    pub admins: Limit,
    /// Other users', of whom one may be in many Pods.
    pub users: Limit,
    /// Nodes'.
    pub nodes: Limit,
    /// Masters'.
    pub masters: Limit,
    /// Beside all these, those that a node's proxy takes for Services and Pods.
    pub proxied: usize,
}

impl ConnectionLimits {
    /// The limits of a server whose process may open `files` files.
    #[must_use]
    pub fn for_files(files: u64) -> Self {
        let all = (files / FILES_A_CONNECTION).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
        let part = |parts: u64, of: u64| usize::try_from(all * parts / of).unwrap_or(usize::MAX);
        Self {
            arriving: Limit { all: part(1, 8), each: part(1, 16) },
            nobody: Limit { all: part(1, 16), each: part(1, 64) },
            admins: Limit { all: part(1, 8), each: part(1, 8) },
            users: Limit { all: part(1, 8), each: part(1, 16) },
            nodes: Limit { all: part(7, 16), each: NODE_CONNECTIONS_MAX },
            masters: Limit { all: part(1, 8), each: part(1, 8) },
            proxied: usize::try_from(files / FILES_A_PROXIED).unwrap_or(usize::MAX).max(1),
        }
    }

    /// How many connections a server takes at most.
    #[must_use]
    pub fn sum(&self) -> usize {
        [self.arriving, self.nobody, self.admins, self.users, self.nodes, self.masters]
            .iter()
            .map(|limit| limit.all)
            .sum()
    }

    fn of(&self, sort: Sort) -> Limit {
        match sort {
            Sort::Arriving => self.arriving,
            Sort::Nobody => self.nobody,
            Sort::Admins => self.admins,
            Sort::Users => self.users,
            Sort::Nodes => self.nodes,
            Sort::Masters => self.masters,
        }
    }
}

impl Party {
    fn sort(&self) -> Sort {
        match self {
            Self::Arriving(_) => Sort::Arriving,
            Self::Nobody(_) => Sort::Nobody,
            Self::Known(Subject::Admin { .. }) => Sort::Admins,
            Self::Known(Subject::User { .. } | Subject::Pod { .. }) => Sort::Users,
            Self::Known(Subject::Node { .. }) => Sort::Nodes,
            Self::Known(Subject::Master { .. }) => Sort::Masters,
            Self::User(_) => Sort::Users,
        }
    }

    fn idle_max(&self) -> Duration {
        match self {
            Self::Arriving(_) | Self::Nobody(_) => NOBODY_IDLE,
            Self::Known(_) | Self::User(_) => KNOWN_IDLE,
        }
    }

    /// The same, for counting: a host with IPv6 has a whole /64 of addresses.
    fn counted(self) -> Self {
        let masked = |address: IpAddr| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => v4.into(),
                None => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
            },
        };
        match self {
            Self::Arriving(address) => Self::Arriving(masked(address)),
            Self::Nobody(address) => Self::Nobody(masked(address)),
            known @ (Self::Known(_) | Self::User(_)) => known,
        }
    }
}

/// The open connections of one server. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Connections {
    limits: ConnectionLimits,
    opened: Instant,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// By id, for each sort in its order.
    by_sort: [BTreeMap<u64, Arc<Connection>>; 6],
    each: HashMap<Party, usize>,
}

/// What is known of an open connection.
#[derive(Debug)]
struct Connection {
    /// Who came, as far as the handshake told.
    came_as: Party,
    /// Who it is, if a request has proven that since.
    proven: OnceLock<Party>,
    /// When it came, in milliseconds after the server began.
    came_ms: u64,
    /// How many requests are under way.
    busy: AtomicUsize,
    /// Since when none is, in the same milliseconds.
    idle_since_ms: AtomicU64,
    /// Cancelled when it must give way.
    gone: CancellationToken,
}

/// What counts a connection among the open ones, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    connections: Connections,
    id: u64,
    connection: Arc<Connection>,
}

/// A request that is under way; the connection is not idle until it is dropped.
#[derive(Debug)]
pub struct Busy {
    connection: Arc<Connection>,
    opened: Instant,
}

/// Why a connection ends before its client wants it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It gave way to another one, or its time is over.
    Now,
    /// It had nothing to do for too long.
    Idle,
}

impl Connections {
    /// A server without connections.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Self {
        Self { limits, opened: Instant::now(), open: Arc::default() }
    }

    /// Counts a connection that just came; `None` if the limit is reached and all are busy.
    #[must_use]
    pub fn enter(&self, party: Party) -> Option<Slot> {
        self.enter_at(party, ms_since(self.opened))
    }

    fn enter_at(&self, party: Party, now_ms: u64) -> Option<Slot> {
        let party = party.counted();
        let mut open = self.open();
        open.make_way(&party, self.limits.of(party.sort()))?;
        let (busy, idle_since_ms, gone) = (AtomicUsize::new(0), AtomicU64::new(now_ms), CancellationToken::new());
        let (came_as, proven) = (party, OnceLock::new());
        let connection = Arc::new(Connection { came_as, proven, came_ms: now_ms, busy, idle_since_ms, gone });
        open.next += 1;
        let id = open.next;
        open.add(id, connection.clone());
        Some(Slot { connections: self.clone(), id, connection })
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open().by_sort.iter().map(BTreeMap::len).sum()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Makes way for one more, if somebody idle can go.
    fn make_way(&mut self, party: &Party, limit: Limit) -> Option<()> {
        let open = &self.by_sort[party.sort() as usize];
        let is_own_limit_reached = self.each.get(party).copied().unwrap_or(0) >= limit.each;
        if !is_own_limit_reached && open.len() < limit.all {
            return Some(());
        }
        let may_go = |connection: &&Arc<Connection>| {
            connection.busy.load(Ordering::Relaxed) == 0 && (!is_own_limit_reached || connection.party() == party)
        };
        let idle = open.iter().filter(|(_, connection)| may_go(connection));
        let (id, _) = idle.min_by_key(|(_, connection)| connection.idle_since_ms.load(Ordering::Relaxed))?;
        let (sort, id) = (party.sort(), *id);
        self.remove(sort, id).inspect(|connection| connection.gone.cancel()).map(drop)
    }

    fn add(&mut self, id: u64, connection: Arc<Connection>) {
        let party = connection.party();
        *self.each.entry(party.clone()).or_default() += 1;
        self.by_sort[party.sort() as usize].insert(id, connection);
    }

    fn remove(&mut self, sort: Sort, id: u64) -> Option<Arc<Connection>> {
        let connection = self.by_sort[sort as usize].remove(&id)?;
        let party = connection.party();
        if let Some(count) = self.each.get_mut(party) {
            *count -= 1;
            if *count == 0 {
                self.each.remove(party);
            }
        }
        Some(connection)
    }

    /// Counts a connection as that of whom it has proven to be, if the limit allows it and it has not had to give way.
    fn count_as(&mut self, id: u64, connection: &Connection, party: Party, limits: ConnectionLimits) {
        if self.make_way(&party, limits.of(party.sort())).is_none() {
            return;
        }
        if let Some(connection) = self.remove(connection.party().sort(), id) {
            // Nobody has set it: this happens once, under the lock.
            let _ = connection.proven.set(party);
            self.add(id, connection);
        }
    }
}

impl Slot {
    /// Counts the same connection once it is known who it is; `None` if all of that sort are busy.
    #[must_use]
    pub fn change(self, party: Party) -> Option<Self> {
        let connections = self.connections.clone();
        drop(self);
        connections.enter(party)
    }

    /// A request has proven who is at the other end of a connection that came as somebody else, or as nobody: from now on it
    /// counts as that one's. Where all are busy it counts as before, until it proves it again.
    pub fn prove(&self, party: Party) {
        let mut open = self.connections.open();
        if self.connection.proven.get().is_none() {
            open.count_as(self.id, &self.connection, party.counted(), self.connections.limits);
        }
    }

    /// A request begins.
    #[must_use]
    pub fn busy(&self) -> Busy {
        self.connection.busy.fetch_add(1, Ordering::Relaxed);
        Busy { connection: self.connection.clone(), opened: self.connections.opened }
    }

    /// Whether a request is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.connection.busy.load(Ordering::Acquire) > 0
    }

    /// Waits until the connection must end, and says why.
    pub async fn must_leave(&self) -> Leave {
        loop {
            let left = self.connection.left(ms_since(self.connections.opened));
            if left.is_zero() {
                return if self.is_busy() { Leave::Now } else { Leave::Idle };
            }
            tokio::select! {
                () = self.connection.gone.cancelled() => return Leave::Now,
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}

impl Connection {
    /// Who it is, as far as anything has told.
    fn party(&self) -> &Party {
        self.proven.get().unwrap_or(&self.came_as)
    }

    /// How long it may stay if nothing happens, and after which to look again otherwise.
    fn left(&self, now_ms: u64) -> Duration {
        let since = |then_ms: u64| Duration::from_millis(now_ms.saturating_sub(then_ms));
        let is_busy = self.busy.load(Ordering::Acquire) > 0;
        let idle = if is_busy { Duration::ZERO } else { since(self.idle_since_ms.load(Ordering::Relaxed)) };
        let left = self.party().idle_max().saturating_sub(idle);
        match self.party() {
            Party::Arriving(_) | Party::Nobody(_) => left.min(NOBODY_LIFE.saturating_sub(since(self.came_ms))),
            Party::Known(_) | Party::User(_) => left,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.remove(self.connection.party().sort(), self.id);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.connection.idle_since_ms.store(ms_since(self.opened), Ordering::Relaxed);
        self.connection.busy.fetch_sub(1, Ordering::Release);
    }
}

fn ms_since(opened: Instant) -> u64 {
    u64::try_from(opened.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { all: 4, each: 2 };

    fn connections() -> Connections {
        Connections::new(ConnectionLimits {
            arriving: LIMIT,
            nobody: LIMIT,
            admins: LIMIT,
            users: LIMIT,
            nodes: LIMIT,
            masters: LIMIT,
            proxied: 1,
        })
    }

    fn from(host: u8) -> Party {
        Party::Arriving([10, 0, 0, host].into())
    }

    fn nobody(host: u8) -> Party {
        Party::Nobody([10, 0, 0, host].into())
    }

    fn admin() -> Party {
        Party::Known(Subject::Admin { name: "a".to_owned() })
    }

    fn gave_way(slot: &Slot) -> bool {
        slot.connection.gone.is_cancelled()
    }

    #[test]
    fn whoever_is_silent_for_longest_gives_way_to_newcomers() {
        let connections = connections();
        let mut open: Vec<_> =
            (0..4).map(|host| connections.enter_at(from(host), u64::from(host)).expect("a slot")).collect();
        let newcomer = connections.enter_at(from(9), 9).expect("anybody can begin");
        assert!(gave_way(&open[0]) && !gave_way(&open[1]) && !gave_way(&newcomer));
        assert_eq!(connections.count(), 4);
        drop(open.remove(0));
        assert_eq!(connections.count(), 4, "a slot is given back once");
        let known = newcomer.change(admin()).expect("administrators have a limit of their own");
        assert_eq!(*known.connection.party(), admin());
    }

    #[test]
    fn a_caller_with_its_share_displaces_only_itself() {
        let connections = connections();
        let other = connections.enter_at(from(1), 0).expect("a slot");
        let flood: Vec<_> = (0..100).map(|at| connections.enter_at(from(2), at).expect("a slot")).collect();
        assert!(!gave_way(&other));
        assert_eq!((connections.count(), flood.iter().filter(|slot| !gave_way(slot)).count()), (3, 2));
        drop(flood);
        let v6 = |low| Party::Arriving(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, low).into());
        let same = [1, 2, 3].map(|low| connections.enter_at(v6(low), low.into()).expect("a slot"));
        assert!(gave_way(&same[0]), "the addresses of a /64 are one caller");
    }

    #[test]
    fn busy_ones_stay_and_new_ones_are_turned_away() {
        let connections = connections();
        let busy = [1, 1, 2, 2].map(|host| {
            let slot = connections.enter(nobody(host)).expect("a slot");
            (slot.busy(), slot)
        });
        assert!(connections.enter(nobody(3)).is_none());
        assert!(
            connections.enter(from(3)).is_some() && connections.enter(admin()).is_some(),
            "the others' limits are not reached"
        );
        drop(busy);
        assert!(connections.enter(nobody(3)).is_some());
    }

    #[test]
    fn idle_ones_leave_after_a_while_and_busy_ones_do_not() {
        let connections = connections();
        let (silent, known) =
            (connections.enter_at(nobody(1), 0).expect("a slot"), connections.enter_at(admin(), 0).expect("a slot"));
        let ms = |time: Duration| u64::try_from(time.as_millis()).expect("a short time");
        assert_eq!(silent.connection.left(1), NOBODY_IDLE - Duration::from_millis(1));
        assert_eq!(silent.connection.left(ms(NOBODY_IDLE)), Duration::ZERO);
        assert_eq!(known.connection.left(ms(KNOWN_IDLE)), Duration::ZERO);
        let (one, other) = (known.busy(), silent.busy());
        assert_eq!(known.connection.left(ms(100 * KNOWN_IDLE)), KNOWN_IDLE, "a watch is not idle");
        assert_eq!(silent.connection.left(ms(NOBODY_LIFE)), Duration::ZERO, "nobody stays for ever");
        drop((one, other));
        assert!(!known.connection.left(0).is_zero());
    }

    /// An administrator who shows a token has no certificate to be known by when it comes.
    #[test]
    fn who_proves_itself_later_counts_as_that_one() {
        let connections = connections();
        let known = connections.enter_at(nobody(1), 0).expect("a slot");
        known.prove(admin());
        let flood: Vec<_> = (0..100).map(|at| connections.enter_at(nobody(1), at).expect("a slot")).collect();
        assert!(!gave_way(&known), "it is nobody's neighbour any more");
        let ms = |time: Duration| u64::try_from(time.as_millis()).expect("a short time");
        let busy = known.busy();
        assert_eq!(known.connection.left(ms(100 * NOBODY_LIFE)), KNOWN_IDLE, "nor does it have to leave like nobody");
        drop(busy);
        // Proven a second time, and somebody who had to give way before it proved itself.
        known.prove(admin());
        flood[0].prove(admin());
        assert!(gave_way(&flood[0]));
        assert_eq!(connections.count(), 3, "one administrator, and two who are nobody");
        drop((known, flood));
        assert_eq!(connections.count(), 0);
        assert!(connections.open().each.is_empty(), "everything came back");
    }

    #[test]
    fn who_proves_itself_where_all_are_busy_counts_as_before() {
        let connections = connections();
        let crowd = [1, 2].map(|_| {
            let slot = connections.enter(admin()).expect("a slot");
            (slot.busy(), slot)
        });
        let known = connections.enter(nobody(1)).expect("a slot");
        known.prove(admin());
        assert_eq!(*known.connection.party(), nobody(1));
        drop(crowd);
        known.prove(admin());
        assert_eq!(*known.connection.party(), admin());
    }

    /// A connection that has nothing to do is told so by itself.
    #[tokio::test]
    async fn who_gives_way_is_told() {
        let connections = connections();
        let first = connections.enter_at(from(1), 0).expect("a slot");
        let wait = async { (first.must_leave().await, ()).0 };
        let flood = async { (0..3).map(|at| connections.enter_at(from(1), at + 1)).collect::<Vec<_>>() };
        assert_eq!(tokio::join!(wait, flood).0, Leave::Now);
    }

    #[test]
    fn limits_fit_the_files() {
        for files in [0, 256, 1024, 65_536, u64::MAX / 2] {
            let limits = ConnectionLimits::for_files(files);
            let most = (files / FILES_A_CONNECTION).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
            assert!(limits.sum() as u64 <= most, "{limits:?}");
            for sort in [Sort::Arriving, Sort::Nobody, Sort::Admins, Sort::Nodes, Sort::Masters] {
                let limit = limits.of(sort);
                assert!(limit.each >= 1 && limit.each <= limit.all, "{files} {sort:?} {limit:?}");
            }
        }
    }
}
