//! Ways to Pods: found by the Pod, led over the agent of the node that runs it.

use std::{net::IpAddr, sync::Arc};

use api::{Error, Key, Kind, Object, ReadAt, Reason, Subresource, Verb, core_v1::Pod, kinds::Resource as _, pod};
use rpc::{Security, forward::Tunnel, identity::Subject, node::Agent, services::ForwardRequest};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::{Registry, access::Access, logs::container, nodes};

/// The way to the ports of one Pod. Cloning shares its connection to the node.
#[derive(Clone, Debug)]
pub struct Reach {
    agent: Agent,
    key: Key,
    uid: String,
    closing: CancellationToken,
    _permit: Arc<OwnedSemaphorePermit>,
}

/// The most ways to Pods that are in use on a master: each has a connection of its client's, one to a node, and buffers.
pub const REACHES_MAX: usize = 1024;

impl Registry {
    /// The way to the ports of a Pod, for whoever may use a subresource of it.
    ///
    /// # Errors
    /// If there is no such Pod, it does not run, or its node does not say where it answers.
    pub async fn reach(&self, key: &Key, subresource: Subresource) -> Result<Reach, Error> {
        self.authorise(Access::to_subresource(Verb::Create, key, subresource)).await?;
        let object = self.get(key, ReadAt::Latest).await?.object();
        let pod: &Pod = object.get().ok_or_else(|| Error::not_found(key))?;
        let agent = self.agent(key, pod).await?;
        let full = |_| {
            let message = format!("{REACHES_MAX} streams to Pods are open on this master, and there are no more");
            Error::new(Reason::TooManyRequests, message)
        };
        let permit = Arc::new(self.inner.reaches.clone().try_acquire_owned().map_err(full)?);
        let (uid, closing) = (pod.uid().to_owned(), self.inner.closing.clone());
        Ok(Reach { agent, key: key.clone(), uid, closing, _permit: permit })
    }

    /// The container of a Pod that is meant, for whoever may use a subresource of the Pod.
    ///
    /// # Errors
    /// If there is no such Pod or container, the container must be named, or the Pod has ended.
    pub async fn running_container(&self, key: &Key, wanted: &str, subresource: Subresource) -> Result<String, Error> {
        self.authorise(Access::to_subresource(Verb::Create, key, subresource)).await?;
        let object = self.get(key, ReadAt::Latest).await?.object();
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
        let identity = self.inner.identity.get().ok_or_else(|| Error::internal("this master is not introduced yet"))?;
        let found = self.get(&node, ReadAt::Latest).await?.object();
        Agent::at(&endpoint(&found)?, &Security::TlsWith(identity.clone(), subject(&found)))
    }
}

impl Reach {
    /// The Pod's key.
    #[must_use]
    pub fn pod(&self) -> &Key {
        &self.key
    }

    /// The Pod's uid.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Opens a connection to a port. What is open ends when this process stops, by whoever uses it; see [`Reach::closing`].
    ///
    /// # Errors
    /// If the node does not answer, or nobody takes the connection there.
    pub async fn open(&self, port: u16) -> Result<Tunnel, Error> {
        let to = ForwardRequest {
            namespace: self.key.namespace.to_string(),
            pod: self.key.name.to_string(),
            uid: self.uid.clone(),
            port: port.into(),
            ..ForwardRequest::default()
        };
        self.agent.clone().forward(to).await
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

/// Where the agent of a node answers.
fn endpoint(node: &Object) -> Result<String, Error> {
    let key = node.key();
    let silent = || {
        let message =
            format!("node {} does not say where its agent answers; is `kapelle worker` running there?", key.name);
        Error::new(Reason::ServiceUnavailable, message).about(&key)
    };
    let (host, port) = node.get().and_then(nodes::agent).ok_or_else(silent)?;
    match host.parse() {
        Ok(IpAddr::V6(address)) => Ok(format!("https://[{address}]:{port}")),
        Ok(IpAddr::V4(_)) | Err(_) => Ok(format!("https://{host}:{port}")),
    }
}
