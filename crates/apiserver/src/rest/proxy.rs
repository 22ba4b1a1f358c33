//! `pods/proxy`, `services/proxy` and `nodes/proxy`: a request goes on to a Pod, or to what a node tells of itself, over the
//! agent of the node, and its answer comes back.
//!
//! The master itself connects to nobody but agents, and agents to nothing but what Pods may connect to: no name in a path and no
//! endpoint in the state leads anywhere else.

use api::{Error, Key, Kind, ReadAt, Reason, Subresource, Verb, core_v1::Pod, pod};
use axum::body::Body;
use http::{Response, Uri, header};
use registry::{Caller, Reach};

use super::{
    Asked, Rest, answer, endpoints,
    passing::{self, Unanswered, heads},
    path::{Target, behind_proxy},
};

/// The port of a Pod that names none.
const DEFAULT_PORT: u16 = 80;

/// `[SCHEME:]NAME[:PORT]`, the name of what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named<'a> {
    scheme: &'a str,
    name: &'a str,
    /// Its number or name; empty for the only one.
    port: &'a str,
}

impl Rest {
    pub(super) async fn proxy(
        &self,
        target: &Target,
        verb: Verb,
        asked: &Asked,
        body: Body,
    ) -> Result<Response<Body>, Error> {
        let (named, key) = (named(&target.name)?, key(target)?);
        let (reach, port, is_encrypted) = if key.kind == Kind::Node {
            let (reach, port) = self.of_node(&key, verb, named).await?;
            // The way to its agent is.
            (reach, port, false)
        } else {
            let is_encrypted = named.is_encrypted()?;
            let (reach, port) = if key.kind == Kind::Service {
                endpoints::behind(&self.registry.for_caller(Caller::Cluster), &key, named.port).await?
            } else {
                self.of_pod(&key, verb, named.port).await?
            };
            (reach, port, is_encrypted)
        };
        let warnings = self.may_connect(&key, Subresource::Proxy, asked).await?;
        let path = behind_proxy(asked.uri.path()).map_or("", |(_, path)| path);
        if path.is_empty() && !asked.headers.contains_key(header::UPGRADE) {
            return Ok(answer::moved(&rooted(&asked.uri)));
        }
        let request = heads::request(asked, path, body)?;
        let tunnel = reach.open(port).await?;
        let sent = if is_encrypted {
            passing::send_encrypted(tunnel, request, reach).await
        } else {
            passing::send(tunnel, request, reach).await
        };
        let response = sent.map_err(|error| unanswered(&key, &error))?;
        let mut response = heads::located(response, asked.uri.path());
        answer::warn(&mut response, &warnings);
        Ok(response)
    }

    /// A node tells of itself at one port; Kubernetes says `https` for it, which is how masters reach agents anyway.
    async fn of_node(&self, key: &Key, verb: Verb, named: Named<'_>) -> Result<(Reach, u16), Error> {
        let (reach, port) = self.registry.reach_node(key, verb).await?;
        if !matches!(named.scheme, "" | "https") || !(named.port.is_empty() || named.port == port.to_string()) {
            let message =
                format!("node {} answers over https and on port {port} only; write {0} or {0}:{port}", key.name);
            return Err(Error::bad_request(message).about(key));
        }
        Ok((reach, port))
    }

    async fn of_pod(&self, key: &Key, verb: Verb, port: &str) -> Result<(Reach, u16), Error> {
        let reach = self.registry.reach(key, verb, Subresource::Proxy).await?;
        let object = self.registry.for_caller(Caller::Cluster).get(key, ReadAt::Any).await?.object();
        let port = object.get::<Pod>().and_then(|pod| pod_port(pod, port));
        let wrong =
            || Error::bad_request(format!("pod {} has no such port: name one by its number", key.name)).about(key);
        Ok((reach, port.ok_or_else(wrong)?))
    }
}

/// The object that is meant: through a proxy, a name says more than that.
pub(super) fn key(target: &Target) -> Result<Key, Error> {
    let name = if target.subresource == Subresource::Proxy { named(&target.name)?.name } else { &target.name };
    Ok(Key::namespaced(target.served.kind(), target.namespace.as_str(), name))
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
    Ok(Named { scheme, name, port })
}

impl Named<'_> {
    /// Whether a Pod is asked over TLS. Refuses other ways to ask than those that there are.
    fn is_encrypted(self) -> Result<bool, Error> {
        let Self { scheme, name, port } = self;
        match scheme {
            "" | "http" => Ok(false),
            "https" => Ok(true),
            other => {
                let message = format!("{other}: Pods are asked over http or https; write http:{name}:{port}");
                Err(Error::bad_request(message))
            }
        }
    }
}

/// Where the root of what is asked is: links on its pages lead below it.
fn rooted(uri: &Uri) -> String {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{query}", uri.path())
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

fn unanswered(key: &Key, error: &Unanswered) -> Error {
    let message = format!("error trying to reach {} {:?}: {error}", key.kind.info().singular, &*key.name);
    Error::new(Reason::ServiceUnavailable, message).about(key)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use api::core_v1::{Container, ContainerPort, PodSpec};

    use super::*;

    #[test]
    fn names_have_a_scheme_and_a_port_if_they_like() {
        let read = |text: &'static str| {
            let named = named(text).and_then(|named| named.is_encrypted().map(|_| named));
            named.map(|named| (named.name, named.port)).map_err(|error| error.message)
        };
        assert_eq!((read("web"), read("web:80")), (Ok(("web", "")), Ok(("web", "80"))));
        assert_eq!((read("http:web:www"), read("http:web:")), (Ok(("web", "www")), Ok(("web", ""))));
        assert_eq!(read("https:web:443"), Ok(("web", "443")));
        assert!(read("ftp:web:21").unwrap_err().contains("http:web:21"));
        assert!(read("a:b:c:d").unwrap_err().contains("invalid request"));
    }

    #[test]
    fn the_root_of_what_is_asked_ends_with_a_slash() {
        let root = |uri: &'static str| rooted(&Uri::from_static(uri));
        assert_eq!(root("/api/v1/namespaces/a/pods/b/proxy"), "/api/v1/namespaces/a/pods/b/proxy/");
        assert_eq!(root("/api/v1/nodes/n/proxy?a=b%20c"), "/api/v1/nodes/n/proxy/?a=b%20c");
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
}
