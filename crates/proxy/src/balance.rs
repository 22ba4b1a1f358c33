//! Sends a request, or a connection, to whichever Pod of a Service takes it.
//!
//! Pods take turns; who is believed not to answer comes last. As long as nothing of a request was taken, the next Pod is
//! asked; when all were, the table is probably older than the Pods, and its news are waited for.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Guard};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::{net::TcpStream, sync::watch};
use tracing::debug;

use crate::{
    body::Body,
    download::Download,
    egress::{Denied, Egress, canonical},
    hop,
    link::{Link, Unanswered},
    locals::{Local, Locals},
    peers::{Peer, Peers, TRIAL_TIMEOUT},
    replay::{Replay, Upload},
    table::{Aim, Table},
    tunnel,
};

/// How long a Pod may take to accept a connection before the next one is asked. Within a cluster this takes a millisecond.
const PATIENCE: Duration = Duration::from_millis(300);

/// The same when every Pod was asked once: whoever is there now may just be slow.
const PATIENCE_LATER: Duration = Duration::from_secs(1);

const _: () = {
    assert!(PATIENCE.as_millis() < PATIENCE_LATER.as_millis());
    assert!(PATIENCE_LATER.as_millis() < TRIAL_TIMEOUT.as_millis(), "a trial must find out what requests do not");
};

/// How long news of the table are waited for, when every Pod that it has was asked.
const NEWS_WITHIN: Duration = Duration::from_millis(500);

/// How often all Pods are asked without any news: until the request is given up. On a busy machine news take longer than
/// one wait, and while most of a Service's Pods are going, the one that stays may be slow and among those in doubt.
const ROUNDS_MAX: u32 = 10;
const _: () = assert!(ROUNDS_MAX as u128 * NEWS_WITHIN.as_millis() >= GIVE_UP_AFTER.as_millis());

/// How many Pods that are believed not to answer are asked in one round.
const DOUBTFUL_MAX: u32 = 3;

/// When a request is given up that no Pod took.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// Why no Pod answered.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no Service at the address, or none of its Pods is ready.
    #[error("no Pod of the Service is ready")]
    NobodyReady,
    /// Each Pod was asked, and none took the request.
    #[error("no Pod of the Service takes requests")]
    NobodyThere,
    /// A Pod took the request, and its connection broke before it answered.
    #[error("the Pod broke off without an answer")]
    Lost(#[source] hyper::Error),
    /// A Pod took the request, and then nothing was heard of its node.
    #[error("the Pod's node fell silent")]
    Silent,
}

/// The course of one request or connection through the Pods of a Service.
pub(crate) struct Course {
    aim: Aim,
    client: IpAddr,
    turn: Option<usize>,
    tried: Vec<SocketAddr>,
    doubtful: u32,
    rounds: u32,
    since: Instant,
    /// A Pod asks: it is led to nobody to whom it may not connect itself.
    is_pods: bool,
}

/// Whom to ask next.
pub(crate) enum Next {
    /// A handler of this node.
    Local(SocketAddr, Local),
    /// A Pod behind a socket.
    Peer(Arc<Peer>),
}

/// What became of one try.
enum Tried {
    Answered(Response<Body>),
    /// Nothing of the request was taken.
    NotTaken(Box<Replay>),
    Failed(Failure),
}

impl Course {
    pub(crate) fn new(aim: Aim, client: IpAddr) -> Self {
        Self {
            aim,
            client,
            turn: None,
            tried: Vec::new(),
            doubtful: 0,
            rounds: 0,
            since: Instant::now(),
            is_pods: false,
        }
    }

    pub(crate) fn of_pod(aim: Aim, pod: IpAddr) -> Self {
        Self { is_pods: true, ..Self::new(aim, pod) }
    }

    fn patience(&self) -> Duration {
        if self.rounds == 0 { PATIENCE } else { PATIENCE_LATER }
    }
}

impl Next {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Local(address, _) => *address,
            Self::Peer(peer) => peer.address,
        }
    }
}

/// What leads requests and connections to Pods.
pub(crate) struct Balancer {
    table: ArcSwap<Table>,
    /// Told when the table is replaced.
    pub(crate) changed: watch::Sender<()>,
    /// Pods behind sockets.
    pub(crate) peers: Peers,
    /// Handlers of this node.
    pub(crate) locals: Arc<Locals>,
    /// What Pods may connect to.
    pub(crate) egress: Arc<Egress>,
}

impl Balancer {
    /// One that knows no Service yet.
    pub(crate) fn new(locals: Arc<Locals>, egress: Arc<Egress>) -> Self {
        let (table, changed) = (ArcSwap::from_pointee(Table::default()), watch::Sender::new(()));
        Self { table, changed, peers: Peers::default(), locals, egress }
    }

