//! One port for everything: gRPC, the OCI registry, REST, and what masters say to each other.
//!
//! The handshake tells who calls (its certificate) and what it wants to speak (the protocol that it offers). Whoever shows
//! no certificate may show a token with each request.

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use api::{Error, x509::PodIdentity};
use arc_swap::ArcSwapOption;
use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn, upgrade::OnUpgrade};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use images::{Images, MANIFEST_BYTES_MAX, oci};
use registry::{
    Authenticated, Caller, PEER_PROTOCOL, Registry,
    budget::{Account, BODY_BYTES_MAX, Budget, Permit},
};
use rpc::{
    connections::{Busy, ConnectionLimits, Leave, Party, Slot},
    identity::{Shared, Subject},
    reception::{Arrival, Reception, Visitor},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::{
    basic,
    bearer::{Bearers, Shown},
    cork::{Cork, cork},
    gate::{self, Language},
    grpc::{self, Course, Entrance},
    metered::{Left, Metered, NOBODY_BODY_BYTES_MAX, Rules},
    origin,
    reply::Reply,
    rest::{self, aggregate::Aggregator},
    revocable::revocable,
    seated, sender,
    upgrade::{self, Conversation},
};

/// How long a client may take to send its headers, and to begin the next request of HTTP/1.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for a client without a certificate.
const NOBODY_HEADERS_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest head of a request, in bytes, and how much of a connection of HTTP/1 is read ahead.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;

/// How often a quiet HTTP/2 connection is tried, so that watches of dead clients end.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The most requests at a time on one HTTP/2 connection: an agent has a few watches, a controller perhaps a hundred. Clients keep
/// more to themselves until others are answered. Whoever gives up all that it has asked for goes on with the connection.
const STREAMS_MAX: u32 = 1024;

/// The same for nodes and users.
const SMALL_STREAMS_MAX: u32 = 256;

/// The same for a client without a certificate, which joins or asks for health.
const NOBODY_STREAMS_MAX: u32 = 16;

/// How much a client of HTTP/2 may send that nobody has read yet on a stream, in bytes: enough to push an image over a long line.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;

/// The same for nodes, users and clients without a certificate, of whom there are many: the least that HTTP/2 has.
const SMALL_STREAM_WINDOW_BYTES: u32 = (64 << 10) - 1;

/// The same on all streams of a connection: enough for short requests on all of them at once.
const WINDOW_BYTES: u32 = 1 << 20;

/// The same for nodes and users.
const SMALL_WINDOW_BYTES: u32 = 256 << 10;

/// The most streams that were reset because the client broke the protocol; one more ends the connection.
const ERRORS_MAX: usize = 128;

/// How long a connection that had nothing to do may take to say farewell.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the clock is looked at while a certificate is valid, and the least that is waited for its end.
const CLOCK_LOOK: Duration = Duration::from_secs(10);
const CLOCK_SLACK: Duration = Duration::from_millis(10);

/// How long requests that are under way may take after the server was told to stop. Watches end at once.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

// Whoever joins has no certificate yet.
const _: () = assert!(grpc::JOIN_BYTES_MAX <= NOBODY_BODY_BYTES_MAX);

/// What a server serves, and as whom.
#[derive(Clone)]
pub struct Setup {
    /// Behind gRPC and REST.
    pub registry: Registry,
    /// Who serves the rest of REST.
    pub aggregator: Aggregator,
    /// Behind `/v2/`.
    pub images: Images,
    /// Who this master is.
    pub identity: Arc<Shared>,
    /// The tokens that it takes in place of certificates.
    pub bearers: Bearers,
    /// The names under which clients reach it.
    pub hosts: Vec<String>,
    /// What it needs to let others in; without it nobody joins.
    pub entrance: Option<Entrance>,
    /// How many connections it takes.
    pub connections: ConnectionLimits,
}

/// Serves until `shutdown` is cancelled, then ends within a few seconds: open watches say where they are and end,
/// requests under way are finished.
///
/// # Errors
/// If the services cannot be built. Failing connections are logged and harm nobody else.
pub async fn serve(listener: TcpListener, setup: Setup, shutdown: CancellationToken) -> io::Result<()> {
    let protocols: [&[u8]; 3] = [PEER_PROTOCOL, b"h2", b"http/1.1"];
    let reception =
        Reception::new(listener, &setup.identity, &protocols, setup.connections).map_err(io::Error::other)?;
    let port = Arc::new(Port {
        languages: Languages::new(setup.registry.clone(), setup.aggregator.clone(), setup.images, setup.entrance).await,
        bearers: setup.bearers,
        hosts: setup.hosts.into(),
        budget: Budget::default(),
        shutdown: shutdown.clone(),
    });
    let registry = setup.registry.clone();
    tokio::spawn(async move { registry.watch_presence().await });
    let registry = setup.registry.clone();
    tokio::spawn(async move { registry.keep_account_keys().await });
    let registry = setup.registry.clone();
    tokio::spawn(async move { registry.keep_account_secrets().await });
    tokio::spawn(setup.aggregator.follow());
    let connections = TaskTracker::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            arrival = reception.next() => drop(connections.spawn(port.clone().welcome(arrival))),
        }
    }
    drop(reception);
    setup.registry.close_watches();
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
        debug!("some requests did not end in time and are cut off");
    }
    Ok(())
}

