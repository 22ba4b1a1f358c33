//! Sockets of guests: bound to the workload's own address, connected where the caller's hooks allow.
//!
//! `wasi:sockets` of p2 is implemented by delegation: three functions are ours, the rest are Wasmtime's. What the guest binds to
//! "any" or "localhost" is bound to its own address, so many guests on one host can listen on the same port.
//! UDP is not offered. Guests of p3 get no rewriting, only the check: they bind their own address and connect where
//! the hook leaves the address as it is.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, network, tcp};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, SocketError, TcpSocket};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView};

use crate::guest::Guest;
use crate::spec;

/// Whether addresses are rewritten before Wasmtime sees them (p2), or only checked (p3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewriting {
    /// Our own functions have rewritten what needs it.
    Done,
    /// Nothing has looked at the addresses yet.
    None,
}

/// Sets up what Wasmtime's own sockets may do.
pub(crate) fn allow(builder: &mut WasiCtxBuilder, network: &spec::Network, rewriting: Rewriting) {
    let Some(ip) = network.ip else { return };
    let connect = network.connect.clone();
    builder.allow_tcp(true).allow_ip_name_lookup(rewriting == Rewriting::Done);
    builder.socket_addr_check(move |address, purpose| {
        let allowed = match purpose {
            // The second is what the system does by itself before it connects.
            SocketAddrUse::TcpBind => address.ip() == ip || (address.ip().is_unspecified() && address.port() == 0),
            SocketAddrUse::TcpListen => address.ip() == ip,
            SocketAddrUse::TcpAccept => true,
            SocketAddrUse::TcpConnect => rewriting == Rewriting::Done || connect(address) == Some(address),
            SocketAddrUse::UdpBind | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => false,
        };
        Box::pin(async move { allowed }) as Pin<Box<dyn Future<Output = bool> + Send + Sync>>
    });
}

/// Replaces Wasmtime's `tcp` and `ip-name-lookup` by the ones below.
pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    linker.allow_shadowing(true);
    tcp::add_to_linker::<Guest, OwnSockets>(linker, view)?;
    ip_name_lookup::add_to_linker::<Guest, OwnSockets>(linker, view)?;
    linker.allow_shadowing(false);
    Ok(())
}

struct OwnSockets;

impl HasData for OwnSockets {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    inner: WasiSocketsCtxView<'a>,
    network: &'a spec::Network,
}

fn view(guest: &mut Guest) -> View<'_> {
    let (wasi, table, network) = guest.sockets_parts();
    View { inner: WasiSocketsCtxView { ctx: wasi.sockets(), table }, network }
}

/// One line for each function that is passed on as it is.
macro_rules! pass_on {
    ($trait:ident: $($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&mut self, socket: Resource<TcpSocket>, $($arg: $type),*) -> $result {
            tcp::$trait::$name(&mut self.inner, socket, $($arg),*)
        })*
    };
}

type Answer<T> = std::result::Result<T, SocketError>;

impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.inner, error)
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.inner, error)
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<Network>) -> Result<()> {
        network::HostNetwork::drop(&mut self.inner, network)
    }
}

impl tcp::Host for View<'_> {}

impl tcp::HostTcpSocket for View<'_> {
    async fn start_bind(
        &mut self,
        socket: Resource<TcpSocket>,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> Answer<()> {
        let mut address = SocketAddr::from(address);
        if let Some(ip) = self.network.ip
            && (address.ip().is_unspecified() || address.ip().is_loopback())
        {
            address.set_ip(ip);
        }
        tcp::HostTcpSocket::start_bind(&mut self.inner, socket, network, address.into()).await
    }

    fn start_connect(
        &mut self,
        socket: Resource<TcpSocket>,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> Answer<()> {
        let Some(address) = self.destination(address.into()) else {
            return Err(ErrorCode::AccessDenied.into());
        };
        tcp::HostTcpSocket::start_connect(&mut self.inner, socket, network, address.into())
    }

    async fn start_listen(&mut self, socket: Resource<TcpSocket>) -> Answer<()> {
        tcp::HostTcpSocket::start_listen(&mut self.inner, socket).await
    }

    pass_on! { HostTcpSocket:
        finish_bind() -> Answer<()>;
        finish_connect() -> Answer<(Resource<DynInputStream>, Resource<DynOutputStream>)>;
        finish_listen() -> Answer<()>;
        accept() -> Answer<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)>;
        local_address() -> Answer<IpSocketAddress>;
        remote_address() -> Answer<IpSocketAddress>;
        is_listening() -> Result<bool>;
        address_family() -> Result<IpAddressFamily>;
        set_listen_backlog_size(value: u64) -> Answer<()>;
        keep_alive_enabled() -> Answer<bool>;
        set_keep_alive_enabled(value: bool) -> Answer<()>;
        keep_alive_idle_time() -> Answer<u64>;
        set_keep_alive_idle_time(value: u64) -> Answer<()>;
        keep_alive_interval() -> Answer<u64>;
        set_keep_alive_interval(value: u64) -> Answer<()>;
        keep_alive_count() -> Answer<u32>;
        set_keep_alive_count(value: u32) -> Answer<()>;
        hop_limit() -> Answer<u8>;
        set_hop_limit(value: u8) -> Answer<()>;
        receive_buffer_size() -> Answer<u64>;
        set_receive_buffer_size(value: u64) -> Answer<()>;
        send_buffer_size() -> Answer<u64>;
        set_send_buffer_size(value: u64) -> Answer<()>;
        subscribe() -> Result<Resource<DynPollable>>;
        shutdown(kind: tcp::ShutdownType) -> Answer<()>;
        drop() -> Result<()>;
    }
}

impl View<'_> {
    /// Where a connection really goes. "localhost" is the guest's own address: that is where its neighbours in the Pod listen.
    fn destination(&self, mut address: SocketAddr) -> Option<SocketAddr> {
        let ip = self.network.ip?;
        if address.ip().is_unspecified() || address.ip() == IpAddr::from([127, 0, 0, 1]) {
            address.set_ip(ip);
            return Some(address);
        }
        (self.network.connect)(address)
    }
}

impl ip_name_lookup::Host for View<'_> {
    /// Only the first address reaches the guest: Wasmtime's stream of addresses cannot be made here, but it takes
    /// the text of an address for a name.
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Answer<Resource<ip_name_lookup::ResolveAddressStream>> {
        let address = match name.parse::<IpAddr>() {
            Ok(address) => Some(address),
            Err(_) => (self.network.resolve)(&name).and_then(|addresses| addresses.first().copied()),
        };
        match address {
            Some(ip) => ip_name_lookup::Host::resolve_addresses(&mut self.inner, network, ip.to_string()),
            None => Err(ErrorCode::NameUnresolvable.into()),
        }
    }
}

impl ip_name_lookup::HostResolveAddressStream for View<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> Answer<Option<IpAddress>> {
        ip_name_lookup::HostResolveAddressStream::resolve_next_address(&mut self.inner, stream)
    }

    fn subscribe(&mut self, stream: Resource<ip_name_lookup::ResolveAddressStream>) -> Result<Resource<DynPollable>> {
        ip_name_lookup::HostResolveAddressStream::subscribe(&mut self.inner, stream)
    }

    fn drop(&mut self, stream: Resource<ip_name_lookup::ResolveAddressStream>) -> Result<()> {
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.inner, stream)
    }
}
