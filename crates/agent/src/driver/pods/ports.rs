//! Connections that masters open to ports of this node's Pods, to what these may connect to, and to what the node tells of itself.
//!
//! A Pod's `localhost` is its address: whatever it listens on is reached there, a handler of HTTP as well as a socket of its own.
//! Nothing else of this host is: an address on which no Pod listens is not connected to.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use api::{Error, Key, Kind, Reason, core_v1::Pod, kinds::Resource as _};
use proxy::{Denied, Proxy, Resolved};
use rpc::{Client, services::ForwardRequest};
use tokio::{
    io::DuplexStream,
    net::{TcpStream, lookup_host},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::either::Either;

use super::node_http::NodeHttp;

/// The most connections that masters have open to Pods of this node: each costs two sockets and some buffers.
const FORWARDS_MAX: usize = 1024;

/// How long a Pod of this very node, or somebody outside, may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What opens connections to Pods. Cloning shares the limit.
#[derive(Clone)]
pub(crate) struct Ports {
    client: Client,
    proxy: Proxy,
    about: NodeHttp,
    free: Arc<Semaphore>,
}

/// An open connection, which counts as long as it is kept.
pub(crate) struct Open {
    pub(crate) stream: Either<TcpStream, DuplexStream>,
    pub(crate) permit: OwnedSemaphorePermit,
}

impl Ports {
    pub(crate) fn new(client: Client, proxy: Proxy, about: NodeHttp) -> Self {
        Self { client, proxy, about, free: Arc::new(Semaphore::new(FORWARDS_MAX)) }
    }

    /// Connects to where a request wants to go.
    ///
    /// # Errors
    /// If there is no such Pod here, Pods may not connect there, or nobody takes the connection.
    pub(crate) async fn open(&self, to: &ForwardRequest) -> Result<Open, Error> {
        let full = |_| {
            let message = format!("{FORWARDS_MAX} connections to Pods of this node are open, and there are no more");
            Error::new(Reason::TooManyRequests, message)
        };
        let permit = self.free.clone().try_acquire_owned().map_err(full)?;
        let stream = match (to.pod.is_empty(), to.host.is_empty()) {
            (false, _) => Either::Left(self.to_pod(to).await?),
            (true, false) => Either::Left(self.to_outside(to).await?),
            (true, true) => Either::Right(self.about.connect()),
        };
        Ok(Open { stream, permit })
    }

    async fn to_pod(&self, to: &ForwardRequest) -> Result<TcpStream, Error> {
        let key = Key::namespaced(Kind::Pod, to.namespace.as_str(), to.pod.as_str());
        let object = self.client.get(&key).await?;
        let pod = object.get::<Pod>().ok_or_else(|| Error::not_found(&key))?;
        let address = address(pod, to).map_err(|why| why.about(&key))?;
        let refused = || {
            let message = format!("connection refused: nothing in the Pod listens on port {}", to.port);
            Error::new(Reason::ServiceUnavailable, message).about(&key)
        };
        if !self.proxy.has_pod(address) {
            return Err(refused());
        }
        connect(address).await.map_err(|why| match why.kind() {
            io::ErrorKind::ConnectionRefused => refused(),
            _ => unreachable(format_args!("port {} of the Pod", to.port), &why).about(&key),
        })
    }

    async fn to_outside(&self, to: &ForwardRequest) -> Result<TcpStream, Error> {
        let port = port(to)?;
        let found = timeout(CONNECT_TIMEOUT, self.look_up(to)).await;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "nobody knows the name");
        let found = found.map_err(late).flatten().map_err(|why| unreachable(&to.host, &why))?;
        let nobody = || Error::new(Reason::ServiceUnavailable, format!("{}: nobody has this name", to.host));
        let address = SocketAddr::new(found.ok_or_else(nobody)?, port);
        let denied = |why| Error::new(Reason::Forbidden, format!("{}: {why}", to.host));
        let address = self.proxy.way(address, IpAddr::V4(Ipv4Addr::UNSPECIFIED)).map_err(denied)?;
        if self.proxy.is_master(address) {
            // Pods go there. A master that sends a caller of its own there would lead it around its own door.
            return Err(denied(Denied::Host(address.ip())));
        }
        connect(address).await.map_err(|why| unreachable(address, &why))
    }

    /// The address of a host, whose name is read as a Pod's would be.
    async fn look_up(&self, to: &ForwardRequest) -> io::Result<Option<IpAddr>> {
        if let Ok(address) = to.host.parse() {
            return Ok(Some(address));
        }
        match self.proxy.resolve(&to.host, &to.namespace) {
            Resolved::Inside(inside) => Ok(inside.addresses.first().copied()),
            Resolved::Nobody => Ok(None),
            Resolved::Outside(name) => Ok(lookup_host((name, 0)).await?.next().map(|found| found.ip())),
        }
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let nobody = |_| io::Error::new(io::ErrorKind::TimedOut, "nobody accepts the connection");
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(nobody)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The address of a Pod's port, if the Pod is the one that is meant and runs.
fn address(pod: &Pod, to: &ForwardRequest) -> Result<SocketAddr, Error> {
    let port = port(to)?;
    if !to.uid.is_empty() && to.uid != pod.uid() {
        return Err(Error::bad_request("the Pod is gone, and another one has its name"));
    }
    let status = pod.status.clone().unwrap_or_default();
    match status.pod_ip.parse() {
        Ok(ip) if status.phase == "Running" => Ok(SocketAddr::new(ip, port)),
        Ok(_) | Err(_) => Err(Error::bad_request(format!("the Pod does not run; its phase is {}", status.phase))),
    }
}

fn port(to: &ForwardRequest) -> Result<u16, Error> {
    let port = u16::try_from(to.port).ok().filter(|port| *port != 0);
    port.ok_or_else(|| Error::bad_request(format!("port: {} is not one of 1 to 65535", to.port)))
}

fn unreachable(what: impl std::fmt::Display, why: &io::Error) -> Error {
    Error::new(Reason::ServiceUnavailable, format!("{what} cannot be reached: {why}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::core_v1::PodStatus;

    use super::*;
    use crate::driver::{memory::Memory, testing};

    fn pod(phase: &str, ip: &str) -> Pod {
        let status = PodStatus { phase: phase.to_owned(), pod_ip: ip.to_owned(), ..PodStatus::default() };
        let mut pod = Pod { status: Some(status), ..Pod::default() };
        pod.metadata_mut().uid = "u1".to_owned();
        pod
    }

    fn to(uid: &str, port: i32) -> ForwardRequest {
        ForwardRequest { uid: uid.to_owned(), port, ..ForwardRequest::default() }
    }

    #[test]
    fn a_running_pod_has_an_address_for_each_port() {
        let running = pod("Running", "127.64.0.7");
        assert_eq!(address(&running, &to("", 80)).unwrap(), "127.64.0.7:80".parse().unwrap());
        assert_eq!(address(&running, &to("u1", 65_535)).unwrap().port(), 65_535);
        for port in [0, -1, 65_536] {
            assert!(address(&running, &to("", port)).unwrap_err().message.starts_with("port: "), "{port}");
        }
        assert!(address(&running, &to("u2", 80)).unwrap_err().message.contains("another one has its name"));
        for (phase, ip) in [("Pending", ""), ("Succeeded", "127.64.0.7"), ("Running", "")] {
            let refused = address(&pod(phase, ip), &to("", 80)).unwrap_err();
            assert!(refused.message.ends_with(&format!("its phase is {phase}")), "{refused}");
        }
    }

    #[tokio::test]
    async fn what_is_outside_is_what_pods_may_connect_to() {
        let dir = tempfile::tempdir().unwrap();
        let about = NodeHttp::new("n1", Arc::default(), Memory::open(dir.path()).unwrap());
        let (proxy, _news) = Proxy::new(proxy::Config { allow_external: true });
        let ports = Ports::new(testing::client(), proxy, about);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = i32::from(listener.local_addr().unwrap().port());
        let outside = |host: &str, port| {
            let to = ForwardRequest { host: host.to_owned(), port, ..ForwardRequest::default() };
            let ports = ports.clone();
            async move { ports.open(&to).await.map(drop).unwrap_err() }
        };
        for host in ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254", "::1", "localhost"] {
            let refused = outside(host, here).await;
            assert_eq!(refused.reason, Reason::Forbidden, "{host}: {refused}");
        }
        let unknown = outside("nobody.default.svc.cluster.local", here).await;
        assert_eq!(unknown.reason, Reason::ServiceUnavailable, "{unknown}");
        assert_eq!(outside("192.0.2.1", 0).await.reason, Reason::BadRequest);
    }
}
