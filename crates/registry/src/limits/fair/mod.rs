//! Fair shares: Kubernetes' priority and fairness. Flow schemas say to which priority level a request belongs and of which flow it
//! is; a level has so many seats, and whoever finds none waits or is refused.
//!
//! `scheme` says where a request belongs: it is made anew when a schema or level changes, and read without a lock. `seats` says who
//! has a seat and who waits. Only users need seats: nodes, masters, administrators and strangers have limits of their own
//! (`budget`), from which no object can take anything.

mod scheme;
mod seats;

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{Error, Reason, Served, Verb, users::as_service_account};
use arc_swap::ArcSwapOption;
use store::View;
use tokio::time::timeout;

pub use self::seats::{FLOW_REQUESTS_MAX, FLOW_WAITING_MAX};
use self::{
    scheme::Scheme,
    seats::{Arrival, Asker, Full, Pool, SEATS_MAX},
};
use crate::{
    Registry,
    access::{Attributes, Caller},
};

/// The seats of a master: the most requests of users that are answered at the same time, the sum of Kubernetes' limits for reads
/// and writes.
pub const USER_REQUESTS_MAX: usize = 600;

/// How many objects a list has for each seat that it takes, as in Kubernetes.
pub const OBJECTS_PER_SEAT: usize = 100;

/// What a list takes that is asked for over gRPC, where only the body says of what: as one of some hundred objects.
const UNKNOWN_LIST_SEATS: usize = 4;

/// Lists over gRPC.
const GRPC_LIST: &str = "/kapelle.api.v1.Objects/List";

/// How long a list may take to be read before its seats are given back, though it is read on: Kubernetes' limit of a request.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a request may wait for a seat: a quarter of the time that Kubernetes gives a request.
const FLOW_WAIT_MAX: Duration = Duration::from_secs(15);

/// The schemas and levels of the state at which somebody looked last, and the seats.
#[derive(Debug, Default)]
pub(crate) struct FairShares {
    scheme: ArcSwapOption<Scheme>,
    pool: Arc<Mutex<Pool>>,
    hashes: RandomState,
}

/// Where a request belongs.
#[derive(Clone, Debug)]
pub struct Class {
    scheme: Arc<Scheme>,
    schema: usize,
    asker: Asker,
    is_list: bool,
}

/// A seat, or a place in a queue, until it is dropped.
struct Place {
    pool: Arc<Mutex<Pool>>,
    level: Arc<str>,
    asker: Asker,
    /// Under which number it waits, if it does.
    ticket: Option<u64>,
}

/// Leave to be answered, given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    _place: Option<Place>,
}

impl FairShares {
    /// The scheme of a state. At once, if nothing of it has changed since somebody asked.
    fn of(&self, view: &View) -> Arc<Scheme> {
        if let Some(scheme) = self.scheme.load_full().filter(|scheme| scheme.is_of(view)) {
            return scheme;
        }
        let scheme = Arc::new(Scheme::new(view));
        let mut pool = locked(&self.pool);
        pool.adopt(scheme.levels());
        self.scheme.store(Some(scheme.clone()));
        scheme
    }

    /// The scheme at which somebody looked last; that of an empty state, if nobody has.
    fn last(&self) -> Arc<Scheme> {
        self.scheme.load_full().unwrap_or_else(|| Arc::new(Scheme::of(Vec::new(), Vec::new())))
    }

    /// `objects` says how many objects are listed, if they are.
    fn class(&self, scheme: Arc<Scheme>, caller: &Caller, asked: &Attributes<'_>, objects: Option<usize>) -> Class {
        let class = match caller {
            Caller::User(user) => self.place(scheme, &user.name, user.groups.iter().map(String::as_str), asked),
            Caller::Cluster
            | Caller::Master { .. }
            | Caller::Newcomer { .. }
            | Caller::Admin { .. }
            | Caller::Node { .. }
            | Caller::Nobody => self.place(scheme, &caller.user(), caller.groups().into_iter(), asked),
        };
        let seats = objects.map_or(1, |objects| objects.div_ceil(OBJECTS_PER_SEAT).clamp(1, SEATS_MAX));
        Class { asker: Asker { seats, ..class.asker }, is_list: objects.is_some(), ..class }
    }

    fn place<'g>(
        &self,
        scheme: Arc<Scheme>,
        user: &str,
        groups: impl Iterator<Item = &'g str>,
        asked: &Attributes<'_>,
    ) -> Class {
        let place = scheme.find(user, groups, asked);
        let (schema, level) = scheme.schema(place);
        let flow = match level.is_one_queue {
            true => 0,
            false => self.hashes.hash_one((&schema.name, schema.distinguisher(user, asked))),
        };
        let asker = Asker { flow, party: self.hashes.hash_one(party(user)), seats: 1 };
        Class { scheme, schema: place, asker, is_list: false }
    }

    /// A seat in the level of a class, as soon as there is one.
    async fn seat(&self, class: &Class) -> Result<Seat, Error> {
        let (_, level) = class.scheme.schema(class.schema);
        let arrival = locked(&self.pool).arrive(&level.name, class.asker);
        let place = |ticket| Place { pool: self.pool.clone(), level: level.name.clone(), asker: class.asker, ticket };
        match arrival {
            Arrival::Seated => Ok(Seat { _place: Some(place(None)) }),
            Arrival::Refused(full) => Err(class.refusal(full)),
            Arrival::Waits(ticket, told) => {
                let mut place = place(Some(ticket));
                timeout(FLOW_WAIT_MAX, told).await.map_err(|_| class.refusal(Full::Queue))?.ok();
                place.ticket = None;
                Ok(Seat { _place: Some(place) })
            }
        }
    }
}

