//! Requests that Pods send: to Services by name or address, and to hosts outside.

use std::{
    error::Error as _,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use api::kinds::core::service::is_kubernetes;
use http::{
    HeaderValue, Request, Response, Uri, header,
    uri::{Authority, PathAndQuery},
};
use http_body_util::BodyExt as _;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::util::BoxCloneSyncService;

use crate::{
    balance::{Balancer, Course, Failure},
    body::{Body, BoxError},
    egress::{Denied, Egress, Whose},
    forwarded::{Origin, Signature},
    masters::Masters,
    names::{self, Found},
    table::{Aim, Named},
};

/// How long a host may take to accept a connection, all its addresses together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection is kept for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How many idle connections are kept for one host.
const IDLE_MAX: usize = 32;

/// How many addresses of one host are tried: more than the well-known hosts have.
const ADDRESSES_MAX: usize = 16;

/// The ports of `http` and `https` without one.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

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
    /// The Pod may not connect to that address.
    #[error(transparent)]
    Denied(Denied),
    /// The connection failed.
    #[error("the connection failed")]
    Connection(#[source] hyper_util::client::legacy::Error),
    /// The API did not answer.
    #[error("the API did not answer")]
    Api(#[source] BoxError),
}

/// What the host of a request means.
enum Destination {
    /// A Service.
    Service(Aim),
    /// The address of one Pod.
    Pod(SocketAddr),
    /// A host outside the cluster; with the name to go to instead, if what was written is an alias.
    Outside(Option<String>),
}

/// What sends the requests of Pods.
pub(crate) struct Outgoing {
    balancer: Arc<Balancer>,
    /// Whether Pods may reach hosts outside the cluster.
    allow_external: bool,
    /// Connections that are kept.
    client: Client<Connector, Body>,
    /// How masters are called; empty until [`Outgoing::believe`].
    masters: OnceLock<Masters>,
}

type Connector = BoxCloneSyncService<Uri, TokioIo<TcpStream>, io::Error>;

impl Outgoing {
    pub(crate) fn new(balancer: Arc<Balancer>, allow_external: bool) -> Self {
        let egress = balancer.egress.clone();
        let connect = move |uri: Uri| {
            let egress = egress.clone();
            async move {
                let connecting = tokio::time::timeout(CONNECT_TIMEOUT, connect(&egress, &uri));
                connecting.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
        };
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT).pool_max_idle_per_host(IDLE_MAX);
        let client = builder.build(BoxCloneSyncService::new(tower::service_fn(connect)));
        Self { balancer, allow_external, client, masters: OnceLock::new() }
    }

    /// Lets Pods send requests to masters by a way to call them. Only the first call counts.
    pub(crate) fn believe(&self, config: Arc<ClientConfig>) {
        let _ = self.masters.set(Masters::new(config));
    }
}

/// Connects to one of the host's addresses that a Pod may connect to: what was asked about is what is connected to.
async fn connect(egress: &Egress, uri: &Uri) -> io::Result<TokioIo<TcpStream>> {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(HTTP_PORT);
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    let addresses = tokio::net::lookup_host((unbracketed(host), port)).await?;
    for address in addresses.take(ADDRESSES_MAX) {
        let connected = match egress.permit(address) {
            Ok(_) => TcpStream::connect(address).await,
            Err(denied) => Err(io::Error::new(io::ErrorKind::PermissionDenied, denied)),
        };
        match connected {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                return Ok(TokioIo::new(stream));
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// An IPv6 address in a URI stands in brackets.
fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The address that a host is, or that it means without a look-up: "localhost" is the Pod itself.
fn literal(host: &str, own: IpAddr) -> Option<IpAddr> {
    let host = unbracketed(host);
    if host.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
        return Some(own);
    }
    let ip = host.parse::<IpAddr>().ok()?.to_canonical();
    let is_own = ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST;
    Some(if is_own { own } else { ip })
}

impl Outgoing {
    /// Sends the request of a Pod at an address, in a namespace, to where its URI says.
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
        namespace: &str,
        from: IpAddr,
    ) -> Result<Response<Body>, SendError> {
        let authority =
            request.uri().authority().cloned().ok_or_else(|| SendError::Uri("the URI names no host".to_owned()))?;
        if request.uri().scheme_str() == Some("https") {
            return self.to_api(request, &authority, namespace, from).await;
        }
        let port = authority.port_u16().unwrap_or(HTTP_PORT);
        let destination = self.destination(&authority, port, namespace, from)?;
        if !matches!(destination, Destination::Outside(_)) {
            Signature::of(Origin::Pod(from)).sign(&mut request);
            request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
        }
        match destination {
            Destination::Service(aim) => {
                let answer = self.balancer.balance(Course::of_pod(aim, from), request).await;
                answer.map_err(|failure| match failure {
                    Failure::NobodyReady => SendError::NoEndpoint(authority.to_string()),
                    failure => SendError::Service(failure),
                })
            }
            Destination::Pod(address) => self.to_pod(request, address).await,
            Destination::Outside(alias) if self.allow_external => self.outside(request, alias).await,
            Destination::Outside(_) => Err(SendError::Outside(authority.to_string())),
        }
    }

    /// Sends a request over TLS, which this side speaks with masters alone: whom else to believe, only the guest could say.
    async fn to_api(
        &self,
        request: Request<Body>,
        authority: &Authority,
        namespace: &str,
        from: IpAddr,
    ) -> Result<Response<Body>, SendError> {
        let port = authority.port_u16().unwrap_or(HTTPS_PORT);
        let master = match self.destination(authority, port, namespace, from) {
            Ok(Destination::Service(aim)) if self.is_api(&aim) => {
                self.balancer.next(&mut Course::of_pod(aim, from)).map(|next| next.address())
            }
            Ok(Destination::Service(_) | Destination::Pod(_) | Destination::Outside(_)) | Err(_) => {
                let what = "https is spoken with the API alone, at https://kubernetes.default.svc; use http elsewhere";
                return Err(SendError::Uri(what.to_owned()));
            }
        };
        let nobody = || SendError::NoEndpoint(authority.to_string());
        let (masters, master) = self.masters.get().zip(master).ok_or_else(nobody)?;
        self.balancer.egress.permit(master).map_err(SendError::Denied)?;
        masters.send(master, request).await.map_err(SendError::Api)
    }

    fn is_api(&self, aim: &Aim) -> bool {
        self.balancer.table().route_to(aim).is_some_and(|route| is_kubernetes(&route.service))
    }

    /// What a host means.
    fn destination(
        &self,
        authority: &Authority,
        port: u16,
        namespace: &str,
        from: IpAddr,
    ) -> Result<Destination, SendError> {
        let host = authority.host();
        if let Some(ip) = literal(host, from) {
            return self.at(SocketAddr::new(ip, port));
        }
        let table = self.balancer.table();
        let reading = match names::find(&table, host, namespace) {
            Found::Service(reading) => reading,
            Found::Nobody => return Err(SendError::NoService(host.to_owned())),
            Found::Outside(name) => return Ok(Destination::Outside(Some(name).filter(|name| name != host))),
        };
        let no_port = || SendError::NoEndpoint(format!("{authority} (the Service has no port {port})"));
        match (table.named(&reading.service), &reading.host) {
            (Some(Named::Address(ip, ports)), _) => {
                if ports.contains(&port) {
                    self.at(SocketAddr::new(*ip, port))
                } else {
                    Err(no_port())
                }
            }
            (_, Some(_)) => {
                let pod = names::addresses(&table, &reading).and_then(|pods| pods.first().copied());
                self.at(SocketAddr::new(pod.ok_or_else(no_port)?, port))
            }
            (_, None) => {
                let aim = Aim::Pods(reading.service, port);
                let is_there = table.route_to(&aim).is_some();
                is_there.then_some(Destination::Service(aim)).ok_or_else(no_port)
            }
        }
    }

    /// What an address means; the Pod may connect to it, or this says why not.
    fn at(&self, address: SocketAddr) -> Result<Destination, SendError> {
        if self.balancer.is_service(address) {
            return Ok(Destination::Service(Aim::Address(address)));
        }
        match self.balancer.egress.permit(address) {
            Ok(Whose::Pods) => Ok(Destination::Pod(address)),
            // They speak TLS alone.
            Ok(Whose::Masters) => Err(SendError::Denied(Denied::Host(address.ip()))),
            Ok(Whose::Outsiders) => Ok(Destination::Outside(None)),
            Err(Denied::Nobody(_)) => Err(SendError::NoEndpoint(address.to_string())),
            Err(Denied::Outside(_)) => Err(SendError::Outside(address.to_string())),
            Err(denied @ Denied::Host(_)) => Err(SendError::Denied(denied)),
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
        if let Some(local) = self.balancer.locals.get(address) {
            let gone = |_| SendError::NoEndpoint(address.to_string());
            return local.answer(request).await.map_err(gone);
        }
        set_authority(&mut request, &address.to_string())?;
        self.over(request).await
    }

    async fn over(&self, request: Request<Body>) -> Result<Response<Body>, SendError> {
        let response = self.client.request(request).await.map_err(failed)?;
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}

fn set_authority(request: &mut Request<Body>, authority: &str) -> Result<(), SendError> {
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path).build();
    *request.uri_mut() = uri.map_err(|error| SendError::Uri(error.to_string()))?;
    Ok(())
}

fn failed(error: hyper_util::client::legacy::Error) -> SendError {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match io.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref::<Denied>()) {
        Some(denied) => SendError::Denied(*denied),
        None => SendError::Connection(error),
    }
}
