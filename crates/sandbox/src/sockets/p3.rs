//! `wasi:sockets` of p3: the functions that name addresses are ours, and end in Wasmtime's.

use std::net::SocketAddr;
use std::pin::Pin;

use wasmtime::component::{Access, Accessor, Linker, Resource, StreamReader};
use wasmtime::{AsContextMut as _, Result, StoreContextMut};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup;
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, HostTcpSocket as _, HostTcpSocketWithStore, IpAddress, IpAddressFamily, IpSocketAddress,
};
use wasmtime_wasi::p3::sockets::{SocketError, SocketResult};
use wasmtime_wasi::sockets::{TcpSocket, WasiSockets, WasiSocketsCtxView, WasiSocketsView as _};

use crate::grants::{Name, Refusal};
use crate::guest::Guest;
use crate::net::{bind_address, connect_address, look_up};

const TYPES: &str = "wasi:sockets/types@0.3.0";
const IP_NAME_LOOKUP: &str = "wasi:sockets/ip-name-lookup@0.3.0";

type Socket = Resource<TcpSocket>;

/// What a function returns to its guest.
type Returned<T> = (std::result::Result<T, ErrorCode>,);

/// Replaces those of Wasmtime's functions that name addresses.
pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async("[method]tcp-socket.bind", |mut store, (socket, address): (Socket, IpSocketAddress)| {
        Box::new(async move { returned(bind(store.data_mut(), socket, address).await) })
    })?;
    types.func_wrap_concurrent(
        "[method]tcp-socket.connect",
        |accessor, (socket, address): (Socket, IpSocketAddress)| {
            Box::pin(async move { returned(connect(accessor, socket, address).await) })
                as Pin<Box<dyn Future<Output = _> + Send + '_>>
        },
    )?;
    types.func_wrap_async("[method]tcp-socket.listen", |store, (socket,): (Socket,)| {
        Box::new(async move { returned(listen(store, socket).await) })
    })?;
    let mut names = linker.instance(IP_NAME_LOOKUP)?;
    names.func_wrap_concurrent("resolve-addresses", |accessor, (name,): (String,)| {
        Box::pin(async move { Ok((resolve(accessor, &name).await?,)) }) as Pin<Box<dyn Future<Output = _> + Send + '_>>
    })
}

/// The addresses of a name, or why there are none.
type Found = std::result::Result<Vec<IpAddress>, ip_name_lookup::ErrorCode>;

/// Names outside are looked up by Wasmtime.
async fn resolve(accessor: &Accessor<Guest>, name: &str) -> Result<Found> {
    match accessor.with(|mut access| look_up(access.get().network(), name)) {
        Name::Known(addresses) => Ok(Ok(addresses.into_iter().map(IpAddress::from).collect())),
        Name::Outside(name) => {
            let accessor = accessor.with_getter::<WasiSockets>(Guest::sockets);
            <WasiSockets as ip_name_lookup::HostWithStore<Guest>>::resolve_addresses(&accessor, name).await
        }
        Name::Unknown => Ok(Err(ip_name_lookup::ErrorCode::NameUnresolvable)),
    }
}

/// An error for the guest, or the end of it.
fn returned<T>(result: SocketResult<T>) -> Result<Returned<T>> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

async fn bind(guest: &mut Guest, socket: Socket, address: IpSocketAddress) -> SocketResult<()> {
    let address = bind_address(guest.network(), address.into());
    let mut sockets = guest.sockets();
    follow_family(&mut sockets, &socket, address)?;
    sockets.bind(socket, address.into()).await
}

async fn connect(accessor: &Accessor<Guest>, socket: Socket, address: IpSocketAddress) -> SocketResult<()> {
    let address = accessor.with(|mut access| {
        let guest = access.get();
        let address = connect_address(guest.network(), address.into()).map_err(refused)?;
        follow_family(&mut guest.sockets(), &socket, address)?;
        SocketResult::Ok(address)
    })?;
    let accessor = accessor.with_getter::<WasiSockets>(Guest::sockets);
    <WasiSockets as HostTcpSocketWithStore<Guest>>::connect(&accessor, socket, address.into()).await
}

/// A socket that was bound to nothing is bound to the Pod's address first.
async fn listen(mut store: StoreContextMut<'_, Guest>, socket: Socket) -> SocketResult<StreamReader<Socket>> {
    let same = || Resource::new_borrow(socket.rep());
    let guest = store.data_mut();
    if guest.sockets().get_local_address(same()).is_err()
        && let Some(ip) = guest.network().ip
    {
        bind(guest, same(), SocketAddr::new(ip, 0).into()).await?;
    }
    let access = Access::<Guest, WasiSockets>::new(store.as_context_mut(), Guest::sockets);
    let connections = <WasiSockets as HostTcpSocketWithStore<Guest>>::listen(access, same()).await?;
    let guest = store.data_mut();
    let address = guest.sockets().get_local_address(socket)?;
    guest.listens(address.into());
    Ok(connections)
}

/// See the function of the same name for p2.
fn follow_family(sockets: &mut WasiSocketsCtxView<'_>, socket: &Socket, address: SocketAddr) -> SocketResult<()> {
    let same = || Resource::new_borrow(socket.rep());
    let family = sockets.get_address_family(same()).map_err(SocketError::trap)?;
    let fits = matches!(family, IpAddressFamily::Ipv4) || address.is_ipv6();
    if fits || sockets.get_local_address(same()).is_ok() {
        return Ok(());
    }
    let other = sockets.create(IpAddressFamily::Ipv4)?;
    let other = sockets.table.delete(other).map_err(SocketError::trap)?;
    *sockets.table.get_mut(socket).map_err(SocketError::trap)? = other;
    Ok(())
}

fn refused(refusal: Refusal) -> SocketError {
    match refusal {
        Refusal::Denied => ErrorCode::AccessDenied.into(),
        Refusal::NobodyListens => ErrorCode::ConnectionRefused.into(),
    }
}