impl Registry {
    /// Where a request of this caller belongs, by what its head tells. `limit` is the most objects that a list is to have.
    #[must_use]
    pub fn class(&self, asked: &Attributes<'_>, limit: Option<usize>) -> Class {
        let shares = &self.inner.fair_shares;
        let scheme = match &*self.caller {
            // The state is not looked at for strangers, who take no seats.
            Caller::Nobody | Caller::Newcomer { .. } => shares.last(),
            Caller::User(_) | Caller::Cluster | Caller::Master { .. } | Caller::Admin { .. } | Caller::Node { .. } => {
                shares.of(&self.state())
            }
        };
        let objects = if let Caller::User(_) = &*self.caller { self.lists(asked, limit) } else { None };
        shares.class(scheme, &self.caller, asked, objects)
    }

    /// How many objects a request lists, about; `None` if it lists none.
    fn lists(&self, asked: &Attributes<'_>, limit: Option<usize>) -> Option<usize> {
        let (group, resource, namespace) = match asked {
            Attributes::Resource(asked) if asked.verb == Verb::List.word() => {
                (asked.group, asked.resource, asked.namespace)
            }
            Attributes::NonResource { path: GRPC_LIST, .. } => return Some(UNKNOWN_LIST_SEATS * OBJECTS_PER_SEAT),
            Attributes::Resource(_) | Attributes::NonResource { .. } => return None,
        };
        let most = limit.unwrap_or(usize::MAX).min(SEATS_MAX * OBJECTS_PER_SEAT);
        let is_it = |served: &Served| served.info().group == group && served.info().plural == resource;
        let built_in = Served::all().find(is_it);
        let served = built_in.or_else(|| self.definitions().served().find(is_it));
        let count = |served: Served| {
            let view = self.state();
            match namespace {
                "" => view.count(served.kind()).min(most),
                namespace => view.list(served.kind(), Some(namespace), None).take(most).count(),
            }
        };
        Some(served.map_or(0, count))
    }

    /// Leave for a request of this caller: at once, unless it is a user's and all seats are taken.
    ///
    /// # Errors
    /// 429 with the seconds after which to try again, if too many wait already, nobody may, or its turn does not come.
    pub async fn seat(&self, class: &Class) -> Result<Seat, Error> {
        match &*self.caller {
            Caller::User(user) if !user.is_master() => self.inner.fair_shares.seat(class).await,
            Caller::User(_)
            | Caller::Cluster
            | Caller::Master { .. }
            | Caller::Newcomer { .. }
            | Caller::Admin { .. }
            | Caller::Node { .. }
            | Caller::Nobody => Ok(Seat { _place: None }),
        }
    }
}

impl Class {
    /// For how long its seat is kept after the answer has begun, at most: a list is made while it is sent.
    #[must_use]
    pub fn kept_for(&self) -> Option<Duration> {
        self.is_list.then_some(LIST_TIMEOUT)
    }

    /// The uid of the flow schema; empty until it is made.
    #[must_use]
    pub fn schema_uid(&self) -> &str {
        &self.scheme.schema(self.schema).0.uid
    }

    /// The uid of the priority level; empty until it is made.
    #[must_use]
    pub fn level_uid(&self) -> &str {
        &self.scheme.schema(self.schema).1.uid
    }

    fn refusal(&self, full: Full) -> Error {
        let (schema, level) = self.scheme.schema(self.schema);
        let why = match full {
            Full::Seats => format!("the {} seats that it has are taken, and nobody may wait", level.limits.nominal),
            Full::Queue => "all of its seats are taken, and too many requests wait".to_owned(),
            Full::Party => format!(
                "{FLOW_REQUESTS_MAX} requests of the same user or namespace, or fewer that list much, are answered at a time and \
                 {FLOW_WAITING_MAX} wait"
            ),
        };
        let message = format!(
            "too many requests of the priority level {:?}, to which the flow schema {:?} puts them: {why}; ask less often, or \
             give the level more shares",
            level.name, schema.name
        );
        Error::new(Reason::TooManyRequests, message)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({:?})", self.level)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut pool = locked(&self.pool);
        match self.ticket {
            Some(ticket) => pool.give_up(&self.level, self.asker, ticket),
            None => pool.leave(&self.level, self.asker),
        }
    }
}

fn locked(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose requests have a limit together: those of a user, and of the accounts of a namespace.
pub(super) fn party(user: &str) -> &str {
    let without_account = || {
        let (_, account) = as_service_account(user)?;
        user.strip_suffix(account)?.strip_suffix(':')
    };
    without_account().unwrap_or(user)
}

#[cfg(test)]
mod tests;
