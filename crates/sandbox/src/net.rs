//! Sockets of guests: bound to the workload's own address, connected where the caller's hooks allow.
//!
//! In p2 and p3 alike, what a guest binds to "any" or "localhost" is bound to its own address, so many guests on one host can
//! listen on the same port, and what it connects to "localhost" goes to its own address too. Whichever function was called,
//! Wasmtime asks [`allow`]'s check about the very address that it is about to bind or connect to. UDP is not offered.

mod p2;
mod p3;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

use wasmtime::Result;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::engine::Level;
use crate::guest::Guest;
use crate::spec::{Name, Network, Refusal};

/// What was told to listen, as long as it does.
pub(crate) type Listening = HashMap<SocketAddr, Box<dyn Send + Sync>>;

/// The addresses of names that the guest has not taken yet, by its handles.
pub(crate) type LookUps = HashMap<u32, std::vec::IntoIter<IpAddr>>;

/// The most addresses of one name that a guest gets: enough to try others, and a bound on what its handles hold.
const ADDRESSES_MAX: usize = 256;

/// What of an instance its sockets need.
pub(crate) struct Parts<'a> {
    pub(crate) wasi: &'a mut WasiCtx,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) network: &'a Network,
    pub(crate) listening: &'a mut Listening,
    pub(crate) look_ups: &'a mut LookUps,
}

/// Sets up what Wasmtime's own sockets may do.
pub(crate) fn allow(builder: &mut WasiCtxBuilder, network: &Network) {
    let Some(ip) = network.ip else { return };
    let connect = network.connect.clone();
    // What names mean is decided by our own functions; Wasmtime's read addresses, and ask this machine about names outside.
    builder.allow_tcp(true).allow_ip_name_lookup(true);
    builder.socket_addr_check(move |address, purpose| {
        let allowed = match purpose {
            // The second is what the system does by itself before it connects.
            SocketAddrUse::TcpBind => address.ip() == ip || (address.ip().is_unspecified() && address.port() == 0),
            SocketAddrUse::TcpListen => address.ip() == ip,
            SocketAddrUse::TcpAccept => true,
            SocketAddrUse::TcpConnect => connect(address) == Ok(address),
            SocketAddrUse::UdpBind | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => false,
        };
        Box::pin(async move { allowed }) as Pin<Box<dyn Future<Output = bool> + Send + Sync>>
    });
}

/// Replaces Wasmtime's functions by ours.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>, level: Level) -> Result<()> {
    linker.allow_shadowing(true);
    p2::add_to_linker(linker)?;
    match level {
        Level::Lean => {}
        Level::P3 => p3::add_to_linker(linker)?,
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Whether a guest means itself by an address.
fn is_own(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST
}

/// What a guest that binds an address really gets.
fn bind_address(network: &Network, mut address: SocketAddr) -> SocketAddr {
    address.set_ip(address.ip().to_canonical());
    match network.ip {
        Some(ip) if is_own(address.ip()) => SocketAddr::new(ip, address.port()),
        _ => address,
    }
}

/// Where a connection really goes. "localhost" is the guest's own address: that is where its neighbours in the Pod listen.
fn connect_address(network: &Network, address: SocketAddr) -> std::result::Result<SocketAddr, Refusal> {
    if network.ip.is_none() {
        return Err(Refusal::Denied);
    }
    (network.connect)(bind_address(network, address))
}

/// What a name means.
fn look_up(network: &Network, name: &str) -> Name {
    if let Ok(ip) = name.parse() {
        return Name::Known(vec![ip]);
    }
    if name.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
        return Name::Known(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    }
    let mut meaning = (network.resolve)(name);
    if let Name::Known(addresses) = &mut meaning {
        addresses.truncate(ADDRESSES_MAX);
    }
    meaning
}
