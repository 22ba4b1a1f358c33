//! Who answers behind a port of a Service: one of its endpoints that are ready, by chance.
//!
//! Masters connect to agents of nodes alone: a Pod is reached over its own node, and a host that is no Pod over any node,
//! which connects only to what its Pods may connect to. So no endpoint leads to what is the nodes' and masters' own.

use api::{Error, Key, ReadAt, Reason, Subresource, Verb, core_v1::Service};
use rand::seq::IndexedRandom as _;
use registry::{Endpoint, Reach, Registry};

/// The way to an endpoint behind a port of a Service, and the port to open there. Whoever asks this Registry may use the
/// Service, and need not have a say about its Pods: it is asked for the process itself.
pub(super) async fn behind(myself: &Registry, key: &Key, port: &str) -> Result<(Reach, u16), Error> {
    let object = myself.get(key, ReadAt::Latest).await?.object();
    let unavailable = |message: String| Error::new(Reason::ServiceUnavailable, message).about(key);
    let service = object.get::<Service>();
    let no_port = || unavailable(format!("no such port found for service {:?}", &*key.name));
    if let Some(name) = service.and_then(other_name) {
        let port = port.parse().map_err(|_| no_port())?;
        return Ok((myself.reach_outside(name, key)?, port));
    }
    let port = service.and_then(|service| service_port(service, port)).ok_or_else(no_port)?;
    let ready = myself.endpoints(key, &port);
    let Some(endpoint) = ready.choose(&mut rand::rng()) else {
        return Err(unavailable(format!("no endpoints available for service {:?}", &*key.name)));
    };
    Ok(match endpoint {
        Endpoint::Pod(pod, port) => (myself.reach(pod, Verb::Get, Subresource::Proxy).await?, *port),
        Endpoint::Address(at) => (myself.reach_outside(&at.ip().to_string(), key)?, at.port()),
    })
}

/// The name of the host for which a Service stands. Its ports are that host's, whatever the Service lists.
fn other_name(service: &Service) -> Option<&str> {
    let spec = service.spec.as_ref().filter(|spec| spec.r#type == "ExternalName")?;
    Some(&spec.external_name)
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

#[cfg(test)]
mod tests {
    use api::core_v1::{ServicePort, ServiceSpec};

    use super::*;

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
        let mut other = service(Vec::new());
        assert_eq!(other_name(&other), None);
        let spec = other.spec.get_or_insert_default();
        (spec.r#type, spec.external_name) = ("ExternalName".into(), "metrics.example.org".into());
        assert_eq!(other_name(&other), Some("metrics.example.org"));
    }
}
