//! The other masters: how this one reaches them, and how they prove who they are.
//!
//! Everything that masters say to each other goes through the port that serves the API, told apart by the protocol that the
//! TLS handshake agrees on ([`PEER_PROTOCOL`]); both sides show a certificate of the cluster that names a member.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use api::Error;
use consensus::{Dial, MemberId, Status, Stream};
use futures::future::BoxFuture;
use rpc::{
    Client, Security,
    identity::{Shared, Subject},
};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// What masters call their own protocol in the TLS handshake.
pub const PEER_PROTOCOL: &[u8] = b"kapelle-peer/1";

/// How long a connection to another master may take to be made: longer than a lost packet, no longer than an election.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

const _: () =
    assert!(CONNECT_TIMEOUT.as_millis() <= consensus::ELECTION_TICKS_MAX as u128 * consensus::TICK_MS as u128);

/// The other masters, as this one reaches them. Cloning shares it.
///
/// The log is opened before a founding master knows its own id, so identity and status are given later; until then nobody
/// can be reached, and nobody needs to be.
#[derive(Clone, Debug, Default)]
pub struct Masters {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    known: OnceLock<Known>,
}

#[derive(Debug)]
struct Known {
    identity: Arc<Shared>,
    status: watch::Receiver<Status>,
}

impl Masters {
    /// Says who this master is and how it learns who the others are. Only the first call counts.
    pub fn introduce(&self, identity: Arc<Shared>, status: watch::Receiver<Status>) {
        let _ = self.inner.known.set(Known { identity, status });
    }

    /// The `https://` URLs of all masters, this one included.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        let Some(known) = self.inner.known.get() else { return Vec::new() };
        // A master that was made anew has no contact until it says where it is.
        let status = known.status.borrow();
        status.members.contacts.values().filter(|contact| !contact.is_empty()).map(|contact| url(contact)).collect()
    }

    /// A client for each of the other masters, of that one only.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        let Some(known) = self.inner.known.get() else { return Vec::new() };
        let status = known.status.borrow();
        let others = status.members.contacts.iter().filter(|(member, _)| **member != status.member);
        others.filter_map(|(_, contact)| self.client(&url(contact)).ok()).collect()
    }

    /// Where the others reach this master; empty until the group knows it.
    #[must_use]
    pub fn own_url(&self) -> String {
        let Some(known) = self.inner.known.get() else { return String::new() };
        let status = known.status.borrow();
        status.members.contacts.get(&status.member).map(|contact| url(contact)).unwrap_or_default()
    }

    /// A client of the master at a URL.
    ///
    /// # Errors
    /// If the URL is not one.
    pub fn client(&self, url: &str) -> Result<Client, Error> {
        let known = self.inner.known.get().ok_or_else(|| Error::internal("this master is not introduced yet"))?;
        Client::connect_with(std::slice::from_ref(&url.to_owned()), Security::Tls(known.identity.clone()))
    }
}

fn url(contact: &str) -> String {
    format!("https://{contact}")
}

impl Dial for Masters {
    fn dial(&self, to: MemberId, contact: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let config = self.inner.known.get().map(|known| known.identity.client());
        let contact = contact.to_owned();
        Box::pin(async move {
            let mut config = rustls::ClientConfig::clone(&*config.ok_or(io::ErrorKind::NotConnected)?);
            config.alpn_protocols = vec![PEER_PROTOCOL.to_vec()];
            let tcp = timeout(CONNECT_TIMEOUT, TcpStream::connect(&contact)).await??;
            tcp.set_nodelay(true)?;
            let connector = TlsConnector::from(Arc::new(config));
            let connecting = connector.connect(server_name(&contact)?, tcp);
            let tls = timeout(CONNECT_TIMEOUT, connecting).await?.map_err(rpc::explained)?;
            let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let subject = shown.and_then(|certificate| Subject::of(certificate).ok());
            if subject != Some(Subject::Master { member: to.0 }) {
                let message = format!("{contact} is {subject:?}, not the master {to}");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
            }
            Ok(Box::new(rpc::Explained(tls)) as Box<dyn Stream>)
        })
    }
}

/// The name in a handshake. Masters are known by their certificate, not by the name under which they are reached.
fn server_name(contact: &str) -> io::Result<ServerName<'static>> {
    let host = contact.rsplit_once(':').map_or(contact, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    ServerName::try_from(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// A connection of another master that reads nothing more once a condition (`over`) has come true.
pub(crate) struct Heard<S> {
    stream: S,
    over: Option<BoxFuture<'static, ()>>,
}

impl<S> Heard<S> {
    pub(crate) fn new(stream: S, over: BoxFuture<'static, ()>) -> Self {
        Self { stream, over: Some(over) }
    }

    /// Whether nothing more is to be heard; if not, the reader is woken when it is.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.over.as_mut().is_some_and(|over| over.as_mut().poll(cx).is_ready()) {
            self.over = None;
        }
        self.over.is_none()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
