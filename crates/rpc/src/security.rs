//! How connections are protected, and how they are made.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response, Uri, header::AUTHORIZATION};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    body::Body,
    transport::{self, Endpoint, channel::ResponseFuture},
};
use tower::{Service, service_fn};

use crate::{
    Explained, explained,
    identity::{IdentityError, Pin, Shared, Subject, pinned_client},
};

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// How the connections of a client are protected.
#[derive(Clone, Debug)]
pub enum Security {
    /// By mutual TLS, under an identity of the cluster, with masters.
    Tls(Arc<Shared>),
    /// By mutual TLS, with one certain process.
    TlsWith(Arc<Shared>, Subject),
    /// By TLS to a master that is known by a token only.
    Joining(Arc<ClientConfig>),
    /// By TLS to masters of an authority, who are shown a bearer token with each request.
    Bearer(Arc<ClientConfig>, HeaderValue),
}

impl Security {
    /// Shows a bearer token to masters of an authority (its certificate, PEM), and to nobody else.
    ///
    /// # Errors
    /// If the authority is malformed, or the token cannot be in a header.
    pub fn bearer(authority: &str, token: &str) -> Result<Self, IdentityError> {
        let pin = Pin::of_pem(authority)?;
        let unfit =
            || IdentityError::Malformed { what: "token", why: "it has characters that no token has".to_owned() };
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| unfit())?;
        // Kept out of logs and of the tables that compress headers.
        header.set_sensitive(true);
        Ok(Self::Bearer(pinned_client(pin), header))
    }

    /// How to call the same masters without showing who calls: for whoever shows a token of its own.
    ///
    /// # Errors
    /// If the authority is malformed.
    pub fn nameless(&self) -> Result<Arc<ClientConfig>, IdentityError> {
        match self {
            Self::Tls(shared) | Self::TlsWith(shared, _) => {
                let pin = shared.with(|identity| Pin::of_pem(identity.authority_pem()))?;
                Ok(pinned_client(pin))
            }
            Self::Joining(config) | Self::Bearer(config, _) => Ok(config.clone()),
        }
    }

    /// A channel to an endpoint; each new connection shows the newest certificate.
    pub(crate) fn channel(&self, endpoint: Endpoint) -> Channel {
        let security = self.clone();
        let inner = endpoint.connect_with_connector_lazy(service_fn(move |uri: Uri| {
            let config = security.config();
            async move { connect(&config, &uri).await.map(TokioIo::new) }
        }));
        Channel { inner, token: self.token() }
    }

    fn config(&self) -> Arc<ClientConfig> {
        match self {
            Self::Tls(identity) => identity.client(),
            Self::TlsWith(identity, subject) => identity.client_of(subject.clone()),
            Self::Joining(config) | Self::Bearer(config, _) => config.clone(),
        }
    }

    /// What is shown with each request.
    fn token(&self) -> Option<HeaderValue> {
        match self {
            Self::Tls(_) | Self::TlsWith(..) | Self::Joining(_) => None,
            Self::Bearer(_, token) => Some(token.clone()),
        }
    }
}

/// A connection to one process, made when it is needed, with what is shown to it. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    inner: transport::Channel,
    token: Option<HeaderValue>,
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        request.headers_mut().extend(self.token.clone().map(|token| (AUTHORIZATION, token)));
        self.inner.call(request)
    }
}

async fn connect(config: &ClientConfig, uri: &Uri) -> io::Result<Explained<TlsStream<TcpStream>>> {
    let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{uri}: {why}"));
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let host = uri.host().ok_or_else(|| invalid("no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|error| invalid(&error.to_string()))?;
    let tcp = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
    tcp.set_nodelay(true)?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await?.map(Explained).map_err(explained)
}
