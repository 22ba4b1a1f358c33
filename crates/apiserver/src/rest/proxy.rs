//! `pods/proxy` and `services/proxy`: a request goes on to a Pod, over the agent of its node, and its answer comes back.
//!
//! The master itself connects to nobody but the agent, and the agent to nothing but its Pods' ports: no name in a path and no
//! endpoint in the state leads anywhere else. What is about one connection is not passed on, nor is what shows who asks.

mod heads;

use api::{
    Error, Key, Kind, ReadAt, Reason, Subresource, Verb,
    core_v1::{Pod, Service},
    discovery_v1::EndpointSlice,
    pod,
    selector::{Fields, Labels},
    well_known::SERVICE_NAME_LABEL,
};
use axum::body::Body;
use http::{Request, Response, StatusCode};
use hyper::{client::conn::http1, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use rand::seq::IndexedRandom as _;
use registry::{Access, Caller, ListQuery, Reach};
use rpc::forward::Tunnel;

use super::{Asked, Rest, answer, path::Target};
use crate::upgrade;

/// The port of a Pod that names none.
const DEFAULT_PORT: u16 = 80;

/// `[SCHEME:]NAME[:PORT]`, the name of what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named<'a> {
    name: &'a str,
    /// Its number or name; empty for the only one.
    port: &'a str,
}

impl Rest {
    pub(super) async fn proxy(&self, target: &Target, asked: &Asked, body: Body) -> Result<Response<Body>, Error> {
        let named = named(&target.name)?;
        let key = Key::namespaced(target.served.kind(), target.namespace.as_str(), named.name);
        let (reach, port) = match key.kind == Kind::Service {
            true => self.behind_service(&key, named.port).await?,
            false => self.of_pod(&key, named.port).await?,
        };
        let warnings = self.may_connect(&key, Subresource::Proxy, asked).await?;
        let request = heads::request(asked, body)?;
        let tunnel = reach.open(port).await?;
        let response = send(tunnel, request, reach).await.map_err(|error| unanswered(&key, &error))?;
        let mut response = heads::located(response, asked.uri.path());
        answer::warn(&mut response, &warnings);
        Ok(response)
    }

    async fn of_pod(&self, key: &Key, port: &str) -> Result<(Reach, u16), Error> {
        let reach = self.registry.reach(key, Subresource::Proxy).await?;
        let object = self.registry.get(key, ReadAt::Any).await?.object();
        let port = object.get::<Pod>().and_then(|pod| pod_port(pod, port));
        let wrong =
            || Error::bad_request(format!("pod {} has no such port: name one by its number", key.name)).about(key);
        Ok((reach, port.ok_or_else(wrong)?))
    }

    /// A Pod that is ready behind a port of a Service. Who may use the Service need not have a say about its Pods.
    async fn behind_service(&self, key: &Key, port: &str) -> Result<(Reach, u16), Error> {
        self.registry.authorise(Access::to_subresource(Verb::Create, key, Subresource::Proxy)).await?;
        let myself = self.registry.for_caller(Caller::Cluster);
        let object = myself.get(key, ReadAt::Latest).await?.object();
        let unavailable = |message: String| Error::new(Reason::ServiceUnavailable, message).about(key);
        let port = object.get::<Service>().and_then(|service| service_port(service, port));
        let no_port = || unavailable(format!("no such port found for service {:?}", &*key.name));
        let port = port.ok_or_else(no_port)?;
        let query = ListQuery {
            kind: Kind::EndpointSlice,
            namespace: Some(key.namespace.to_string()),
            labels: Labels::parse(&format!("{SERVICE_NAME_LABEL}={}", key.name))?,
            fields: Fields::parse(Kind::EndpointSlice, "")?,
            limit: None,
            continue_: None,
            at: ReadAt::Any.into(),
        };
        let slices: Vec<_> = myself.list(query).await?.items.iter().map(|found| found.object()).collect();
        let ready: Vec<(String, u16)> =
            slices.iter().filter_map(|slice| slice.get()).flat_map(|slice| endpoints(slice, &port)).collect();
        let Some((pod, number)) = ready.choose(&mut rand::rng()) else {
            return Err(unavailable(format!("no endpoints available for service {:?}", &*key.name)));
        };
        let pod = Key::namespaced(Kind::Pod, &*key.namespace, pod.as_str());
        Ok((myself.reach(&pod, Subresource::Proxy).await?, *number))
    }
}

