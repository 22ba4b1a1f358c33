//! `kapelle port-forward …`: ports of this machine that lead to ports of a Pod.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use api::{
    Error, Kind, Object,
    core_v1::{Pod, Service},
    int_or_string::Value,
    kinds::Resource as _,
    pod,
};
use clap::Args;
use rpc::Query;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::logs::selector;
use crate::{errln, names, outln, session::Session, terminal};

/// Options of `port-forward`.
#[derive(Args, Debug)]
pub struct PortForward {
    /// `POD`, or `KIND/NAME` of a Deployment, ReplicaSet or Service (its first Pod that runs)
    what: String,
    /// `[LOCAL:]REMOTE` each; `:REMOTE` takes a free port here, and REMOTE may be the name of a port
    #[arg(required = true, value_name = "[LOCAL:]REMOTE")]
    ports: Vec<String>,
    /// The addresses to listen on: `localhost` or addresses of this machine
    #[arg(long, value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,
}

/// One port of this machine and where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Forwarded {
    /// 0 for any that is free.
    local: u16,
    remote: u16,
}

impl PortForward {
    pub(crate) async fn run(self, session: &Session) -> Result<()> {
        let (pod, service) = target(session, &self.what).await?;
        let ports: Vec<Forwarded> =
            self.ports.iter().map(|text| forwarded(text, &pod, service.as_ref())).collect::<Result<_>>()?;
        let mut listeners = Vec::new();
        for port in ports {
            listeners.extend(listen(&self.address, port).await?);
        }
        terminal::flush()?;
        let mut tasks = JoinSet::new();
        for (listener, port) in listeners {
            tasks.spawn(accept(session.clone(), name_of(&pod).to_owned(), listener, port));
        }
        match tasks.join_next().await {
            Some(ended) => ended?,
            None => bail!("unable to listen on any of the requested ports"),
        }
    }
}

/// The Pod that is meant, and the Service by which it was named.
async fn target(session: &Session, what: &str) -> Result<(Pod, Option<Service>)> {
    let (kind, name) = if what.contains('/') {
        names::one(std::slice::from_ref(&what.to_owned()))?
    } else {
        (Kind::Pod, what.to_owned())
    };
    let named = session.get(kind, &name).await?;
    if let Object::Pod(pod) = &named {
        if !is_running(pod) {
            bail!("unable to forward port because pod is not running. Current status={}", phase(pod));
        }
        return Ok((Pod::clone(pod), None));
    }
    let (namespace, labels) = (session.namespace().to_owned(), selector(&named)?);
    let query = Query { kind: Kind::Pod, namespace, labels, fields: String::new() };
    let (pods, _) = session.list(&query).await?;
    let running = pods.iter().filter_map(|pod| pod.get::<Pod>()).find(|pod| is_running(pod));
    let pod = running.with_context(|| format!("{what} has no Pod that runs"))?.clone();
    Ok((pod, named.get::<Service>().cloned()))
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().map_or("Pending", |status| &status.phase)
}

fn is_running(pod: &Pod) -> bool {
    phase(pod) == "Running" && pod.metadata().is_none_or(|metadata| metadata.deletion_timestamp.is_none())
}

/// Reads `[LOCAL:]REMOTE`. What stands for a port of a Service is the port of its Pod behind it.
fn forwarded(text: &str, pod: &Pod, service: Option<&Service>) -> Result<Forwarded> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let remote_port = match service {
        Some(service) => behind(service, remote, pod)?,
        None => match number(remote) {
            Some(port) => port,
            None => container_port(pod, remote)?,
        },
    };
    let local = match local {
        "" => 0,
        // The same word on both sides is a name, or the number of the Service's port.
        same if same == remote => number(same).unwrap_or(remote_port),
        other => number(other).with_context(|| format!("{text:?}: {other:?} is no port from 1 to 65535"))?,
    };
    Ok(Forwarded { local, remote: remote_port })
}

/// The port of a Pod with a name.
fn container_port(pod: &Pod, name: &str) -> Result<u16> {
    let port = pod.spec.as_ref().and_then(|spec| pod::port_by_name(spec, name));
    let port = port.filter(|_| !name.is_empty()).and_then(|port| u16::try_from(port).ok());
    port.with_context(|| format!("Pod '{}' does not have a port named or numbered '{name}'", name_of(pod)))
}

/// The port of a Pod behind one of a Service.
fn behind(service: &Service, wanted: &str, pod: &Pod) -> Result<u16> {
    let name = service.metadata().map_or("", |metadata| &metadata.name);
    let spec = service.spec.clone().unwrap_or_default();
    let port = spec.ports.iter().find(|port| port.name == wanted || port.port.to_string() == wanted);
    let port = port.with_context(|| format!("Service {name} does not have a service port {wanted}"))?;
    let target = port.target_port.as_ref().filter(|_| spec.cluster_ip != "None").map(|target| target.value());
    match target {
        None | Some(Value::Int(0)) => Ok(u16::try_from(port.port)?),
        Some(Value::Int(number)) => Ok(u16::try_from(number)?),
        Some(Value::Text(name)) => container_port(pod, name),
    }
}

