//! Requests of Pods to the API, over TLS that ends here: so that a guest whose language has HTTP and no TLS of its own is a client of
//! the cluster like any other. Who asks, its token tells; this side shows nobody's certificate.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::body::{Body, BoxError};

/// The name that every master's certificate has.
const NAME: &str = "kubernetes.default.svc";

/// How long a master may take until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What calls masters.
pub(crate) struct Masters {
    tls: TlsConnector,
}

impl Masters {
    pub(crate) fn new(config: Arc<ClientConfig>) -> Self {
        Self { tls: config.into() }
    }

    /// Sends a request to a master. Each has a connection of its own, so that no Pod uses what another one has opened.
    pub(crate) async fn send(&self, master: SocketAddr, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let stream = timeout(CONNECT_TIMEOUT, self.connect(master)).await??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends when the answer has been read or is dropped.
        tokio::spawn(connection);
        let response = sender.send_request(in_origin_form(request)?).await?;
        Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    async fn connect(&self, master: SocketAddr) -> Result<TlsStream<TcpStream>, BoxError> {
        let stream = TcpStream::connect(master).await?;
        stream.set_nodelay(true)?;
        Ok(self.tls.connect(ServerName::try_from(NAME)?, stream).await?)
    }
}

/// The request as it is written to a server: the host in its header, the rest in its first line.
fn in_origin_form(mut request: Request<Body>) -> Result<Request<Body>, BoxError> {
    let uri = std::mem::take(request.uri_mut());
    if let Some(authority) = uri.authority() {
        request.headers_mut().insert(header::HOST, HeaderValue::from_str(authority.as_str())?);
    }
    if let Some(path) = uri.path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
    Ok(request)
}
