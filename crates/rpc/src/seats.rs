//! Who is connected to a server, and who gives way when too many are.
//!
//! Each sort of caller has a room of its own, so that none can take the others' places: connections that have not proven
//! yet who they are, those that have no certificate, administrators, nodes, masters. Within a room each caller has a share.
//! Who comes to a full one takes the place of the connection that has had nothing to do for longest, its own caller's first;
//! only where all are busy is it turned away. Connections that have not proven themselves are never busy, so there is always
//! a place to begin. Who proves itself with a request, by a token, moves to its own room then.

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

/// How many of the files that a process may open are for connections: one in so many. The others are for the log, images,
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
    /// Somebody whose certificate the cluster's authority signed.
    Known(Subject),
}

/// The rooms, in the order of [`Rooms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Arriving,
    Nobody,
    Admins,
    Nodes,
    Masters,
}

/// How many connections fit into a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Of all callers.
    pub all: usize,
    /// Of one caller: a name, or an address where there is no name.
    pub each: usize,
}

/// How many connections of each sort a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rooms {
    /// Those that have not proven yet who they are.
    pub arriving: Room,
    /// Those without a certificate.
    pub nobody: Room,
    /// Administrators'.
    pub admins: Room,
    /// Nodes'.
    pub nodes: Room,
    /// Masters'.
    pub masters: Room,
    /// Beside all these, those that a node's proxy takes for Services and Pods.
    pub proxied: usize,
}

impl Rooms {
    /// The rooms of a server whose process may open so many files.
    #[must_use]
    pub fn for_files(files: u64) -> Self {
        let all = (files / FILES_A_CONNECTION).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
        let part = |parts: u64, of: u64| usize::try_from(all * parts / of).unwrap_or(usize::MAX);
        Self {
            arriving: Room { all: part(1, 8), each: part(1, 16) },
            nobody: Room { all: part(1, 16), each: part(1, 64) },
            admins: Room { all: part(1, 4), each: part(1, 4) },
            nodes: Room { all: part(7, 16), each: NODE_CONNECTIONS_MAX },
            masters: Room { all: part(1, 8), each: part(1, 8) },
            proxied: usize::try_from(files / FILES_A_PROXIED).unwrap_or(usize::MAX).max(1),
        }
    }

    /// How many connections a server takes at most.
    #[must_use]
    pub fn sum(&self) -> usize {
        [self.arriving, self.nobody, self.admins, self.nodes, self.masters].iter().map(|room| room.all).sum()
    }

    fn of(&self, sort: Sort) -> Room {
        match sort {
            Sort::Arriving => self.arriving,
            Sort::Nobody => self.nobody,
            Sort::Admins => self.admins,
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
            Self::Known(Subject::Node { .. }) => Sort::Nodes,
            Self::Known(Subject::Master { .. }) => Sort::Masters,
        }
    }

    fn idle_max(&self) -> Duration {
        match self {
            Self::Arriving(_) | Self::Nobody(_) => NOBODY_IDLE,
            Self::Known(_) => KNOWN_IDLE,
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
            known @ Self::Known(_) => known,
        }
    }
}

/// The seats of one server. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Seats {
    rooms: Rooms,
    opened: Instant,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By id, for each sort in its order.
    seated: [BTreeMap<u64, Arc<Sitting>>; 5],
    each: HashMap<Party, usize>,
}

/// A connection that has a seat.
#[derive(Debug)]
struct Sitting {
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

/// A connection's seat, free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    id: u64,
    sitting: Arc<Sitting>,
}

/// A request that is under way; the connection is not idle until it is dropped.
#[derive(Debug)]
pub struct Busy {
    sitting: Arc<Sitting>,
    opened: Instant,
}

/// Why a connection ends before its client wants it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Another one needs its seat, or its time is over.
    Now,
    /// It had nothing to do for too long.
    Idle,
}

impl Seats {
    /// A server with nobody in it.
    #[must_use]
    pub fn new(rooms: Rooms) -> Self {
        Self { rooms, opened: Instant::now(), taken: Arc::default() }
    }

    /// A seat for a connection that just came; `None` if all are busy.
    #[must_use]
    pub fn enter(&self, party: Party) -> Option<Seat> {
        self.enter_at(party, ms_since(self.opened))
    }

    fn enter_at(&self, party: Party, now_ms: u64) -> Option<Seat> {
        let party = party.counted();
        let mut taken = self.taken();
        taken.make_room(&party, self.rooms.of(party.sort()))?;
        let (busy, idle_since_ms, gone) = (AtomicUsize::new(0), AtomicU64::new(now_ms), CancellationToken::new());
        let (came_as, proven) = (party, OnceLock::new());
        let sitting = Arc::new(Sitting { came_as, proven, came_ms: now_ms, busy, idle_since_ms, gone });
        taken.next += 1;
        let id = taken.next;
        taken.sit(id, sitting.clone());
        Some(Seat { seats: self.clone(), id, sitting })
    }

