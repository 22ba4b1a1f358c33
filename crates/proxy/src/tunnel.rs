//! Connections that become something else than HTTP: `Upgrade` and `CONNECT`, and those that never were.

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body_util::{BodyExt as _, Empty};
use hyper::{client::conn::http1, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tracing::debug;

use crate::{body::Body, hop, replay::Upload};

/// How much is copied at a time, in bytes.
const COPY_BYTES: usize = 32 << 10;

/// Carries bytes both ways until both sides have ended; `first` was read from the client before.
pub(crate) async fn copy(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    first: &[u8],
    mut pod: impl AsyncRead + AsyncWrite + Unpin,
) {
    let copied = async {
        pod.write_all(first).await?;
        tokio::io::copy_bidirectional_with_sizes(&mut client, &mut pod, COPY_BYTES, COPY_BYTES).await
    };
    if let Err(error) = copied.await {
        debug!(%error, "a connection broke");
    }
}

/// Sends a request that may turn its connection into a tunnel, and carries the bytes of the tunnel if the Pod agrees.
pub(crate) async fn send(
    stream: TcpStream,
    request: Request<Upload>,
    asked: &Parts,
) -> Result<Response<Body>, hyper::Error> {
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = driver.with_upgrades().await {
            debug!(%error, "a connection broke");
        }
    });
    let mut response = sender.send_request(request).await?;
    let agreed = hop::is_tunnel(asked.method == Method::CONNECT, response.status());
    let Some(client) = asked.extensions.get::<OnUpgrade>().filter(|_| agreed).cloned() else {
        return Ok(hop::response(response).map(|body| body.map_err(Into::into).boxed_unsync()));
    };
    let pod = hyper::upgrade::on(&mut response);
    tokio::spawn(async move {
        // The client's side is there when it has got the answer below.
        if let (Ok(client), Ok(pod)) = (client.await, pod.await) {
            copy(TokioIo::new(client), &[], TokioIo::new(pod)).await;
        }
    });
    let (parts, _) = response.into_parts();
    Ok(Response::from_parts(parts, Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync()))
}