/// What stands behind the port, and how much of it may be used at a time.
struct Port {
    languages: Languages,
    bearers: Bearers,
    hosts: Arc<[String]>,
    budget: Budget,
    shutdown: CancellationToken,
}

/// Whose connection it is, and what that one may use.
struct Session {
    /// Whom its certificate names.
    caller: Arc<Caller>,
    /// Which Pod that is, if it is one: it must be there still.
    pod: Option<Box<PodIdentity>>,
    from: IpAddr,
    account: Account,
    /// When its certificate ends.
    until: Option<SystemTime>,
    slot: Slot,
    /// Who has shown the last token on it.
    known: ArcSwapOption<Known>,
    next: Mutex<Option<Next>>,
}

/// Who has shown a token, and on whose account that one asks.
struct Known {
    token: String,
    shown: Authenticated,
    account: Account,
}

/// What a connection goes on with after HTTP.
struct Next {
    upgrade: OnUpgrade,
    conversation: Conversation,
    /// By whose token it was asked for, if it was by one that may cease to count.
    token: Option<Authenticated>,
    _busy: Busy,
}

/// Who sends a request.
struct Asker {
    caller: Arc<Caller>,
    /// On whose account.
    account: Account,
    /// By which token it is known, if it is by one that may cease to count.
    token: Option<Authenticated>,
}

impl Session {
    /// From the next answer on the connection speaks something else.
    fn then(&self, upgrade: OnUpgrade, conversation: Conversation, token: Option<Authenticated>) {
        let next = Next { upgrade, conversation, token, _busy: self.slot.busy() };
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }

    /// Waits until the certificate has ended that was shown. The clock may be set meanwhile, so it is looked at now and then.
    async fn ended(&self) {
        let Some(until) = self.until else { return std::future::pending().await };
        while let Ok(left) = until.duration_since(SystemTime::now()) {
            tokio::time::sleep(left.clamp(CLOCK_SLACK, CLOCK_LOOK)).await;
        }
    }

    fn next(&self) -> Option<Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Who sends a request that shows something. A wrong token is refused in any case; of a right one and a certificate the
    /// certificate goes first, as in Kubernetes' API server, because its owner has proven that it holds the key. Without a
    /// certificate the connection counts from now on as that of the token's owner. Finding out about a token that this master
    /// does not know is done on the account of the connection.
    async fn asker(&self, shown: Option<Shown>, registry: &Registry, budget: &Budget) -> Result<Asker, Error> {
        let (party, asker) = match shown {
            None => return self.certified(registry).await,
            Some(Shown::Own(subject)) => {
                let caller = Arc::new(Caller::new(subject.clone(), self.from));
                let account = budget.account(&caller, self.from);
                (Party::Known(subject), Asker { caller, account, token: None })
            }
            Some(Shown::Signed(token)) => {
                // Nearly always a connection shows the same token again.
                let before = self.known.load_full().filter(|known| known.token == token);
                let known = match before.filter(|known| registry.counts_still(&known.shown)) {
                    Some(known) => known,
                    None => self.find_out(token, registry, budget).await?,
                };
                let Known { token: _, shown, account } = &*known;
                let (caller, account) = (shown.caller.clone(), account.clone());
                (Party::User(caller.user()), Asker { caller, account, token: Some(shown.clone()) })
            }
        };
        if *self.caller != Caller::Nobody {
            return self.certified(registry).await;
        }
        self.slot.prove(party);
        Ok(asker)
    }