    /// The table at this moment.
    pub(crate) fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    /// Balances by a new table from now on.
    pub(crate) fn update(&self, mut table: Table) -> Arc<Table> {
        table.inherit(&self.table.load());
        let table = Arc::new(table);
        self.table.store(table.clone());
        self.peers.retain(&table);
        self.changed.send_replace(());
        table
    }

    /// Whether an address is a Service's.
    pub(crate) fn is_service(&self, address: SocketAddr) -> bool {
        self.table.load().route(address).is_some()
    }

    /// The Pod that takes a connection of another Pod to a Service's address; `None` if the address is not a Service's or nobody
    /// is ready.
    pub(crate) fn pick(&self, address: SocketAddr, client: IpAddr) -> Option<SocketAddr> {
        self.next(&mut Course::of_pod(Aim::Address(address), client)).map(|next| next.address())
    }

    /// Where a connection of a Pod to an address really goes: for a Service's address to one of its Pods.
    pub(crate) fn way(&self, to: SocketAddr, from: IpAddr) -> Result<SocketAddr, Denied> {
        let to = canonical(to);
        let target = if self.is_service(to) { self.pick(to, from).ok_or(Denied::Nobody(to))? } else { to };
        self.egress.permit(target).map(|_| target)
    }

    /// Lets a Pod answer a request for a Service.
    pub(crate) async fn balance(&self, mut course: Course, request: Request<Body>) -> Result<Response<Body>, Failure> {
        // The usual case costs no more than this: a Pod of this node takes the request.
        let request = match self.next(&mut course) {
            None => return Err(self.nobody(&course.aim)),
            Some(Next::Local(address, local)) => match local.answer(request).await {
                Ok(response) => return Ok(response),
                Err(request) => {
                    course.tried.push(address);
                    request
                }
            },
            Some(Next::Peer(_)) => request,
        };
        // What follows is many times as large, and every request would be moved around with space for it.
        Box::pin(self.try_all(course, Box::new(Replay::new(request)))).await
    }

    /// Asks one Pod after the other.
    async fn try_all(&self, mut course: Course, mut replay: Box<Replay>) -> Result<Response<Body>, Failure> {
        loop {
            let Some(next) = self.next_or_news(&mut course).await else { return Err(self.nobody(&course.aim)) };
            course.tried.push(next.address());
            match self.try_at(&next, &course, replay).await {
                Tried::Answered(response) => {
                    self.stay(&course, next.address());
                    return Ok(response);
                }
                Tried::NotTaken(again) => replay = again,
                Tried::Failed(failure) => return Err(failure),
            }
        }
    }

    /// A connection to a Pod behind a socket, or whom else the course leads to; `None` if nobody is there.
    pub(crate) async fn connect(&self, course: &mut Course) -> Option<Connected> {
        loop {
            let next = self.next_or_news(course).await?;
            course.tried.push(next.address());
            match next {
                Next::Local(..) => return Some(Connected::Local),
                Next::Peer(peer) => {
                    if let Ok(stream) = peer.connect_bytes(course.patience()).await {
                        self.stay(course, peer.address);
                        return Some(Connected::Pod(stream));
                    }
                }
            }
        }
    }

    /// The next Pod that was not asked yet, those in doubt last.
    pub(crate) fn next(&self, course: &mut Course) -> Option<Next> {
        let table = self.table.load();
        let route = table.route_to(&course.aim)?;
        let turn = match course.turn {
            Some(turn) => turn,
            None => *course.turn.insert(route.turn(course.client, course.since)?),
        };
        let mut doubtful = None;
        let (before, from) = route.endpoints.split_at(turn.checked_rem(route.endpoints.len())?);
        for endpoint in from.iter().chain(before) {
            if course.tried.contains(&endpoint.address) {
                continue;
            }
            if let Some(local) = self.locals.get(endpoint.address) {
                return Some(Next::Local(endpoint.address, local));
            }
            if course.is_pods && self.egress.permit(endpoint.address).is_err() {
                continue;
            }
            let peer = self.peers.get(endpoint);
            if peer.is_trusted() {
                return Some(Next::Peer(peer));
            }
            doubtful.get_or_insert(peer);
        }
        let peer = doubtful.filter(|_| course.doubtful < DOUBTFUL_MAX)?;
        course.doubtful += 1;
        Some(Next::Peer(peer))
    }

    /// The next Pod; when all were asked, they are asked again, after news of the table or a while without.
    async fn next_or_news(&self, course: &mut Course) -> Option<Next> {
        let mut news = None;
        loop {
            if let Some(next) = self.next(course) {
                return Some(next);
            }
            // Who looks at the table before they wait for its change misses none.
            let Some(news) = &mut news else {
                news = Some(self.changed.subscribe());
                continue;
            };
            if course.tried.is_empty() || course.since.elapsed() > GIVE_UP_AFTER {
                return None;
            }
            let is_news = tokio::time::timeout(NEWS_WITHIN, news.changed()).await.is_ok();
            course.rounds += u32::from(!is_news);
            if course.rounds >= ROUNDS_MAX {
                return None;
            }
            course.tried.clear();
            course.doubtful = 0;
        }
    }

