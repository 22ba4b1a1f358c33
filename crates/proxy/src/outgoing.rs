//! Requests that Pods send: to Services by name or address, and to the world outside.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use http::{
    Request, Response, Uri,
    uri::{Authority, PathAndQuery},
};
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::{Body, Proxy, names};

/// How long a host may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection is kept for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many idle connections are kept for one host.
const IDLE_MAX: usize = 32;

/// Why a request of a Pod was not answered.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The URI names no host, or another scheme than http.
    #[error("{0}")]
    Uri(String),
    /// The Service exists, but none of its Pods is ready, or it has no such port.
    #[error("nobody answers for {0}")]
    NoEndpoint(String),
    /// There is no such Service, and hosts outside the cluster are not allowed.
    #[error("{0} is no Service, and hosts outside the cluster are not allowed")]
    Outside(String),
    /// The connection failed.
    #[error("the connection failed")]
    Connection(#[source] hyper_util::client::legacy::Error),
}

/// Connections that are kept.
pub(crate) struct Outgoing(Client<HttpConnector, Body>);

impl Outgoing {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT).pool_max_idle_per_host(IDLE_MAX);
        Self(builder.build(connector))
    }
}

impl Proxy {
    /// Sends the request of a Pod in a namespace to where its URI says. A Pod of this node is asked without a socket.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, request: Request<Body>, namespace: &str) -> Result<Response<Body>, SendError> {
        if request.uri().scheme_str() == Some("https") {
            return Err(SendError::Uri("https is not spoken so far; use http".to_owned()));
        }
        let authority =
            request.uri().authority().cloned().ok_or_else(|| SendError::Uri("the URI names no host".to_owned()))?;
        match self.destination(&authority, namespace)? {
            Some(address) => self.to_pod(request, address).await,
            None if self.inner.config.allow_external => self.over(request).await,
            None => Err(SendError::Outside(authority.to_string())),
        }
    }

    /// The Pod that stands for a host; `None` for hosts outside the cluster.
    fn destination(&self, authority: &Authority, namespace: &str) -> Result<Option<SocketAddr>, SendError> {
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(80));
        let table = self.inner.table.load();
        let service = match host.parse::<IpAddr>() {
            Ok(ip) => table.route(SocketAddr::new(ip, port)).map(|_| SocketAddr::new(ip, port)),
            Err(_) => match names::service(host, namespace).filter(|service| table.addresses(service).is_some()) {
                Some(service) => {
                    let found = table.socket(&service, port);
                    Some(found.ok_or_else(|| {
                        SendError::NoEndpoint(format!("{authority} (the Service has no port {port})"))
                    })?)
                }
                None => None,
            },
        };
        let Some(service) = service else {
            return Ok(host
                .parse::<IpAddr>()
                .ok()
                .map(|ip| SocketAddr::new(ip, port))
                .filter(|address| self.inner.locals.has(*address)));
        };
        let Some(route) = table.route(service) else { return Ok(Some(service)) };
        let picked = route.pick(IpAddr::V4(Ipv4Addr::LOCALHOST));
        picked.map(|endpoint| Some(endpoint.address)).ok_or_else(|| SendError::NoEndpoint(authority.to_string()))
    }

    async fn to_pod(&self, mut request: Request<Body>, address: SocketAddr) -> Result<Response<Body>, SendError> {
        if let Some(local) = self.inner.locals.get(address) {
            return Ok(local.answer(request).await);
        }
        let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme("http").authority(address.to_string()).path_and_query(path).build();
        *request.uri_mut() = uri.map_err(|error| SendError::Uri(error.to_string()))?;
        self.over(request).await
    }

    async fn over(&self, request: Request<Body>) -> Result<Response<Body>, SendError> {
        let response = self.inner.outgoing.0.request(request).await.map_err(SendError::Connection)?;
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}