    /// How many are seated.
    #[must_use]
    pub fn count(&self) -> usize {
        self.taken().seated.iter().map(BTreeMap::len).sum()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Makes room for one more, if somebody idle can go.
    fn make_room(&mut self, party: &Party, room: Room) -> Option<()> {
        let seated = &self.seated[party.sort() as usize];
        let is_own_share_full = self.each.get(party).copied().unwrap_or(0) >= room.each;
        if !is_own_share_full && seated.len() < room.all {
            return Some(());
        }
        let may_go = |sitting: &&Arc<Sitting>| {
            sitting.busy.load(Ordering::Relaxed) == 0 && (!is_own_share_full || sitting.party() == party)
        };
        let idle = seated.iter().filter(|(_, sitting)| may_go(sitting));
        let (id, _) = idle.min_by_key(|(_, sitting)| sitting.idle_since_ms.load(Ordering::Relaxed))?;
        let (sort, id) = (party.sort(), *id);
        self.rise(sort, id).inspect(|sitting| sitting.gone.cancel()).map(drop)
    }

    fn sit(&mut self, id: u64, sitting: Arc<Sitting>) {
        let party = sitting.party();
        *self.each.entry(party.clone()).or_default() += 1;
        self.seated[party.sort() as usize].insert(id, sitting);
    }

    fn rise(&mut self, sort: Sort, id: u64) -> Option<Arc<Sitting>> {
        let sitting = self.seated[sort as usize].remove(&id)?;
        let party = sitting.party();
        if let Some(count) = self.each.get_mut(party) {
            *count -= 1;
            if *count == 0 {
                self.each.remove(party);
            }
        }
        Some(sitting)
    }

    /// Seats a connection in the room of whom it has proven to be, if there is a seat and it has not had to give way.
    fn move_up(&mut self, id: u64, sitting: &Sitting, party: Party, rooms: Rooms) {
        if self.make_room(&party, rooms.of(party.sort())).is_none() {
            return;
        }
        if let Some(sitting) = self.rise(sitting.party().sort(), id) {
            // Nobody has set it: this happens once, under the lock.
            let _ = sitting.proven.set(party);
            self.sit(id, sitting);
        }
    }
}

impl Seat {
    /// The seat of the same connection once it is known who it is; `None` if all of that sort are busy.
    #[must_use]
    pub fn change(self, party: Party) -> Option<Self> {
        let seats = self.seats.clone();
        drop(self);
        seats.enter(party)
    }

    /// A request has proven who is at the other end of a connection that came as somebody else, or as nobody: from now on it
    /// sits in the room of that one. Where all are busy it stays where it is, until it proves it again.
    pub fn prove(&self, party: Party) {
        let mut taken = self.seats.taken();
        if self.sitting.proven.get().is_none() {
            taken.move_up(self.id, &self.sitting, party.counted(), self.seats.rooms);
        }
    }

    /// A request begins.
    #[must_use]
    pub fn busy(&self) -> Busy {
        self.sitting.busy.fetch_add(1, Ordering::Relaxed);
        Busy { sitting: self.sitting.clone(), opened: self.seats.opened }
    }

    /// Whether a request is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.sitting.busy.load(Ordering::Acquire) > 0
    }

