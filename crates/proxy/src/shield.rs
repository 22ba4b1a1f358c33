//! Keeps the addresses of Services and Pods to those who listen on them.
//!
//! A range is local as a whole, so a daemon that listens on all addresses of its host would answer on each address in it. The
//! kernel's packet filter refuses whatever such a socket would get within the ranges; who listens on an address itself,
//! the proxy and Pods, is not touched, and no list of them has to be kept. The rules belong to the process and go with it.

mod nft;

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
};

use api::Cidr;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// Tells the tables of a process apart.
static TABLES: AtomicU32 = AtomicU32::new(0);

/// Why the ranges are not kept.
#[derive(Debug, thiserror::Error)]
pub enum ShieldError {
    /// The process has no right to.
    #[error(
        "not permitted to filter packets: daemons that listen on 0.0.0.0 answer on the addresses of Services and Pods as well; \
         run as root or with CAP_NET_ADMIN, or let such daemons listen on addresses of their own"
    )]
    NotPermitted,
    /// The kernel refused.
    #[error(
        "cannot filter packets, so daemons that listen on 0.0.0.0 answer on the addresses of Services and Pods as well: \
         Linux 5.12 or newer with nf_tables and nft_socket is needed"
    )]
    Refused(#[source] io::Error),
}

/// Rules of the kernel's packet filter, for as long as this lives.
pub struct Shield {
    /// The kernel removes the rules when it is closed.
    _owner: Socket,
}

impl Shield {
    /// Refuses within the ranges what only a socket for all addresses would get.
    ///
    /// # Errors
    /// See [`ShieldError`].
    pub fn new(ranges: &[Cidr]) -> Result<Self, ShieldError> {
        let name = format!("kapelle-{}-{}", std::process::id(), TABLES.fetch_add(1, Ordering::Relaxed));
        let (batch, last) = nft::batch(&name, ranges);
        send(&batch, last).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ShieldError::NotPermitted,
            _ => ShieldError::Refused(error),
        })
    }
}

/// Sends a batch and reads the answers, which are there when the kernel has taken it.
fn send(batch: &[u8], last: u32) -> io::Result<Shield> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(batch, 0)?;
    socket.set_non_blocking(true)?;
    loop {
        let (answers, _) = socket.recv_from_full()?;
        for (number, code) in nft::answers(&answers) {
            if code != 0 {
                return Err(io::Error::from_raw_os_error(-code));
            }
            if number == last {
                return Ok(Shield { _owner: socket });
            }
        }
    }
}

impl std::fmt::Debug for Shield {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shield").finish_non_exhaustive()
    }
}
