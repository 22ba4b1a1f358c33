//! Connections that come in to an agent, from masters only.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::{
    Security,
    connections::{ConnectionLimits, Slot},
    identity::{IdentityError, Subject},
    reception::{Arrival, Reception, Visitor},
};

/// How many connections may wait to be served.
const WAITING_MAX: usize = 64;

/// The master that asks: among the extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calling {
    /// Its id in the group.
    pub member: u64,
}

/// A connection from a master that has proven itself.
pub struct Incoming {
    calling: Calling,
    stream: Box<TlsStream<TcpStream>>,
    _slot: Slot,
}

/// The connections of a listener, protected as those that go out are. Failing ones are dropped and logged.
///
/// # Errors
/// If the identity cannot serve.
pub fn incoming(
    listener: TcpListener,
    security: &Security,
    limits: ConnectionLimits,
) -> Result<impl Stream<Item = io::Result<Incoming>> + Send + 'static + use<>, IdentityError> {
    let identity = match security {
        Security::Tls(identity) | Security::TlsWith(identity, _) => identity,
        Security::Joining(_) | Security::Bearer(..) => {
            return Err(IdentityError::Malformed {
                what: "identity",
                why: "without a certificate nobody serves".to_owned(),
            });
        }
    };
    let reception = Reception::new(listener, identity, &[b"h2"], limits)?;
    let (ready, waiting) = mpsc::channel(WAITING_MAX);
    tokio::spawn(accept(reception, ready));
    Ok(stream::unfold(waiting, |mut waiting| async move { Some((waiting.recv().await?, waiting)) }))
}

async fn accept(reception: Reception, ready: mpsc::Sender<io::Result<Incoming>>) {
    loop {
        let arrival = tokio::select! {
            arrival = reception.next() => arrival,
            () = ready.closed() => return,
        };
        let ready = ready.clone();
        tokio::spawn(async move {
            match prove(arrival).await {
                Ok(incoming) => drop(ready.send(Ok(incoming)).await),
                Err(error) => tracing::debug!(%error, "a connection was refused"),
            }
        });
    }
}

async fn prove(arrival: Arrival) -> io::Result<Incoming> {
    let Visitor { stream, subject, slot, .. } = arrival.prove().await?;
    match subject {
        Some(Subject::Master { member }) => {
            Ok(Incoming { calling: Calling { member }, stream: Box::new(stream), _slot: slot })
        }
        _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "only masters call agents")),
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Incoming")
    }
}

impl Connected for Incoming {
    type ConnectInfo = Calling;

    fn connect_info(&self) -> Calling {
        self.calling
    }
}

impl AsyncRead for Incoming {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
