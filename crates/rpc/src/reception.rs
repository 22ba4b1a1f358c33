//! Taking connections in: who is it, do the limits allow it, and what if the process has no file left.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    connections::{ConnectionLimits, Connections, Party, Slot},
    identity::{IdentityError, Shared, Subject},
};

/// How long a caller may take to prove who it is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait after the system refused a connection, usually for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listener that takes as many connections as its limits allow.
#[derive(Debug)]
pub struct Reception {
    listener: TcpListener,
    acceptor: Acceptor,
    connections: Connections,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

/// A connection that is counted and has said nothing yet.
#[derive(Debug)]
pub struct Arrival {
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Acceptor,
    slot: Slot,
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
    /// When the certificate ends that was shown, if one was.
    pub until: Option<SystemTime>,
    /// To be kept as long as the connection.
    pub slot: Slot,
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
        limits: ConnectionLimits,
    ) -> Result<Self, IdentityError> {
        let acceptor = Acceptor(TlsAcceptor::from(identity.server(protocols)?));
        Ok(Self { listener, acceptor, connections: Connections::new(limits) })
    }

    /// The next connection. While the process has no file left nobody is taken in, and those who are there go on.
    pub async fn next(&self) -> Arrival {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let Some(slot) = self.connections.enter(Party::Arriving(peer.ip())) else { continue };
                    // Without it answers are a little later; it fails only if the connection is gone already.
                    let _ = stream.set_nodelay(true);
                    return Arrival { stream, peer, acceptor: self.acceptor.clone(), slot };
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
    /// If it does not in time, had to give way meanwhile, or all connections of its sort are busy.
    pub async fn prove(self) -> io::Result<Visitor> {
        let Self { stream, peer, acceptor, slot } = self;
        let stream = tokio::select! {
            accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.0.accept(stream)) => accepted??,
            leave = slot.must_leave() => return Err(io::Error::other(format!("before its handshake: {leave:?}"))),
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let subject = shown.and_then(|certificate| Subject::of(certificate).ok());
        let until = shown.and_then(|certificate| Subject::end_of(certificate));
        let party = match &subject {
            None => Party::Nobody(peer.ip()),
            Some(user @ (Subject::User { .. } | Subject::Pod { .. })) => Party::User(user.to_string()),
            Some(subject) => Party::Known(subject.clone()),
        };
        match slot.change(party) {
            Some(slot) => Ok(Visitor { stream, peer, subject, until, slot }),
            None => Err(io::Error::new(io::ErrorKind::QuotaExceeded, "all connections of its sort are busy")),
        }
    }
}
