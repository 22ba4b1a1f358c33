//! Passing requests on to whoever answers in the masters' place, over a connection of its own for each.
//!
//! What is about one connection is not passed on, nor is what shows who asks.

pub(super) mod heads;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use hyper::{client::conn::http1, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use registry::Reach;
use rpc::identity::believing_anybody;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::upgrade;

/// The longest head of an answer, in bytes.
const ANSWER_HEAD_BYTES_MAX: usize = 64 << 10;

/// Why a request got no answer that could be passed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// The connection broke, or what came over it is no answer.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// The client would read what follows as answers to its next requests.
    #[error("it changed the protocol, for which nobody had asked")]
    Unasked,
    /// No TLS was agreed on.
    #[error("tls: {0}")]
    Tls(#[from] std::io::Error),
    /// TLS cannot be spoken at all.
    #[error("tls: {0}")]
    Configuration(#[from] tokio_rustls::rustls::Error),
}

/// As [`send`], to whoever answers by TLS. As in Kubernetes, its certificate may be anybody's: who may use the proxy believes
/// the Pod.
pub(super) async fn send_encrypted<S>(
    stream: S,
    request: Request<Body>,
    reach: Reach,
) -> Result<Response<Body>, Unanswered>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut config = believing_anybody()?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Of an address nothing is told to who answers, as nothing is that Kubernetes asks by a Pod's address.
    let nameless = ServerName::IpAddress(IpAddr::from(Ipv4Addr::UNSPECIFIED).into());
    let stream = TlsConnector::from(Arc::new(config)).connect(nameless, stream).await?;
    send(stream, request, reach).await
}

/// Sends a request over a stream that leads along a way.
pub(super) async fn send<S>(stream: S, request: Request<Body>, reach: Reach) -> Result<Response<Body>, Unanswered>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let may_change = request.headers().contains_key(header::UPGRADE);
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(ANSWER_HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        tokio::select! {
            ended = connection.with_upgrades() => {
                ended.unwrap_or_else(|error| tracing::debug!(%error, to = %reach.of(), "a connection broke"));
            }
            // The way is in use for as long as the connection.
            () = reach.closing() => {}
        }
    });
    let mut response = sender.send_request(request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(heads::answer(response).map(Body::new));
    }
    if !may_change {
        return Err(Unanswered::Unasked);
    }
    let far = hyper::upgrade::on(&mut response);
    let (parts, _) = response.into_parts();
    let response = Response::from_parts(parts, Body::empty());
    Ok(upgrade::then(response, move |client| carry(client, far)))
}

/// Carries what is spoken instead of HTTP.
async fn carry(mut client: upgrade::Bytes, far: OnUpgrade) {
    let carried = async {
        let mut far = TokioIo::new(far.await.map_err(std::io::Error::other)?);
        tokio::io::copy_bidirectional(&mut client, &mut far).await
    };
    if let Err(error) = carried.await {
        tracing::debug!(%error, "a connection broke");
    }
}
