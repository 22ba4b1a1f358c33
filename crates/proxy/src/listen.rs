//! Listening: one task an address, as long as the address is wanted.

use std::{io, net::SocketAddr, time::Duration};

use api::Key;
use tokio::{net::TcpStream, task::AbortHandle};

use crate::{Proxy, serve};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// How long to wait after the system refused a connection, usually for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The first port that any user may bind.
const FREE_PORT: u16 = 1024;

/// Something that the proxy could not do for an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The Service or Pod.
    pub about: Key,
    /// The address.
    pub address: SocketAddr,
    /// What is wrong, and what would help.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(about: Key, address: SocketAddr, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied if address.port() < FREE_PORT => {
                "; ports below 1024 need a privilege: use a higher port, or allow them with `sysctl net.ipv4.ip_unprivileged_port_start=0`"
            }
            io::ErrorKind::AddrInUse => "; another process listens there: stop it, or use another port",
            io::ErrorKind::AddrNotAvailable => "; the address is not one of this machine",
            _ => "",
        };
        Self { about, address, message: format!("cannot listen on {address}: {error}{remedy}") }
    }
}

/// A task that accepts connections; dropping it closes the address.
pub(crate) struct Listener {
    task: AbortHandle,
    pod: bool,
}

impl Listener {
    /// Whether the address is a Pod's.
    pub(crate) fn is_pod(&self) -> bool {
        self.pod
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens on a Service's address.
pub(crate) fn service(proxy: Proxy, address: SocketAddr) -> io::Result<Listener> {
    start(address, false, move |stream, client| {
        tokio::spawn(serve::service(proxy.clone(), stream, address, client));
    })
}

/// Listens on the address of a Pod of this node.
pub(crate) fn pod(proxy: Proxy, address: SocketAddr) -> io::Result<Listener> {
    start(address, true, move |stream, _| {
        tokio::spawn(serve::pod(proxy.clone(), stream, address));
    })
}

fn start(
    address: SocketAddr,
    pod: bool,
    take: impl Fn(TcpStream, SocketAddr) + Send + 'static,
) -> io::Result<Listener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG.cast_unsigned())?;
    let task = tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, client)) => take(stream, client),
                Err(error) => {
                    tracing::warn!(%error, %address, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    Ok(Listener { task: task.abort_handle(), pod })
}