    /// Who shows a token that was not shown here before, or of which something has changed since.
    async fn find_out(&self, token: String, registry: &Registry, budget: &Budget) -> Result<Arc<Known>, Error> {
        let shown = match registry.recognise(&token) {
            Some(shown) => shown,
            None => {
                let _permit = self.account.take()?;
                registry.authenticate(&token).await?
            }
        };
        let account = budget.account(&shown.caller, self.from);
        let known = Arc::new(Known { token, shown, account });
        self.known.store(Some(known.clone()));
        Ok(known)
    }

    /// Whom the certificate names. That of a Pod counts as a token would that is bound to it.
    async fn certified(&self, registry: &Registry) -> Result<Asker, Error> {
        let token = match &self.pod {
            None => None,
            Some(pod) => match registry.recognise_pod(&self.caller, pod) {
                Some(known) => Some(known),
                None => {
                    let _permit = self.account.take()?;
                    Some(registry.authenticate_pod(&self.caller, pod).await?)
                }
            },
        };
        Ok(Asker { caller: self.caller.clone(), account: self.account.clone(), token })
    }
}

impl Port {
    /// A connection: who calls, and what for?
    async fn welcome(self: Arc<Self>, arrival: Arrival) {
        let Visitor { stream, peer, subject, until, slot } = match arrival.prove().await {
            Ok(visitor) => visitor,
            Err(error) => return debug!(%error, "a connection was not taken in"),
        };
        let from = peer.ip();
        let pod = match &subject {
            Some(Subject::Pod { pod, .. }) => Some(pod.clone()),
            Some(_) | None => None,
        };
        let caller = subject.map_or(Caller::Nobody, |subject| Caller::new(subject, from));
        if stream.get_ref().1.alpn_protocol() != Some(PEER_PROTOCOL) {
            let account = self.budget.account(&caller, from);
            let session = Session {
                caller: Arc::new(caller),
                pod,
                from,
                account,
                until,
                slot,
                known: ArcSwapOption::default(),
                next: Mutex::default(),
            };
            return self.converse(stream, session).await;
        }
        match caller {
            Caller::Master { member } => self.languages.registry.hear(member, stream),
            caller => warn!(caller = caller.user(), "only masters speak the protocol of masters"),
        }
    }

    /// Answers the requests of a connection until the client or the server ends it.
    async fn converse(self: Arc<Self>, stream: TlsStream<TcpStream>, session: Session) {
        let (builder, shutdown, session) = (builder(&session.caller), self.shutdown.clone(), Arc::new(session));
        let (asked, registry) = (session.clone(), self.languages.registry.clone());
        let port = self.clone();
        let service = service_fn(move |request| port.clone().answer(request, asked.clone()));
        let (stream, cork) = cork(stream);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let limit = tokio::select! {
            ended = cork.drive(connection.as_mut()) => match ended {
                Err(error) => return debug!(%error, "a connection broke"),
                Ok(()) => return self.go_on(&cork, &session).await,
            },
            () = registry.until_gone(&session.caller) => return debug!(caller = session.caller.user(), "left; cut off"),
            () = session.ended() => return debug!(caller = session.caller.user(), "its certificate has ended; cut off"),
            () = shutdown.cancelled() => DRAIN_TIMEOUT,
            leave = session.slot.must_leave() => match leave {
                Leave::Now => return,
                Leave::Idle => FAREWELL_TIMEOUT,
            },
        };
        connection.as_mut().graceful_shutdown();
        // A request that came at the last moment is answered.
        while tokio::time::timeout(limit, cork.drive(connection.as_mut())).await.is_err() && session.slot.is_busy() {}
    }