    fn nobody(&self, aim: &Aim) -> Failure {
        let table = self.table.load();
        let is_empty = table.route_to(aim).is_none_or(|route| route.endpoints.is_empty());
        if is_empty { Failure::NobodyReady } else { Failure::NobodyThere }
    }

    fn stay(&self, course: &Course, address: SocketAddr) {
        if let Some(route) = self.table.load().route_to(&course.aim) {
            route.stay(course.client, address, course.since);
        }
    }

    async fn try_at(&self, next: &Next, course: &Course, replay: Box<Replay>) -> Tried {
        match next {
            Next::Local(_, local) => {
                let Some(request) = replay.into_request() else { return Tried::Failed(Failure::NobodyThere) };
                match local.answer(request).await {
                    Ok(response) => Tried::Answered(response),
                    Err(request) => Tried::NotTaken(Box::new(Replay::new(request))),
                }
            }
            Next::Peer(peer) if hop::wants_tunnel(replay.parts()) => tunnel_to(peer, course, replay).await,
            Next::Peer(peer) => send_to(peer, course, replay).await,
        }
    }
}

/// Where a connection goes.
pub(crate) enum Connected {
    /// A handler of this node.
    Local,
    /// A Pod behind a socket.
    Pod(TcpStream),
}

/// Sends a request to a Pod behind a socket: on a connection that waits, or on a new one.
async fn send_to(peer: &Arc<Peer>, course: &Course, mut replay: Box<Replay>) -> Tried {
    while let Some(link) = peer.take() {
        match over(link, peer, &mut replay).await {
            Sent::Answered(response) => return Tried::Answered(response),
            Sent::NotTaken => return not_taken(replay),
            // The Pod may have closed the connection before it saw the request: a new one tells.
            Sent::Unsent => {}
            Sent::Lost(_) if replay.is_safe_twice() && peer.is_trusted() => {}
            Sent::Lost(_) if replay.is_safe_twice() => return Tried::NotTaken(replay),
            Sent::Lost(failure) => return Tried::Failed(failure),
        }
    }
    let link = match peer.connect(course.patience()).await {
        Ok(stream) => Link::open(stream).await.map_err(io::Error::other),
        Err(error) => Err(error),
    };
    let Ok(link) = link else { return Tried::NotTaken(replay) };
    match over(link, peer, &mut replay).await {
        Sent::Answered(response) => Tried::Answered(response),
        Sent::NotTaken | Sent::Unsent => not_taken(replay),
        Sent::Lost(_) if replay.is_safe_twice() => Tried::NotTaken(replay),
        Sent::Lost(failure) => Tried::Failed(failure),
    }
}

fn not_taken(replay: Box<Replay>) -> Tried {
    if replay.is_whole() { Tried::NotTaken(replay) } else { Tried::Failed(Failure::NobodyThere) }
}

/// What became of a request on one connection.
enum Sent {
    Answered(Response<Body>),
    /// The Pod's node says that its Pod has not seen it.
    NotTaken,
    /// Nothing of it was sent.
    Unsent,
    /// Nobody knows.
    Lost(Failure),
}

async fn over(link: Link, peer: &Arc<Peer>, replay: &mut Replay) -> Sent {
    let Some(upload) = replay.upload() else { return Sent::Unsent };
    let answer = tokio::select! {
        biased;
        answer = link.send(hop::request(replay.parts(), upload)) => answer,
        () = peer.silence() => return Sent::Lost(Failure::Silent),
    };
    match answer {
        Ok((response, _)) if hop::is_not_taken(&response) => Sent::NotTaken,
        Ok((response, link)) => {
            Sent::Answered(hop::response(response).map(|body| Download::new(body, link, peer.clone()).boxed_unsync()))
        }
        Err(Unanswered::Unsent) => Sent::Unsent,
        Err(Unanswered::Lost(error)) => {
            debug!(address = %peer.address, %error, "a connection broke before the answer");
            if let Some(error) = hop::io_error(&error) {
                peer.suspect(error);
            }
            Sent::Lost(Failure::Lost(error))
        }
    }
}

/// Sends a request that may turn its connection into a tunnel: on a connection of its own.
async fn tunnel_to(peer: &Arc<Peer>, course: &Course, mut replay: Box<Replay>) -> Tried {
    let Ok(stream) = peer.connect(course.patience()).await else { return Tried::NotTaken(replay) };
    let Some(upload) = replay.upload() else { return Tried::Failed(Failure::NobodyThere) };
    let request: Request<Upload> = hop::upgrade(replay.parts(), upload);
    match tunnel::send(stream, request, replay.parts()).await {
        Ok(response) if hop::is_not_taken(&response) => not_taken(replay),
        Ok(response) => Tried::Answered(response),
        Err(error) => Tried::Failed(Failure::Lost(error)),
    }
}
