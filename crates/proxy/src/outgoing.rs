//! Requests that Pods send: to Services by name or address, and to the world outside.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, Uri, header,
    uri::{Authority, PathAndQuery},
};
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::{
    Body, Proxy,
    balance::Failure,
    forwarded::{Sender, Signature},
    names::{self, Found},
    table::{Aim, Named},
};

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
    /// The name belongs to the cluster, and nobody has it.
    #[error("there is no Service {0}")]
    NoService(String),
    /// There is no such Service, and hosts outside the cluster are not allowed.
    #[error("{0} is no Service, and hosts outside the cluster are not allowed")]
    Outside(String),
    /// No Pod of the Service answered.
    #[error("no Pod of the Service answered")]
    Service(#[source] Failure),
    /// The connection failed.
    #[error("the connection failed")]
    Connection(#[source] hyper_util::client::legacy::Error),
}

/// What the host of a request means.
enum Destination {
    /// A Service.
    Service(Aim),
    /// The address of one Pod.
    Pod(SocketAddr),
    /// A host that is not the cluster's, if not as it was written, by the name of which it is an alias.
    Outside(Option<String>),
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
    /// Sends the request of a Pod at an address, in a namespace, to where its URI says. A Pod of this node is asked without
    /// a socket.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(
        &self,
        mut request: Request<Body>,
        namespace: &str,
        from: IpAddr,
    ) -> Result<Response<Body>, SendError> {
        if request.uri().scheme_str() == Some("https") {
            return Err(SendError::Uri("https is not spoken so far; use http".to_owned()));
        }
        let authority =
            request.uri().authority().cloned().ok_or_else(|| SendError::Uri("the URI names no host".to_owned()))?;
        let destination = self.destination(&authority, namespace)?;
        if !matches!(destination, Destination::Outside(_)) {
            Signature::of(Sender::Pod(from)).sign(&mut request);
            request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
        }
        match destination {
            Destination::Service(aim) => self.balance(aim, from, request).await.map_err(|failure| match failure {
                Failure::NobodyReady => SendError::NoEndpoint(authority.to_string()),
                failure => SendError::Service(failure),
            }),
            Destination::Pod(address) => self.to_pod(request, address).await,
            Destination::Outside(alias) if self.inner.config.allow_external => self.outside(request, alias).await,
            Destination::Outside(_) => Err(SendError::Outside(authority.to_string())),
        }
    }

    /// What a host means.
    fn destination(&self, authority: &Authority, namespace: &str) -> Result<Destination, SendError> {
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(80));
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(self.at(SocketAddr::new(ip, port)));
        }
        let reading = match self.find(host, namespace) {
            Found::Service(reading) => reading,
            Found::Nobody => return Err(SendError::NoService(host.to_owned())),
            Found::Outside(name) => return Ok(Destination::Outside(Some(name).filter(|name| name != host))),
        };
        let table = self.inner.table.load();
        let no_port = || SendError::NoEndpoint(format!("{authority} (the Service has no port {port})"));
        match (table.named(&reading.service), &reading.host) {
            (Some(Named::Address(ip, ports)), _) => {
                ports.contains(&port).then(|| self.at(SocketAddr::new(*ip, port))).ok_or_else(no_port)
            }
            (_, Some(_)) => {
                let pod = names::addresses(&table, &reading).and_then(|pods| pods.first().copied());
                pod.map(|pod| Destination::Pod(SocketAddr::new(pod, port))).ok_or_else(no_port)
            }
            (_, None) => {
                let aim = Aim::Pods(reading.service, port);
                let is_there = table.route_to(&aim).is_some();
                is_there.then_some(Destination::Service(aim)).ok_or_else(no_port)
            }
        }
    }

    fn at(&self, address: SocketAddr) -> Destination {
        let table = self.inner.table.load();
        let is_pod = || table.leads_to(address) || self.inner.locals.has(address);
        match table.route(address) {
            Some(_) => Destination::Service(Aim::Address(address)),
            None if is_pod() => Destination::Pod(address),
            None => Destination::Outside(None),
        }
    }

    /// Sends a request to a host outside. An alias changes where it goes, not what it asks for.
    async fn outside(&self, mut request: Request<Body>, alias: Option<String>) -> Result<Response<Body>, SendError> {
        if let Some(name) = alias {
            let asked = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let host = HeaderValue::from_str(&asked).map_err(|error| SendError::Uri(error.to_string()))?;
            request.headers_mut().entry(header::HOST).or_insert(host);
            let port = request.uri().port_u16().map_or_else(String::new, |port| format!(":{port}"));
            set_authority(&mut request, &format!("{name}{port}"))?;
        }
        self.over(request).await
    }

    async fn to_pod(&self, mut request: Request<Body>, address: SocketAddr) -> Result<Response<Body>, SendError> {
        if let Some(local) = self.inner.locals.get(address) {
            let gone = |_| SendError::NoEndpoint(address.to_string());
            return local.answer(request).await.map_err(gone);
        }
        set_authority(&mut request, &address.to_string())?;
        self.over(request).await
    }

    async fn over(&self, request: Request<Body>) -> Result<Response<Body>, SendError> {
        let response = self.inner.outgoing.0.request(request).await.map_err(SendError::Connection)?;
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}

fn set_authority(request: &mut Request<Body>, authority: &str) -> Result<(), SendError> {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path).build();
    *request.uri_mut() = uri.map_err(|error| SendError::Uri(error.to_string()))?;
    Ok(())
}
