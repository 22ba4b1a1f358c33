//! Names of Services, as Pods write them.

use std::net::{IpAddr, SocketAddr};

use api::{Key, Kind};

use crate::Proxy;

/// The domain below which every Service has a name.
const DOMAIN: &str = ".svc.cluster.local";

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The Service.
    pub service: Key,
    /// Its own address, or those of its Pods if it is headless.
    pub addresses: Vec<IpAddr>,
}

impl Proxy {
    /// The Service that a name means in a namespace: `web`, `web.ns`, `web.ns.svc` or `web.ns.svc.cluster.local`.
    #[must_use]
    pub fn resolve(&self, name: &str, namespace: &str) -> Option<Resolved> {
        let service = service(name, namespace)?;
        let addresses = self.inner.table.load().addresses(&service)?.to_vec();
        Some(Resolved { service, addresses })
    }

    /// The Pod that takes a connection to a Service's address; `None` if the address is not a Service's or nobody is ready.
    #[must_use]
    pub fn pick(&self, address: SocketAddr, client: IpAddr) -> Option<SocketAddr> {
        self.inner.table.load().route(address)?.pick(client).map(|endpoint| endpoint.address)
    }

    /// Whether an address is a Service's.
    #[must_use]
    pub fn is_service(&self, address: SocketAddr) -> bool {
        self.inner.table.load().route(address).is_some()
    }
}

/// Reads a name; only its form is looked at.
pub(crate) fn service(name: &str, namespace: &str) -> Option<Key> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let name = name.strip_suffix(DOMAIN).or_else(|| name.strip_suffix(".svc")).unwrap_or(&name).to_owned();
    let mut parts = name.split('.');
    let (service, given, rest) = (parts.next()?, parts.next(), parts.next());
    if service.is_empty() || rest.is_some() {
        return None;
    }
    Some(Key::namespaced(Kind::Service, given.unwrap_or(namespace), service))
}