    /// What a connection goes on with that has changed its protocol, until it is over or must end.
    async fn go_on<S: AsyncRead + AsyncWrite + Unpin>(&self, cork: &Cork<S>, session: &Session) {
        let Some(Next { upgrade, conversation, token, _busy }) = session.next() else { return };
        let spoken = async {
            match (cork.settled().await, upgrade.await) {
                (Ok(()), Ok(upgraded)) => conversation(TokioIo::new(upgraded)).await,
                (Err(error), _) => debug!(%error, "a connection broke"),
                (_, Err(error)) => debug!(%error, "a connection broke"),
            }
        };
        tokio::pin!(spoken);
        tokio::select! {
            () = spoken.as_mut() => return,
            () = self.languages.registry.until_gone(&session.caller) => {
                return debug!(caller = session.caller.user(), "left; cut off");
            }
            () = session.ended() => return debug!(caller = session.caller.user(), "its certificate has ended; cut off"),
            () = self.revoked(token.as_ref()) => return debug!("a token counts no more; cut off"),
            // A conversation is never idle.
            _ = session.slot.must_leave() => return,
            () = self.shutdown.cancelled() => {}
        }
        // Whoever does not end by itself is cut off.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, spoken).await;
    }

    /// Streams give their permit back when they begin: watches have a limit of their own.
    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        session: Arc<Session>,
    ) -> Result<Response<Reply>, Infallible> {
        let (busy, upgrade) = (session.slot.busy(), request.extensions_mut().remove::<OnUpgrade>());
        let language = Language::of(request.uri().path(), request.headers());
        let (response, left) = match self.admit(&mut request, language, &session).await {
            Ok((Asker { caller, token, .. }, permit)) => {
                let rules = Rules::new(&caller, language, held_max(language, request.uri().path()));
                let rules = match grpc::course(request.uri().path()) {
                    Course::Endless if *caller != Caller::Nobody => rules.endless(),
                    Course::Silent if *caller != Caller::Nobody => rules.silent(),
                    Course::Endless | Course::Silent | Course::Usual => rules,
                };
                let request = request.map(|body| Metered::new(body, permit.held(), rules));
                let left = request.body().left();
                let Ok(mut response) = self.languages.answer(request.map(Body::new), caller, session.from).await;
                if let (Some(conversation), Some(upgrade)) = (upgrade::take(&mut response), upgrade) {
                    session.then(upgrade, conversation, token.clone());
                }
                let registry = &self.languages.registry;
                let response = match &token {
                    Some(token) => response.map(|body| revocable(body, registry, token)),
                    None => response,
                };
                (response, left)
            }
            Err(error) => (language.refusal(error), Left::new(Some(request.into_body()).into())),
        };
        Ok(response.map(|body| Reply::new(body, left, busy)))
    }

    /// Who sends a request, and a permit of that caller's budget, if the request is meant for this server.
    async fn admit(
        &self,
        request: &mut Request<Incoming>,
        language: Language,
        session: &Session,
    ) -> Result<(Asker, Permit), Error> {
        if language == Language::Oci {
            basic::to_bearer(request.headers_mut());
        }
        let shown = self.bearers.take(request.headers_mut())?;
        let asker = session.asker(shown, &self.languages.registry, &self.budget).await?;
        origin::check(request, &asker.caller, language, &self.hosts)?;
        let permit = asker.account.take()?;
        Ok((asker, permit))
    }

    /// Waits until a token counts no more.
    async fn revoked(&self, token: Option<&Authenticated>) {
        match token {
            Some(token) => self.languages.registry.until_revoked(token).await,
            None => std::future::pending().await,
        }
    }
}

/// How much of a request's body is in memory at a time, at most.
fn held_max(language: Language, path: &str) -> usize {
    match language {
        Language::Grpc => grpc::held_max(path),
        Language::Oci => MANIFEST_BYTES_MAX,
        Language::Rest => BODY_BYTES_MAX,
    }
}

/// The three languages over one Registry.
pub(crate) struct Languages {
    registry: Registry,
    grpc: Router,
    oci: Router,
    rest: Router,
}