fn name_of(pod: &Pod) -> &str {
    pod.metadata().map_or("", |metadata| &metadata.name)
}

/// Listens on each address that there is; `localhost` is two, of which one is enough.
async fn listen(addresses: &[String], port: Forwarded) -> Result<Vec<(TcpListener, Forwarded)>> {
    let mut listeners = Vec::new();
    let mut port = port;
    for address in addresses {
        let ips: Vec<IpAddr> = match address.as_str() {
            "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            text => {
                vec![text.parse().with_context(|| format!("--address: {text:?} is neither localhost nor an address"))?]
            }
        };
        let before = listeners.len();
        let mut why = None;
        for ip in ips {
            match TcpListener::bind(SocketAddr::new(ip, port.local)).await {
                Ok(listener) => {
                    let at = listener.local_addr()?;
                    outln!("Forwarding from {at} -> {}", port.remote)?;
                    // All addresses get the same port.
                    port.local = at.port();
                    listeners.push((listener, port));
                }
                Err(error) => why = Some(error),
            }
        }
        if let Some(error) = why.filter(|_| listeners.len() == before) {
            bail!("Unable to listen on port {}: {address}: {error}", port.local);
        }
    }
    Ok(listeners)
}

/// Takes connections for ever; what goes wrong with one is told and harms no other.
async fn accept(session: Session, pod: String, listener: TcpListener, port: Forwarded) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept connections")?;
        outln!("Handling connection for {}", port.local)?;
        terminal::flush()?;
        let (session, pod) = (session.clone(), pod.clone());
        tokio::spawn(async move {
            if let Err(error) = carry(&session, &pod, stream, port.remote).await {
                let message = error.message;
                errln!(
                    "an error occurred forwarding {} -> {}: error forwarding port {} to pod {pod}: {message}",
                    port.local,
                    port.remote,
                    port.remote
                );
            }
        });
    }
}

/// Carries one connection. When it breaks later on, both ends see it.
async fn carry(session: &Session, pod: &str, mut stream: TcpStream, port: u16) -> Result<(), Error> {
    let mut tunnel = session.forward(pod, port).await?;
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut tunnel).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn objects() -> (Pod, Service) {
        let pod = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\
                   \"name\":\"c\",\"image\":\"i\",\"ports\":[{\"name\":\"http\",\"containerPort\":8080}]}]}}";
        let service = "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"s\"},\"spec\":{\"ports\":[\
                       {\"name\":\"web\",\"port\":80,\"targetPort\":\"http\"},{\"name\":\"raw\",\"port\":81,\"targetPort\":\
                       9000},{\"name\":\"same\",\"port\":82}]}}";
        let read = |kind: Kind, text: &str| {
            let value = serde_json::from_str(text).unwrap();
            api::json::decode(kind, &value, api::json::Strictness::Strict).unwrap().object
        };
        let (pod, service) = (read(Kind::Pod, pod), read(Kind::Service, service));
        (pod.get::<Pod>().unwrap().clone(), service.get::<Service>().unwrap().clone())
    }

    #[test]
    fn ports_are_read_as_kubectl_reads_them() {
        let (pod, service) = objects();
        let of_pod = |text: &str| forwarded(text, &pod, None).map(|port| (port.local, port.remote)).unwrap();
        assert_eq!(of_pod("8080"), (8080, 8080));
        assert_eq!(of_pod("5000:8080"), (5000, 8080));
        assert_eq!(of_pod(":8080"), (0, 8080));
        assert_eq!((of_pod("http"), of_pod("5000:http")), ((8080, 8080), (5000, 8080)));
        let of_service =
            |text: &str| forwarded(text, &pod, Some(&service)).map(|port| (port.local, port.remote)).unwrap();
        assert_eq!((of_service("80"), of_service("5000:web")), ((80, 8080), (5000, 8080)));
        assert_eq!((of_service("raw"), of_service(":82")), ((9000, 9000), (0, 82)));
    }

    #[test]
    fn what_is_no_port_is_refused() {
        let (pod, service) = objects();
        for (text, service, why) in [
            ("0", None, "port named or numbered '0'"),
            ("5000:", None, "port named or numbered ''"),
            ("x:80", None, "\"x\" is no port"),
            ("metrics", None, "Pod 'p' does not have a port named or numbered 'metrics'"),
            ("83", Some(&service), "Service s does not have a service port 83"),
        ] {
            let error = forwarded(text, &pod, service).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
