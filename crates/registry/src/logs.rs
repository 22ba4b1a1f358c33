//! Logs of containers: found by the Pod, read from the node that runs it.

use std::net::IpAddr;

use api::{
    Error, Key, Kind, Object, ReadAt, Reason, Verb,
    core_v1::{Container, Pod},
    pod,
};
use futures::{Stream, StreamExt as _};
use rpc::{
    Security,
    identity::Subject,
    services::{LogChunk, LogRequest},
};

use crate::{Registry, access::Access, nodes};

/// The annotation with the container whose log is read when a request names none.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

impl Registry {
    /// Reads a container's log, and with `follow` goes on reading.
    ///
    /// # Errors
    /// If there is no such Pod or container, if the container must be named, if the Pod has no node yet, or if the node
    /// does not answer.
    pub async fn log(
        &self,
        request: LogRequest,
    ) -> Result<impl Stream<Item = Result<LogChunk, Error>> + Send + 'static + use<>, Error> {
        let key = Key::namespaced(Kind::Pod, request.namespace.as_str(), request.pod.as_str());
        self.authorise(Access::to(Verb::Log, &key)).await?;
        let object = self.get(&key, ReadAt::Latest).await?.object();
        let pod: &Pod = object.get().ok_or_else(|| Error::not_found(&key))?;
        let container = container(pod, &request.container).map_err(|why| Error::bad_request(why).about(&key))?;
        let no_node = || Error::bad_request(format!("pod {} does not have a host assigned", key.name)).about(&key);
        let node = Key::cluster(Kind::Node, pod::node_name(pod).ok_or_else(no_node)?);
        let identity = self.inner.identity.get().ok_or_else(|| Error::internal("this master is not introduced yet"))?;
        let found = self.get(&node, ReadAt::Latest).await?.object();
        let security = Security::TlsWith(identity.clone(), subject(&found));
        let agent = endpoint(&found)?;
        let chunks = rpc::node::read_log(&agent, &security, LogRequest { container, ..request }).await?;
        Ok(chunks.take_until(self.inner.closing.clone().cancelled_owned()))
    }
}

/// Whose certificate the agent of a Node must show.
fn subject(node: &Object) -> Subject {
    let metadata = node.metadata().cloned().unwrap_or_default();
    Subject::Node { name: metadata.name, uid: metadata.uid }
}

/// The container that is meant.
fn container(pod: &Pod, wanted: &str) -> Result<String, String> {
    let metadata = pod.metadata.clone().unwrap_or_default();
    let spec = pod.spec.clone().unwrap_or_default();
    let name = |container: &Container| container.name.clone();
    let main: Vec<String> = spec.containers.iter().map(name).collect();
    let initial: Vec<String> = spec.init_containers.iter().map(name).collect();
    let default = metadata.annotations.get(DEFAULT_CONTAINER).map_or("", String::as_str);
    match if wanted.is_empty() { default } else { wanted } {
        "" => match main.as_slice() {
            [only] => Ok(only.clone()),
            several => {
                let list = [several, &initial].concat().join(" ");
                Err(format!("a container name must be specified for pod {}, choose one of: [{list}]", metadata.name))
            }
        },
        wanted if main.iter().chain(&initial).any(|name| name == wanted) => Ok(wanted.to_owned()),
        wanted => Err(format!("container {wanted} is not valid for pod {}", metadata.name)),
    }
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
