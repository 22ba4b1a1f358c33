//! The yardstick: a bare hyper server that answers the same bytes as the sample, with no sandbox and no balancer.

use std::{convert::Infallible, net::SocketAddr};

use hyper::{Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Serves until the process is killed.
pub(crate) async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    const BODY: &[u8] = b"hello from a bare server, version v1, request 1\n";
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(http1::Builder::new().pipeline_flush(true).serve_connection(
            TokioIo::new(stream),
            service_fn(|_| async {
                Ok::<_, Infallible>(Response::new(http_body_util::Full::new(Bytes::from_static(BODY))))
            }),
        ));
    }
}
