//! Calls webhooks: HTTPS outwards, for the Registry, which decides whom to call.
//!
//! Connections are kept for the next call. Whoever is called must show a certificate that the call believes, is shown none of
//! ours, and can send nobody elsewhere: no redirection is followed and no proxy of the environment used. A Pod is reached over the
//! agent of its node, so that masters need no route to it. Addresses at which no webhook can be are not called: those of the link
//! alone, where clouds keep what only their machines may know, and those of many.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use api::{Error, Key, Subresource, Verb};
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use registry::{ANSWER_BYTES_MAX, Call, CallError, Calls, Endpoint, Reach};
use rpc::identity::believing;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, client::WantsClientCert};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::Instant,
};
use tokio_rustls::TlsConnector;

/// How many webhooks are known with their connections; more than any cluster has.
const LINES_MAX: usize = 256;

/// The most calls of one webhook at the same time. Further ones wait, so that one that is slow holds up itself alone.
const CALLS_MAX: usize = 256;

/// How many connections to one webhook are kept while nobody uses them, and how long.
const IDLE_MAX: usize = 32;
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How long one endpoint may take to be reached, so that there is time for the next one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The port of a URL that names none.
const PORT: u16 = 443;

/// Calls webhooks.
#[derive(Debug, Default)]
pub struct Webhooks {
    lines: Mutex<HashMap<Target, Arc<Line>>>,
}

/// Who is called, and whom the call believes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Target {
    authority: String,
    in_cluster: bool,
    ca_bundle: Bytes,
}

/// The connections to one webhook.
struct Line {
    tls: TlsConnector,
    idle: Mutex<Vec<Kept>>,
    free: Semaphore,
}

/// A connection that nobody uses.
struct Kept {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

/// What TLS is spoken over.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("free", &self.free).finish_non_exhaustive()
    }
}

impl Calls for Webhooks {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let line = self.line(&call);
        Box::pin(async move {
            let timeout = call.timeout;
            let posted = async move {
                let (line, uri) = line?;
                line.post(&uri, call).await
            };
            tokio::time::timeout(timeout, posted).await.unwrap_or(Err(CallError::Timeout))
        })
    }
}

impl Webhooks {
    fn line(&self, call: &Call) -> Result<(Arc<Line>, Uri), CallError> {
        let uri: Uri =
            call.url.parse().map_err(|error| CallError::Broken(format!("the URL cannot be read: {error}")))?;
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let target = Target { authority, in_cluster: call.at.is_some(), ca_bundle: call.ca_bundle.clone() };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&target) {
            return Ok((line.clone(), uri));
        }
        let line = Arc::new(Line::new(&call.ca_bundle)?);
        if lines.len() >= LINES_MAX {
            lines.clear();
        }
        lines.insert(target, line.clone());
        Ok((line, uri))
    }
}

impl Line {
    fn new(ca_bundle: &[u8]) -> Result<Self, CallError> {
        let tls = Arc::new(config(ca_bundle)?).into();
        Ok(Self { tls, idle: Mutex::default(), free: Semaphore::new(CALLS_MAX) })
    }

    async fn post(&self, uri: &Uri, call: Call) -> Result<Bytes, CallError> {
        let _permit = self.free.acquire().await.map_err(|error| CallError::Broken(error.to_string()))?;
        let mut request = request(uri, &call)?;
        while let Some(mut sender) = self.kept().await {
            match sender.try_send_request(request).await {
                Ok(response) => return self.read(sender, response).await,
                // It was closed before anything was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(broken(error.error())),
                },
            }
        }
        let mut sender = self.connect(uri, &call).await?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        self.read(sender, response).await
    }

    /// Reads an answer, and keeps the connection for the next one.
    async fn read(&self, sender: SendRequest<Full<Bytes>>, response: Response<Incoming>) -> Result<Bytes, CallError> {
        if !response.status().is_success() {
            return Err(CallError::Status(response.status().as_u16()));
        }
        let (mut body, mut read) = (response.into_body(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
            if read.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(CallError::TooLong);
            }
            read.extend_from_slice(&piece);
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(Kept { sender, since: Instant::now() });
        }
        Ok(read.freeze())
    }

    /// A connection that was kept and still stands.
    async fn kept(&self) -> Option<SendRequest<Full<Bytes>>> {
        loop {
            let mut kept = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.retain(|kept| kept.since.elapsed() < IDLE_TIME && !kept.sender.is_closed());
                idle.pop()?
            };
            if kept.sender.ready().await.is_ok() {
                return Some(kept.sender);
            }
        }
    }

    async fn connect(&self, uri: &Uri, call: &Call) -> Result<SendRequest<Full<Bytes>>, CallError> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| CallError::Broken(format!("{host:?} is no name that a certificate can have")))?;
        let (wire, reach) = match &call.at {
            Some(endpoints) => at_one_of(endpoints, call).await?,
            None => (outside(host, uri.port_u16().unwrap_or(PORT)).await?, None),
        };
        let greeted = self.tls.connect(name, wire).await.map_err(|error| distrusted(&error))?;
        let (sender, connection) = http1::handshake(TokioIo::new(greeted)).await.map_err(|error| broken(&error))?;
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => {
                    ended.unwrap_or_else(|error| tracing::debug!(%error, "a connection to a webhook broke"));
                }
                // The way is in use for as long as the connection.
                () = closing(reach) => {}
            }
        });
        Ok(sender)
    }
}