/// Reads the name of what is asked.
fn named(text: &str) -> Result<Named<'_>, Error> {
    let parts: Vec<&str> = text.split(':').collect();
    let (scheme, name, port) = match parts[..] {
        [name] => ("", name, ""),
        [name, port] => ("", name, port),
        [scheme, name, port] => (scheme, name, port),
        _ => return Err(Error::bad_request(format!("invalid request {text:?}: write [SCHEME:]NAME[:PORT]"))),
    };
    match scheme {
        "" | "http" => Ok(Named { name, port }),
        other => Err(Error::bad_request(format!("{other}: Pods are asked over http here; write http:{name}:{port}"))),
    }
}

/// The number of a Pod's port. Without a name it is the first that the Pod has.
fn pod_port(pod: &Pod, wanted: &str) -> Option<u16> {
    let spec = pod.spec.as_ref()?;
    match wanted {
        "" => {
            let first = spec.containers.iter().find_map(|container| container.ports.first());
            first.map_or(Some(DEFAULT_PORT), |port| u16::try_from(port.container_port).ok())
        }
        number if number.parse::<u16>().is_ok() => number.parse().ok().filter(|port| *port > 0),
        name => pod::port_by_name(spec, name).and_then(|port| u16::try_from(port).ok()),
    }
}

/// The name of a Service's port, by its name or number. Without either it is the one without a name, or the only one.
fn service_port(service: &Service, wanted: &str) -> Option<String> {
    let ports = &service.spec.as_ref()?.ports;
    let found = match (wanted, &ports[..]) {
        ("", [only]) => Some(only),
        _ => ports.iter().find(|port| port.name == wanted || port.port.to_string() == wanted),
    };
    found.map(|port| port.name.clone())
}

/// The Pods of a slice that are ready, with the number of a port. Endpoints that are no Pods are not reached through masters.
fn endpoints(slice: &EndpointSlice, port: &str) -> Vec<(String, u16)> {
    let number = slice.ports.iter().find(|known| known.name.as_deref().unwrap_or_default() == port);
    let Some(number) = number.and_then(|port| u16::try_from(port.port?).ok()) else { return Vec::new() };
    let ready = slice
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true));
    let pods = ready.filter_map(|endpoint| endpoint.target_ref.as_ref()).filter(|target| target.kind == "Pod");
    pods.map(|pod| (pod.name.clone(), number)).collect()
}

/// Sends a request over a connection of its own.
async fn send(tunnel: Tunnel, request: Request<Body>, reach: Reach) -> Result<Response<Body>, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(tunnel)).await?;
    tokio::spawn(async move {
        tokio::select! {
            ended = connection.with_upgrades() => {
                ended.unwrap_or_else(|error| tracing::debug!(%error, "a connection to a Pod broke"));
            }
            // The way is in use for as long as the connection.
            () = reach.closing() => {}
        }
    });
    let mut response = sender.send_request(request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(heads::answer(response).map(Body::new));
    }
    let pod = hyper::upgrade::on(&mut response);
    let (parts, _) = response.into_parts();
    let response = Response::from_parts(parts, Body::empty());
    Ok(upgrade::then(response, move |client| carry(client, pod)))
}

/// Carries what is spoken instead of HTTP.
async fn carry(mut client: upgrade::Bytes, pod: OnUpgrade) {
    let carried = async {
        let mut pod = TokioIo::new(pod.await.map_err(std::io::Error::other)?);
        tokio::io::copy_bidirectional(&mut client, &mut pod).await
    };
    if let Err(error) = carried.await {
        tracing::debug!(%error, "a connection to a Pod broke");
    }
}

