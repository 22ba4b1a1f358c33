//! One connection: request by request if HTTP Pods of this node stand behind the address, byte by byte otherwise.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tracing::debug;

use crate::{Body, Proxy, locals::Local};

/// How long a client may take to send the head of a request.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest head of a request, in bytes.
const HEADERS_BYTES_MAX: usize = 64 << 10;

/// How long a Pod may take to accept a connection before the next one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How much is copied at a time, in bytes.
const COPY_BYTES: usize = 32 << 10;

/// A connection to a Service's address.
pub(crate) async fn service(proxy: Proxy, stream: TcpStream, address: SocketAddr, client: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let balance = {
        let table = proxy.inner.table.load();
        let Some(route) = table.route(address) else { return };
        let local = route.endpoints.iter().all(|endpoint| proxy.inner.locals.has(endpoint.address));
        // A sticky client stays with one Pod, so its connection may as well.
        local && !route.sticky && !route.endpoints.is_empty()
    };
    if balance {
        return http(stream, move |request| by_request(proxy.clone(), request, address, client)).await;
    }
    let (attempts, turn) = {
        let table = proxy.inner.table.load();
        table.route(address).map_or((0, 0), |route| (route.endpoints.len(), route.turn(client.ip())))
    };
    for attempt in 0..attempts {
        let Some(target) = target(&proxy, address, turn.wrapping_add(attempt)) else { break };
        if let Some(local) = proxy.inner.locals.get(target) {
            return http(stream, move |request| by_pod(local.clone(), request)).await;
        }
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await {
            Ok(Ok(pod)) => return copy(stream, pod).await,
            Ok(Err(error)) => debug!(%target, %error, "a Pod does not accept connections"),
            Err(_) => debug!(%target, "a Pod does not accept connections in time"),
        }
    }
    // Nobody is there: the client gets a reset at once rather than silence.
    let _ = stream.set_zero_linger();
}

fn target(proxy: &Proxy, address: SocketAddr, turn: usize) -> Option<SocketAddr> {
    proxy.inner.table.load().route(address)?.at(turn).map(|endpoint| endpoint.address)
}

/// A connection to the address of an HTTP Pod of this node.
pub(crate) async fn pod(proxy: Proxy, stream: TcpStream, address: SocketAddr) {
    let _ = stream.set_nodelay(true);
    if let Some(local) = proxy.inner.locals.get(address) {
        http(stream, move |request| by_pod(local.clone(), request)).await;
    }
}

async fn by_request(
    proxy: Proxy,
    request: Request<Incoming>,
    address: SocketAddr,
    client: SocketAddr,
) -> Response<Body> {
    // The table may have changed since the connection was made; whoever is next now answers, or nobody does.
    let local = proxy.pick(address, client.ip()).and_then(|target| proxy.inner.locals.get(target));
    match local {
        Some(local) => by_pod(local, request).await,
        None => refused(),
    }
}

async fn by_pod(local: Local, request: Request<Incoming>) -> Response<Body> {
    local.answer(request.map(|body| body.map_err(Into::into).boxed_unsync())).await
}

/// No Pod can take the request any more. The connection ends, so that the next one finds whoever is there.
fn refused() -> Response<Body> {
    let body = Full::new(Bytes::from_static(b"no Pod of the Service is ready\n"))
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn http<F>(stream: TcpStream, answer: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Response<Body>>,
{
    let service = service_fn(|request| {
        let response = answer(request);
        async { Ok::<_, Infallible>(response.await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(HEADERS_BYTES_MAX)
        .pipeline_flush(true)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "a connection broke");
    }
}

async fn copy(mut client: TcpStream, mut pod: TcpStream) {
    let _ = pod.set_nodelay(true);
    if let Err(error) = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut pod, COPY_BYTES, COPY_BYTES).await {
        debug!(%error, "a connection broke");
    }
}