    /// Waits until the connection must end, and says why.
    pub async fn must_leave(&self) -> Leave {
        loop {
            let left = self.sitting.left(ms_since(self.seats.opened));
            if left.is_zero() {
                return if self.is_busy() { Leave::Now } else { Leave::Idle };
            }
            tokio::select! {
                () = self.sitting.gone.cancelled() => return Leave::Now,
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}

impl Sitting {
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
            Party::Known(_) => left,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.rise(self.sitting.party().sort(), self.id);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.sitting.idle_since_ms.store(ms_since(self.opened), Ordering::Relaxed);
        self.sitting.busy.fetch_sub(1, Ordering::Release);
    }
}

fn ms_since(opened: Instant) -> u64 {
    u64::try_from(opened.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { all: 4, each: 2 };

    fn seats() -> Seats {
        Seats::new(Rooms { arriving: ROOM, nobody: ROOM, admins: ROOM, nodes: ROOM, masters: ROOM, proxied: 1 })
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

    fn gave_way(seat: &Seat) -> bool {
        seat.sitting.gone.is_cancelled()
    }

    #[test]
    fn whoever_is_silent_for_longest_gives_way_to_newcomers() {
        let seats = seats();
        let mut seated: Vec<_> =
            (0..4).map(|host| seats.enter_at(from(host), u64::from(host)).expect("a seat")).collect();
        let newcomer = seats.enter_at(from(9), 9).expect("there is always a place to begin");
        assert!(gave_way(&seated[0]) && !gave_way(&seated[1]) && !gave_way(&newcomer));
        assert_eq!(seats.count(), 4);
        drop(seated.remove(0));
        assert_eq!(seats.count(), 4, "a seat is given back once");
        let known = newcomer.change(admin()).expect("administrators have a room of their own");
        assert_eq!(*known.sitting.party(), admin());
    }

    #[test]
    fn a_caller_with_its_share_displaces_only_itself() {
        let seats = seats();
        let other = seats.enter_at(from(1), 0).expect("a seat");
        let flood: Vec<_> = (0..100).map(|at| seats.enter_at(from(2), at).expect("a seat")).collect();
        assert!(!gave_way(&other));
        assert_eq!((seats.count(), flood.iter().filter(|seat| !gave_way(seat)).count()), (3, 2));
        drop(flood);
        let v6 = |low| Party::Arriving(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, low).into());
        let same = [1, 2, 3].map(|low| seats.enter_at(v6(low), low.into()).expect("a seat"));
        assert!(gave_way(&same[0]), "the addresses of a /64 are one caller");
    }

    #[test]
    fn busy_ones_stay_and_new_ones_are_turned_away() {
        let seats = seats();
        let busy = [1, 1, 2, 2].map(|host| {
            let seat = seats.enter(nobody(host)).expect("a seat");
            (seat.busy(), seat)
        });
        assert!(seats.enter(nobody(3)).is_none());
        assert!(seats.enter(from(3)).is_some() && seats.enter(admin()).is_some(), "the others' rooms are free");
        drop(busy);
        assert!(seats.enter(nobody(3)).is_some());
    }

    #[test]
    fn idle_ones_leave_after_a_while_and_busy_ones_do_not() {
        let seats = seats();
        let (silent, known) =
            (seats.enter_at(nobody(1), 0).expect("a seat"), seats.enter_at(admin(), 0).expect("a seat"));
        let ms = |time: Duration| u64::try_from(time.as_millis()).expect("a short time");
        assert_eq!(silent.sitting.left(1), NOBODY_IDLE - Duration::from_millis(1));
        assert_eq!(silent.sitting.left(ms(NOBODY_IDLE)), Duration::ZERO);
        assert_eq!(known.sitting.left(ms(KNOWN_IDLE)), Duration::ZERO);
        let (one, other) = (known.busy(), silent.busy());
        assert_eq!(known.sitting.left(ms(100 * KNOWN_IDLE)), KNOWN_IDLE, "a watch is not idle");
        assert_eq!(silent.sitting.left(ms(NOBODY_LIFE)), Duration::ZERO, "nobody stays for ever");
        drop((one, other));
        assert!(!known.sitting.left(0).is_zero());
    }

    /// An administrator who shows a token has no certificate to be known by when it comes.
    #[test]
    fn who_proves_itself_later_moves_to_its_own_room() {
        let seats = seats();
        let known = seats.enter_at(nobody(1), 0).expect("a seat");
        known.prove(admin());
        let flood: Vec<_> = (0..100).map(|at| seats.enter_at(nobody(1), at).expect("a seat")).collect();
        assert!(!gave_way(&known), "it is nobody's neighbour any more");
        let ms = |time: Duration| u64::try_from(time.as_millis()).expect("a short time");
        let busy = known.busy();
        assert_eq!(known.sitting.left(ms(100 * NOBODY_LIFE)), KNOWN_IDLE, "nor does it have to leave like nobody");
        drop(busy);
        // Proven a second time, and somebody who had to give way before it proved itself.
        known.prove(admin());
        flood[0].prove(admin());
        assert!(gave_way(&flood[0]));
        assert_eq!(seats.count(), 3, "one administrator, and two who are nobody");
        drop((known, flood));
        assert_eq!(seats.count(), 0);
        assert!(seats.taken().each.is_empty(), "everything came back");
    }

    #[test]
    fn who_proves_itself_to_a_room_that_is_busy_stays_where_it_is() {
        let seats = seats();
        let crowd = [1, 2].map(|_| {
            let seat = seats.enter(admin()).expect("a seat");
            (seat.busy(), seat)
        });
        let known = seats.enter(nobody(1)).expect("a seat");
        known.prove(admin());
        assert_eq!(*known.sitting.party(), nobody(1));
        drop(crowd);
        known.prove(admin());
        assert_eq!(*known.sitting.party(), admin());
    }

    /// A connection that has nothing to do is told so by itself.
    #[tokio::test]
    async fn who_gives_way_is_told() {
        let seats = seats();
        let first = seats.enter_at(from(1), 0).expect("a seat");
        let wait = async { (first.must_leave().await, ()).0 };
        let flood = async { (0..3).map(|at| seats.enter_at(from(1), at + 1)).collect::<Vec<_>>() };
        assert_eq!(tokio::join!(wait, flood).0, Leave::Now);
    }

    #[test]
    fn rooms_fit_the_files() {
        for files in [0, 256, 1024, 65_536, u64::MAX / 2] {
            let rooms = Rooms::for_files(files);
            let most = (files / FILES_A_CONNECTION).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
            assert!(rooms.sum() as u64 <= most, "{rooms:?}");
            for sort in [Sort::Arriving, Sort::Nobody, Sort::Admins, Sort::Nodes, Sort::Masters] {
                let room = rooms.of(sort);
                assert!(room.each >= 1 && room.each <= room.all, "{files} {sort:?} {room:?}");
            }
        }
    }
}
