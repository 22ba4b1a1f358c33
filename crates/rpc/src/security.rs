//! How connections are protected, and how they are made.

use std::{io, sync::Arc, time::Duration};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::transport::{Channel, Endpoint};

use crate::{
    Explained, explained,
    identity::{Shared, Subject},
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
}

impl Security {
    /// A channel to an endpoint; each new connection shows the newest certificate.
    pub(crate) fn channel(&self, endpoint: Endpoint) -> Channel {
        let security = self.clone();
        endpoint.connect_with_connector_lazy(tower::service_fn(move |uri: Uri| {
            let config = security.config();
            async move { connect(&config, &uri).await.map(TokioIo::new) }
        }))
    }

    fn config(&self) -> Arc<ClientConfig> {
        match self {
            Self::Tls(identity) => identity.client(),
            Self::TlsWith(identity, subject) => identity.client_of(subject.clone()),
            Self::Joining(config) => config.clone(),
        }
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
