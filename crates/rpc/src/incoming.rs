//! Connections that come in to an agent, from masters only.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use crate::{
    Security,
    identity::{IdentityError, Shared, Subject},
};

/// How long a caller may take to prove who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many connections may wait to be served.
const WAITING_MAX: usize = 64;

/// A connection from a master that has proven itself.
pub struct Incoming(Box<TlsStream<TcpStream>>);

/// The connections of a listener, protected as those that go out are. Failing ones are dropped and logged.
///
/// # Errors
/// If the identity cannot serve.
pub fn incoming(
    listener: TcpListener,
    security: &Security,
) -> Result<impl Stream<Item = io::Result<Incoming>> + Send + 'static + use<>, IdentityError> {
    let acceptor = match security {
        Security::Tls(identity) | Security::TlsWith(identity, _) => acceptor(identity)?,
        Security::Joining(_) => {
            return Err(IdentityError::Malformed { what: "identity", why: "a newcomer does not serve".to_owned() });
        }
    };
    let (ready, waiting) = mpsc::channel(WAITING_MAX);
    tokio::spawn(accept(listener, acceptor, ready));
    Ok(stream::unfold(waiting, |mut waiting| async move { Some((waiting.recv().await?, waiting)) }))
}

fn acceptor(identity: &Arc<Shared>) -> Result<TlsAcceptor, IdentityError> {
    Ok(TlsAcceptor::from(identity.server(&[b"h2"])?))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, ready: mpsc::Sender<io::Result<Incoming>>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (ready, acceptor) = (ready.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match prove(stream, &acceptor).await {
                        Ok(stream) => drop(ready.send(Ok(Incoming(Box::new(stream)))).await),
                        Err(error) => tracing::debug!(%error, "a connection was refused"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn prove(stream: TcpStream, acceptor: &TlsAcceptor) -> io::Result<TlsStream<TcpStream>> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    match shown.map(|certificate| Subject::of(certificate)) {
        Some(Ok(Subject::Master { .. })) => Ok(stream),
        _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "only masters call agents")),
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Incoming")
    }
}

impl Connected for Incoming {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Incoming {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
