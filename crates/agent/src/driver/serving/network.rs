//! What a guest can reach: the Services of the cluster by name and address, and outside hosts if that is allowed.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use proxy::{Denied, Proxy, Resolved};
use sandbox::{Name, Network, Refusal, SendError};

/// What makes the networks of Pods. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Networks {
    proxy: Proxy,
    /// Whether Pods may reach hosts outside the cluster.
    allow_external: bool,
}

impl Networks {
    pub(crate) fn new(proxy: Proxy, allow_external: bool) -> Self {
        Self { proxy, allow_external }
    }

    /// The network of a Pod in a namespace.
    pub(crate) fn of(&self, address: Ipv4Addr, namespace: &str) -> Network {
        let (address, namespace) = (IpAddr::V4(address), Arc::<str>::from(namespace));
        let (resolver, connector, listener) = (self.proxy.clone(), self.proxy.clone(), self.proxy.clone());
        let (sender, allow_external) = (self.proxy.clone(), self.allow_external);
        let resolve_in = namespace.clone();
        Network {
            ip: Some(address),
            resolve: Arc::new(move |name| match resolver.resolve(name, &resolve_in) {
                Resolved::Inside(inside) => Name::Known(inside.addresses),
                // The addresses of hosts outside are asked about when they are connected to, like all others.
                Resolved::Outside(name) if allow_external => Name::Outside(name),
                Resolved::Nobody | Resolved::Outside(_) => Name::Unknown,
            }),
            connect: Arc::new(move |to| connector.way(to, address).map_err(refused)),
            listen: Arc::new(move |at| Box::new(listener.listening(at))),
            send: Arc::new(move |request, _| {
                let (proxy, namespace) = (sender.clone(), namespace.clone());
                Box::pin(async move { proxy.send(request, &namespace, address).await.map_err(refusal) })
            }),
        }
    }
}

fn refused(denied: Denied) -> Refusal {
    match denied {
        Denied::Host(_) | Denied::Outside(_) => Refusal::Denied,
        Denied::Nobody(_) => Refusal::NobodyListens,
    }
}

fn refusal(error: proxy::SendError) -> SendError {
    match error {
        proxy::SendError::Uri(what) => SendError::Refused(what),
        proxy::SendError::NoEndpoint(host) => SendError::Refused(format!("nobody answers for {host}")),
        proxy::SendError::NoService(host) | proxy::SendError::Outside(host) => SendError::NameUnknown(host),
        proxy::SendError::Service(failure) => SendError::Broken(failure.into()),
        proxy::SendError::Denied(_) => SendError::Denied,
        proxy::SendError::Connection(error) => SendError::Broken(error.into()),
        proxy::SendError::Api(error) => SendError::Broken(error),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::net::SocketAddr;

    use super::*;

    const POD: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 7);

    fn network(allow_external: bool) -> Network {
        let (proxy, _news) = Proxy::new(proxy::Config { allow_external });
        Networks::new(proxy, allow_external).of(POD, "default")
    }

    #[tokio::test]
    async fn names_outside_are_known_only_where_hosts_outside_may_be_reached() {
        let name = "example.com";
        assert_eq!((network(true).resolve)(name), Name::Outside(name.to_owned()));
        assert_eq!((network(false).resolve)(name), Name::Unknown);
        let outside: SocketAddr = "203.0.113.9:80".parse().unwrap();
        assert_eq!((network(false).connect)(outside), Err(Refusal::Denied));
        assert_eq!((network(true).connect)("169.254.169.254:80".parse().unwrap()), Err(Refusal::Denied));
    }

    #[tokio::test]
    async fn a_pod_is_reached_where_it_listens_and_for_as_long() {
        let (proxy, _news) = Proxy::new(proxy::Config { allow_external: false });
        let network = Networks::new(proxy, false).of(POD, "default");
        let own = SocketAddr::from((POD, 80));
        assert!((network.connect)(own).is_err());
        let listens = (network.listen)(own);
        assert_eq!((network.connect)(own), Ok(own));
        drop(listens);
        assert!((network.connect)(own).is_err());
    }

    #[tokio::test]
    async fn a_request_to_nobody_tells_the_guest_that_the_name_is_unknown() {
        let request = http::Request::get("http://nowhere.default.svc.cluster.local/").body(sandbox::Body::default());
        let refused = (network(false).send)(request.unwrap(), sandbox::SendOptions::default()).await.unwrap_err();
        assert!(matches!(refused, SendError::NameUnknown(_)), "{refused:?}");
    }
}
