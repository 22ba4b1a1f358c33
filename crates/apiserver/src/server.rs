//! One port for everything: gRPC, the OCI registry, REST, and what masters say to each other.
//!
//! The handshake tells who calls (its certificate) and what it wants to speak (the protocol that it offers).

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use consensus::MemberId;
use http::{Request, Response};
use http_body::Body as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use rpc::identity::{Shared, Subject};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::{
    blobs::Blobs,
    budget::Budget,
    caller::Caller,
    gallery::{Gallery, Others},
    gate::{self, Language},
    grpc::{self, Entrance},
    masters::PEER_PROTOCOL,
    meant, oci,
    registry::Registry,
    rest,
};

/// The most connections at a time; further clients wait to be accepted. Each costs a file and some buffers.
const CONNECTIONS_MAX: usize = 16_384;

/// How long a client may take to send its headers.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to prove who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a quiet HTTP/2 connection is tried, so that watches of dead clients end.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The most requests at a time on one HTTP/2 connection: an agent has a few watches, a controller perhaps a hundred.
const STREAMS_MAX: u32 = 1024;

/// How long requests that are under way may take after the server was told to stop. Watches end at once.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to wait after the system refused a connection, usually for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is served.
#[derive(Clone)]
pub struct Parts {
    /// Behind gRPC and REST.
    pub registry: Registry,
    /// Behind `/v2/`.
    pub blobs: Blobs,
    /// The other masters.
    pub others: Arc<dyn Others>,
    /// Who this master is.
    pub identity: Arc<Shared>,
    /// The names under which clients reach it.
    pub hosts: Vec<String>,
    /// What it needs to let others in; without it nobody joins.
    pub entrance: Option<Entrance>,
}

/// Serves until `shutdown` is cancelled, then ends within a few seconds: open watches say where they are and end,
/// requests under way are finished.
///
/// # Errors
/// If the services cannot be built. Failing connections are logged and harm nobody else.
pub async fn serve(listener: TcpListener, parts: Parts, shutdown: CancellationToken) -> io::Result<()> {
    let gallery = Gallery::new(parts.blobs, parts.others);
    let tls = parts.identity.server(&[PEER_PROTOCOL, b"h2", b"http/1.1"]).map_err(io::Error::other)?;
    let tls = TlsAcceptor::from(tls);
    let hosts: Arc<[String]> = parts.hosts.into();
    let doors = Doors::new(parts.registry.clone(), gallery, parts.entrance).await?;
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (doors, tls, watcher) = (doors.clone(), tls.clone(), graceful.watcher());
                let hosts = hosts.clone();
                tokio::spawn(async move {
                    secured(stream, &tls, (doors, hosts), watcher).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    parts.registry.close_watches();
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        debug!("some requests did not end in time and are cut off");
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// A connection: who calls, and what for?
async fn secured(stream: TcpStream, tls: &TlsAcceptor, (doors, hosts): (Doors, Arc<[String]>), watcher: Watcher) {
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%error, "a handshake failed"),
        Err(_) => return debug!("a handshake took too long"),
    };
    let (_, session) = stream.get_ref();
    let caller = match session.peer_certificates().and_then(|chain| chain.first()) {
        None => Caller::Nobody,
        Some(certificate) => Subject::of(certificate).map_or(Caller::Nobody, Caller::from),
    };
    if session.alpn_protocol() != Some(PEER_PROTOCOL) {
        return http(stream, (doors, hosts), caller, watcher).await;
    }
    match caller {
        Caller::Master { member } => doors.registry.consensus().accept(MemberId(member), Box::new(stream)),
        caller => warn!(caller = caller.user(), "only masters speak the protocol of masters"),
    }
}

async fn http(stream: TlsStream<TcpStream>, (doors, hosts): (Doors, Arc<[String]>), caller: Caller, watcher: Watcher) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .max_concurrent_streams(STREAMS_MAX)
        .adaptive_window(true);
    let service = service_fn(move |request| doors.clone().receive(request, caller.clone(), hosts.clone()));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        debug!(%error, "a connection broke");
    }
}

/// What stands behind the port.
#[derive(Clone)]
pub(crate) struct Doors {
    registry: Registry,
    budget: Budget,
    grpc: Router,
    oci: Router,
    rest: Router,
}

impl Doors {
    pub(crate) async fn new(registry: Registry, gallery: Gallery, entrance: Option<Entrance>) -> io::Result<Self> {
        Ok(Self {
            budget: Budget::default(),
            grpc: grpc::router(registry.clone(), gallery.clone(), entrance).await.map_err(io::Error::other)?,
            oci: oci::router(gallery),
            rest: rest::router(registry.clone()),
            registry,
        })
    }

    async fn receive(
        self,
        request: Request<Incoming>,
        caller: Caller,
        hosts: Arc<[String]>,
    ) -> Result<Response<Body>, Infallible> {
        let language = Language::of(request.uri().path(), request.headers());
        match meant::check(&request, &caller, language, &hosts) {
            Ok(()) => self.answer(request.map(Body::new), caller).await,
            Err(error) => Ok(language.refusal(error)),
        }
    }

    pub(crate) async fn answer(self, mut request: Request<Body>, caller: Caller) -> Result<Response<Body>, Infallible> {
        let language = Language::of(request.uri().path(), request.headers());
        // Streams leave their place when they begin: watches have a limit of their own.
        let _place = match self.budget.take(&caller, request.body().size_hint().exact()) {
            Ok(place) => place,
            Err(error) => return Ok(language.refusal(error)),
        };
        let head = (request.method(), request.uri().path(), request.headers());
        if let Err(error) = gate::pass(self.registry.for_caller(caller.clone()), language, head).await {
            return Ok(language.refusal(error));
        }
        request.extensions_mut().insert(caller);
        let router = match language {
            Language::Grpc => self.grpc,
            Language::Oci => self.oci,
            Language::Rest => self.rest,
        };
        router.oneshot(request).await
    }
}