impl Languages {
    pub(crate) async fn new(
        registry: Registry,
        aggregator: Aggregator,
        images: Images,
        entrance: Option<Entrance>,
    ) -> Self {
        Self {
            grpc: grpc::router(registry.clone(), images.clone(), entrance).await,
            oci: oci::router(images),
            rest: rest::router(registry.clone(), aggregator),
            registry,
        }
    }

    pub(crate) async fn answer(
        &self,
        request: Request<Body>,
        caller: Arc<Caller>,
        from: IpAddr,
    ) -> Result<Response<Body>, Infallible> {
        let language = Language::of(request.uri().path(), request.headers());
        let caller = match self.registry.present(caller).await {
            Ok(caller) => caller,
            Err(error) => return Ok(language.refusal(error)),
        };
        let head = (request.method(), request.uri(), request.headers());
        let passed = gate::pass(&self.registry, caller, language, head).await;
        let (told, kept_for) = (passed.headers(), passed.kept_for());
        let mut response = match passed.entry {
            Ok((caller, seat)) => {
                let response = self.respond(request, language, caller, from).await?;
                match kept_for {
                    Some(kept_for) => response.map(|body| seated::keep(body, seat, kept_for)),
                    None => response,
                }
            }
            Err(error) => language.refusal(error),
        };
        if language == Language::Rest {
            response.headers_mut().extend(told.map(|(name, uid)| (Some(name), uid)));
        }
        Ok(response)
    }

    /// Answers a request that was let in.
    async fn respond(
        &self,
        mut request: Request<Body>,
        language: Language,
        caller: Arc<Caller>,
        from: IpAddr,
    ) -> Result<Response<Body>, Infallible> {
        if language == Language::Oci {
            gate::note_mount(&self.registry.for_caller(caller.clone()), &mut request).await;
        }
        sender::note(request.extensions_mut(), caller, from);
        let router = match language {
            Language::Grpc => &self.grpc,
            Language::Oci => &self.oci,
            Language::Rest => &self.rest,
        };
        router.clone().oneshot(request).await
    }
}

/// What HTTP/2 grants a caller.
struct Grant {
    streams: u32,
    stream_window: u32,
    window: u32,
}

impl Grant {
    const FULL: Self = Self { streams: STREAMS_MAX, stream_window: STREAM_WINDOW_BYTES, window: WINDOW_BYTES };
    const SMALL: Self =
        Self { streams: SMALL_STREAMS_MAX, stream_window: SMALL_STREAM_WINDOW_BYTES, window: SMALL_WINDOW_BYTES };
    const NOBODY: Self = Self {
        streams: NOBODY_STREAMS_MAX,
        stream_window: SMALL_STREAM_WINDOW_BYTES,
        window: SMALL_STREAM_WINDOW_BYTES,
    };

    /// Whether short requests on all streams at once are not taken for an attack.
    const fn is_enough(&self) -> bool {
        self.window >= rpc::window_for(self.streams) && self.window >= self.stream_window
    }
}

const _: () = assert!(Grant::FULL.is_enough() && Grant::SMALL.is_enough() && Grant::NOBODY.is_enough());
const _: () = assert!(rpc::WINDOW_BYTES >= rpc::window_for(STREAMS_MAX), "nor short answers on all of them");

/// How HTTP is spoken with a caller.
fn builder(caller: &Caller) -> auto::Builder<TokioExecutor> {
    let (headers_timeout, grant) = match caller {
        Caller::Cluster | Caller::Master { .. } | Caller::Newcomer { .. } | Caller::Admin { .. } => {
            (HEADERS_TIMEOUT, Grant::FULL)
        }
        Caller::User(_) | Caller::Node { .. } => (HEADERS_TIMEOUT, Grant::SMALL),
        Caller::Nobody => (NOBODY_HEADERS_TIMEOUT, Grant::NOBODY),
    };
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(headers_timeout).max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .max_concurrent_streams(grant.streams)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_pending_accept_reset_streams(grant.streams as usize)
        .max_local_error_reset_streams(ERRORS_MAX)
        .initial_connection_window_size(grant.window)
        .initial_stream_window_size(grant.stream_window);
    builder
}
