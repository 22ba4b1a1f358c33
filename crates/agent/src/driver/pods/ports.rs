//! Connections that masters open to ports of this node's Pods.
//!
//! A Pod's `localhost` is its address: whatever it listens on is reached there, a handler of HTTP as well as a socket of its own.
//! Nothing else of this host is: an address on which no Pod listens is not connected to.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use api::{Error, Key, Kind, Reason, core_v1::Pod, kinds::Resource as _};
use proxy::Proxy;
use rpc::{Client, services::ForwardRequest};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The most connections that masters have open to Pods of this node: each costs two sockets and some buffers.
const FORWARDS_MAX: usize = 1024;

/// How long a Pod of this very node may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// What opens connections to Pods. Cloning shares the limit.
#[derive(Clone)]
pub(crate) struct Ports {
    client: Client,
    proxy: Proxy,
    free: Arc<Semaphore>,
}

/// An open connection, which counts as long as it is kept.
pub(crate) struct Open {
    pub(crate) stream: TcpStream,
    pub(crate) permit: OwnedSemaphorePermit,
}

impl Ports {
    pub(crate) fn new(client: Client, proxy: Proxy) -> Self {
        Self { client, proxy, free: Arc::new(Semaphore::new(FORWARDS_MAX)) }
    }

    /// Connects to where a request wants to go.
    ///
    /// # Errors
    /// If there is no such Pod here, or nobody in it takes the connection.
    pub(crate) async fn open(&self, to: &ForwardRequest) -> Result<Open, Error> {
        let full = |_| {
            let message = format!("{FORWARDS_MAX} connections to Pods of this node are open, and there are no more");
            Error::new(Reason::TooManyRequests, message)
        };
        let permit = self.free.clone().try_acquire_owned().map_err(full)?;
        let key = Key::namespaced(Kind::Pod, to.namespace.as_str(), to.pod.as_str());
        let object = self.client.get(&key).await?;
        let pod = object.get::<Pod>().ok_or_else(|| Error::not_found(&key))?;
        let address = address(pod, to).map_err(|why| why.about(&key))?;
        if !self.proxy.has_pod(address) {
            return Err(refused(to.port).about(&key));
        }
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true).map_err(Error::internal)?;
                Ok(Open { stream, permit })
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Err(refused(to.port).about(&key)),
            Ok(Err(error)) => Err(unreachable(to.port, &error).about(&key)),
            Err(_) => Err(unreachable(to.port, "nobody accepts the connection").about(&key)),
        }
    }
}

/// The address of a Pod's port, if the Pod is the one that is meant and runs.
fn address(pod: &Pod, to: &ForwardRequest) -> Result<SocketAddr, Error> {
    let port = u16::try_from(to.port).ok().filter(|port| *port != 0);
    let port = port.ok_or_else(|| Error::bad_request(format!("port: {} is not one of 1 to 65535", to.port)))?;
    if !to.uid.is_empty() && to.uid != pod.uid() {
        return Err(Error::bad_request("the Pod is gone, and another one has its name"));
    }
    let status = pod.status.clone().unwrap_or_default();
    match status.pod_ip.parse() {
        Ok(ip) if status.phase == "Running" => Ok(SocketAddr::new(ip, port)),
        Ok(_) | Err(_) => Err(Error::bad_request(format!("the Pod does not run; its phase is {}", status.phase))),
    }
}

fn refused(port: i32) -> Error {
    let message = format!("connection refused: nothing in the Pod listens on port {port}");
    Error::new(Reason::ServiceUnavailable, message)
}

fn unreachable(port: i32, why: impl std::fmt::Display) -> Error {
    Error::new(Reason::ServiceUnavailable, format!("port {port} of the Pod cannot be reached: {why}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::core_v1::PodStatus;

    use super::*;

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
}
