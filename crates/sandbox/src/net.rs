//! What addresses and names mean to a guest: it listens on the workload's own address, and connects where the caller's hooks
//! allow.
//!
//! What a guest binds to "any" or "localhost" is bound to its own address, so many guests on one host can listen on the same
//! port, and what it connects to "localhost" goes to its own address too. Whichever function was called, Wasmtime asks
//! [`allow`]'s check about the very address that it is about to bind or connect to. UDP is not offered.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::grants::{Name, Network, Refusal};

/// What was told to listen, as long as it does.
pub(crate) type Listening = HashMap<SocketAddr, Box<dyn Send + Sync>>;

/// The addresses of names that the guest has not taken yet, by its handles.
pub(crate) type LookUps = HashMap<u32, std::vec::IntoIter<IpAddr>>;

/// The most addresses of one name that a guest gets: enough to try others, and a bound on what its handles hold.
const ADDRESSES_MAX: usize = 256;

/// What of an instance its sockets need.
pub(crate) struct State<'a> {
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

/// Whether a guest means itself by an address.
fn is_own(ip: IpAddr) -> bool {
    ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST
}

/// What a guest that binds an address really gets.
pub(crate) fn bind_address(network: &Network, mut address: SocketAddr) -> SocketAddr {
    address.set_ip(address.ip().to_canonical());
    match network.ip {
        Some(ip) if is_own(address.ip()) => SocketAddr::new(ip, address.port()),
        _ => address,
    }
}

/// Where a connection really goes. "localhost" is the guest's own address: that is where its neighbours in the Pod listen.
pub(crate) fn connect_address(network: &Network, address: SocketAddr) -> Result<SocketAddr, Refusal> {
    if network.ip.is_none() {
        return Err(Refusal::Denied);
    }
    (network.connect)(bind_address(network, address))
}

/// What a name means.
pub(crate) fn look_up(network: &Network, name: &str) -> Name {
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};
    use std::sync::Arc;

    use super::{ADDRESSES_MAX, bind_address, connect_address, look_up};
    use crate::grants::{Name, Network, Refusal};

    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 244, 0, 7));

    /// A workload that may connect to port 80 of any host, and sees many addresses behind each name.
    fn network() -> Network {
        Network {
            ip: Some(OWN),
            connect: Arc::new(|to| if to.port() == 80 { Ok(to) } else { Err(Refusal::NobodyListens) }),
            resolve: Arc::new(|_| Name::Known(vec![OWN; 2 * ADDRESSES_MAX])),
            ..Network::denied()
        }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn any_and_localhost_are_the_workloads_own_address() {
        for own in ["0.0.0.0:80", "127.0.0.1:80", "[::]:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            assert_eq!(bind_address(&network(), address(own)), SocketAddr::new(OWN, 80), "{own}");
            assert_eq!(connect_address(&network(), address(own)), Ok(SocketAddr::new(OWN, 80)), "{own}");
        }
        assert_eq!(bind_address(&network(), address("10.0.0.1:80")), address("10.0.0.1:80"));
    }

    #[test]
    fn the_hook_decides_and_without_an_address_nothing_is_connected() {
        assert_eq!(connect_address(&network(), address("10.0.0.1:81")), Err(Refusal::NobodyListens));
        let nowhere = Network { ip: None, ..network() };
        assert_eq!(connect_address(&nowhere, address("10.0.0.1:80")), Err(Refusal::Denied));
    }

    #[test]
    fn texts_of_addresses_and_localhost_are_no_names_to_ask_about() {
        let known = |text: &str| Name::Known(vec![text.parse().expect("an address")]);
        assert_eq!(look_up(&network(), "10.0.0.1"), known("10.0.0.1"));
        assert_eq!(look_up(&network(), "LocalHost."), known("127.0.0.1"));
        assert!(matches!(look_up(&network(), "web"), Name::Known(found) if found.len() == ADDRESSES_MAX));
        assert_eq!(look_up(&Network::denied(), "web"), Name::Unknown);
    }
}
