//! One connection: request by request if its client speaks HTTP/1, byte by byte otherwise.

use std::{
    collections::HashSet,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::BytesMut;
use futures::future::Either;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt as _, Interest},
    net::TcpStream,
};
use tracing::debug;

use crate::{
    balance::{Balancer, Connected, Course, Failure},
    body::Body,
    forwarded::{Origin, Signature},
    hop,
    locals::Local,
    outbound::Outbound,
    peers::IDLE_MAX,
    sniff::{Guess, LINE_BYTES_MAX, guess},
    strict::{Guard, HEAD_BYTES_MAX},
    table::{Aim, Speech},
    tunnel,
};

/// How long a client may take to send the head of a request.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);

const _: () = assert!(
    HEADERS_TIMEOUT.as_millis() > IDLE_MAX.as_millis(),
    "another node's proxy would meet the end of a connection that it keeps"
);

/// What the parser may hold, in bytes: a whole head, and a piece of what follows it.
const BUFFER_BYTES_MAX: usize = HEAD_BYTES_MAX + (8 << 10);

/// How long a client that says nothing is waited for before a Pod is asked: in some protocols the server speaks first.
const QUIET: Duration = Duration::from_millis(5);

/// How long a client may take from its first byte to the end of its request line; whoever is slower is taken to speak
/// something else.
const LINE_TIMEOUT: Duration = Duration::from_secs(1);

/// How much is read at a time before it is known what a client speaks, in bytes.
const FIRST_BYTES: usize = 4 << 10;

/// What serves the connections of clients.
pub(crate) struct Server {
    balancer: Arc<Balancer>,
    /// From where other nodes' proxies pass requests on.
    nodes: ArcSwap<HashSet<IpAddr>>,
}

impl Server {
    pub(crate) fn new(balancer: Arc<Balancer>) -> Self {
        Self { balancer, nodes: ArcSwap::default() }
    }

    /// Believes from now on what comes from these addresses of other nodes about its clients.
    pub(crate) fn believe(&self, nodes: HashSet<IpAddr>) {
        self.nodes.store(Arc::new(nodes));
    }

    /// A connection to a Service's address.
    pub(crate) async fn service(self: Arc<Self>, mut stream: TcpStream, address: SocketAddr, client: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let Some(speech) = speech(&self.balancer, address) else {
            // Nobody is there: the client gets a reset at once rather than silence.
            let _ = stream.set_zero_linger();
            return;
        };
        let mut first = BytesMut::new();
        let mut course = Course::new(Aim::Address(address), client.ip());
        let decided = match speech {
            Speech::Http => Decided::Http,
            Speech::Bytes => Decided::Bytes(None),
            Speech::Unsaid => decide(&self.balancer, &mut stream, &mut first, &mut course).await,
        };
        let pod = match decided {
            Decided::Http => return self.by_request(Guard::new(stream, &first), address, client).await,
            Decided::Bytes(Some(pod)) => Some(Connected::Pod(pod)),
            Decided::Bytes(None) => self.balancer.connect(&mut course).await,
        };
        match pod {
            Some(Connected::Pod(pod)) => tunnel::copy(stream, &first, pod).await,
            // A handler understands nothing but HTTP, and says so if this is something else.
            Some(Connected::Local) => self.by_request(Guard::new(stream, &first), address, client).await,
            None => drop(stream.set_zero_linger()),
        }
    }

    /// A connection to the address of an HTTP Pod of this node.
    pub(crate) async fn pod(self: Arc<Self>, stream: TcpStream, address: SocketAddr, client: SocketAddr) {
        let _ = stream.set_nodelay(true);
        if let Some(local) = self.balancer.locals.get(address) {
            let origin = self.origin(client.ip());
            http(Guard::new(stream, &[]), origin, move |request| by_pod(local.clone(), request)).await;
        }
    }

    async fn by_request(self: Arc<Self>, stream: Guard, address: SocketAddr, client: SocketAddr) {
        let origin = self.origin(client.ip());
        let answer = move |request: Request<Body>| {
            let server = self.clone();
            async move {
                let course = Course::new(Aim::Address(address), client.ip());
                match server.balancer.balance(course, request).await {
                    Ok(response) => response,
                    Err(failure) => refusal(&failure),
                }
            }
        };
        http(stream, origin, answer).await;
    }

    fn origin(&self, client: IpAddr) -> Origin {
        if self.nodes.load().contains(&client) { Origin::Node } else { Origin::Client(client) }
    }
}

