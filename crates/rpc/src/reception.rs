//! Taking connections in: who is it, is there a seat, and what if the process has no file left.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    identity::{IdentityError, Shared, Subject},
    seats::{Party, Rooms, Seat, Seats},
};

/// How long a caller may take to prove who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait after the system refused a connection, usually for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener with seats for those who come.
#[derive(Debug)]
pub struct Reception {
    listener: TcpListener,
    acceptor: Acceptor,
    seats: Seats,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

/// A connection that has a seat and has said nothing yet.
#[derive(Debug)]
pub struct Arrival {
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Acceptor,
    seat: Seat,
}

/// A connection of which it is known whose it is.
#[derive(Debug)]
pub struct Visitor {
    /// What to read and write.
    pub stream: TlsStream<TcpStream>,
    /// From where.
    pub peer: SocketAddr,
    /// Whose certificate was shown; `None` for nobody's.
    pub subject: Option<Subject>,
    /// To be kept as long as the connection.
    pub seat: Seat,
}

impl Reception {
    /// Takes connections of a listener in, under an identity, for some protocols.
    ///
    /// # Errors
    /// If the identity cannot serve.
    pub fn new(
        listener: TcpListener,
        identity: &Arc<Shared>,
        protocols: &[&[u8]],
        rooms: Rooms,
    ) -> Result<Self, IdentityError> {
        let acceptor = Acceptor(TlsAcceptor::from(identity.server(protocols)?));
        Ok(Self { listener, acceptor, seats: Seats::new(rooms) })
    }

    /// The next connection. While the process has no file left nobody is taken in, and those who are there go on.
    pub async fn next(&self) -> Arrival {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(seat) = self.seats.enter(Party::Arriving(peer.ip())) else { continue };
                    // Without it answers are a little later; it fails only if the connection is gone already.
                    let _ = stream.set_nodelay(true);
                    return Arrival { stream, peer, acceptor: self.acceptor.clone(), seat };
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Arrival {
    /// Lets the caller prove who it is.
    ///
    /// # Errors
    /// If it does not in time, had to give way meanwhile, or all seats of its sort are busy.
    pub async fn prove(self) -> io::Result<Visitor> {
        let Self { stream, peer, acceptor, seat } = self;
        let stream = tokio::select! {
            accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.0.accept(stream)) => accepted??,
            leave = seat.must_leave() => return Err(io::Error::other(format!("before its handshake: {leave:?}"))),
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let subject = shown.and_then(|certificate| Subject::of(certificate).ok());
        let party = subject.clone().map_or(Party::Nobody(peer.ip()), Party::Known);
        match seat.change(party) {
            Some(seat) => Ok(Visitor { stream, peer, subject, seat }),
            None => Err(io::Error::new(io::ErrorKind::QuotaExceeded, "all connections of its sort are busy")),
        }
    }
}