fn request(uri: &Uri, call: &Call) -> Result<Request<Full<Bytes>>, CallError> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let target = format!("{}?timeout={}s", uri.path(), call.timeout.as_secs());
    let request = Request::post(target)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, */*")
        .header(header::USER_AGENT, concat!("kapelle/", env!("CARGO_PKG_VERSION"), " admission"));
    request.body(Full::new(call.body.clone())).map_err(|error| CallError::Broken(error.to_string()))
}

/// Ends when this process stops, if the way leads over it.
async fn closing(reach: Option<Reach>) {
    match reach {
        Some(reach) => reach.closing().await,
        None => std::future::pending().await,
    }
}

/// The first endpoint that takes a connection, and the way there.
async fn at_one_of(endpoints: &[Endpoint], call: &Call) -> Result<(Box<dyn Wire>, Option<Reach>), CallError> {
    let mut last = CallError::Broken("no endpoints available".to_owned());
    for endpoint in endpoints {
        let reached = match endpoint {
            Endpoint::Address(address) => dial(*address).await.map(|wire| (wire, None)),
            Endpoint::Pod(pod, port) => over_agent(pod, *port, call).await,
        };
        match reached {
            Ok(reached) => return Ok(reached),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn over_agent(pod: &Key, port: u16, call: &Call) -> Result<(Box<dyn Wire>, Option<Reach>), CallError> {
    let opened = async {
        let reach = call.ways.reach(pod, Verb::Create, Subresource::Proxy).await?;
        let tunnel: Box<dyn Wire> = Box::new(reach.open(port).await?);
        Ok((tunnel, Some(reach)))
    };
    let why = |error: &dyn fmt::Display| CallError::Broken(format!("dial tcp: {error}"));
    match tokio::time::timeout(CONNECT_TIMEOUT, opened).await {
        Ok(opened) => opened.map_err(|error: Error| why(&error)),
        Err(_) => Err(why(&"i/o timeout")),
    }
}

/// A connection to wherever this host finds a name.
async fn outside(host: &str, port: u16) -> Result<Box<dyn Wire>, CallError> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found = found.map_err(|error| CallError::Broken(format!("dial tcp: lookup {host}: {error}")))?;
    let mut last = CallError::Broken(format!("{host} is not at an address where a webhook can be"));
    for address in found.filter(|address| may_be_called(address.ip())) {
        match dial(address).await {
            Ok(wire) => return Ok(wire),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn dial(address: SocketAddr) -> Result<Box<dyn Wire>, CallError> {
    if !may_be_called(address.ip()) {
        return Err(CallError::Broken(format!("{} is not at an address where a webhook can be", address.ip())));
    }
    let why = |error: &dyn fmt::Display| CallError::Broken(format!("dial tcp {address}: {error}"));
    match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            // Each request is one write, which must not wait for another.
            stream.set_nodelay(true).map_err(|error| why(&error))?;
            Ok(Box::new(stream))
        }
        Ok(Err(error)) => Err(why(&error)),
        Err(_) => Err(why(&"i/o timeout")),
    }
}

fn may_be_called(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !(v4.is_unspecified() || v4.is_multicast() || v4.is_link_local() || v4.is_broadcast()),
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local()),
    }
}

/// How to call somebody who must be known to some authorities, or to those of this host's system.
fn config(ca_bundle: &[u8]) -> Result<ClientConfig, CallError> {
    let config = if ca_bundle.is_empty() { by_system() } else { by_bundle(ca_bundle) };
    let mut config = config?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn by_bundle(ca_bundle: &[u8]) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, CallError> {
    let unreadable = |why: &dyn fmt::Display| CallError::Broken(format!("unable to load root certificates: {why}"));
    let certificates = CertificateDer::pem_slice_iter(ca_bundle).collect::<Result<Vec<_>, _>>();
    believing(certificates.map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))
}

fn by_system() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, CallError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| CallError::Broken(error.to_string()))?;
    Ok(config.with_root_certificates(system_roots()))
}

fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let load = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    };
    ROOTS.get_or_init(load).clone()
}

/// Why somebody is not called who answered: mostly because of the certificate.
fn distrusted(error: &io::Error) -> CallError {
    let told = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    CallError::Broken(match told {
        Some(why @ rustls::Error::InvalidCertificate(_)) => format!("tls: failed to verify certificate: {why}"),
        Some(other) => format!("tls: {other}"),
        None => error.to_string(),
    })
}

/// The innermost reason, which is the one that people understand.
fn broken(error: &hyper::Error) -> CallError {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    CallError::Broken(innermost.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_one_link_or_of_many_is_not_called() {
        for text in ["169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1", "::", "ff02::1"] {
            assert!(text.parse().is_ok_and(|address| !may_be_called(address)), "{text}");
        }
        for text in ["127.0.0.1", "10.0.0.1", "2001:db8::1"] {
            assert!(text.parse().is_ok_and(may_be_called), "{text}");
        }
    }
}
