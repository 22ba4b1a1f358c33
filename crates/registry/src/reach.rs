//! Ways that lead over the agents of nodes: to Pods, to hosts outside the cluster, and to a node itself. Masters connect to
//! nothing else.

use std::{net::IpAddr, sync::Arc};

use api::{
    Error, Key, Kind, Object, Reason, Subresource, Verb,
    conditions::{self, READY},
    core_v1::{Node, Pod},
    kinds::Resource as _,
    pod,
};
use rand::seq::IteratorRandom as _;
use rpc::{Security, forward::Tunnel, identity::Subject, node::Agent, services::ForwardRequest};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::{Registry, access::Access, logs::container, nodes};

/// The way to the ports of one Pod, of a host outside, or of a node. Cloning shares its connection to the node.
#[derive(Clone, Debug)]
pub struct Reach {
    agent: Agent,
    key: Key,
    /// Where the agent leads it, but for the port.
    to: ForwardRequest,
    closing: CancellationToken,
    _permit: Arc<OwnedSemaphorePermit>,
}

/// The most ways over agents that are in use on a master: each has a connection of its client's, one to a node, and buffers.
pub const REACHES_MAX: usize = 1024;

impl Registry {
    /// The way to the ports of a Pod, for whoever may do something with a subresource of it.
    ///
    /// # Errors
    /// If there is no such Pod, it does not run, or its node does not say where it answers.
    pub async fn reach(&self, key: &Key, verb: Verb, subresource: Subresource) -> Result<Reach, Error> {
        self.authorise(Access::to_subresource(verb, key, subresource)).await?;
        let object = self.found(key).await?.object();
        let pod: &Pod = object.get().ok_or_else(|| Error::not_found(key))?;
        let to = ForwardRequest {
            namespace: key.namespace.to_string(),
            pod: key.name.to_string(),
            uid: pod.uid().to_owned(),
            ..ForwardRequest::default()
        };
        self.way(self.agent(key, pod).await?, key, to)
    }

    /// The way to a host outside the cluster, by its address or name, for an object that names it: over any node that is ready,
    /// to whatever the Pods of that node may connect to.
    ///
    /// # Errors
    /// If no node is ready.
    pub fn reach_outside(&self, host: &str, key: &Key) -> Result<Reach, Error> {
        let none = || {
            let message = format!("no node is ready, over which {host} could be reached");
            Error::new(Reason::ServiceUnavailable, message).about(key)
        };
        let nodes: Vec<_> = self.state().list(Kind::Node, None, None).map(|record| record.object()).collect();
        let node = nodes.iter().filter(|node| is_ready(node)).choose(&mut rand::rng()).ok_or_else(none)?;
        let namespace = key.namespace.to_string();
        let to = ForwardRequest { namespace, host: host.to_owned(), ..ForwardRequest::default() };
        self.way(self.agent_of(node)?, key, to)
    }

    /// The way to what a node tells of itself over HTTP, and the port at which it does so.
    ///
    /// # Errors
    /// If the caller may not use it, there is no such node, or it does not say where its agent answers.
    pub async fn reach_node(&self, key: &Key, verb: Verb) -> Result<(Reach, u16), Error> {
        self.authorise(Access::to_subresource(verb, key, Subresource::Proxy)).await?;
        let node = self.found(key).await?.object();
        let (_, port) = answers_at(&node)?;
        Ok((self.way(self.agent_of(&node)?, key, ForwardRequest::default())?, port))
    }

    fn way(&self, agent: Agent, key: &Key, to: ForwardRequest) -> Result<Reach, Error> {
        let full = |_| {
            let message = format!("{REACHES_MAX} streams to Pods are open on this master, and there are no more");
            Error::new(Reason::TooManyRequests, message)
        };
        let permit = Arc::new(self.inner.reaches.clone().try_acquire_owned().map_err(full)?);
        Ok(Reach { agent, key: key.clone(), to, closing: self.inner.closing.clone(), _permit: permit })
    }

    /// The container of a Pod that is meant, for whoever may use a subresource of the Pod.
    ///
    /// # Errors
    /// If there is no such Pod or container, the container must be named, or the Pod has ended.
    pub async fn running_container(&self, key: &Key, wanted: &str, subresource: Subresource) -> Result<String, Error> {
        self.authorise(Access::to_subresource(Verb::Create, key, subresource)).await?;
        let object = self.found(key).await?.object();
        let pod: &Pod = object.get().ok_or_else(|| Error::not_found(key))?;
        let phase = pod.status.as_ref().map_or("", |status| &status.phase);
        if matches!(phase, "Succeeded" | "Failed") {
            let message = format!("cannot reach a container in a completed pod; current phase is {phase}");
            return Err(Error::bad_request(message).about(key));
        }
        container(pod, wanted).map_err(|why| Error::bad_request(why).about(key))
    }

    /// The agent of a Pod's node.
    pub(crate) async fn agent(&self, key: &Key, pod: &Pod) -> Result<Agent, Error> {
        let no_node = || Error::bad_request(format!("pod {} does not have a host assigned", key.name)).about(key);
        let node = Key::cluster(Kind::Node, pod::node_name(pod).ok_or_else(no_node)?);
        self.agent_of(&self.found(&node).await?.object())
    }

    fn agent_of(&self, node: &Object) -> Result<Agent, Error> {
        let identity = self.inner.identity.get().ok_or_else(|| Error::internal("this master is not introduced yet"))?;
        Agent::at(&endpoint(node)?, &Security::TlsWith(identity.clone(), subject(node)))
    }
}

impl Reach {
    /// The key of the Pod, of the node, or of the object that names the host.
    #[must_use]
    pub fn of(&self) -> &Key {
        &self.key
    }

    /// The Pod's uid.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.to.uid
    }

    /// Opens a connection to a port. What is open ends when this process stops, by whoever uses it; see [`Reach::closing`].
    ///
    /// # Errors
    /// If the node does not answer, or nobody takes the connection there.
    pub async fn open(&self, port: u16) -> Result<Tunnel, Error> {
        self.agent.clone().forward(ForwardRequest { port: port.into(), ..self.to.clone() }).await
    }

    /// Ends when this process stops.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }
}

/// Whose certificate the agent of a Node must show.
fn subject(node: &Object) -> Subject {
    let metadata = node.metadata().cloned().unwrap_or_default();
    Subject::Node { name: metadata.name, uid: metadata.uid }
}

fn is_ready(node: &Object) -> bool {
    let status = node.get::<Node>().and_then(|node| node.status.as_ref());
    status.is_some_and(|status| conditions::is_true(&status.conditions, READY)) && answers_at(node).is_ok()
}

/// The host and port at which the agent of a node answers.
fn answers_at(node: &Object) -> Result<(&str, u16), Error> {
    let key = node.key();
    let silent = || {
        let message =
            format!("node {} does not say where its agent answers; is `kapelle worker` running there?", key.name);
        Error::new(Reason::ServiceUnavailable, message).about(&key)
    };
    let told = node.get().and_then(nodes::agent);
    told.and_then(|(host, port)| Some((host, u16::try_from(port).ok()?))).ok_or_else(silent)
}

/// The URL at which the agent of a node answers.
fn endpoint(node: &Object) -> Result<String, Error> {
    let (host, port) = answers_at(node)?;
    match host.parse() {
        Ok(IpAddr::V6(address)) => Ok(format!("https://[{address}]:{port}")),
        Ok(IpAddr::V4(_)) | Err(_) => Ok(format!("https://{host}:{port}")),
    }
}