fn unanswered(key: &Key, error: &hyper::Error) -> Error {
    let message = format!("error trying to reach {} {:?}: {error}", key.kind.info().singular, &*key.name);
    Error::new(Reason::ServiceUnavailable, message).about(key)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::{
        core_v1::{Container, ContainerPort, ObjectReference, PodSpec, ServicePort, ServiceSpec},
        discovery_v1::{Endpoint, EndpointConditions, EndpointPort},
    };

    use super::*;

    #[test]
    fn names_have_a_scheme_and_a_port_if_they_like() {
        let read =
            |text: &'static str| named(text).map(|named| (named.name, named.port)).map_err(|error| error.message);
        assert_eq!((read("web"), read("web:80")), (Ok(("web", "")), Ok(("web", "80"))));
        assert_eq!((read("http:web:www"), read("http:web:")), (Ok(("web", "www")), Ok(("web", ""))));
        assert!(read("https:web:443").unwrap_err().contains("http:web:443"));
        assert!(read("a:b:c:d").unwrap_err().contains("invalid request"));
    }

    #[test]
    fn a_pods_port_is_its_first_or_the_one_that_is_named() {
        let port = |name: &str, number| ContainerPort {
            name: name.to_owned(),
            container_port: number,
            ..ContainerPort::default()
        };
        let container = Container { ports: vec![port("", 8080), port("www", 81)], ..Container::default() };
        let pod = |containers| Pod { spec: Some(PodSpec { containers, ..PodSpec::default() }), ..Pod::default() };
        let some = pod(vec![Container::default(), container]);
        assert_eq!(["", "81", "www", "9"].map(|name| pod_port(&some, name)), [8080, 81, 81, 9].map(Some));
        assert_eq!(["0", "65536", "none", "-1"].map(|name| pod_port(&some, name)), [None; 4]);
        assert_eq!(pod_port(&pod(Vec::new()), ""), Some(DEFAULT_PORT));
    }

    #[test]
    fn a_services_port_is_found_by_name_and_number() {
        let port = |name: &str, port| ServicePort { name: name.to_owned(), port, ..ServicePort::default() };
        let service =
            |ports| Service { spec: Some(ServiceSpec { ports, ..ServiceSpec::default() }), ..Service::default() };
        let two = service(vec![port("www", 80), port("raw", 81)]);
        let found = |service: &Service, wanted: &str| service_port(service, wanted);
        assert_eq!((found(&two, "www"), found(&two, "81")), (Some("www".into()), Some("raw".into())));
        assert_eq!((found(&two, ""), found(&two, "82")), (None, None));
        assert_eq!(found(&service(vec![port("only", 80)]), ""), Some("only".into()));
    }

    #[test]
    fn only_pods_that_are_ready_are_asked() {
        let endpoint = |kind: &str, name: &str, ready| Endpoint {
            target_ref: Some(ObjectReference { kind: kind.into(), name: name.into(), ..ObjectReference::default() }),
            conditions: Some(EndpointConditions { ready, ..EndpointConditions::default() }),
            ..Endpoint::default()
        };
        let bare = Endpoint { addresses: vec!["169.254.169.254".into()], ..Endpoint::default() };
        let slice = EndpointSlice {
            endpoints: vec![
                endpoint("Pod", "a", Some(true)),
                endpoint("Pod", "b", Some(false)),
                endpoint("Pod", "c", None),
                endpoint("Node", "n", Some(true)),
                bare,
            ],
            ports: vec![EndpointPort { name: Some("www".into()), port: Some(8080), ..EndpointPort::default() }],
            ..EndpointSlice::default()
        };
        assert_eq!(endpoints(&slice, "www"), [("a".to_owned(), 8080), ("c".to_owned(), 8080)]);
        assert_eq!(endpoints(&slice, ""), []);
    }
}
