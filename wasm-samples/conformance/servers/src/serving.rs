//! An HTTP/1 server on a socket of the guest's own, with or without TLS.

use std::convert::Infallible;
use std::io;
use std::mem::ManuallyDrop;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::rc::Rc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::give_up;

/// How long a client may take to send the head of a request, or to greet by TLS.
const PATIENCE: Duration = Duration::from_secs(30);

pub type Answer = hyper::Response<Full<Bytes>>;

/// A request that has come whole.
pub struct Request {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub peer: SocketAddr,
    /// The parameters of the path and of a form, in order.
    pub parameters: Vec<(String, String)>,
}

impl Request {
    async fn read(request: hyper::Request<Incoming>, peer: SocketAddr) -> Result<Self, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut parameters = pairs(head.uri.query().unwrap_or_default().as_bytes());
        let is_form = head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/x-www-form-urlencoded");
        if is_form {
            parameters.splice(0..0, pairs(&body));
        }
        let path = head.uri.path().to_owned();
        Ok(Self { method: head.method, path, headers: head.headers, body, peer, parameters })
    }

    /// The request that a path of its own would have been.
    pub fn instead(&self, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: Method::GET,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            peer: self.peer,
            parameters: pairs(query.as_bytes()),
        }
    }

    /// A parameter; empty if there is none.
    pub fn value(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(text).map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// An answer of plain text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    typed(status, "text/plain; charset=utf-8", body)
}

pub fn ok(body: impl Into<Bytes>) -> Answer {
    text(StatusCode::OK, body)
}

pub fn bad(why: impl Into<Bytes>) -> Answer {
    text(StatusCode::BAD_REQUEST, why)
}

pub fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Answer::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// An answer with one more header, unless its value is none that a header can have.
pub fn with(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// A socket on a port of the Pod.
///
/// tokio's own listener cannot be used: it asks of an accepted socket not to block in a way that WASI's C library refuses. So the
/// standard library accepts, and tokio only says when there is something to accept. What it is told to watch is the listening
/// socket; that it takes it for a stream makes no difference, because only readiness is asked of it.
pub struct Listener {
    socket: std::net::TcpListener,
    watch: ManuallyDrop<TcpStream>,
}

impl Listener {
    fn bind(port: u16) -> io::Result<Self> {
        let socket = std::net::TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, port))?;
        socket.set_nonblocking(true)?;
        // SAFETY: both own the same descriptor; the second is never dropped, and a listener lives as long as the program.
        let same = unsafe { std::net::TcpStream::from_raw_fd(socket.as_raw_fd()) };
        Ok(Self { socket, watch: ManuallyDrop::new(TcpStream::from_std(same)?) })
    }

    /// The Pod's address: what a guest that listens on any address really listens on.
    pub fn ip(&self) -> io::Result<IpAddr> {
        Ok(self.socket.local_addr()?.ip())
    }

    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            self.watch.readable().await?;
            match self.watch.try_io(Interest::READABLE, || self.socket.accept()) {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    return Ok((TcpStream::from_std(stream)?, peer));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A socket on a port of the Pod, or the end of the program.
pub fn listen(port: u16) -> Listener {
    Listener::bind(port).unwrap_or_else(|error| give_up(format!("cannot listen on port {port}: {error}")))
}

/// Answers requests as long as the program runs.
pub async fn serve<R, A>(listener: Listener, tls: Option<TlsAcceptor>, respond: R) -> !
where
    R: Fn(Request) -> A + 'static,
    A: Future<Output = Answer> + 'static,
{
    let respond = Rc::new(respond);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (tls, respond) = (tls.clone(), respond.clone());
                tokio::task::spawn_local(async move {
                    if let Err(error) = connection(stream, peer, tls, respond).await {
                        eprintln!("{peer}: {error}");
                    }
                });
            }
            Err(error) => eprintln!("cannot accept a connection: {error}"),
        }
    }
}

type Failure = Box<dyn std::error::Error>;

async fn connection<R, A>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    respond: Rc<R>,
) -> Result<(), Failure>
where
    R: Fn(Request) -> A + 'static,
    A: Future<Output = Answer> + 'static,
{
    match tls {
        Some(tls) => {
            let stream = tokio::time::timeout(PATIENCE, tls.accept(stream)).await??;
            requests(stream, peer, respond).await
        }
        None => requests(stream, peer, respond).await,
    }
}

async fn requests<S, R, A>(stream: S, peer: SocketAddr, respond: Rc<R>) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    R: Fn(Request) -> A + 'static,
    A: Future<Output = Answer> + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let respond = respond.clone();
        async move {
            let answer = match Request::read(request, peer).await {
                Ok(request) => respond(request).await,
                Err(error) => bad(error.to_string()),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    Ok(http.serve_connection(TokioIo::new(stream), service).await?)
}
