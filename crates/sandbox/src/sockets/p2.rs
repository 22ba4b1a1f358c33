//! `wasi:sockets` of p2: some functions are ours, the rest are Wasmtime's.

use std::net::SocketAddr;

use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket as _;
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, network, tcp, tcp_create_socket};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, SocketError, TcpSocket};
use wasmtime_wasi::sockets::WasiSocketsCtxView;

use crate::grants::{self, Name, Refusal};
use crate::guest::Guest;
use crate::net::{Listening, LookUps, State, bind_address, connect_address, look_up};

/// Replaces Wasmtime's `tcp` and `ip-name-lookup` by the ones below.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    tcp::add_to_linker::<Guest, OwnSockets>(linker, view)?;
    ip_name_lookup::add_to_linker::<Guest, OwnSockets>(linker, view)
}

struct OwnSockets;

impl HasData for OwnSockets {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    inner: WasiSocketsCtxView<'a>,
    network: &'a grants::Network,
    listening: &'a mut Listening,
    look_ups: &'a mut LookUps,
}

fn view(guest: &mut Guest) -> View<'_> {
    let State { wasi, table, network, listening, look_ups } = guest.sockets_state();
    View { inner: WasiSocketsCtxView { ctx: wasi.sockets(), table }, network, listening, look_ups }
}

/// One line for each function that is passed on as it is.
macro_rules! pass_on {
    ($trait:ident: $($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&mut self, socket: Resource<TcpSocket>, $($arg: $type),*) -> $result {
            tcp::$trait::$name(&mut self.inner, socket, $($arg),*)
        })*
    };
}

/// What a function returns to its guest.
type Returned<T> = std::result::Result<T, SocketError>;

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
    ) -> Returned<()> {
        let address = bind_address(self.network, address.into());
        self.follow_family(&socket, address)?;
        tcp::HostTcpSocket::start_bind(&mut self.inner, socket, network, address.into()).await
    }

    fn start_connect(
        &mut self,
        socket: Resource<TcpSocket>,
        network: Resource<Network>,
        address: IpSocketAddress,
    ) -> Returned<()> {
        let address = connect_address(self.network, address.into()).map_err(refused)?;
        self.follow_family(&socket, address)?;
        tcp::HostTcpSocket::start_connect(&mut self.inner, socket, network, address.into())
    }

    async fn start_listen(&mut self, socket: Resource<TcpSocket>) -> Returned<()> {
        let same = Resource::new_borrow(socket.rep());
        tcp::HostTcpSocket::start_listen(&mut self.inner, socket).await?;
        let address = SocketAddr::from(self.local_address(same)?);
        self.listening.insert(address, (self.network.listen)(address));
        Ok(())
    }

    fn drop(&mut self, socket: Resource<TcpSocket>) -> Result<()> {
        let same = || Resource::new_borrow(socket.rep());
        if self.is_listening(same())?
            && let Ok(address) = self.local_address(same())
        {
            self.listening.remove(&address.into());
        }
        tcp::HostTcpSocket::drop(&mut self.inner, socket)
    }

    pass_on! { HostTcpSocket:
        finish_bind() -> Returned<()>;
        finish_connect() -> Returned<(Resource<DynInputStream>, Resource<DynOutputStream>)>;
        finish_listen() -> Returned<()>;
        accept() -> Returned<(Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>)>;
        local_address() -> Returned<IpSocketAddress>;
        remote_address() -> Returned<IpSocketAddress>;
        is_listening() -> Result<bool>;
        address_family() -> Result<IpAddressFamily>;
        set_listen_backlog_size(value: u64) -> Returned<()>;
        keep_alive_enabled() -> Returned<bool>;
        set_keep_alive_enabled(value: bool) -> Returned<()>;
        keep_alive_idle_time() -> Returned<u64>;
        set_keep_alive_idle_time(value: u64) -> Returned<()>;
        keep_alive_interval() -> Returned<u64>;
        set_keep_alive_interval(value: u64) -> Returned<()>;
        keep_alive_count() -> Returned<u32>;
        set_keep_alive_count(value: u32) -> Returned<()>;
        hop_limit() -> Returned<u8>;
        set_hop_limit(value: u8) -> Returned<()>;
        receive_buffer_size() -> Returned<u64>;
        set_receive_buffer_size(value: u64) -> Returned<()>;
        send_buffer_size() -> Returned<u64>;
        set_send_buffer_size(value: u64) -> Returned<()>;
        subscribe() -> Result<Resource<DynPollable>>;
        shutdown(kind: tcp::ShutdownType) -> Returned<()>;
    }
}

impl View<'_> {
    /// Turns an IPv6 socket that is not in use yet into an IPv4 one if its address is of that family: a guest that means itself
    /// by `::` or `::1` means its Pod, whose address may be of the other family.
    fn follow_family(&mut self, socket: &Resource<TcpSocket>, address: SocketAddr) -> Returned<()> {
        let same = || Resource::new_borrow(socket.rep());
        let fits = matches!(self.address_family(same()).map_err(SocketError::trap)?, IpAddressFamily::Ipv4)
            || address.is_ipv6();
        if fits || self.local_address(same()).is_ok() {
            return Ok(());
        }
        let other = tcp_create_socket::Host::create_tcp_socket(&mut self.inner, IpAddressFamily::Ipv4)?;
        let other = self.inner.table.delete(other)?;
        *self.inner.table.get_mut(socket)? = other;
        Ok(())
    }
}

fn refused(refusal: Refusal) -> SocketError {
    match refusal {
        Refusal::Denied => ErrorCode::AccessDenied.into(),
        Refusal::NobodyListens => ErrorCode::ConnectionRefused.into(),
    }
}

impl ip_name_lookup::Host for View<'_> {
    /// Wasmtime's stream of addresses cannot be made here, but it takes the text of an address for a name: so it gives the
    /// first one, and the others are kept beside it. A name outside it looks up itself, while the guest goes on.
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Returned<Resource<ip_name_lookup::ResolveAddressStream>> {
        let (asked, found) = match look_up(self.network, &name) {
            Name::Known(found) => {
                let mut found = found.into_iter();
                let first = found.next().ok_or(ErrorCode::NameUnresolvable)?;
                (first.to_string(), found)
            }
            Name::Outside(name) => (name, Vec::new().into_iter()),
            Name::Unknown => return Err(ErrorCode::NameUnresolvable.into()),
        };
        let stream = ip_name_lookup::Host::resolve_addresses(&mut self.inner, network, asked)?;
        if found.len() > 0 {
            self.look_ups.insert(stream.rep(), found);
        }
        Ok(stream)
    }
}

impl ip_name_lookup::HostResolveAddressStream for View<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> Returned<Option<IpAddress>> {
        let handle = stream.rep();
        let first = ip_name_lookup::HostResolveAddressStream::resolve_next_address(&mut self.inner, stream)?;
        let more = || self.look_ups.get_mut(&handle)?.next().map(IpAddress::from);
        Ok(first.or_else(more))
    }

    fn subscribe(&mut self, stream: Resource<ip_name_lookup::ResolveAddressStream>) -> Result<Resource<DynPollable>> {
        ip_name_lookup::HostResolveAddressStream::subscribe(&mut self.inner, stream)
    }

    fn drop(&mut self, stream: Resource<ip_name_lookup::ResolveAddressStream>) -> Result<()> {
        self.look_ups.remove(&stream.rep());
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.inner, stream)
    }
}