/// What is spoken at an address; `None` if nobody would answer.
fn speech(balancer: &Balancer, address: SocketAddr) -> Option<Speech> {
    let table = balancer.table();
    let route = table.route(address).filter(|route| !route.endpoints.is_empty())?;
    let is_handled = || route.endpoints.iter().all(|endpoint| balancer.locals.has(endpoint.address));
    match route.speech {
        // Nothing but HTTP is understood, so nobody has to listen first.
        Speech::Unsaid if is_handled() => Some(Speech::Http),
        speech => Some(speech),
    }
}

/// What a connection is.
enum Decided {
    Http,
    /// Something else, and the Pod that it was opened to, if it was.
    Bytes(Option<TcpStream>),
}

/// Finds out what a client speaks. If it says nothing, a Pod is asked, for it may be the server's turn.
async fn decide(balancer: &Balancer, stream: &mut TcpStream, first: &mut BytesMut, course: &mut Course) -> Decided {
    if let Ok(guess) = tokio::time::timeout(QUIET, listen(stream, first)).await {
        return guess.into();
    }
    match balancer.connect(course).await {
        // A handler waits for its client as well.
        Some(Connected::Local) => Decided::Http,
        Some(Connected::Pod(pod)) => tokio::select! {
            biased;
            guess = listen(stream, first) => match guess {
                Guess::Http => Decided::Http,
                Guess::Bytes | Guess::Open => Decided::Bytes(Some(pod)),
            },
            _ = pod.ready(Interest::READABLE) => Decided::Bytes(Some(pod)),
        },
        None => Decided::Bytes(None),
    }
}

impl From<Guess> for Decided {
    fn from(guess: Guess) -> Self {
        match guess {
            Guess::Http => Self::Http,
            Guess::Bytes | Guess::Open => Self::Bytes(None),
        }
    }
}

/// Reads until it is clear what a client speaks. Nothing is lost if this is given up before it ends.
async fn listen(stream: &mut TcpStream, first: &mut BytesMut) -> Guess {
    let mut since = None;
    loop {
        match guess(first) {
            Guess::Open if first.len() <= LINE_BYTES_MAX => {}
            guess => return guess,
        }
        first.reserve(FIRST_BYTES);
        let read = stream.read_buf(first);
        let read = match since {
            None => read.await,
            Some(since) => match tokio::time::timeout_at(since + LINE_TIMEOUT, read).await {
                Ok(read) => read,
                Err(_) => return Guess::Bytes,
            },
        };
        since.get_or_insert_with(tokio::time::Instant::now);
        // A client that has closed its side may still wait for an answer.
        if !read.is_ok_and(|bytes| bytes > 0) {
            return Guess::Bytes;
        }
    }
}

async fn by_pod(local: Local, request: Request<Body>) -> Response<Body> {
    match local.answer(request).await {
        Ok(response) => hop::of_pod(response),
        Err(_) => hop::not_taken(),
    }
}

fn boxed(request: Request<Incoming>) -> Request<Body> {
    request.map(|body| body.map_err(Into::into).boxed_unsync())
}

fn refusal(failure: &Failure) -> Response<Body> {
    match failure {
        Failure::NobodyReady => hop::refusal((StatusCode::SERVICE_UNAVAILABLE, "no Pod of the Service is ready\n")),
        Failure::NobodyThere => {
            hop::refusal((StatusCode::SERVICE_UNAVAILABLE, "no Pod of the Service takes requests\n"))
        }
        Failure::Lost(_) => hop::refusal((StatusCode::BAD_GATEWAY, "the Pod broke off without an answer\n")),
        Failure::Silent => hop::refusal((StatusCode::BAD_GATEWAY, "the Pod's node fell silent\n")),
    }
}

async fn http<F>(stream: Guard, origin: Origin, answer: impl Fn(Request<Body>) -> F)
where
    F: Future<Output = Response<Body>>,
{
    let notes = stream.notes();
    let signature = Signature::of(origin);
    let service = service_fn(move |request| {
        let notes = notes.clone();
        let refusal = notes.next_request();
        let (version, is_connect) = (request.version(), request.method() == Method::CONNECT);
        let mut request = boxed(request);
        signature.sign(&mut request);
        let answer = match refusal {
            Some(refusal) => Either::Left(std::future::ready(hop::refusal(refusal.answer()))),
            None => Either::Right(answer(request)),
        };
        async move {
            let response = answer.await;
            if hop::is_tunnel(is_connect, response.status()) {
                notes.open_tunnel();
            }
            Ok::<_, Infallible>(Outbound::answer(response, version, notes.marks()))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX)
        .pipeline_flush(true)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(%error, "a connection broke");
    }
}
